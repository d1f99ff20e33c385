"""Which documents a query may find, by what both say of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import DataError, nearest
from embedlab.retrieval.filtering.mentions import Mentions
from embedlab.retrieval.filtering.values import is_there, values_of

SURE = 0.5
"""Share of the documents mentioning a value that must have it, or its mention in a query says nothing."""

NONE: frozenset[str] = frozenset()
"""The values of a document that has none."""


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

        A list of values is one value here: see :meth:`shared`.

        Args:
            field: a column of both.
            queries: ``query_id`` and the field.
            corpus: ``doc_id`` and the field.

        Raises:
            DataError: if one of the two has no such column.
        """
        wanted, held = _column(queries, field, "queries"), _column(corpus, field, "corpus")
        return cls(field, _one_each(queries["query_id"], wanted), _one_each(corpus["doc_id"], held))

    @classmethod
    def shared(cls, field: str, queries: pd.DataFrame, corpus: pd.DataFrame) -> Filter:
        """Return the filter that keeps documents with any of their query's values, where either may have several.

        Args:
            field: a column of both; see :func:`values_of` for when ``Linux, macOS`` are two values.
            queries: ``query_id`` and the field.
            corpus: ``doc_id`` and the field.

        Raises:
            DataError: if one of the two has no such column.
        """
        both = pd.concat([_column(queries, field, "queries"), _column(corpus, field, "corpus")], ignore_index=True)
        found = values_of(both)
        ids = [*queries["query_id"], *corpus["doc_id"]]
        named = {name: values for name, values in zip(ids[: len(queries)], found, strict=False) if values}
        held = {name: values for name, values in zip(ids[len(queries) :], found[len(queries) :], strict=True) if values}
        return cls(field, named, held)

    @classmethod
    def inferred(cls, field: str, queries: pd.DataFrame, corpus: pd.DataFrame, sure: float = SURE) -> Filter:
        """Return the filter that keeps documents with a value whose name the query's text mentions.

        Names are found as whole words, whatever their case and the marks between words, the longest first (of ``Azure
        AD`` and ``Azure`` the former). Many names are words of the language, too: a query that speaks of an *impact*
        need not ask for what has the tactic ``impact``. What a mention is worth shows in the corpus: of the documents
        whose own texts mention a value, at least the share ``sure`` must have it, and a larger one than of all
        documents. A value that no text mentions is no common word there, and is taken at its word; one of fewer than
        three characters never is.

        Args:
            field: a column of the corpus.
            queries: ``query_id, text``.
            corpus: ``doc_id, title, text`` and the field.
            sure: share of the mentioning documents that must have the value.

        Raises:
            DataError: if the corpus has no such column.
        """
        held = _held(field, corpus)
        names = Mentions(_telling(held, corpus, sure))
        wanted = {}
        for query_id, text in zip(queries["query_id"], queries["text"], strict=True):
            mentioned = frozenset(names.within(text))
            if mentioned:
                wanted[query_id] = mentioned
        return cls(field, wanted, held)

    @classmethod
    def oracle(cls, field: str, qrels: pd.DataFrame, corpus: pd.DataFrame) -> Filter:
        """Return the filter that an omniscient user would set: no filter on this field can do better than about this.

        It asks for one value, the rarest of those that all relevant documents of the query have; for all of their
        values where they share none. A query is not filtered where a relevant document has no value.

        Args:
            field: a column of the corpus.
            qrels: ``query_id, doc_id, relevance``; 1 and more is relevant.
            corpus: ``doc_id`` and the field.

        Raises:
            DataError: if the corpus has no such column.
        """
        held = _held(field, corpus)
        documents = Counter(value for values in held.values() for value in values)
        wanted = {}
        for query_id, doc_ids in relevant_documents(qrels).items():
            values = [held.get(doc_id, NONE) for doc_id in doc_ids]
            if not all(values):
                continue
            common = frozenset.intersection(*values)
            rarest = min(common, key=lambda value: (documents[value], value), default=None)
            wanted[query_id] = frozenset.union(*values) if rarest is None else frozenset([rarest])
        return cls(field, wanted, held)

    def keep(self, run: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a run that its queries may find."""
        may = []
        for query_id, doc_id in zip(run["query_id"], run["doc_id"], strict=True):
            wanted = self.wanted.get(query_id)
            may.append(wanted is None or not wanted.isdisjoint(self.values.get(doc_id, NONE)))
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
        held = [self.values.get(doc_id, NONE) for doc_id in doc_ids]
        for wanted, positions in asking.items():
            may = [wanted is None or not wanted.isdisjoint(values) for values in held]
            yield np.array(positions, dtype=np.int64), np.array(may, dtype=bool)


def _one_each(ids: pd.Series, values: pd.Series) -> dict[str, frozenset[str]]:
    """Return each id's value as a set of one; an id without a value is left out."""
    found: dict[str, frozenset[str]] = {}
    for name, value in zip(ids, values, strict=True):
        if is_there(value):
            found[name] = frozenset([str(value)])
    return found


def _telling(held: Mapping[str, frozenset[str]], corpus: pd.DataFrame, sure: float) -> list[str]:
    """Return the values whose mention in a document's text says that the document has them."""
    having = Counter(value for values in held.values() for value in values)
    names = Mentions(having)
    mentioned: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for doc_id, title, text in zip(corpus["doc_id"], corpus["title"], corpus["text"], strict=True):
        found = names.within(f"{title} {text}")
        mentioned.update(found)
        right.update(found & held.get(doc_id, NONE))
    telling = []
    for value, count in having.items():
        usual = count / len(corpus)
        if not mentioned[value] or right[value] / mentioned[value] >= max(sure, np.nextafter(usual, 2)):
            telling.append(value)
    return telling


def _held(field: str, corpus: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Return the values of each document that has any."""
    found = values_of(_column(corpus, field, "corpus"))
    return {doc_id: values for doc_id, values in zip(corpus["doc_id"], found, strict=True) if values}


def _column(frame: pd.DataFrame, field: str, where: str) -> pd.Series:
    if field not in frame.columns:
        raise DataError(f"{where}: no field {field!r} to filter by{nearest(field, [str(c) for c in frame.columns])}")
    return frame[field]


def relevant_documents(qrels: pd.DataFrame) -> dict[str, list[str]]:
    """Return the relevant documents of each query that has any."""
    rows = qrels[qrels["relevance"] >= 1]
    return {str(query_id): list(doc_ids) for query_id, doc_ids in rows.groupby("query_id")["doc_id"]}
