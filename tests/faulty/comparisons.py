"""``embedlab compare``: runs, judgments, groups, measures and gains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from faulty import Outcome, Row, command

FACE = "`embedlab compare`"

RUN = "q1 Q0 a 1 2.0 t\nq1 Q0 b 2 1.0 t\nq2 Q0 a 1 2.0 t\n"
QRELS = "q1 0 a 1\nq2 0 a 1\n"

ROWS = (Row("--metric", "`P@` without a cutoff", "error", "unknown measure 'P@'", {"metric": "P@"}),)


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Write the two runs and the judgments, some of them as the row has them; return the comparison."""
    given = {"base.run": RUN, "tuned.run": RUN, "qrels": QRELS} | row.given
    metric = given.pop("metric", "nDCG@10")
    for name, text in given.items():
        (folder / name).write_text(text, encoding="utf-8")
    return lambda: command(
        "compare", folder / "base.run", folder / "tuned.run", "--qrels", folder / "qrels", "--metric", metric
    )
