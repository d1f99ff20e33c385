"""How sure each label is: where a positive stands among all documents, and how many labels look random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.progress import Progress
from embedlab.retrieval.bm25 import BM25
from embedlab.retrieval.dense import Dense
from embedlab.retrieval.hybrid import fuse_ranks
from embedlab.trainset.answers import known_answers
from embedlab.trainset.rows import lists_without, query_texts, removal, removals

Scores = Mapping[str, NDArray[np.float32]]
"""For one query, by system, the score of every document, ``[documents]``."""

MOST_LABELS = 10_000
"""So many labels speak as neighbours; of more, each n-th, so that a row costs no more the more rows there are."""


def score_lines(dense: Dense, bm25: BM25, rows: pd.DataFrame, neighbours: bool = False) -> Iterator[Scores]:
    """Yield for each row's query what every document scores; one query at a time is in memory.

    Args:
        dense: over the same documents as ``bm25``, in the same order.
        bm25: see there.
        rows: ``text, positive_ids``.
        neighbours: score documents by the nearest other query labelled with them, too (by cosine, its
            own label left out, so that a random label stays random); those without one are in the middle.
            Of more than ``MOST_LABELS`` labels only a part speaks.
    """
    vectors = dense.encoder.encode(rows["text"].tolist(), "query")
    labels = _Labels(rows["positive_ids"], vectors, dense.ids.tolist()) if neighbours else None
    with Progress("Scoring every document", len(rows)) as bar:
        for row, (query, vector) in enumerate(zip(rows["text"], vectors, strict=True)):
            line = {"cosine": dense.vectors @ vector, "BM25": bm25.scores(query).to_numpy()}
            if labels is not None:
                line["queries"] = labels.scores(row, vector)
            yield line
            bar.advance()


class _Labels:
    """Which query is labelled with which document: each label lets its query speak for the document.

    Args:
        positive_ids: of each row.
        vectors: of each row's query, ``[rows, d]``.
        doc_ids: the documents that are scored.
    """

    def __init__(self, positive_ids: pd.Series, vectors: NDArray[np.float32], doc_ids: list[str]) -> None:
        position = {d: i for i, d in enumerate(doc_ids)}
        labels: list[tuple[int, int]] = []
        for row, ids in enumerate(positive_ids):
            labels += [(row, position[d]) for d in ids if d in position]
        every = 1 + len(labels) // MOST_LABELS
        # Without a label the array would have no second axis of its own.
        pairs = np.array(labels[::every], dtype=int).reshape(-1, 2)
        self.rows, self.documents = pairs[:, 0], pairs[:, 1]
        self.vectors = vectors[self.rows]
        self.count = len(doc_ids)

    def scores(self, row: int, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return each document's nearest label by cosine, the row's own left out; the mean where it has none."""
        own = self.rows == row
        similarity = np.where(own, -np.inf, self.vectors @ vector)
        best = np.full(self.count, -np.inf, dtype=np.float32)
        # Plain indexing would keep only the last label of a document that has several.
        np.maximum.at(best, self.documents, similarity)
        labelled = np.isfinite(best)
        # The mean counts neither for nor against a document once scores are standardized.
        middle = best[labelled].mean() if labelled.any() else 0
        return np.where(labelled, best, middle)


def standing(rows: pd.DataFrame, doc_ids: list[str], lines: Iterable[Scores]) -> pd.DataFrame:
    """Return where each positive stands among the documents that nobody knows to answer its query.

    Each system's scores are standardized over the documents, query by query, and added up.

    Args:
        rows: ``query_id, text, positive_ids, known_ids``.
        doc_ids: the documents that are scored.
        lines: for each row in turn what every document scores.

    Returns:
        ``query_id, text, doc_id, above`` (share of those documents that score higher, 0 is best) and
        ``rival``, the best of them, blank where there is none; one row a positive.
    """
    position = {d: i for i, d in enumerate(doc_ids)}
    names = np.array(doc_ids, dtype=object)
    found = []
    columns = zip(rows["query_id"], rows["text"], rows["positive_ids"], known_answers(rows), strict=True)
    for (query_id, text, positives, known), line in zip(columns, lines, strict=True):
        # Cosine and BM25 have different scales: only standardized can they be added up.
        fused = np.sum([_standardized(scores) for scores in line.values()], axis=0)
        answers = [position[d] for d in known if d in position]
        # What also answers the query may stand before the label: only the others count.
        others = np.delete(fused, answers)
        other_names = np.delete(names, answers)
        rival = str(other_names[others.argmax()]) if len(others) else ""
        for d in positives:
            own = fused[position[d]]
            above = float((others > own).mean()) if len(others) else 0.0
            found.append((query_id, text, d, round(above, 6), rival))
    return pd.DataFrame(found, columns=["query_id", "text", "doc_id", "above", "rival"])


