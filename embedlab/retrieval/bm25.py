"""Lexical search: BM25 with English stopwords and stemming."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import trec_order
from embedlab.retrieval.base import DEPTH, as_run
from embedlab.retrieval.filters import Filter


class BM25:
    """BM25 (Robertson et al. 1995, bm25s' Lucene variant) over document texts."""

    def __init__(self, documents: pd.Series, k1: float = 1.5, b: float = 0.75) -> None:
        import bm25s
        import Stemmer

        self.name = "BM25"
        self._ids = documents.index.to_numpy()
        self._stemmer = Stemmer.Stemmer("english")
        self._index = bm25s.BM25(k1=k1, b=b)
        self._index.index(self._tokens(documents.tolist()), show_progress=False)

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        import bm25s

        tokens: list[list[str]] = bm25s.tokenize(
            texts, stopwords="en", stemmer=self._stemmer, show_progress=False, return_ids=False
        )
        return tokens

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries; documents that share no word with one are left out."""
        tokens, query_ids = self._tokens(queries.tolist()), queries.index.tolist()
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
        positions, scores = self._index.retrieve(tokens, k=k, show_progress=False, weight_mask=mask)
        positions = np.where(scores > 0, positions, -1).astype(np.int64)
        return as_run(query_ids, self._ids, positions, scores)

    def scores(self, query: str) -> pd.Series:
        """Return the score of every document for one query, by document id."""
        return pd.Series(self._index.get_scores(self._tokens([query])[0]), index=self._ids)
