"""Which documents a query may find, by what both say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Filter:
    """The documents whose field holds one of the values that a query asks for.

    Attributes:
        field: the metadata field.
        wanted: by query id the values asked for, any of which will do; a query that is not named may find everything.
        values: by document id the values that it has.
    """

    field: str
    wanted: Mapping[str, frozenset[str]]
    values: Mapping[str, frozenset[str]]

    @classmethod
    def equal(cls, field: str, queries: pd.DataFrame, corpus: pd.DataFrame) -> Filter:
        """Return the filter that keeps documents with just their query's value; a query without one may find all.

        Args:
            field: a column of both.
            queries: ``query_id`` and the field.
            corpus: ``doc_id`` and the field.
        """
        return cls(field, _one_each(queries["query_id"], queries[field]), _one_each(corpus["doc_id"], corpus[field]))

    def keep(self, run: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a run that its queries may find."""
        none: frozenset[str] = frozenset()
        may = []
        for query_id, doc_id in zip(run["query_id"], run["doc_id"], strict=True):
            wanted = self.wanted.get(query_id)
            may.append(wanted is None or not wanted.isdisjoint(self.values.get(doc_id, none)))
        return run[np.array(may, dtype=bool)].reset_index(drop=True)

    def divided(
        self, query_ids: Iterable[str], doc_ids: Iterable[str]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        """Yield the positions of queries that may find the same documents, and which documents these are.

        Args:
            query_ids: in the order of the positions.
            doc_ids: of ``n`` documents or passages; the mask is ``[n]``.
        """
        asking: dict[frozenset[str] | None, list[int]] = {}
        for position, query_id in enumerate(query_ids):
            asking.setdefault(self.wanted.get(query_id), []).append(position)
        none: frozenset[str] = frozenset()
        held = [self.values.get(doc_id, none) for doc_id in doc_ids]
        for wanted, positions in asking.items():
            may = [wanted is None or not wanted.isdisjoint(values) for values in held]
            yield np.array(positions, dtype=np.int64), np.array(may, dtype=bool)


def _one_each(ids: pd.Series, values: pd.Series) -> dict[str, frozenset[str]]:
    """Return each id's value as a set of one; an id without a value is left out."""
    found: dict[str, frozenset[str]] = {}
    for name, value in zip(ids, values, strict=True):
        if _is_there(value):
            found[name] = frozenset([str(value)])
    return found


def _is_there(value: Any) -> bool:
    return isinstance(value, str) or not pd.isna(value)
