"""Search by sparse vectors: a weight for each word of a model's vocabulary, exact inner products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import RUN
from embedlab.models.encoder import Kind
from embedlab.retrieval.base import DEPTH, top_k
from embedlab.retrieval.filtering.filters import Filter

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BLOCK = 64
"""Queries whose products with all documents are held at a time."""


class EncodesSparsely(Protocol):
    """Anything with a name that encodes texts to sparse vectors."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    def encode(self, texts: list[str], kind: Kind = "document") -> csr_matrix:
        """Return one vector a text, float32 ``[len(texts), vocabulary]``."""
        ...


class Sparse:
    """Exact search over one sparse vector a document, as SPLADE's (Formal et al. 2021)."""

    def __init__(self, encoder: EncodesSparsely, documents: pd.Series) -> None:
        self.name = encoder.name
        self.encoder = encoder
        self.ids = documents.index.to_numpy()
        self.vectors = encoder.encode(documents.tolist(), "document").tocsr()

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries; documents whose product with one is not above 0 are left out."""
        vectors = self.encoder.encode(queries.tolist(), "query").tocsr()
        query_ids = queries.index.to_numpy()
        everything = [(np.arange(len(query_ids)), np.ones(len(self.ids), dtype=bool))]
        parts = [pd.DataFrame({"query_id": [], "doc_id": [], "score": np.empty(0)})]
        for asking, may in everything if where is None else where.divided(query_ids, self.ids):
            documents, doc_ids = self.vectors[may], self.ids[may]
            for start in range(0, len(asking), BLOCK):
                block = asking[start : start + BLOCK]
                parts.append(_products(vectors[block], documents, query_ids[block], doc_ids, k))
        return top_k(pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True), k)


def _products(
    queries: csr_matrix, documents: csr_matrix, query_ids: NDArray[Any], doc_ids: NDArray[Any], k: int
) -> pd.DataFrame:
    """Return for each query its best ``k`` products, and all that equal the last of them."""
    found = (queries @ documents.T).tocsr()
    rows = []
    for at, query_id in enumerate(query_ids):
        start, end = found.indptr[at], found.indptr[at + 1]
        scores = found.data[start:end].astype(float)
        least = np.partition(scores, -k)[-k] if k < len(scores) else -np.inf
        kept = (scores >= least) & (scores > 0)
        ids = doc_ids[found.indices[start:end][kept]]
        rows.append(pd.DataFrame({"query_id": query_id, "doc_id": ids, "score": scores[kept]}))
    return pd.concat(rows, ignore_index=True)[RUN]
