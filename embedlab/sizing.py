"""How large a test must be: the gain that it can show, and the queries that a gain needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from embedlab.power import MOST_QUERIES, design_effect, z_sum


def detectable_gain(unit_error: float, n: int, min_gain: float, confidence: float = 0.95) -> float:
    """Return the true gain that ends in SHIP with 80 % power: ``min_gain + (z.975 + z.80) · SE``.

    Args:
        unit_error: the standard error of one query's paired difference; SE is this over ``√n``.
        n: queries.
        min_gain: the contract's.
        confidence: the contract's; .975 is its upper quantile at 95 %.
    """
    return min_gain + z_sum(confidence) * unit_error / math.sqrt(n)


def queries_needed(unit_error: float, gain: float, min_gain: float, confidence: float = 0.95) -> int | None:
    """Return how many queries show a true gain with 80 % power; None above a million, or where none can."""
    if gain <= min_gain:
        return None
    needed = (z_sum(confidence) * unit_error / (gain - min_gain)) ** 2
    return max(1, math.ceil(needed)) if needed <= MOST_QUERIES else None


def paired_spread(scores: Mapping[str, pd.Series], groups: Mapping[str, str]) -> pd.DataFrame:
    """Return how far two systems differ from query to query, for every pair of systems at hand.

    Args:
        scores: per-query scores of each system, over the same queries.
        groups: group by query id.

    Returns:
        one row a pair, the widest first: ``pair, sd, design effect, unit error``; the last is
        ``sd · √(design effect)``, the design effect being Kish's (1965).
    """
    rows = []
    for one, two in combinations(scores, 2):
        difference = (scores[two] - scores[one]).to_numpy(dtype=float)
        effect = design_effect(difference, [groups[q] for q in scores[one].index])
        sd = float(np.std(difference, ddof=1)) if len(difference) > 1 else 0.0
        rows.append((f"{two} - {one}", sd, effect, sd * math.sqrt(effect)))
    table = pd.DataFrame(rows, columns=["pair", "sd", "design effect", "unit error"])
    return table.sort_values(["unit error", "pair"], ascending=[False, True], ignore_index=True)


def gain_curve(unit_error: float, counts: Sequence[int], min_gain: float, confidence: float) -> pd.DataFrame:
    """Return the detectable gain at each number of queries, for a figure."""
    gains = [detectable_gain(unit_error, n, min_gain, confidence) for n in counts]
    return pd.DataFrame({"detectable gain": gains}, index=pd.Index(counts, name="queries"))
