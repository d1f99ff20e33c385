"""The five miners: what each proposes as negatives, for one block of queries at a time."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.collection import Collection
from embedlab.data.text import fold, stable_hash
from embedlab.errors import DataError
from embedlab.retrieval.bm25 import BM25
from embedlab.trainset.mining import DENSE, JUDGED, LEXICAL, RANDOM, SIBLING, Mining

NO_METADATA = {"doc_id", "title", "text", "created", "family"}

CHUNK = 16_384
"""Documents that are compared with a block of queries at once."""

Positions = NDArray[np.int64]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """Candidates of some rows.

    Attributes:
        rows: the rows, ``b`` of them.
        worst: the cosine of each row's least similar positive, ``[b]``.
        candidates: by miner positions of documents, best first, ``[b, width]``; -1 is none.
        cosines: of the candidates to their queries, the same shapes.
    """

    rows: pd.DataFrame
    worst: Floats
    candidates: dict[str, Positions]
    cosines: dict[str, Floats]


def sibling_labels(corpus: pd.DataFrame) -> list[list[str]]:
    """Return for each document what makes others its siblings: family or metadata, and title.

    Without families equal metadata counts, in fields whose values repeat and that most documents
    have; a document that lacks one of them has no siblings by it. A title counts where several
    documents bear it. Empty where the corpus has none of these.
    """
    labels: list[list[str]] = [[] for _ in range(len(corpus))]
    fields = _sibling_fields(corpus)
    if fields:
        complete = corpus[fields].notna().all(axis=1)
        values = corpus[fields].astype(str).fillna("").agg(" · ".join, axis=1)
        for own, value, known in zip(labels, values, complete, strict=True):
            if known:  # an unknown value equals none, not even another unknown one
                own.append(value)
    titles = corpus["title"].map(fold)
    for own, title, repeated in zip(labels, titles, titles.duplicated(keep=False), strict=True):
        if title and repeated:
            own.append(f"title {title}")
    return labels


def _sibling_fields(corpus: pd.DataFrame) -> list[str]:
    """Return the family, or else the metadata whose values repeat: a field that tells all apart joins none."""
    if "family" in corpus:
        return ["family"]
    found = []
    for name in corpus.columns:
        values = corpus[name].dropna().astype(str)
        most_have_it = len(values) > len(corpus) / 2
        # One value makes all documents siblings; mostly different ones make none.
        repeats = 1 < values.nunique() <= len(values) / 2
        if name not in NO_METADATA and most_have_it and repeats:
            found.append(name)
    return found


class Proposals:
    """All that is mined from, prepared once; :meth:`blocks` yields the candidates.

    Holds the documents' and queries' vectors, a BM25 index if it is asked for, and one block at a time:
    no array of all queries by all documents.

    Args:
        collection: its documents.
        rows: ``query_id, text, positive_ids`` and, for the judged miner, ``negatives``.
        mining: miners, ranks, pool and block size.

    Raises:
        DataError: if a positive or an id of the pool is no document; names the row.
    """

    def __init__(self, collection: Collection, rows: pd.DataFrame, mining: Mining) -> None:
        texts = collection.document_texts()
        self.rows, self.mining = rows, mining
        self.doc_ids = texts.index.to_numpy()
        self.position = {d: i for i, d in enumerate(texts.index)}
        self.positives = []
        for query_id, ids in zip(rows["query_id"], rows["positive_ids"], strict=True):
            self.positives.append(self._known(query_id, ids))
        minable = (texts.str.strip() != "").to_numpy()
        if mining.pool is not None:
            in_pool = np.isin(np.arange(len(texts)), self._known("the pool", mining.pool))
            minable = minable & in_pool
        self.members = np.flatnonzero(minable)
        # All documents are encoded, the pool or not: a positive need not be minable to have a cosine.
        self.documents = mining.encoder.encode(texts.tolist(), "document")
        self.queries = mining.encoder.encode(rows["text"].tolist(), "query")
        wants_words = LEXICAL in mining.miners and len(self.members)
        self._bm25 = BM25(texts.iloc[self.members]) if wants_words else None
        self._labels = sibling_labels(collection.corpus) if SIBLING in mining.miners else []
        self._labelled = _minable_by_label(self._labels, minable)
        self._judged_zero = _judged_zero(collection.qrels) if JUDGED in mining.miners else {}

    def _known(self, where: str, ids: Ids[str]) -> list[int]:
        unknown = [d for d in ids if d not in self.position]
        if unknown:
            raise DataError(f"{where}: {unknown[0]!r} is no document of the collection ({len(unknown)} such ids)")
        return [self.position[d] for d in ids]

    def blocks(self) -> Iterator[Block]:
        """Yield the candidates of all rows, a block at a time."""
        propose = {
            RANDOM: self._random,
            SIBLING: self._siblings,
            JUDGED: self._judged,
            DENSE: self._dense,
            LEXICAL: self._lexical,
        }
        for start in range(0, len(self.rows), self.mining.block):
            at = range(start, min(start + self.mining.block, len(self.rows)))
            candidates = {miner: propose[miner](at) for miner in self.mining.miners}
            cosines = {miner: self._cosines(at, found) for miner, found in candidates.items()}
            own = self._cosines(at, _padded([self.positives[i] for i in at]))
            # Padding is no positive: infinite, it is never the least similar.
            present = np.where(np.isnan(own), np.inf, own)
            worst = present.min(axis=1).astype(np.float32)
            yield Block(self.rows.iloc[at.start : at.stop], worst, candidates, cosines)

    def _cosines(self, at: range, found: Positions) -> Floats:
        """Return inner products of unit vectors, not a number where there is no document."""
        # A position of -1 reads the last document here, and its product is thrown away below.
        products = np.einsum("bwd,bd->bw", self.documents[found], self.queries[at.start : at.stop])
        return np.where(found >= 0, products, np.nan).astype(np.float32)

    def _window(self, ranked: Positions) -> Positions:
        return ranked[:, self.mining.first_rank - 1 :]

    def _dense(self, at: range) -> Positions:
        return self._window(self._closest(self.queries[at.start : at.stop], self.members))

    def _closest(self, queries: Floats, members: Positions) -> Positions:
        """Return the closest ``last_rank`` of some documents, best first; documents come in chunks."""
        import faiss

        k = self.mining.last_rank
        scores = np.full((len(queries), 0), -np.inf, dtype=np.float32)
        best = np.zeros((len(queries), 0), dtype=np.int64)
        for start in range(0, len(members), CHUNK):
            part = members[start : start + CHUNK]
            count = min(k, len(part))
            near, which = faiss.knn(queries, self.documents[part], count, metric=faiss.METRIC_INNER_PRODUCT)
            scores = np.hstack([scores, near])
            best = np.hstack([best, part[which]])
            # Stable: of equal scores the one of the earlier chunk stays in front.
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            scores = np.take_along_axis(scores, order, 1)
            best = np.take_along_axis(best, order, 1)
        return best

    def _none(self, at: range) -> Positions:
        return np.full((len(at), self.mining.last_rank), -1, dtype=np.int64)

    def _lexical(self, at: range) -> Positions:
        found = self._none(at)
        if self._bm25 is not None:
            texts = self.rows["text"].iloc[at.start : at.stop].to_numpy()
            # Rows are named by their place in the block, so that the run says which line of `found` is theirs.
            run = self._bm25.search(pd.Series(texts, index=range(len(at))), self.mining.last_rank)
            rank = run.groupby("query_id").cumcount().to_numpy()
            found[run["query_id"].to_numpy(), rank] = run["doc_id"].map(self.position).to_numpy()
        return self._window(found)

    def _siblings(self, at: range) -> Positions:
        """Return the closest siblings of each row's positives; rows with the same labels are searched together."""
        asking: dict[frozenset[str], list[int]] = {}
        for row in at:
            labels = frozenset(label for p in self.positives[row] for label in self._labels[p])
            asking.setdefault(labels, []).append(row)
        found = self._none(at)
        for labels, rows in asking.items():
            groups = [self._labelled[label] for label in labels if label in self._labelled]
            if groups:
                siblings = np.unique(np.concatenate(groups))
                best = self._closest(self.queries[rows], siblings)
                places = [row - at.start for row in rows]
                found[places, : best.shape[1]] = best
        return found

    def _random(self, at: range) -> Positions:
        """Draw for each query by its own id: what one draws does not depend on the others."""
        count = min(self.mining.draws, len(self.members))
        drawn = np.zeros((len(at), count), dtype=np.int64)
        for row, query_id in enumerate(self.rows["query_id"].iloc[at.start : at.stop]):
            rng = np.random.default_rng(stable_hash(self.mining.seed, query_id))
            drawn[row] = rng.choice(len(self.members), count, False)
        return self.members[drawn]

    def _judged(self, at: range) -> Positions:
        """Return what the row's negatives name, then what was judged with grade 0."""
        rows = self.rows.iloc[at.start : at.stop]
        own: Iterable[Any] = rows["negatives"] if "negatives" in rows else [[]] * len(rows)
        minable = set(self.members.tolist())
        lists = []
        for query_id, negatives in zip(rows["query_id"], own, strict=True):
            named = [*(n["id"] for n in negatives), *self._judged_zero.get(query_id, ())]
            # A negative that is no document has -1, which is not minable. Each place counts once.
            places = dict.fromkeys(self.position.get(d, -1) for d in named)
            lists.append([place for place in places if place in minable])
        return _padded(lists)


def _minable_by_label(labels: list[list[str]], minable: NDArray[np.bool_]) -> dict[str, Positions]:
    """Return by label the positions of the documents that may be mined."""
    found: dict[str, list[int]] = {}
    for place, own in enumerate(labels):
        if minable[place]:
            for label in own:
                found.setdefault(label, []).append(place)
    return {label: np.array(places, dtype=np.int64) for label, places in found.items()}


def _judged_zero(qrels: pd.DataFrame) -> dict[str, list[str]]:
    zero = qrels[qrels["relevance"] < 1]
    return {str(q): ids.tolist() for q, ids in zero.groupby("query_id")["doc_id"]}


def _padded(lists: list[list[int]]) -> Positions:
    """Return lists of positions as one array, -1 where a list is shorter than the longest."""
    width = max(map(len, lists), default=0)
    padded = np.full((len(lists), width), -1, dtype=np.int64)
    for row, places in enumerate(lists):
        padded[row, : len(places)] = places
    return padded
