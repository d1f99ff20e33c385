"""Search logs: what was clicked in the end is a candidate answer to every wording that came before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from embedlab.data.text import fold
from embedlab.trainset.sources.examples import Example, Harvest, Reading, usable
from embedlab.trainset.sources.table import Table

REQUIRED = ("query", "time", "session", "document")

GAP = 300.0
"""Seconds after which the next query of a session starts a new search."""

CANDIDATE = 0.5
"""Weight of a rewritten query: that the user meant the same is likely, not known."""


class Event(NamedTuple):
    """A query of a session, what was clicked after it (or nothing), and its row in the file."""

    query: str
    time: float
    session: str
    document: str
    row: int


def read(table: Table, reading: Reading) -> Harvest:
    """Read a log of ``query, time, session, document``; the document is blank where nothing was clicked.

    A chain is a run of queries within a session, each at most ``GAP`` seconds after the one before,
    that ends with the first click. Its last query is an example of kind ``search log``, each
    earlier wording one of kind ``reformulation`` (Radlinski and Joachims 2005, query chains).
    Rows may stand in any order: they are sorted on disk.
    """
    examples: list[Example] = []
    for chain in _chains(_events(table, reading.chunk)):
        last = chain[-1]
        ids = usable(table, last.row, last.query, [last.document], reading.documents)
        if not ids:
            continue
        examples.append(Example(last.query, ids, f"{table.path}:{last.row}", "search log"))
        for event in _wordings(chain):
            where = f"{table.path}:{event.row}, rewritten until row {last.row}: {last.query[:80]}"
            examples.append(Example(event.query, ids, where, "reformulation", weight=CANDIDATE))
    return Harvest(examples)


def _wordings(chain: list[Event]) -> list[Event]:
    """Return the earlier events whose wording differs from the last one, the latest wording first.

    Of those that are worded the same the earliest stands for all.
    """
    found: dict[str, Event] = {}
    for event in reversed(chain[:-1]):
        found[fold(event.query)] = event
    unlike = ("", fold(chain[-1].query))
    return [event for wording, event in found.items() if wording not in unlike]


def _events(table: Table, chunk: int) -> Iterator[Event]:
    """Yield the log sorted by session and time; times are seconds since 1970."""
    database = sqlite3.connect("")  # a temporary file, so that the log may be larger than memory
    database.execute("CREATE TABLE log (query TEXT, time REAL, session TEXT, document TEXT, row INTEGER)")
    for frame in table.chunks(chunk):
        times = seconds(frame["time"])
        for row, text in zip(frame["row"][times.isna()], frame["time"][times.isna()], strict=True):
            table.fault("malformed", int(row), "", f"no time: {text!r}; expected ISO 8601 or seconds since 1970")
        good = frame.assign(time=times)[times.notna()]
        rows = good[["query", "time", "session", "document", "row"]].itertuples(index=False, name=None)
        database.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?)", rows)
    for row in database.execute("SELECT * FROM log ORDER BY session, time, row"):
        yield Event(*row)
    database.close()


def seconds(texts: pd.Series) -> pd.Series:
    """Return times as seconds since 1970 from ISO 8601 texts or numbers; NaN where they are neither."""
    numbers = pd.to_numeric(texts, errors="coerce")
    dates = pd.to_datetime(texts.where(numbers.isna()), errors="coerce", utc=True, format="ISO8601")
    since = (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return numbers.fillna(since).astype(float)


def _chains(events: Iterator[Event]) -> Iterator[list[Event]]:
    """Yield each run of events that ends with a click; a pause cuts off what came before."""
    for _, session in groupby(events, key=lambda event: event.session):
        chain: list[Event] = []
        for event in session:
            if chain and event.time - chain[-1].time > GAP:
                chain = []
            chain.append(event)
            if event.document:
                yield chain
                chain = []
