"""What a retriever is, and what is done to the runs that it returns."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import RUN, trec_order

DEPTH = 100
"""Documents kept for each query."""


class Retriever(Protocol):
    """Anything that ranks documents for queries."""

    @property
    def name(self) -> str:
        """The name in tables and figures."""
        ...

    def search(self, queries: pd.Series, k: int = DEPTH) -> pd.DataFrame:
        """Return the run ``query_id, doc_id, score``: the best ``k`` documents of each query.

        Args:
            queries: texts by query id.
            k: documents a query.
        """
        ...


def as_run(
    query_ids: list[str], doc_ids: NDArray[Any], positions: NDArray[np.int64], scores: NDArray[np.float32]
) -> pd.DataFrame:
    """Return a run from positions and scores, both ``[queries, k]``; position -1 means none."""
    keep = positions.ravel() >= 0
    columns = [np.repeat(query_ids, positions.shape[1]), doc_ids[positions.ravel()], scores.ravel().astype(float)]
    return pd.DataFrame({name: column[keep] for name, column in zip(RUN, columns, strict=True)})


def top_k(run: pd.DataFrame, k: int) -> pd.DataFrame:
    """Return the best ``k`` documents of each query."""
    return trec_order(run).groupby("query_id").head(k).reset_index(drop=True)


def filter_by(run: pd.DataFrame, queries: pd.DataFrame, corpus: pd.DataFrame, field: str) -> pd.DataFrame:
    """Keep the documents whose metadata field equals their query's; queries without it keep all.

    Args:
        run: the run to filter; retrieve deep enough before.
        queries: ``query_id`` and the field.
        corpus: ``doc_id`` and the field.
        field: the shared metadata field.
    """
    wanted = run["query_id"].map(dict(zip(queries["query_id"], queries[field], strict=True)))
    found = run["doc_id"].map(dict(zip(corpus["doc_id"], corpus[field], strict=True)))
    return run[wanted.isna() | (wanted == found)].reset_index(drop=True)
