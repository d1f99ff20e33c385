"""``load_collection``: sources of one's own, options, and parts by date."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from conftest import toy_rows

import embedlab
from embedlab.data import Raw
from embedlab.data.sources import registry
from faulty import Outcome, Row, called

FACE = "`load_collection`"

Frames = dict[str, pd.DataFrame]


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Register a source whose three sound frames are changed as the row says; return the loading, with its options."""
    documents, asked, judged = toy_rows()
    frames = {
        "corpus": pd.DataFrame(documents).rename(columns={"_id": "doc_id"}),
        "queries": pd.DataFrame(asked).rename(columns={"_id": "query_id"}),
        "qrels": pd.DataFrame(judged, columns=["query_id", "doc_id", "relevance"]),
    }
    options = {"source": "given"} | (row.given(frames) or {})
    source = registry.Source(lambda folder="": Raw(**frames), ("folder",))

    def load() -> None:
        with mock.patch.object(registry, "SOURCES", {**registry.SOURCES, "given": source}):
            collection = embedlab.load_collection(**options)
        # What is loaded can be written.
        collection.corpus.to_parquet(folder / "corpus.parquet")
        collection.queries.to_parquet(folder / "queries.parquet")
        collection.findings.to_parquet(folder / "findings.parquet")

    return lambda: called(load)


def value(frame: str, column: str, given: Any, row: int = 2) -> Callable[[Frames], None]:
    """Put a value into a row of a frame."""

    def change(frames: Frames) -> None:
        table = frames[frame].astype(object)
        if column not in table:
            table[column] = pd.Series([None] * len(table), dtype=object)
        table.at[row, column] = given
        frames[frame] = table

    return change


def column(frame: str, name: Any, values: Callable[[int], Any]) -> Callable[[Frames], None]:
    """Give a frame a column of these values."""

    def change(frames: Frames) -> None:
        number = range(len(frames[frame]))
        frames[frame][name] = pd.Series([values(i) for i in number], dtype=object)

    return change


def replaced(frame: str, act: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Frames], None]:
    """Put another frame in the place of one."""

    def change(frames: Frames) -> None:
        frames[frame] = act(frames[frame])

    return change


def dated(days: Callable[[int], Any], dev_from: Any, test_from: Any) -> Callable[[Frames], dict[str, Any]]:
    """Date the queries, and ask for parts by date."""

    def change(frames: Frames) -> dict[str, Any]:
        column("queries", "created", days)(frames)
        return {"dev_from": dev_from, "test_from": test_from}

    return change


def options(**given: Any) -> Callable[[Frames], dict[str, Any]]:
    """Load with these options."""
    return lambda frames: given


def day(number: int) -> str:
    """Return the day of a query, one after another."""
    return (datetime.date(2023, 1, 1) + datetime.timedelta(days=number)).isoformat()


DEV, TEST = day(20), day(30)
HALF = "a\ud800"
MISSING = (None, float("nan"), pd.NA, pd.NaT)

