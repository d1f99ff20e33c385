"""Training rows beside the queries that they are to help with."""

from __future__ import annotations

import pandas as pd

from embedlab.retrieval.bm25 import BM25


def nearest_rows(rows: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """Return the queries, each with the training row that asks most like it (by BM25 over their texts).

    Args:
        rows: the canonical store.
        queries: ``query_id, text``, and whatever else is kept beside them.

    Returns:
        the queries with ``nearest_id`` and ``nearest_text``, both blank where no row shares a word.
    """
    texts = pd.Series(rows["text"].to_numpy(), index=rows["query_id"].to_numpy(), dtype=str)
    asked = pd.Series(queries["text"].to_numpy(), index=queries["query_id"].to_numpy(), dtype=str)
    first: dict[str, str] = {}
    if len(texts) and len(asked):
        run = BM25(texts).search(asked, 1)
        first = dict(zip(run["query_id"], run["doc_id"], strict=True))
    nearest = [first.get(query_id, "") for query_id in queries["query_id"]]
    return queries.assign(nearest_id=nearest, nearest_text=[texts.get(row_id, "") for row_id in nearest])
