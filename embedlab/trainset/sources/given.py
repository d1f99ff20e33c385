"""All sources of training data that a user gave files for, read with one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from embedlab.data.raw import Finding
from embedlab.errors import DataError, ParameterError, nearest
from embedlab.trainset.sources import click_log, curated, documentation, judgments, search_log, tickets
from embedlab.trainset.sources.examples import Example, Harvest, Reading, TrainingSource
from embedlab.trainset.sources.table import CHUNK, Table, renamed

_ALL = (
    TrainingSource("search_log", search_log.REQUIRED, (), search_log.read, "a query and what was clicked after it"),
    TrainingSource("click_log", click_log.REQUIRED, (), click_log.read, "a document shown for a query, clicked or not"),
    TrainingSource("judgments", judgments.REQUIRED, (), judgments.read, "a query, a document and its grade"),
    TrainingSource("tickets", tickets.REQUIRED, (), tickets.read, "a support ticket and the articles that solved it"),
    TrainingSource(
        "documentation_queries",
        documentation.QUERIES,
        (),
        documentation.read_queries,
        "what was typed into the documentation's search box, and the page",
    ),
    TrainingSource("documentation_folder", (), (), documentation.read, "a heading and the page that it stands on"),
    TrainingSource(
        "curated_examples", curated.REQUIRED, curated.OPTIONAL, curated.read, "an example that people chose"
    ),
)

SOURCES = {source.name: source for source in _ALL}
"""By the parameter that names the file; the columns of ``judgments`` are those of ``judgment_queries``."""


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
        ParameterError: if there is no such source, a column is renamed that none has, or the delimiter is none.
    """
    if len(delimiter) != 1:
        raise ParameterError(f"delimiter: expected one character, found {delimiter!r}")
    names = renamed(columns, {name: [*source.required, *source.optional] for name, source in SOURCES.items()})
    reading = Reading(corpus, chunk, judgment_queries, eta)
    given = Given()
    for name, path in paths.items():
        source = _source(name)
        if not path:
            given.lines.append({"source": name, "file": "", "read": 0, "examples": 0, "note": "not given"})
            continue
        table = Table(name, Path(path), source.required, source.optional, names[name], delimiter)
        harvest = source.read(table, reading)
        if not harvest.examples:
            raise DataError(f"{path} ({name}): no example in {table.rows_read:,} rows{_first_fault(table)}")
        given.add(name, path, harvest, table.rows_read, table.findings)
    return given


def _source(name: str) -> TrainingSource:
    if name not in SOURCES:
        listed = "; ".join(f"{source.name} ({source.says})" for source in SOURCES.values())
        raise ParameterError(f"no training source {name!r}{nearest(name, list(SOURCES))}; there are: {listed}")
    return SOURCES[name]


def _first_fault(table: Table) -> str:
    if not table.findings:
        return ""
    return f"; the first fault: {table.findings[0].where}: {table.findings[0].detail}"
