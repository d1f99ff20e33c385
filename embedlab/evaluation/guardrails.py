"""Guardrail slices: which lost more than is accepted, which held, and which are too small to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from embedlab.evaluation.comparison import holm
from embedlab.evaluation.results import HELD, LOST, UNSURE, SliceResult
from embedlab.evaluation.statistics.intervals import Groups, Labels, gain, labels_of
from embedlab.evaluation.statistics.resampling import Floats

COLUMNS = ["slice", "queries", "delta", "low", "high", "guardrail", "p", "p_holm", "state"]


def slice_table(
    members: pd.DataFrame,
    before: pd.Series,
    after: pd.Series,
    groups: Groups,
    guardrails: Sequence[str] = (),
    tolerance: float = 0.0,
    smallest: int = 2,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two systems on every slice, and judge the guardrails.

    A guardrail is ``lost`` where its loss is beyond the tolerance at the Holm-corrected level,
    ``held`` where its 95 % interval lies above minus the tolerance, else ``too small to tell``; so
    is one with fewer than ``smallest`` queries. Other slices that small are left out.

    Args:
        members: one boolean column a slice, indexed by query id.
        before: scores of the system to beat, by query id.
        after: scores of the other.
        groups: group by query id, or several such groupings by name.
        guardrails: names of the slices that must not get worse.
        tolerance: the loss on one of them that is accepted.
        smallest: fewest queries that are judged.
        confidence: with which a guardrail is called lost, over all of them together.
        seed: of the resampling.

    Returns:
        one row a slice in the columns of ``COLUMNS``; what was not computed is None.
    """
    rows = []
    for name in dict.fromkeys([*members.columns, *guardrails]):
        inside = members.index[members[name]] if name in members else members.index[:0]
        ids = before.index.intersection(inside).sort_values()
        enough = len(ids) >= max(smallest, 2)
        if not enough and name not in guardrails:
            continue
        row: dict[str, Any] = {"slice": name, "queries": len(ids), "guardrail": name in guardrails}
        if enough:
            difference = (after[ids] - before[ids]).to_numpy(dtype=float)
            row |= _compared(difference, labels_of(ids, groups), tolerance if row["guardrail"] else None, seed)
        rows.append(row)
    _judge(rows, tolerance, level=1 - confidence)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({c: float for c in ("delta", "low", "high", "p", "p_holm")})


def _compared(difference: Floats, labels: Labels, tolerance: float | None, seed: int) -> dict[str, float]:
    """Return the gain with its interval and, of a guardrail, the p-value of a loss beyond the tolerance."""
    known = gain(difference, labels, seed)
    low, high = known.ends()
    found = {"delta": float(difference.mean()), "low": low, "high": high}
    if tolerance is not None:
        found["p"] = known.p_value(-tolerance, "less")
    return found


def _judge(rows: list[dict[str, Any]], tolerance: float, level: float) -> None:
    """Add ``p_holm`` and ``state`` to the guardrails among the rows, which are judged together."""
    adjusted = holm({row["slice"]: row["p"] for row in rows if "p" in row})
    for row in rows:
        if not row["guardrail"]:
            continue
        p_holm = adjusted.get(row["slice"])
        row["p_holm"] = p_holm
        if p_holm is not None and p_holm < level:
            row["state"] = LOST
        elif "low" in row and row["low"] >= -tolerance:
            row["state"] = HELD
        else:
            row["state"] = UNSURE


def slice_results(table: pd.DataFrame) -> list[SliceResult]:
    """Return the rows of a :func:`slice_table` as plain values."""
    plain = table[COLUMNS].astype(object).where(table[COLUMNS].notna(), None)
    return [SliceResult(**{str(k): v for k, v in row.items()}) for row in plain.to_dict("records")]
