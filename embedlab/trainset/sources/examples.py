"""What a source of training data hands over: examples, and the rows that are none."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from embedlab.trainset.sources.table import Table


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
    for unknown in (d for d in named if d not in documents):
        table.fault("unknown document", row, unknown, f"unknown document {unknown!r}: {query[:80]}")
    return [d for d in named if d in documents]


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
