"""What a retriever and its encoder are, and what is done to the runs that a retriever returns."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import RUN, trec_order
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Kind
from embedlab.models.identity import EmbeddingIdentity
from embedlab.retrieval.filtering.filters import Filter

DEPTH = 100
"""Documents kept for each query."""


class Encodes(Protocol):
    """Anything with a name that encodes texts to unit vectors: all that search over documents needs."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one unit vector a text, float32 ``[len(texts), dimensions]``."""
        ...


class EncodesWithIdentity(Encodes, Protocol):
    """An encoder that knows its embedding space: what an index that is stored and opened again needs."""

    @property
    def identity(self) -> EmbeddingIdentity:
        """The space of its vectors."""
        ...

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return what :meth:`encode` does, computed anew."""
        ...


class Retriever(Protocol):
    """Anything that ranks documents for queries."""

    @property
    def name(self) -> str:
        """The name in tables and figures."""
        ...

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run ``query_id, doc_id, score``: the best ``k`` documents of each query.

        Args:
            queries: texts by query id.
            k: documents a query.
            where: which documents each query may find; None: all.
        """
        ...


class Reranker(Protocol):
    """Anything that scores pairs of query and document anew."""

    def scores(self, queries: pd.Series, run: pd.DataFrame) -> pd.DataFrame:
        """Return the run's pairs with their new score: ``query_id, doc_id, score``."""
        ...


class Rewriter(Protocol):
    """Anything that says a query in other words."""

    def rewrite(self, queries: pd.Series) -> pd.DataFrame:
        """Return ``query_id, text``: one row a phrasing to search for, at least one a query."""
        ...


def as_run(
    query_ids: list[str], doc_ids: NDArray[Any], positions: NDArray[np.int64], scores: NDArray[np.float32]
) -> pd.DataFrame:
    """Return a run from positions and scores, both ``[queries, k]``; position -1 means none."""
    flat = positions.ravel()
    found = flat >= 0
    queries = np.repeat(query_ids, positions.shape[1])
    columns = (queries[found], doc_ids[flat[found]], scores.ravel()[found].astype(float))
    return pd.DataFrame(dict(zip(RUN, columns, strict=True)))


def top_k(run: pd.DataFrame, k: int) -> pd.DataFrame:
    """Return the best ``k`` documents of each query."""
    return trec_order(run).groupby("query_id").head(k).reset_index(drop=True)
