"""Lexical search: BM25 with the stop words and the stemmer of the documents' language."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import trec_order
from embedlab.retrieval.base import DEPTH, as_run
from embedlab.retrieval.filtering.filters import Filter
from embedlab.retrieval.languages import AUTO, language_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CELLS = 8_000_000
"""Scores of queries and documents that are in memory at a time: 32 MB."""

NO_WORD = "\0"
"""Stands for the words of a corpus that has none: bm25s indexes no empty vocabulary, and no text holds this."""


class BM25:
    """BM25 (Robertson et al. 1995, bm25s' Lucene variant) over document texts.

    Of documents without any word, such as signs or stop words alone, nothing is found.

    Args:
        documents: texts by document id.
        k1: how soon further occurrences of a word stop counting.
        b: how far a document's length counts.
        language: ``auto`` finds it out from the documents; else its English name or ISO 639-1 code, or ``none``.

    Raises:
        ParameterError: if no language has the name.
    """

    def __init__(self, documents: pd.Series, k1: float = 1.5, b: float = 0.75, language: str = AUTO) -> None:
        # Where JAX is installed bm25s starts it, and JAX would take three quarters of a GPU's memory at once.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        import bm25s

        self.name = "BM25"
        self.documents = documents
        self._ids = documents.index.to_numpy()
        self._language = language_of(language, documents.tolist())
        self._index = bm25s.BM25(k1=k1, b=b)
        words = self.tokens(documents.tolist())
        self._index.index(words if any(words) else [[NO_WORD] for _ in words], show_progress=False)

    @property
    def language(self) -> str:
        """The English name of the language whose stop words and stemmer are used, or ``none``."""
        return self._language.name

    def tokens(self, texts: list[str]) -> list[list[str]]:
        """Return the stemmed words of each text without stop words: what is searched for."""
        return self._language.tokens(texts)

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries; documents that share no word with one are left out."""
        tokens, query_ids = self.tokens(queries.tolist()), queries.index.tolist()
        if where is None or not query_ids:
            return self._run(query_ids, tokens, k, None)
        parts = []
        for asking, may in where.divided(query_ids, self._ids):
            parts.append(self._run([query_ids[at] for at in asking], [tokens[at] for at in asking], k, may))
        return trec_order(pd.concat(parts, ignore_index=True))

    def _run(
        self, query_ids: list[str], tokens: list[list[str]], k: int, may: NDArray[np.bool_] | None
    ) -> pd.DataFrame:
        """Return the run of some queries among the documents that they may find; None: all."""
        k = min(k, len(self._ids))
        if not query_ids:
            return as_run([], self._ids, np.empty((0, k), dtype=np.int64), np.empty((0, k), dtype=np.float32))
        mask = None if may is None else may.astype(np.float32)
        # JAX, which bm25s would take where it is installed, puts documents of equal score in another order.
        positions, scores = self._index.retrieve(
            tokens, k=k, show_progress=False, weight_mask=mask, backend_selection="numpy"
        )
        positions = np.where(scores > 0, positions, -1).astype(np.int64)
        return as_run(query_ids, self._ids, positions, scores)

    def size_bytes(self) -> float:
        """Return the size of the index in bytes, without texts and ids."""
        return float(sum(values.nbytes for values in self._index.scores.values() if hasattr(values, "nbytes")))

    def scores(self, query: str) -> pd.Series:
        """Return the score of every document for one query, by document id."""
        return pd.Series(self._index.get_scores(self.tokens([query])[0]), index=self._ids)

    # --- queries whose words have weights -------------------------------------------------------

    @cached_property
    def vocabulary(self) -> NDArray[np.object_]:
        """The stemmed words of the documents; a word's position is its column in :meth:`counts`."""
        words = self._index.vocab_dict
        found = np.empty(len(words), dtype=object)
        for word, position in words.items():
            found[position] = word
        return found

    def counts(self, texts: list[str]) -> csr_array:
        """Return how often each text holds each word of the documents, float32 ``[len(texts), words]``."""
        from scipy.sparse import csr_array

        columns = [self._index.get_tokens_ids(tokens) for tokens in self.tokens(texts)]
        starts = np.cumsum([0, *map(len, columns)])
        flat = np.fromiter((column for row in columns for column in row), dtype=np.int64, count=int(starts[-1]))
        ones = np.ones(len(flat), dtype=np.float32)
        found = csr_array((ones, flat, starts), shape=(len(texts), len(self.vocabulary)))
        found.sum_duplicates()
        return found

    def search_weighted(
        self, query_ids: list[str], weights: csr_array, k: int = DEPTH, where: Filter | None = None
    ) -> pd.DataFrame:
        """Return the run of queries as weighted words: a document's score is the weighted sum of its words' BM25.

        Args:
            query_ids: of ``n`` queries.
            weights: of each query's words, ``[n, words]``.
            k: documents a query.
            where: which documents each query may find; None: all.
        """
        if not query_ids:
            return self._run([], [], k, None)
        everything = [(np.arange(len(query_ids)), np.ones(len(self._ids), dtype=bool))]
        rows = max(1, CELLS // len(self._ids))
        parts = []
        for asking, may in everything if where is None else where.divided(query_ids, self._ids):
            for start in range(0, len(asking), rows):
                some = asking[start : start + rows]
                scores = (weights[some] @ self._impacts).toarray() * may
                parts.append(self._best([query_ids[at] for at in some], scores, k))
        return trec_order(pd.concat(parts, ignore_index=True))

    @cached_property
    def _impacts(self) -> csr_array:
        """The score that each word gives to each document, ``[words, documents]``."""
        from scipy.sparse import csr_array

        parts, words = self._index.scores, len(self.vocabulary)
        # bm25s lists no documents for the words that it adds at the end, such as the empty one.
        starts = np.pad(parts["indptr"], (0, words + 1 - len(parts["indptr"])), mode="edge")
        return csr_array((parts["data"], parts["indices"], starts), shape=(words, len(self._ids)))

    def _best(self, query_ids: list[str], scores: NDArray[np.float32], k: int) -> pd.DataFrame:
        """Return the run of some queries from all their scores ``[queries, documents]``."""
        # The order among equals is the documents' own, so that the same documents are found everywhere.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, order, axis=1)
        return as_run(query_ids, self._ids, np.where(best > 0, order, -1), best)
