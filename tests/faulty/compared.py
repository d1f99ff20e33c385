"""``embedlab.compare``: the same from Python, where runs, judgments and groups may be objects of any kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import embedlab
from faulty import Outcome, Row, called

FACE = "`embedlab.compare`"

RUN = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 2.0}}
QRELS = {"q1": {"a": 1}, "q2": {"a": 1}}


def frame(*rows: tuple[Any, ...], columns: tuple[str, ...] = ("query_id", "doc_id", "score")) -> pd.DataFrame:
    """Return a run, or what passes for one, as a frame."""
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object)


def broken(where: str, what: str, says: str, given: Any) -> Row:
    """Return a row that ends in an error; ``where`` is the argument."""
    return Row(where, what, "error", says, given)


def taken(where: str, what: str, given: Any) -> Row:
    """Return a row that is legal, however odd it looks."""
    return Row(where, what, "accepted", "", given)


KINDS = "expected a file, a dict of dicts or a DataFrame, found"

ROWS = (
    *(broken("baseline", name, f"baseline: {KINDS} {kind}", value) for name, kind, value in (
        ("None", "NoneType", None), ("a number", "int", 7), ("a list", "list", [("q1", "a", 1.0)]),
        ("a dict of lists", "dict", {"q1": ["a", "b"]}), ("bytes", "bytes", b"base.run"))),
    broken("baseline", "a name with a NUL", "there is no such file", "base\0.run"),
    broken("baseline", "a name with half a surrogate pair", "base\\ud800.run: cannot be read", "base\ud800.run"),
    broken("baseline", "a name of 100,000 characters", "(100,000 characters): cannot be read", "x" * 100_000),
    broken("baseline", "an empty dict", "none of its 0 queries", {}),
    broken("baseline", "an empty frame", "columns ['query_id', 'doc_id', 'score'] are missing", pd.DataFrame()),
    broken("baseline", "a column twice", "the column score stands twice",
           frame(("q1", "a", 1.0, 2.0), columns=("query_id", "doc_id", "score", "score"))),
    *(broken("baseline", f"a score that is {name}", "is not finite (document a)", {"q1": {"a": value}})
      for name, value in (("None", None), ("NaN", float("nan")), ("-inf", float("-inf")), ("a word", "high"),
                          ("a list", [1]), ("a complex number", 1j), ("a date", pd.Timestamp("2024-01-01")),
                          ("an int of 400 digits", 10**400), ("an underscored text", "1_0"))),
    taken("baseline", "scores as text", {"q1": {"a": "2.0", "b": "1"}, "q2": {"a": "2"}}),
    taken("baseline", "scores of numpy", {"q1": {"a": np.float16(2)}, "q2": {"a": np.int8(1)}}),
    *(broken("baseline", f"an id that is {name}", says, frame((value, "a", 1.0))) for name, says, value in (
        ("None", "row 0 has no query_id", None), ("NaN", "row 0 has no query_id", float("nan")),
        ("blank", "is no id: nothing but blanks", ""), ("two blanks", "is no id: nothing but blanks", "  "),
        ("a NUL", "'q\\x00' is no id: a NUL", "q\0"), ("half a pair", "'q\\ud800' is no id", "q\ud800"),
        ("a list", "none of its 1 queries", ["q1"]))),
    broken("baseline", "one id as a number and as a text", "query 1 has document a twice",
           frame((1, "a", 1.0), ("1", "a", 2.0))),
    *(broken("qrels", f"a grade that is {name}", says, {"q1": {"a": value}}) for name, says, value in (
        ("half", "is not a whole number", 0.5), ("None", "is not a whole number", None),
        ("a word", "is not a whole number", "good"), ("a list", "is not a whole number", [1]),
        ("10⁹", "grade 1000000000 is not between -10 and 10", 10**9), ("10²⁰", "is not between", 10**20),
        ("10⁴⁰⁰", "is not a whole number", 10**400), ("-10²⁰", "is not between", -(10**20)))),
    taken("qrels", "grades as text", {"q1": {"a": "1"}, "q2": {"a": "1"}}),
    taken("qrels", "grades as truth values", {"q1": {"a": True}, "q2": {"a": True}}),
    broken("qrels", "an empty dict", "qrels: no judgments in it", {}),
    broken("qrels", "a NUL in an id", "is no id: a NUL", {"q1": {"a\0": 1, "a\0b": 0}}),
    *(broken("metric", name, "unknown measure", value) for name, value in (
        ("None", None), ("a number", 10), ("bytes", b"nDCG@10"), ("a list", ["nDCG@10"]))),
    *(broken("min_gain", name, "min_gain must be a number", value) for name, value in (
        ("NaN", float("nan")), ("infinite", float("inf")), ("5", 5), ("a text", "0.1"), ("None", None), ("True", True),
        ("a complex number", 1j))),
    *(broken("confidence", name, "confidence must", value) for name, value in (
        ("NaN", float("nan")), ("0", 0), ("1", 1), ("95", 95), ("a text", "0.95"), ("None", None))),
    *(broken("seed", name, "seed must be a whole number", value) for name, value in (
        ("-1", -1), ("1.5", 1.5), ("a text", "0"), ("None", None))),
    *(broken("groups", name, says, value) for name, says, value in (
        ("a list", "expected the group of each query by its id, found list", ["g", "h"]),
        ("a number", "expected the group of each query by its id, found int", 7),
        ("an empty dict", "2 of 2 judged queries have no group", {}),
        ("a group that is None", "1 of 2 judged queries have no group, the first: 'q2'", {"q1": "g", "q2": None}),
        ("a group that is NaN", "1 of 2 judged queries have no group", {"q1": "g", "q2": float("nan")}),
        ("a blank group", "1 of 2 judged queries have no group", {"q1": "g", "q2": " "}),
        ("groups and groupings in one", "found both in one", {"q1": "g", "by date": {"q1": "g", "q2": "h"}}),
        ("a grouping that lacks a query", "1 of 2 judged queries have no by date", {"by date": {"q1": "g"}}))),
    taken("groups", "numbers", {"q1": 1, "q2": 1}),
)  # fmt: skip


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Return the comparison of two equal runs with one argument as the row has it."""
    arguments = {"qrels": QRELS, "baseline": RUN, "candidate": RUN} | {row.where: row.given}
    return lambda: called(lambda: embedlab.compare(**arguments))
