"""Which documents a query may find, by what both say of themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import DataError, nearest
from embedlab.retrieval.mentions import Mentions

SURE = 0.5
"""Share of the documents mentioning a value that must have it, or its mention in a query says nothing."""

LONGEST_ITEM = 60
"""Characters of one value in a list of values; what is longer is a text with commas."""

# Not within a number, such as 1,000.
_COMMA = re.compile(r"\s*(?:(?<!\d),|,(?!\d))\s*")


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

        Args:
            field: a column of both.
            queries: ``query_id`` and the field.
            corpus: ``doc_id`` and the field.
        """
        return cls(field, _one_each(queries["query_id"], queries[field]), _one_each(corpus["doc_id"], corpus[field]))

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
        for query_id, doc_ids in _relevant(qrels).items():
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
        if _is_there(value):
            found[name] = frozenset([str(value)])
    return found


def _is_there(value: Any) -> bool:
    return isinstance(value, str) or not pd.isna(value)


def values_of(column: pd.Series) -> list[frozenset[str]]:
    """Return the values in each row of a column; several where it holds lists such as ``Linux, Windows, macOS``.

    A column holds lists where commas separate things that are named again and again: items of at most
    :data:`LONGEST_ITEM` characters, of which there are fewer than whole values, or of which one at least in half of
    the lists stands in some row alone. ``Berlin, Germany`` and ``Paris, France`` are two values, and a comma within a
    number separates nothing.

    Args:
        column: texts, or missing.
    """
    texts = [str(value).strip() if _is_there(value) else "" for value in column]
    # Of an empty text, and between two commas, nothing is a value.
    items = {text: [item for item in _COMMA.split(text) if item] for text in dict.fromkeys(texts)}
    are_lists = _are_lists(items)
    return [frozenset(items[text] if are_lists else [text] if text else []) for text in texts]


def _are_lists(items: Mapping[str, list[str]]) -> bool:
    """Return whether texts, here with the items between their commas, are lists by the rule of :func:`values_of`."""
    lists = [own for own in items.values() if len(own) > 1]
    distinct = {item for own in items.values() for item in own}
    if not lists or any(len(item) > LONGEST_ITEM for own in lists for item in own):
        return False
    alone = {own[0] for own in items.values() if len(own) == 1}
    known = sum(not alone.isdisjoint(own) for own in lists)
    whole = sum(bool(text) for text in items)
    return len(distinct) < whole or 2 * known >= len(lists)


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


def _relevant(qrels: pd.DataFrame) -> dict[str, list[str]]:
    """Return the relevant documents of each query that has any."""
    rows = qrels[qrels["relevance"] >= 1]
    return {str(query_id): list(doc_ids) for query_id, doc_ids in rows.groupby("query_id")["doc_id"]}


# --- what a filter does to queries -----------------------------------------------------------------


@dataclass(frozen=True)
class FilterReport:
    """What a filter does to judged queries, before any search.

    Attributes:
        n_queries: with a relevant document.
        touched: share of them that the filter asks something of.
        ruined: share of the touched ones that can find no relevant document any more; 0 where none is touched.
        hurt: share of the touched ones that can find fewer of them, the ruined ones included.
        left: mean share of the corpus that touched queries may find; 1 where none is touched.
    """

    n_queries: int
    touched: float
    ruined: float
    hurt: float
    left: float


def filter_effects(where: Filter, qrels: pd.DataFrame, corpus: pd.DataFrame) -> pd.DataFrame:
    """Return what a filter leaves of the corpus and of each query's relevant documents, a row a judged query.

    Args:
        where: the filter.
        qrels: ``query_id, doc_id, relevance``; queries without a relevant document have no row.
        corpus: ``doc_id``.

    Returns:
        ``query_id, wanted`` (the values asked for, sorted and joined; blank: not filtered), ``left`` (share of the
        corpus), ``relevant`` and ``relevant_left`` (documents).
    """
    relevant = _relevant(qrels)
    left: dict[str, float] = {}
    query_ids = list(relevant)
    for positions, may in where.divided(query_ids, corpus["doc_id"].tolist()):
        left.update(dict.fromkeys((query_ids[position] for position in positions), float(may.mean())))
    rows = []
    for query_id, doc_ids in relevant.items():
        wanted = where.wanted.get(query_id)
        held = [where.values.get(doc_id, NONE) for doc_id in doc_ids]
        kept = sum(wanted is None or not wanted.isdisjoint(values) for values in held)
        rows.append((query_id, ", ".join(sorted(wanted or NONE)), left[query_id], len(doc_ids), kept))
    return pd.DataFrame(rows, columns=["query_id", "wanted", "left", "relevant", "relevant_left"])


def filter_report(where: Filter, qrels: pd.DataFrame, corpus: pd.DataFrame) -> FilterReport:
    """Return how many queries a filter touches, how many of these it ruins, and what it leaves; arguments as above."""
    effects = filter_effects(where, qrels, corpus)
    touched = effects[effects["query_id"].isin(list(where.wanted))]
    if touched.empty:
        return FilterReport(len(effects), touched=0.0, ruined=0.0, hurt=0.0, left=1.0)
    return FilterReport(
        n_queries=len(effects),
        touched=len(touched) / len(effects),
        ruined=float((touched["relevant_left"] == 0).mean()),
        hurt=float((touched["relevant_left"] < touched["relevant"]).mean()),
        left=float(touched["left"].mean()),
    )
