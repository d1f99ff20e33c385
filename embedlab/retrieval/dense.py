"""Dense search: exact inner products of unit vectors, over documents or their passages."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.models.cache import Vectors
from embedlab.retrieval.base import DEPTH, Encodes, as_run


class Dense:
    """Exact search over one vector a document."""

    def __init__(self, encoder: Encodes, documents: pd.Series) -> None:
        self.name = encoder.name
        self.encoder = encoder
        self.ids = documents.index.to_numpy()
        self.vectors = encoder.encode(documents.tolist(), "document")

    def search(self, queries: pd.Series, k: int = DEPTH) -> pd.DataFrame:
        """Return the run of the queries."""
        vectors = self.encoder.encode(queries.tolist(), "query")
        positions, scores = exact_search(self.vectors, vectors, min(k, len(self.ids)))
        return as_run(queries.index.tolist(), self.ids, positions, scores)


def exact_search(documents: Vectors, queries: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
    """Return positions and inner products of each query's best ``k`` documents, ``[queries, k]``."""
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    index.add(np.ascontiguousarray(documents))
    scores, positions = index.search(np.ascontiguousarray(queries), k)
    return positions, scores