ROWS = (
    Row("source", "sound", "accepted", "", options()),
    Row("source", "misspelt", "error", "did you mean 'beir'", options(source="bier")),
    Row("source", "blank", "error", "unknown source ''", options(source="")),
    Row("options", "one that no source has", "error", "no source has an option 'pth'", options(pth="x")),
    Row("options", "a path for another source", "error", "source given takes no path", options(path="x")),
    Row("source", "nothing", "error", "unknown source None", options(source=None)),
    Row("source", "a number", "error", "unknown source 5", options(source=5)),
    Row("techniques", "negative", "error", "must be a whole number of 0 or more, found -5", options(source="attack", techniques=-5)),
    Row("techniques", "a text", "error", "must be a whole number of 0 or more, found 'x'", options(source="attack", techniques="x")),
    Row("techniques", "a fraction", "error", "must be a whole number of 0 or more, found 2.5", options(source="attack", techniques=2.5)),
    Row("path", "nothing", "error", "path must be a text or a Path, found None", options(source="beir", path=None)),
    Row("path", "a number", "error", "path must be a text or a Path, found 5", options(source="beir", path=5)),
    Row("path", "blank", "error", "needs a folder", options(source="beir", path="")),
    Row("path", "with NUL", "error", "is missing", options(source="beir", path="a\0b")),
    Row("corpus", "without the column `title`", "error", "corpus lacks column title", replaced("corpus", lambda f: f.drop(columns="title"))),
    Row("corpus", "a column twice", "error", "corpus has several columns 'text'; expected each once", replaced("corpus", lambda f: f[["doc_id", "title", "text", "text"]])),
    Row("corpus", "empty", "error", "corpus: there are no documents", replaced("corpus", lambda f: f.iloc[:0])),
    Row("corpus", "rows labelled by their ids", "accepted", "", replaced("corpus", lambda f: f.set_index("doc_id", drop=False).rename_axis(None))),
    Row("corpus", "rows that bear one label", "accepted", "", replaced("corpus", lambda f: f.set_axis([0] * len(f)))),
    Row("corpus", "a text that is bytes", "error", "text is b'x' (bytes); expected text (str)", value("corpus", "text", b"x")),
    Row("corpus", "a text that is NaN", "error", "text is nan (float)", value("corpus", "text", float("nan"))),
    Row("corpus", "a text with half a surrogate pair", "accepted", "", value("corpus", "text", HALF)),
    Row("corpus", "an id with half a surrogate pair", "error", "no file can hold", value("corpus", "doc_id", HALF)),
    Row("corpus", "an id with NUL", "error", "no file can hold", value("corpus", "doc_id", "a\0")),
    Row("corpus", "an id with white space", "error", "white space, which parts the fields of a run file", value("corpus", "doc_id", "a b")),
    Row("corpus", "an id blank", "error", "is blank", value("corpus", "doc_id", "")),
    Row("queries", "an id with white space", "error", "white space", value("queries", "query_id", "a b")),
    Row("queries", "empty", "error", "queries: there are no queries", replaced("queries", lambda f: f.iloc[:0])),
    Row("qrels", "a grade that is a truth value", "error", "relevance is True (bool)", value("qrels", "relevance", True)),
    Row("qrels", "a grade of 2**80", "error", "expected a whole number from 0 to 10", value("qrels", "relevance", 2**80)),
    Row("qrels", "no grade above zero", "error", "no document is judged relevant", replaced("qrels", lambda f: f.assign(relevance=0))),
    Row("qrels", "empty", "error", "no judgment names both", replaced("qrels", lambda f: f.iloc[:0])),
    Row("metadata", "numbers with gaps", "accepted", "", value("corpus", "year", 2019)),
    Row("metadata", "all kinds of missing", "accepted", "", column("corpus", "year", lambda i: MISSING[i % 4])),
    Row("metadata", "numbers, texts, truth values and lists in one field", "accepted", "", column("corpus", "any", lambda i: (i, str(i), True, [i])[i % 4])),
    Row("metadata", "numbers of numpy", "accepted", "", column("corpus", "n", lambda i: (np.int64(i), np.float32(i), np.bool_(i))[i % 3])),
    Row("metadata", "arrays", "accepted", "", column("corpus", "n", lambda i: np.arange(3))),
    Row("metadata", "sets and bytes", "accepted", "", column("corpus", "n", lambda i: {i} if i % 2 else b"x")),
    Row("metadata", "dates and times", "accepted", "", column("corpus", "n", lambda i: (datetime.date(2023, 1, 1), pd.Timestamp("2023-01-01"), pd.NaT)[i % 3])),
    Row("metadata", "10,000 digits", "accepted", "", column("corpus", "n", lambda i: 10**10_000)),
    Row("metadata", "half a surrogate pair", "accepted", "", column("corpus", "n", lambda i: HALF)),
    Row("metadata", "a column that is named by a number", "accepted", "", column("corpus", 7, lambda i: "x")),
    Row("metadata", "a column that is named by NaN", "accepted", "", column("corpus", float("nan"), lambda i: "x")),
    Row("metadata", "columns `part` and `group`", "accepted", "", lambda frames: [column("queries", name, lambda i: "x")(frames) for name in ("part", "group")] and None),
    Row("dev_from, test_from", "sound", "accepted", "", dated(day, DEV, TEST)),
    Row("dev_from, test_from", "one alone", "error", "give dev_from and test_from, or neither", dated(day, DEV, "")),
    Row("dev_from, test_from", "numbers", "error", "must be a date such as 2023-06-30, found 5", dated(day, 5, 6)),
    Row("dev_from, test_from", "the same", "error", "dev_from must lie before test_from", dated(day, DEV, DEV)),
    Row("dev_from, test_from", "another order of day and month", "error", "must be a date such as 2023-06-30, found '21.01.2023'", dated(day, "21.01.2023", TEST)),
    Row("dev_from, test_from", "a time", "error", "must be a date", dated(day, f"{DEV}T00:00", TEST)),
    Row("dev_from, test_from", "before the first query", "error", "leave train without a query", dated(day, "1999-01-01", TEST)),
    Row("dev_from, test_from", "queries without a date", "error", "none of the 40 queries has one", options(dev_from=DEV, test_from=TEST)),
    Row("dev_from, test_from", "dates that are null", "error", "none of the 40 queries has one", dated(lambda i: None, DEV, TEST)),
    Row("dev_from, test_from", "dates that are none", "error", "'created' must be a date such as 2023-06-30, found 'yesterday'", dated(lambda i: "yesterday", DEV, TEST)),
    Row("dev_from, test_from", "dates as objects", "accepted", "", dated(lambda i: datetime.date.fromisoformat(day(i)), DEV, TEST)),
    Row("dev_from, test_from", "times with zones", "accepted", "", dated(lambda i: f"{day(i)}T12:00:00+0{i % 3}:00", DEV, TEST)),
)  # fmt: skip
