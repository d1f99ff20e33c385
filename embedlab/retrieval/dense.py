"""Dense search: exact inner products of unit vectors, over documents or their passages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.models.cache import Vectors
from embedlab.retrieval.base import DEPTH, Encodes, as_run
from embedlab.retrieval.filtering.filters import Filter


class Dense:
    """Exact search over one vector a document."""

    def __init__(self, encoder: Encodes, documents: pd.Series) -> None:
        self.name = encoder.name
        self.encoder = encoder
        self.ids = documents.index.to_numpy()
        self.vectors = encoder.encode(documents.tolist(), "document")

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries."""
        vectors = self.encoder.encode(queries.tolist(), "query")
        positions, scores = search_where(self.vectors, vectors, k, queries.index.tolist(), self.ids, where)
        return as_run(queries.index.tolist(), self.ids, positions, scores)


def exact_search(documents: Vectors, queries: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
    """Return positions and inner products of each query's best ``k`` documents, ``[queries, k]``."""
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    index.add(np.ascontiguousarray(documents))
    scores, positions = index.search(np.ascontiguousarray(queries), k)
    return positions, scores


def search_where(
    documents: Vectors, queries: Vectors, k: int, query_ids: list[str], doc_ids: NDArray[Any], where: Filter | None
) -> tuple[NDArray[np.int64], Vectors]:
    """Return what :func:`exact_search` does among the documents that each query may find; position -1 means none.

    Args:
        documents: unit vectors, ``[n, d]``.
        queries: unit vectors, ``[queries, d]``.
        k: documents a query.
        query_ids: of the queries, by which the filter knows them.
        doc_ids: of the documents, likewise.
        where: which documents each query may find; None: all.
    """
    depth = min(k, len(documents))
    if where is None:
        return exact_search(documents, queries, depth)
    positions = np.full((len(queries), depth), -1, dtype=np.int64)
    scores = np.zeros((len(queries), depth), dtype=np.float32)
    for asking, may in where.divided(query_ids, doc_ids):
        allowed = np.flatnonzero(may)
        width = min(depth, len(allowed))
        if not width:
            continue
        found, products = exact_search(documents[allowed], queries[asking], width)
        positions[asking, :width] = allowed[found]
        scores[asking, :width] = products
    return positions, scores
