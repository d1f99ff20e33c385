"""Pseudo-relevance feedback: a query is widened by the words of its own first results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import ParameterError
from embedlab.retrieval.base import DEPTH
from embedlab.retrieval.bm25 import BM25
from embedlab.retrieval.filtering.filters import Filter

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class RM3:
    """RM3, the relevance model mixed with the query, over BM25.

    The relevance model RM1 (Lavrenko and Croft 2001, "Relevance-based language models") estimates how likely a word is
    in what the query means from the first results ``F``::

        P(w|R) = sum over D in F of P(D|q) · tf(w, D) / |D|

    ``P(D|q)`` are the first results' BM25 scores, scaled to sum to 1; the ``terms`` likeliest words are kept and scaled
    to sum to 1. RM3 (Abdul-Jaleel et al. 2004, "UMass at TREC 2004: Novelty and HARD") mixes them with the query::

        P'(w|R) = (1 - weight) · tf(w, q) / |q| + weight · P(w|R)

    The second search scores a document by ``sum over w of P'(w|R) · BM25(w, D)``. Words are stems, lengths are counted
    without stop words and, of the query, without words that no document has.

    Args:
        bm25: searched twice.
        documents_count: first results that are believed; 1 or more.
        terms: words that a query is widened by, its own among them; 1 or more.
        weight: share of these words, 0 (the query alone) to 1 (they alone).

    Raises:
        ParameterError: if a setting is out of its range.
    """

    def __init__(self, bm25: BM25, documents_count: int = 10, terms: int = 10, weight: float = 0.5) -> None:
        if documents_count < 1 or terms < 1 or not 0 <= weight <= 1:
            raise ParameterError(
                "RM3: expected documents_count and terms of 1 or more and a weight from 0 to 1, found "
                f"{documents_count}, {terms} and {weight}"
            )
        self.name = "RM3"
        self.bm25, self.documents_count, self.terms, self.weight = bm25, documents_count, terms, weight
        self._model = _shares(bm25.counts(bm25.documents.tolist()))

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries; a query that BM25 finds nothing for finds nothing here."""
        return self.bm25.search_weighted(queries.index.tolist(), self._weights(queries, where), k, where)

    def expansions(self, queries: pd.Series, where: Filter | None = None) -> pd.DataFrame:
        """Return ``query_id, term, weight``: what each query is widened to, heaviest first."""
        weights = self._weights(queries, where).tocoo()
        rows, columns = weights.coords
        found = pd.DataFrame(
            {"row": rows, "term": self.bm25.vocabulary[columns], "weight": weights.data.astype(float)}
        ).sort_values(["row", "weight", "term"], ascending=[True, False, True])
        found.insert(0, "query_id", queries.index.to_numpy()[found.pop("row")])
        return found.reset_index(drop=True)

    def _weights(self, queries: pd.Series, where: Filter | None) -> csr_array:
        """Return the weight of each query's words, float32 ``[queries, words]``."""
        asked = _shares(self.bm25.counts(queries.tolist()))
        model = _heaviest(self._trust(queries, where) @ self._model, self.terms)
        return ((1 - self.weight) * asked + self.weight * model).astype(np.float32)

    def _trust(self, queries: pd.Series, where: Filter | None) -> csr_array:
        """Return how much each first result is believed, ``[queries, documents]``; each row sums to 1."""
        from scipy.sparse import csr_array

        first = self.bm25.search(queries, self.documents_count, where)
        rows = pd.Index(queries.index).get_indexer(first["query_id"])
        columns = pd.Index(self.bm25.documents.index).get_indexer(first["doc_id"])
        scores = first["score"].to_numpy(dtype=np.float32)
        return _shares(csr_array((scores, (rows, columns)), shape=(len(queries), len(self.bm25.documents))))


def _shares(values: csr_array) -> csr_array:
    """Return the values as shares of their row's sum; an empty row stays empty."""
    from scipy.sparse import diags_array

    sums = np.asarray(values.sum(axis=1), dtype=np.float32)
    return (diags_array(1 / np.where(sums > 0, sums, 1)) @ values).tocsr()


def _heaviest(model: csr_array, terms: int) -> csr_array:
    """Return the heaviest words of each row, scaled to sum to 1; among equals the earlier column is kept."""
    model.sort_indices()
    keep = np.zeros(model.nnz, dtype=bool)
    for start, end in zip(model.indptr[:-1], model.indptr[1:], strict=True):
        keep[start + _largest(model.data[start:end], terms)] = True
    model.data[~keep] = 0
    model.eliminate_zeros()
    return _shares(model)


def _largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the positions of the largest values, the earlier ones among equals."""
    return np.argsort(-values, kind="stable")[:count]
