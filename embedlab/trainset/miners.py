"""The five miners: what each proposes as negatives, for one block of queries at a time."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.collection import Collection
from embedlab.data.text import fold, stable_hash
from embedlab.errors import DataError, ParameterError
from embedlab.retrieval.base import Encodes
from embedlab.retrieval.bm25 import BM25

RANDOM, SIBLING, JUDGED = "random", "sibling", "judged"

MINERS = (JUDGED, SIBLING, "dense", "bm25", RANDOM)

NO_METADATA = {"doc_id", "title", "text", "created", "family"}

CHUNK = 16_384
"""Documents that are compared with a block of queries at once."""

Positions = NDArray[np.int64]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Setup:
    """How candidates are proposed; ranks count from 1, ``block`` queries are looked at together."""

    first_rank: int = 1
    last_rank: int = 50
    draws: int = 20
    seed: int = 0
    block: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.first_rank <= self.last_rank:
            raise ParameterError(
                f"ranks must be 1 <= first_rank <= last_rank, found {self.first_rank} and {self.last_rank}"
            )
        if self.block < 1 or self.draws < 0:
            raise ParameterError(f"block must be 1 or more and draws 0 or more, found {self.block} and {self.draws}")


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


def likeness(corpus: pd.DataFrame) -> list[list[str]]:
    """Return for each document what makes others its siblings: family or metadata, and title.

    Without families equal metadata counts, in fields whose values repeat and that most documents
    have; a document that lacks one of them has no siblings by it. A title counts where several
    documents bear it. Empty where the corpus has none of these.
    """
    fields = ["family"] if "family" in corpus else []
    for name in [] if fields else [c for c in corpus.columns if c not in NO_METADATA]:
        values = corpus[name].dropna().astype(str)
        if len(values) > len(corpus) / 2 and 1 < values.nunique() <= len(values) / 2:
            fields.append(name)
    found: list[list[str]] = [[] for _ in range(len(corpus))]
    if fields:
        # an unknown value equals none, not even another unknown one
        known = corpus[fields].notna().all(axis=1)
        values = corpus[fields].astype(str).fillna("").agg(" · ".join, axis=1)
        for labels, value, complete in zip(found, values, known, strict=True):
            labels.extend([value] if complete else [])
    titles = corpus["title"].map(fold)
    for labels, title, many in zip(found, titles, titles.duplicated(keep=False), strict=True):
        labels.extend([f"title {title}"] if title and many else [])
    return found


class Proposals:
    """All that is mined from, prepared once; :meth:`blocks` yields the candidates.

    Holds the documents' and queries' vectors, a BM25 index if it is asked for, and one block at a time:
    no array of all queries by all documents.

    Args:
        collection: its documents.
        rows: ``query_id, text, positive_ids`` and, for the judged miner, ``negatives``.
        miners: any of :data:`MINERS`.
        encoder: its cosines rank, limit and are kept.
        pool: ids that may be mined; None for all. Blank documents never are.
        setup: ranks, seed and block size.

    Raises:
        DataError: if a positive or an id of the pool is no document; names the row.
    """

    def __init__(
        self,
        collection: Collection,
        rows: pd.DataFrame,
        miners: Sequence[str],
        encoder: Encodes,
        pool: Ids[str] | None,
        setup: Setup,
    ) -> None:
        texts = collection.document_texts()
        self.rows, self.miners, self.setup = rows, miners, setup
        self.doc_ids, self.position = texts.index.to_numpy(), {d: i for i, d in enumerate(texts.index)}
        self.positives = [self._known(q, ids) for q, ids in zip(rows["query_id"], rows["positive_ids"], strict=True)]
        minable = (texts.str.strip() != "").to_numpy()
        if pool is not None:
            minable = minable & np.isin(np.arange(len(texts)), self._known("the pool", pool))
        self.members = np.flatnonzero(minable)
        self.documents = encoder.encode(texts.tolist(), "document")
        self.queries = encoder.encode(rows["text"].tolist(), "query")
        self._bm25 = BM25(texts.iloc[self.members]) if "bm25" in miners and len(self.members) else None
        self._labels = likeness(collection.corpus) if SIBLING in miners else []
        self._siblings_of = _members(self._labels, minable)
        self._zero = _judged_zero(collection.qrels) if JUDGED in miners else {}

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
            "dense": self._dense,
            "bm25": self._lexical,
        }
        for start in range(0, len(self.rows), self.setup.block):
            at = range(start, min(start + self.setup.block, len(self.rows)))
            candidates = {miner: propose[miner](at) for miner in self.miners}
            cosines = {miner: self._cosines(at, found) for miner, found in candidates.items()}
            own = self._cosines(at, _padded([self.positives[i] for i in at]))
            worst = np.where(np.isnan(own), np.inf, own).min(axis=1).astype(np.float32)
            yield Block(self.rows.iloc[at.start : at.stop], worst, candidates, cosines)

    def _cosines(self, at: range, found: Positions) -> Floats:
        """Return inner products of unit vectors, not a number where there is no document."""
        products = np.einsum("bwd,bd->bw", self.documents[found], self.queries[at.start : at.stop])
        return np.where(found >= 0, products, np.nan).astype(np.float32)

    def _window(self, ranked: Positions) -> Positions:
        return ranked[:, self.setup.first_rank - 1 :]

    def _dense(self, at: range) -> Positions:
        return self._window(self._closest(self.queries[at.start : at.stop], self.members))

    def _closest(self, queries: Floats, members: Positions) -> Positions:
        """Return the closest ``last_rank`` of some documents, best first; documents come in chunks."""
        import faiss

        k = self.setup.last_rank
        scores = np.full((len(queries), 0), -np.inf, dtype=np.float32)
        best = np.zeros((len(queries), 0), dtype=np.int64)
        for start in range(0, len(members), CHUNK):
            part = members[start : start + CHUNK]
            near, which = faiss.knn(queries, self.documents[part], min(k, len(part)), metric=faiss.METRIC_INNER_PRODUCT)
            scores, best = np.hstack([scores, near]), np.hstack([best, part[which]])
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            scores, best = np.take_along_axis(scores, order, 1), np.take_along_axis(best, order, 1)
        return best

    def _lexical(self, at: range) -> Positions:
        found = np.full((len(at), self.setup.last_rank), -1, dtype=np.int64)
        if self._bm25 is not None:
            texts = self.rows["text"].iloc[at.start : at.stop].to_numpy()
            run = self._bm25.search(pd.Series(texts, index=range(len(at))), self.setup.last_rank)
            places = run["doc_id"].map(self.position).to_numpy()
            found[run["query_id"].to_numpy(), run.groupby("query_id").cumcount().to_numpy()] = places
        return self._window(found)

    def _siblings(self, at: range) -> Positions:
        """Return the closest siblings of each row's positives, rows with the same kinds together."""
        together: dict[frozenset[str], list[int]] = {}
        for i in at:
            together.setdefault(frozenset(kind for p in self.positives[i] for kind in self._labels[p]), []).append(i)
        found = np.full((len(at), self.setup.last_rank), -1, dtype=np.int64)
        for kinds, rows in together.items():
            members = [self._siblings_of[kind] for kind in kinds if kind in self._siblings_of]
            if members:
                best = self._closest(self.queries[rows], np.unique(np.concatenate(members)))
                found[[i - at.start for i in rows], : best.shape[1]] = best
        return found

    def _random(self, at: range) -> Positions:
        ids = self.rows["query_id"].iloc[at.start : at.stop]
        count = min(self.setup.draws, len(self.members))
        draw = [
            np.random.default_rng(stable_hash(self.setup.seed, q)).choice(len(self.members), count, False) for q in ids
        ]
        return self.members[np.array(draw, dtype=np.int64).reshape(len(at), count)]

    def _judged(self, at: range) -> Positions:
        rows = self.rows.iloc[at.start : at.stop]
        own: Iterable[Any] = rows["negatives"] if "negatives" in rows else [[]] * len(rows)
        minable = set(self.members.tolist())
        named = [
            [self.position.get(d, -1) for d in [*(n["id"] for n in found), *self._zero.get(q, ())]]
            for q, found in zip(rows["query_id"], own, strict=True)
        ]
        return _padded([[i for i in dict.fromkeys(found) if i in minable] for found in named])


def _members(labels: list[list[str]], minable: NDArray[np.bool_]) -> dict[str, Positions]:
    found: dict[str, list[int]] = {}
    for i, kinds in enumerate(labels):
        for kind in kinds if minable[i] else ():
            found.setdefault(kind, []).append(i)
    return {kind: np.array(places, dtype=np.int64) for kind, places in found.items()}


def _judged_zero(qrels: pd.DataFrame) -> dict[str, list[str]]:
    zero = qrels[qrels["relevance"] < 1]
    return {str(q): ids.tolist() for q, ids in zero.groupby("query_id")["doc_id"]}


def _padded(lists: list[list[int]]) -> Positions:
    """Return lists of positions as one array, -1 where a list is shorter than the longest."""
    width = max(map(len, lists), default=0)
    return np.array([[*found, *[-1] * (width - len(found))] for found in lists], dtype=np.int64).reshape(
        len(lists), width
    )
