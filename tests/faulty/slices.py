"""``query_slices``: the slices that step 01 is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

from embedlab.data import Collection
from embedlab.evaluation import query_slices, slices
from faulty import Outcome, Row, called

FACE = "`slices` of step 01"

TEXT = "who spotted the otter at the river, and when " + "a" * 3000 + "!"


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Return the slicing of forty queries by what the row gives; time is cut short, so that no row takes long."""
    corpus = pd.DataFrame({"doc_id": ["d1", "d2"], "title": "", "text": ["an otter", "a heron"]})
    ids = [f"q{i}" for i in range(40)]
    queries = pd.DataFrame({"query_id": ids, "text": TEXT, "part": "dev", "group": ids, "device": "mobile"})
    queries = queries.assign(year=[str(2000 + i % 3) for i in range(40)])
    qrels = pd.DataFrame({"query_id": ids, "doc_id": "d1", "relevance": 1})
    given = row.given if isinstance(row.given, list) else [row.given]

    def slice_them() -> Any:
        with mock.patch.object(slices, "PATIENCE", 0.3):
            return query_slices(Collection(corpus, queries, qrels), given)

    return lambda: called(slice_them)


EXPECTED = "expected 'name: regular expression' or 'field=value'"
SLOW = "the expression took longer than 0.3 s, of 40 queries"

ROWS = (
    Row("slices", "an expression and a field", "accepted", "", ["errors: (?i)error|exception", "device=mobile"]),
    Row("slices", "none", "accepted", "", []),
    Row("slices", "a value that no query has", "accepted", "", "device=fridge"),
    Row("slices", "an expression with a colon", "accepted", "", "urls: https?://"),
    Row("slices", "an expression with properties", "accepted", "", r"greek: \p{Greek}"),
    Row("expression", "repeats what repeats in itself", "error", f"'slow: (a+)+$': {SLOW}", r"slow: (a+)+$"),
    Row("expression", "repeats alternatives", "error", SLOW, r"slow: (a|aa)+$"),
    Row("expression", "repeats with a back reference", "error", SLOW, r"slow: (a+)\1+(a+)\2+$"),
    Row("expression", "a bracket that is open", "error", "not a regular expression: missing )", "broken: ("),
    Row("expression", "nothing to repeat", "error", "not a regular expression: nothing to repeat", "broken: *"),
    Row("expression", "a backslash at its end", "error", "not a regular expression: bad escape", "broken: a\\"),
    Row("expression", "5,000 brackets", "error", "not a regular expression", "deep: " + "(" * 5000 + ")" * 5000),
    Row("expression", "repeats 10**20 times", "error", "not a regular expression", "many: a{99999999999999999999}"),
    Row("expression", "blank", "error", "the name or the expression is blank", "name: "),
    Row("name", "blank", "error", "the name or the expression is blank", ": otter"),
    Row("name", "blank, all of it", "error", EXPECTED, ""),
    Row("name", "without an expression", "error", EXPECTED, "otter"),
    Row("name", "doubled", "error", "'otter' stands twice in the list", ["otter: a", "otter: b"]),
    Row("name", "the same entry twice", "error", "stands twice in the list", ["device=mobile", "device=mobile"]),
    Row("name", "of a slice that is computed", "error", "the slice 'negation' is computed already", "negation: not"),
    Row("name", "of a column that stands beside it", "error", "'rank' is taken", "rank: a"),
    Row("name", "with a newline", "error", "a character that cannot be printed", "a\nb: otter"),
    Row("name", "with NUL", "error", "a character that cannot be printed", "a\0b: otter"),
    Row("name", "with half a surrogate pair", "error", "a character that cannot be printed", "a\ud800b: otter"),
    Row("name", "with a mark of direction", "error", "a character that cannot be printed", "a\u202eb: otter"),
    Row("name", "of 10,000 characters", "error", "has 10,000 characters; expected at most 100", "x" * 10_000 + ": otter"),
    Row("name", "with HTML", "accepted", "", "<b>otter</b>: otter"),
    Row("field", "that no query has", "error", f"'colour=red': {EXPECTED}", "colour=red"),
    Row("field", "without a value", "error", EXPECTED, "device="),
    Row("field", "without a name", "error", EXPECTED, "=mobile"),
    Row("field", "one of ours", "error", EXPECTED, "part=dev"),
    Row("field", "of numbers", "accepted", "", "year=2001"),
)  # fmt: skip
