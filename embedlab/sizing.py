"""How large a test must be: the gain that it can show, and the queries that a gain needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from embedlab.power import design_effect, unit_error
from embedlab.power import detectable_gain as detectable_gain
from embedlab.power import queries_needed as queries_needed


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
        labels = [groups[q] for q in scores[one].index]
        sd = float(np.std(difference, ddof=1)) if len(difference) > 1 else 0.0
        rows.append((f"{two} - {one}", sd, design_effect(difference, labels), unit_error(difference, labels)))
    table = pd.DataFrame(rows, columns=["pair", "sd", "design effect", "unit error"])
    return table.sort_values(["unit error", "pair"], ascending=[False, True], ignore_index=True)


def gain_curve(unit_error: float, counts: Sequence[int], min_gain: float, confidence: float) -> pd.DataFrame:
    """Return the detectable gain at each number of queries, for a figure."""
    gains = [detectable_gain(unit_error, n, min_gain, confidence) for n in counts]
    return pd.DataFrame({"detectable gain": gains}, index=pd.Index(counts, name="queries"))