def _standardized(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    values = scores.astype(np.float64)
    spread = values.std() or 1.0  # a system that tells no documents apart adds 0
    return (values - values.mean()) / spread


@dataclass(frozen=True)
class Chance:
    """The share of labels that look as if they pointed at a random document, and its 95 % interval."""

    share: float
    low: float
    high: float
    late: int
    labels: int


def looks_random(above: pd.Series, beyond: float = 0.5) -> Chance:
    """Estimate how many labels point at a random document.

    Such a document stands anywhere with equal chance, a right one near the front. So the labels
    behind ``beyond``, divided by the share of ranks that lies there, estimate the random ones: how
    Storey (2002) estimates the share of true null hypotheses from p-values. Right answers that no
    system finds are counted too, wrong ones that look right are not.

    Args:
        above: share of the documents that score higher than the label's, one a label.
        beyond: between 0 and 1.

    Returns:
        the share with its exact binomial interval (Clopper and Pearson 1934); labels count as independent.
    """
    from scipy import stats

    def of_all(late_share: float) -> float:
        return min(1.0, float(late_share) / (1 - beyond))

    late, labels = int((above > beyond).sum()), len(above)
    # Without labels, none late of one: a share of 0 whose interval is wide.
    trials = max(labels, 1)
    ends = stats.binomtest(late, trials).proportion_ci(0.95)
    return Chance(of_all(late / trials), of_all(ends.low), of_all(ends.high), late, labels)


def beyond_both(rows: pd.DataFrame, runs: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return ``query_id, text, doc_id`` of positives that no run found at its depth."""
    pairs = rows[["query_id", "text", "positive_ids"]].explode("positive_ids")
    pairs = pairs.rename(columns={"positive_ids": "doc_id"})
    found: set[tuple[str, str]] = set()
    for run in runs:
        found.update(zip(run["query_id"], run["doc_id"], strict=True))
    wanted = zip(pairs["query_id"], pairs["doc_id"], strict=True)
    # Of no rows at all pandas would take an empty list for a choice of columns, an array it does not.
    missed = np.array([pair not in found for pair in wanted], dtype=bool)
    return pairs[missed].reset_index(drop=True)


def found_again(rows: pd.DataFrame, dense: Dense, bm25: BM25, k: int) -> pd.Series:
    """Return for each row whether hybrid search with its query finds all its positives among the first ``k``."""
    queries = query_texts(rows)
    hybrid = fuse_ranks(dense.search(queries), bm25.search(queries), k=k)
    missed = beyond_both(rows, [hybrid])
    return ~rows["query_id"].isin(missed["query_id"])


def to_read(standing: pd.DataFrame, missed: pd.DataFrame, catch: float) -> pd.DataFrame:
    """Return the positives that a person should read: those that wait, then others that stand late, the latest first.

    Args:
        standing: what :func:`standing` returns.
        missed: ``query_id, doc_id`` of those that wait; see :func:`beyond_both`.
        catch: of labels that point at a random document this share is listed, for it stands behind the first
            ``1 - catch`` of the documents in so many cases; 0 lists none but those that wait.

    Returns:
        the columns of ``standing`` and ``waits``.
    """
    waiting = missed[["query_id", "doc_id"]].assign(waits=True)
    marked = standing.merge(waiting, how="left", on=["query_id", "doc_id"])
    marked = marked.fillna({"waits": False}).astype({"waits": bool})
    late = marked["above"] > 1 - catch
    listed = marked[marked["waits"] | late]
    # Equals are ordered by their id, so that the list is the same each time.
    return listed.sort_values(["waits", "above", "query_id"], ascending=[False, False, True], ignore_index=True)


def unusable_positives(rows: pd.DataFrame, documents: Mapping[str, str]) -> pd.DataFrame:
    """Return ``query_id, doc_id, reason, evidence`` of positives that are no document, or a blank one."""
    pairs = rows[["query_id", "positive_ids"]].explode("positive_ids")
    pairs = pairs.rename(columns={"positive_ids": "doc_id"})
    # The map of no rows is not boolean by itself.
    blank = pairs["doc_id"].map(lambda d: not documents.get(d, "").strip()).astype(bool)
    found = pairs[blank]
    evidence = ["blank" if d in documents else "unknown" for d in found["doc_id"]]
    return found.assign(reason="no usable document", evidence=evidence).reset_index(drop=True)


def drop_positives(rows: pd.DataFrame, unwanted: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take positives out of their rows; a row that has no other leaves.

    Args:
        rows: the store.
        unwanted: ``query_id, doc_id, reason, evidence``.

    Returns:
        the rows that stay, and a removal for each positive that was taken out, ``other`` its document.
    """
    out = set(zip(unwanted["query_id"], unwanted["doc_id"], strict=True))
    left = lists_without(rows, "positive_ids", out)
    text_of = dict(zip(rows["query_id"], rows["text"], strict=True))
    named = unwanted.assign(text=unwanted["query_id"].map(text_of))
    removed = []
    for reason, part in named.groupby("reason"):
        removed.append(removal(part, str(reason), part["doc_id"], part["evidence"]))
    kept = rows.assign(positive_ids=left)[left.map(len) > 0]
    return kept.reset_index(drop=True), removals(removed)
