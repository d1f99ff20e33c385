"""What each source covers, and how natural its phrasing is beside real queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from embedlab.data.text import fold, near_duplicates
from embedlab.evaluation.statistics.two_sample import PHRASING, distinguishability
from embedlab.retrieval.bm25 import BM25


def source_table(rows: pd.DataFrame, documents: Mapping[str, str], real: pd.DataFrame) -> pd.DataFrame:
    """Return one line a source.

    Args:
        rows: ``query_id, text, positive_ids, source`` of the store.
        documents: text by document id, the whole corpus.
        real: ``query_id, text`` of real queries about the same documents; other topics alone would
            already tell two sides apart.

    Returns:
        ``rows, queries, documents, never hit`` (share of the corpus), ``duplicates`` (rows that nearly
        repeat another source's), ``median words``, ``overlap`` (mean share of a query's words that its
        positives contain) and ``AUC against real`` (.5: cannot be told apart; NaN for the real queries
        themselves and where there are too few).
    """
    elsewhere = _in_other_sources(rows)
    found = []
    for source, part in rows.groupby("source"):
        hit = set(part["positive_ids"].explode())
        # Real queries beside themselves would look as if they could not be told apart.
        themselves = part["query_id"].isin(set(real["query_id"])).any()
        auc = float("nan") if themselves else told_apart(part["text"], real["text"])
        n_words = part["text"].map(lambda query: len(query.split()))
        line: dict[str, object] = {
            "source": source,
            "rows": len(part),
            "queries": part["text"].map(fold).nunique(),
            "documents": len(hit),
            "never hit": 1 - len(hit) / len(documents),
            "duplicates": int(part["query_id"].isin(elsewhere).sum()),
            "median words": float(n_words.median()),
            "overlap": _overlap(part, documents),
            "AUC against real": auc,
        }
        found.append(line)
    return pd.DataFrame(found).set_index("source").round(4)


def _overlap(part: pd.DataFrame, documents: Mapping[str, str]) -> float:
    """Return the mean share of a query's words that its positives contain."""
    shares = []
    for query, ids in zip(part["text"], part["positive_ids"], strict=True):
        words = set(fold(query).split())
        answers = " ".join(documents.get(d, "") for d in ids)
        there = set(fold(answers).split())
        shares.append(len(words & there) / max(len(words), 1))
    return sum(shares) / len(shares)


def _in_other_sources(rows: pd.DataFrame) -> set[str]:
    """Return the ids of queries that nearly stand in another source, too."""
    if rows["source"].nunique() < 2:
        return set()
    ids, sources = rows["query_id"].tolist(), rows["source"].tolist()
    found: set[str] = set()
    for same in near_duplicates(rows["text"].tolist()):
        of = {sources[i] for i in same}
        # Repeats within one source say nothing about how sources overlap.
        if len(of) > 1:
            found.update(ids[i] for i in same)
    return found


def rows_per_document(rows: pd.DataFrame) -> pd.Series:
    """Return how many rows want each document, the most wanted first; the index is the place, from 1."""
    counts = rows["positive_ids"].explode().value_counts()
    return pd.Series(counts.to_numpy(), index=range(1, len(counts) + 1), name="rows")


def nearest_rows(rows: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """Return the queries, each with the training row that asks most like it (by BM25 over their texts).

    Args:
        rows: the canonical store.
        queries: ``query_id, text``, and whatever else is kept beside them.

    Returns:
        the queries with ``nearest_id`` and ``nearest_text``, both blank where no row shares a word.
    """
    texts = pd.Series(rows["text"].to_numpy(), index=rows["query_id"].to_numpy(), dtype=str)
    asked = pd.Series(queries["text"].to_numpy(), index=queries["query_id"].to_numpy(), dtype=str)
    first: dict[str, str] = {}
    if len(texts) and len(asked):
        run = BM25(texts).search(asked, 1)
        first = dict(zip(run["query_id"], run["doc_id"], strict=True))
    nearest = [first.get(query_id, "") for query_id in queries["query_id"]]
    return queries.assign(nearest_id=nearest, nearest_text=[texts.get(row_id, "") for row_id in nearest])


def told_apart(texts: Iterable[str], real: Iterable[str]) -> float:
    """Return the cross-validated AUC of a classifier that tells texts from real queries; NaN for too few.

    Each text counts once, and both sides have the same number of texts, at most 500; see
    :func:`embedlab.evaluation.statistics.two_sample.distinguishability`.
    """
    found = distinguishability(texts, real, design=PHRASING)
    return float("nan") if found is None else found
