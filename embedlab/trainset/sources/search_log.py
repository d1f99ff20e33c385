"""Search logs: what was clicked in the end is a candidate answer to every wording that came before."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from itertools import groupby

import pandas as pd

from embedlab.data.text import fold
from embedlab.trainset.sources.examples import Example, Harvest, usable
from embedlab.trainset.sources.table import CHUNK, Table

REQUIRED = ("query", "time", "session", "document")

GAP = 300.0
"""Seconds after which the next query of a session starts a new search."""

CANDIDATE = 0.5
"""Weight of a rewritten query: that the user meant the same is likely, not known."""

Event = tuple[str, float, str, str, int]


def read(table: Table, documents: Collection[str], chunk: int = CHUNK, gap: float = GAP) -> Harvest:
    """Read a log of ``query, time, session, document``; the document is blank where nothing was clicked.

    A chain is a run of queries within a session, each at most ``gap`` seconds after the one before,
    that ends with the first click. Its last query is an example of kind ``search log``, each
    earlier wording one of kind ``reformulation`` (Radlinski and Joachims 2005, query chains).
    Rows may stand in any order: they are sorted on disk.
    """
    examples: list[Example] = []
    for chain in _chains(_events(table, chunk), gap):
        query, _, _, clicked, row = chain[-1]
        ids = usable(table, row, query, [clicked], documents)
        if not ids:
            continue
        examples.append(Example(query, ids, f"{table.path}:{row}", "search log"))
        wordings = {fold(q): (q, r) for q, _, _, _, r in reversed(chain[:-1])}
        for folded, (earlier, at) in wordings.items():
            if folded and folded != fold(query):
                where = f"{table.path}:{at}, rewritten until row {row}: {query[:80]}"
                examples.append(Example(earlier, ids, where, "reformulation", weight=CANDIDATE))
    return Harvest(examples)


def _events(table: Table, chunk: int) -> Iterator[Event]:
    """Yield query, time in seconds, session, document and row, sorted by session and time."""
    database = sqlite3.connect("")  # a temporary file, so that the log may be larger than memory
    database.execute("CREATE TABLE log (query TEXT, time REAL, session TEXT, document TEXT, row INTEGER)")
    for frame in table.chunks(chunk):
        times = seconds(frame["time"])
        for row, text in zip(frame["row"][times.isna()], frame["time"][times.isna()], strict=True):
            table.fault("malformed", int(row), "", f"no time: {text!r}; expected ISO 8601 or seconds since 1970")
        good = frame.assign(time=times)[times.notna()]
        rows = good[["query", "time", "session", "document", "row"]].itertuples(index=False, name=None)
        database.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?)", rows)
    yield from database.execute("SELECT * FROM log ORDER BY session, time, row")
    database.close()


def seconds(texts: pd.Series) -> pd.Series:
    """Return times as seconds since 1970 from ISO 8601 texts or numbers; NaN where they are neither."""
    numbers = pd.to_numeric(texts, errors="coerce")
    dates = pd.to_datetime(texts.where(numbers.isna()), errors="coerce", utc=True, format="ISO8601")
    since = (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return numbers.fillna(since).astype(float)


def _chains(events: Iterator[Event], gap: float) -> Iterator[list[Event]]:
    for _, session in groupby(events, key=lambda event: event[2]):
        chain: list[Event] = []
        for event in session:
            if chain and event[1] - chain[-1][1] > gap:
                chain = []
            chain.append(event)
            if event[3]:
                yield chain
                chain = []
