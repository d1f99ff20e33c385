"""What a source of training data hands over: examples, and the rows that are none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from embedlab.data.text import fold
from embedlab.trainset.sources.table import CHUNK, Table


@dataclass
class Example:
    """A query with its documents; ``where`` says what row it comes from, ``kind`` what it is."""

    query: str
    positives: list[str]
    where: str
    kind: str
    known: list[str] = field(default_factory=list)
    negatives: list[dict[str, object]] = field(default_factory=list)
    weight: float = 1.0


@dataclass
class Harvest:
    """What came out of one file: examples, and sentences that the user should read."""

    examples: list[Example]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """What a reader may need beside its file.

    Attributes:
        corpus: ``doc_id, title``: what a row may name.
        chunk: rows in memory at a time.
        judgment_queries: the file with the texts of the queries that judgments name.
        eta: of a click log's propensity curve where the log shows no swaps.
    """

    corpus: pd.DataFrame
    chunk: int = CHUNK
    judgment_queries: str = ""
    eta: float = 1.0

    @cached_property
    def documents(self) -> set[str]:
        """The ids of the corpus."""
        return set(self.corpus["doc_id"])

    @cached_property
    def titles(self) -> dict[str, str]:
        """Folded title to document id, for titles that only one document has."""
        titles = self.corpus["title"].map(fold)
        alone = ~titles.duplicated(keep=False) & (titles != "")
        return dict(zip(titles[alone], self.corpus.loc[alone, "doc_id"], strict=True))


@dataclass(frozen=True)
class TrainingSource:
    """A kind of file that training examples are read from.

    Attributes:
        name: of the parameter that holds its path.
        required: columns that the file must have.
        optional: columns that it may have.
        read: makes examples of it; adds the rows that are unusable to the table's findings.
        says: what a row of it is.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Table, Reading], Harvest]
    says: str


def usable(table: Table, row: int, query: str, ids: Iterable[str], documents: Collection[str]) -> list[str]:
    """Return the ids that are documents of the corpus; what is wrong with the row becomes a finding.

    Args:
        table: the file, which collects the findings.
        row: of the file.
        query: the row's text; a blank one makes the row useless.
        ids: the documents that it names.
        documents: the ids of the corpus.
    """
    named = list(ids)
    if not query.strip():
        table.fault("empty query", row, "", "the query is blank")
        return []
    if not named:
        table.fault("no document", row, "", f"no document is named: {query[:80]}")
    found = []
    for doc_id in named:
        if doc_id in documents:
            found.append(doc_id)
        else:
            table.fault("unknown document", row, doc_id, f"unknown document {doc_id!r}: {query[:80]}")
    return found


def merged(examples: Iterable[Example]) -> list[Example]:
    """Join examples of one kind with the same query text: all their documents, the first one's place."""
    found: dict[tuple[str, str], Example] = {}
    for example in examples:
        first = found.setdefault((example.kind, example.query), example)
        if first is not example:
            first.positives = list(dict.fromkeys(first.positives + example.positives))
            first.known = list(dict.fromkeys(first.known + example.known))
            first.negatives += [n for n in example.negatives if n not in first.negatives]
            first.weight = max(first.weight, example.weight)
    for example in found.values():
        relevant = {*example.positives, *example.known}
        example.negatives = [n for n in example.negatives if n["id"] not in relevant]
    return list(found.values())
