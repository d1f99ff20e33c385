"""All sources of training data that a user gave files for, read with one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from embedlab.data.raw import Finding
from embedlab.data.text import fold
from embedlab.errors import DataError, ParameterError
from embedlab.trainset.sources import click_log, curated, documentation, judgments, search_log, tickets
from embedlab.trainset.sources.examples import Example, Harvest
from embedlab.trainset.sources.table import CHUNK, Table, renamed

COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "search_log": (search_log.REQUIRED, ()),
    "click_log": (click_log.REQUIRED, ()),
    "judgments": (judgments.REQUIRED, ()),
    "tickets": (tickets.REQUIRED, ()),
    "documentation_queries": (curated.QUERY_DOCUMENT, ()),
    "documentation_folder": ((), ()),
    "curated_examples": (curated.REQUIRED, curated.OPTIONAL),
}
"""Required and optional columns by source; for ``judgments`` those of ``judgment_queries``."""


@dataclass
class Given:
    """What the given files held: examples, rows that cannot be used, and one line a source."""

    examples: list[Example] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    lines: list[dict[str, object]] = field(default_factory=list)

    def add(self, source: str, file: str, harvest: Harvest, read: int, findings: Sequence[Finding]) -> None:
        """Add a source that was read; its line says what came out."""
        self.examples += harvest.examples
        self.findings += findings
        faults = Counter(f.kind for f in findings)
        notes = [*harvest.notes, *(f"{count:,} × {kind}" for kind, count in faults.items())]
        line = {"source": source, "file": Path(file).name, "read": read, "examples": len(harvest.examples)}
        self.lines.append(line | {"note": "; ".join(notes)})

    def table(self) -> pd.DataFrame:
        """Return one line a source, those that are not given included."""
        return pd.DataFrame(self.lines).set_index("source")


def read_given(
    paths: Mapping[str, str],
    corpus: pd.DataFrame,
    columns: Sequence[str] = (),
    delimiter: str = ",",
    judgment_queries: str = "",
    eta: float = 1.0,
    chunk: int = CHUNK,
) -> Given:
    """Read every source that has a path.

    Args:
        paths: file (folder for ``documentation_folder``) by source; blank where not given.
        corpus: ``doc_id, title``: what a row may name.
        columns: texts such as ``click_log.query=q``: a column of another name.
        delimiter: of CSV files.
        judgment_queries: the file with the texts of the queries in ``judgments``.
        eta: of the click log's propensity curve where the log shows no swaps.
        chunk: rows in memory at a time.

    Raises:
        DataError: if a file cannot be read, lacks a column, or has no usable row.
        ParameterError: if a column is renamed that no source has, or the delimiter is none.
    """
    if len(delimiter) != 1:
        raise ParameterError(f"delimiter: expected one character, found {delimiter!r}")
    names, documents = renamed(columns, {s: [*need, *may] for s, (need, may) in COLUMNS.items()}), set(corpus["doc_id"])
    given = Given()
    for source, path in paths.items():
        required, optional = COLUMNS[source]
        if not path:
            given.lines.append({"source": source, "file": "", "read": 0, "examples": 0, "note": "not given"})
            continue
        table = Table(source, Path(path), required, optional, names[source], delimiter)
        harvest = _harvest(table, corpus, documents, judgment_queries, eta, chunk)
        if not harvest.examples:
            first = (
                f"; the first fault: {table.findings[0].where}: {table.findings[0].detail}" if table.findings else ""
            )
            raise DataError(f"{path} ({source}): no example in {table.rows_read:,} rows{first}")
        given.add(source, path, harvest, table.rows_read, table.findings)
    return given


READERS: dict[str, Callable[[Table, set[str], int], Harvest]] = {
    "search_log": search_log.read,
    "tickets": tickets.read,
    "documentation_queries": curated.pages,
    "curated_examples": curated.read,
}


def _harvest(table: Table, corpus: pd.DataFrame, documents: set[str], queries: str, eta: float, chunk: int) -> Harvest:
    if table.source == "click_log":
        return click_log.read(table, documents, chunk, eta)
    if table.source == "judgments":
        if not queries:
            raise ParameterError(f"judgments {table.path}: give the file with the queries' texts as judgment_queries")
        beside = replace(table, path=Path(queries))  # the findings of both are collected in one list
        return judgments.read(beside, documents, table, chunk)
    if table.source == "documentation_folder":
        titles = corpus["title"].map(fold)
        alone = ~titles.duplicated(keep=False) & (titles != "")
        return documentation.read(table, documents, dict(zip(titles[alone], corpus.loc[alone, "doc_id"], strict=True)))
    return READERS[table.source](table, documents, chunk)
