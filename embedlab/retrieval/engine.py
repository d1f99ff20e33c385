"""A search engine that is known by its rankings alone: a TREC run file that it wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from embedlab.data.trec import read_run
from embedlab.errors import DataError


class Engine:
    """The rankings of an engine, asked as a pipeline is.

    Args:
        path: the run file.
        query_ids: the queries that it must have answered.
        doc_ids: the documents that it may have returned.
        shown: results that a user sees; so many must be there for every query, or all documents where there are fewer.

    Raises:
        DataError: if a query is missing, an id is unknown, or a query has fewer results than are shown; with counts.
    """

    def __init__(self, path: Path, query_ids: Iterable[str], doc_ids: Iterable[str], shown: int) -> None:
        asked, documents = set(query_ids), set(doc_ids)
        self.run = read_run(path)
        answered, returned = set(self.run["query_id"]), set(self.run["doc_id"])
        _none_of(asked - answered, len(asked), "dev and test queries are missing", path)
        _none_of(answered - asked, len(answered), "queries are unknown to dev and test", path)
        _none_of(returned - documents, len(returned), "documents are unknown to the collection", path)
        least = min(shown, len(documents))
        counts = self.run["query_id"].value_counts()
        _none_of(set(counts.index[counts < least]), len(counts), f"queries have fewer than {least} results", path)

    def search(self, queries: pd.DataFrame) -> pd.DataFrame:
        """Return the run of some of the queries; ``query_id`` is asked of them alone."""
        return self.run[self.run["query_id"].isin(queries["query_id"])].reset_index(drop=True)


def _none_of(ids: set[str], total: int, problem: str, path: Path) -> None:
    if ids:
        raise DataError(
            f"{path}: {len(ids):,} of {total:,} {problem}, the first: {min(ids)!r}; "
            "let the engine answer every dev and test query over the same documents"
        )
