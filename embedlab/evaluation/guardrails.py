"""Guardrail slices: which lost more than is accepted, which held, and which are too small to tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from embedlab.evaluation.comparison import holm
from embedlab.evaluation.intervals import Floats, by_group, cluster_t, interval
from embedlab.evaluation.results import HELD, LOST, UNSURE, SliceResult

COLUMNS = ["slice", "queries", "delta", "low", "high", "guardrail", "p", "p_holm", "state"]


def slice_table(
    members: pd.DataFrame,
    before: pd.Series,
    after: pd.Series,
    groups: Mapping[str, str],
    contract: Mapping[str, Any],
    smallest: int,
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
        groups: group by query id.
        contract: its guardrail slices, tolerance and confidence are used.
        smallest: fewest queries that are judged.
        seed: of the resampling.

    Returns:
        one row a slice in the columns of ``COLUMNS``; what was not computed is None.
    """
    tolerance, rows, tests = contract["slice_tolerance"], [], {}
    for name in dict.fromkeys([*members.columns, *contract["guardrail_slices"]]):
        inside = members.index[members[name]] if name in members else members.index[:0]
        ids, guard = before.index.intersection(inside).sort_values(), name in contract["guardrail_slices"]
        row: dict[str, Any] = {"slice": name, "queries": len(ids), "guardrail": guard}
        if len(ids) >= max(smallest, 2):
            difference, labels = (after[ids] - before[ids]).to_numpy(dtype=float), [groups[q] for q in ids]
            low, high = interval(difference, labels, seed)
            row |= {"delta": float(difference.mean()), "low": low, "high": high}
            if guard:
                tests[name] = loss_p(difference, labels, tolerance)
        elif not guard:
            continue
        rows.append(row)
    adjusted = holm(tests)
    for row in rows:
        if row["guardrail"]:
            p_holm = adjusted.get(row["slice"])
            lost = p_holm is not None and p_holm < 1 - contract["confidence"]
            held = "low" in row and row["low"] >= -tolerance
            row |= {"p": tests.get(row["slice"]), "p_holm": p_holm, "state": LOST if lost else HELD if held else UNSURE}
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({c: float for c in ("delta", "low", "high", "p", "p_holm")})


def loss_p(difference: Floats, labels: list[str], tolerance: float) -> float:
    """Return the one-sided p-value of "the mean loss is at most the tolerance", by Student's t over groups."""
    if len(set(labels)) < 2:
        return 1.0
    return cluster_t(*by_group(difference, labels)).p_value(-tolerance, "less")


def slice_results(table: pd.DataFrame) -> list[SliceResult]:
    """Return the rows of a :func:`slice_table` as plain values."""
    plain = table[COLUMNS].astype(object).where(table[COLUMNS].notna(), None)
    return [SliceResult(**{str(k): v for k, v in row.items()}) for row in plain.to_dict("records")]
