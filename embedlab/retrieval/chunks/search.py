"""Search over passages: a document scores by its best ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import trec_order
from embedlab.errors import ParameterError, nearest
from embedlab.models.cache import Vectors
from embedlab.retrieval.base import DEPTH, Encodes, as_run
from embedlab.retrieval.chunking import titled_passages
from embedlab.retrieval.chunks.cutting import Cutting, cut
from embedlab.retrieval.filtering.filters import Filter

WORDS = {"max": "", "mean": ", mean of the best {top}", "first": ", the first alone"}
"""How a document can score by its passages, and what a name says of it."""

QUERIES = 256
"""Queries that are compared with all passages at a time."""


class PassageSearch:
    """Search over the vectors of passages, exact: every document gets its score from all of its passages.

    Args:
        encoder: of the queries.
        passages: texts by the id of their document; those of one document in their order.
        vectors: one a passage, float32 ``[passages, dimensions]``, of unit length; None: encoded here.
        scores: how a document scores: ``max``, as its best passage; ``first``, as its first one (MaxP and FirstP, Dai
            and Callan 2019); ``mean``, as the mean of its best ``top`` passages, or of all where it has fewer.
        top: passages in the mean.
        name: in tables; blank: the model's, and how documents score.

    Raises:
        ParameterError: for another way to score, or a mean of no passage.
    """

    def __init__(
        self,
        encoder: Encodes,
        passages: pd.Series,
        vectors: Vectors | None = None,
        scores: str = "max",
        top: int = 3,
        name: str = "",
    ) -> None:
        check_scores(scores, top)
        self.name = name or f"{encoder.name}, passages{WORDS[scores].format(top=top)}"
        self.encoder = encoder
        self.passages = passages
        self.vectors = encoder.encode(passages.tolist(), "document") if vectors is None else vectors
        self.scores, self.top = scores, top
        numbers, documents = pd.factorize(passages.index)
        self.doc_ids = np.asarray(documents)
        self._places = _by_count(numbers)

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries over documents."""
        vectors = self.encoder.encode(queries.tolist(), "query")
        ids = queries.index.tolist()
        may = None if where is None else self._may_find(ids, where)
        positions, scores = [], []
        for start in range(0, len(ids), QUERIES):
            found = self.document_scores(vectors[start : start + QUERIES])
            if may is not None:
                found[~may[start : start + QUERIES]] = -np.inf
            best = _best(found, k)
            positions.append(best)
            scores.append(np.take_along_axis(found, best, axis=1))
        if not ids:
            return as_run([], self.doc_ids, np.empty((0, 0), dtype=np.int64), np.empty((0, 0), dtype=np.float32))
        run = as_run(ids, self.doc_ids, np.concatenate(positions), np.concatenate(scores))
        return trec_order(run[run["score"] > -np.inf])

    def scored(self, scores: str, top: int = 3, name: str = "") -> PassageSearch:
        """Return search over the same vectors with documents scored in another way."""
        return PassageSearch(self.encoder, self.passages, self.vectors, scores, top, name)

    def _may_find(self, ids: list[str], where: Filter) -> NDArray[np.bool_]:
        """Return whether each query may find each document, ``[queries, documents]``."""
        found = np.empty((len(ids), len(self.doc_ids)), dtype=bool)
        for rows, may in where.divided(ids, self.doc_ids.tolist()):
            found[rows] = may
        return found

    def document_scores(self, queries: Vectors) -> Vectors:
        """Return every document's score for every query, ``[queries, documents]`` in the order of ``doc_ids``."""
        cosines = queries @ self.vectors.T
        found = np.empty((len(queries), len(self.doc_ids)), dtype=np.float32)
        for documents, places in self._places:
            found[:, documents] = self._aggregated(cosines[:, places])
        return found

    def _aggregated(self, cosines: Vectors) -> Vectors:
        """Return ``[queries, documents]`` of ``[queries, documents, passages]``."""
        if self.scores == "first":
            return cosines[:, :, 0]
        if self.scores == "max" or self.top == 1:
            return cosines.max(axis=2)
        count = cosines.shape[2]
        if count > self.top:
            cosines = np.partition(cosines, count - self.top, axis=2)[:, :, count - self.top :]
        return cosines.mean(axis=2)


def check_scores(scores: str, top: int) -> None:
    """Raise a ParameterError where documents cannot score in this way."""
    if scores not in WORDS:
        raise ParameterError(f"unknown scores {scores!r} of documents{nearest(scores, list(WORDS))}")
    if top < 1:
        raise ParameterError(f"a document cannot score as the mean of its best {top} passages; choose 1 or more")


def _best(scores: Vectors, k: int) -> NDArray[np.int64]:
    """Return the positions of the ``k`` highest scores of each row, in no order."""
    if k >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(-scores, k - 1, axis=1)[:, :k]


def _by_count(numbers: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return for each number of passages the documents that have so many, and where these stand.

    Args:
        numbers: of the document of each passage.

    Returns:
        positions of documents ``[n]``, and of their passages ``[n, count]`` in the order of the passages.
    """
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers)
    starts = np.r_[0, np.cumsum(counts)[:-1]]
    found = []
    for count in np.unique(counts):
        documents = np.flatnonzero(counts == count)
        found.append((documents, order[starts[documents][:, None] + np.arange(count)]))
    return found


class Chunked(PassageSearch):
    """Search over passages that are encoded each by itself.

    Args:
        encoder: of passages and queries.
        corpus: ``doc_id, title, text``.
        words: words in a passage, where no cutting is given.
        overlap: words that neighbouring passages share.
        cutting: passages by the model's own tokens instead.
        scores: how a document scores: ``max``, ``mean`` of its best ``top`` passages, or ``first``.
        top: passages in the mean.
        name: in tables.

    Attributes:
        passages: the texts encoded, by the id of their document.
        vectors: one a passage, float32 ``[passages, dimensions]``.
        doc_ids: of the documents.
    """

    def __init__(
        self,
        encoder: Encodes,
        corpus: pd.DataFrame,
        words: int = 120,
        overlap: int = 30,
        *,
        cutting: Cutting | None = None,
        scores: str = "max",
        top: int = 3,
        name: str = "",
    ) -> None:
        # Told before the tokenizer and the model are at work.
        check_scores(scores, top)
        found = titled_passages(corpus, words, overlap) if cutting is None else cut(corpus, cutting, encoder)
        super().__init__(encoder, found, None, scores, top, name)
