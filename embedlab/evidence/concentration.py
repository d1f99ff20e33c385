"""Does the gain come from everywhere, or from one slice or one group?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from embedlab import stats

LARGEST_SLICE = 0.5
"""A slice with more than this share of the queries is no part of them, and is not left out."""


def concentration(
    difference: pd.Series,
    groups: Mapping[str, str],
    members: pd.DataFrame,
    min_gain: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Say who gains, and what is left of the gain without its best slice and its best group.

    Args:
        difference: paired differences by query id.
        groups: group by query id.
        members: one boolean column a slice, indexed by query id.
        min_gain: the contract's.
        confidence: of the intervals.
        seed: of the resampling.

    Returns:
        shares ``improved`` and ``hurt``; ``without_best_slice`` and ``without_best_group`` with
        ``name, delta, ci`` (None where there is nothing to leave out); ``narrow``: the names whose
        leaving takes the interval's lower end below the minimum gain, none where it lay there before.
    """

    def ends(rest: pd.Series) -> tuple[float, float]:
        return stats.interval(rest.to_numpy(dtype=float), [groups[q] for q in rest.index], seed, confidence)

    most = LARGEST_SLICE * len(difference)
    slices = {str(name): set(members.index[members[name]]) & set(difference.index) for name in members}
    by_group: dict[str, set[str]] = {}
    for query_id in difference.index:
        by_group.setdefault(f"group {groups[query_id]}", set()).add(query_id)
    left = {
        "without_best_slice": _best({name: ids for name, ids in slices.items() if 0 < len(ids) <= most}, difference),
        "without_best_group": _best(by_group if len(by_group) > 1 else {}, difference),
    }
    found: dict[str, Any] = {"improved": float((difference > 1e-9).mean()), "hurt": float((difference < -1e-9).mean())}
    for key, best in left.items():
        rest = difference.drop(list(best[1])) if best else difference
        found[key] = {"name": best[0], "delta": float(rest.mean()), "ci": list(ends(rest))} if best else None
    sure = ends(difference)[0] >= min_gain
    found["narrow"] = [found[k]["name"] for k in left if sure and found[k] and found[k]["ci"][0] < min_gain]
    return found


def _best(parts: Mapping[str, set[str]], difference: pd.Series) -> tuple[str, set[str]] | None:
    """Return the part without which the mean is lowest, by name where several are."""
    rests = {name: float(difference.drop(list(ids)).mean()) for name, ids in sorted(parts.items())}
    name = min(rests, key=lambda key: rests[key], default=None)
    return (name, parts[name]) if name is not None else None
