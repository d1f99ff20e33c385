"""The frames that a source returns: their columns, and values that nothing later looks at again."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import pandas as pd
from pandas.api.types import infer_dtype

from embedlab.data.raw import Raw
from embedlab.errors import DataError

TEXTS = {"corpus": ("doc_id", "title", "text"), "queries": ("query_id", "text"), "qrels": ("query_id", "doc_id")}
"""The columns of each frame that hold text."""

KEYS = {"corpus": ["doc_id"], "queries": ["query_id"], "qrels": ["query_id", "doc_id"]}
"""The columns of each frame that tell its rows apart."""

JUDGMENTS = ("query_id", "doc_id", "relevance", "where")
"""The columns of the judgments as they stand in the files, where a source keeps them."""


def check_frames(source: str, raw: Raw) -> None:
    """Look once at what a source returned, so that later code may rely on its columns and values.

    Raises:
        DataError: at the first missing column, id or text that is no ``str``, relevance that is no
            whole number, or id or pair that stands twice; names the row.
    """
    for name, frame in (("corpus", raw.corpus), ("queries", raw.queries), ("qrels", raw.qrels)):
        numbers = ("relevance",) if name == "qrels" else ()
        for fault in _faults(name, frame, numbers):
            raise DataError(f"source {source}: {fault}")
    if raw.judgments is not None:
        for fault in _missing("judgments", raw.judgments, JUDGMENTS):
            raise DataError(f"source {source}: {fault}")


def _faults(name: str, frame: pd.DataFrame, numbers: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with a frame; each check relies on the ones before it."""
    yield from _missing(name, frame, (*TEXTS[name], *numbers))
    for column in frame.columns[frame.columns.duplicated()]:
        yield f"{name} has several columns {column!r}; expected each once"
    for column in TEXTS[name]:
        yield from _others(name, frame, column, str, "text (str), blank where there is none")
    for column in numbers:
        yield from _others(name, frame, column, Integral, "a whole number (int)")
    again = frame.duplicated(KEYS[name]).to_numpy()
    if again.any():
        row = int(again.argmax())
        what = "id" if len(KEYS[name]) == 1 else "pair"
        yield f"{_place(name, frame, row)}: this {what} stands already in a row above; expected each once"


def _missing(name: str, frame: pd.DataFrame, expected: tuple[str, ...]) -> Iterator[str]:
    for column in expected:
        if column not in frame.columns:
            found = ", ".join(map(str, frame.columns))
            yield f"{name} lacks column {column}; found {found}; expected {', '.join(expected)}"


def _others(name: str, frame: pd.DataFrame, column: str, kind: type[Any], expected: str) -> Iterator[str]:
    """Yield the rows whose value in a column is of another kind."""
    values = frame[column]
    # Columns that are sound as a whole are not gone through value by value.
    whole = "string" if kind is str else "integer"
    if infer_dtype(values, skipna=False) == whole and not values.hasnans:
        return
    for row, value in enumerate(values.tolist()):
        # A truth value counts as a whole number in Python, and is none here.
        if not isinstance(value, kind) or isinstance(value, bool):
            found = f"{value!r} ({type(value).__name__})"
            yield f"{_place(name, frame, row)}: {column} is {found}; expected {expected}"


def _place(name: str, frame: pd.DataFrame, row: int) -> str:
    """Return a row's position, as ``iloc`` counts, and its ids."""
    ids = " ".join(str(frame[key].iloc[row]) for key in KEYS[name])
    return f"{name}.iloc[{row}] ({ids})"
