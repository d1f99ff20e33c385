"""How many queries a claim takes, and how far training seeds add to its doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from embedlab.errors import DataError
from embedlab.evaluation.results import Ends
from embedlab.evaluation.statistics.intervals import Groups, labels_of, worth_of
from embedlab.evaluation.statistics.resampling import Floats

POWER = 0.80

MOST_QUERIES = 10**6
"""Where more would be needed, no number is named: nobody judges so many."""


def design_effect(difference: Floats, labels: list[str]) -> float:
    """Return how many times a mean's variance grows because queries come in groups, at least 1.

    The ratio of the cluster-robust variance of the mean to the variance under independence
    (Kish 1965).
    """
    n = len(difference)
    # Where there is no spread, or but one group, the two variances have no ratio.
    if n < 2 or len(set(labels)) < 2:
        return 1.0
    independent = float(np.var(difference, ddof=1)) / n
    if independent == 0:
        return 1.0
    centred = pd.Series(difference - difference.mean())
    sums = centred.groupby(np.asarray(labels)).sum()
    g = len(sums)
    # Few groups make their variance look too small; g / (g - 1) makes up for it, as ddof=1 does above.
    clustered = float((sums**2).sum()) / n**2 * g / (g - 1)
    return max(1.0, clustered / independent)


def unit_error(difference: Floats, labels: list[str]) -> float:
    """Return the standard error of one query's difference: sd · √(design effect); 0 of fewer than two."""
    if len(difference) < 2:
        return 0.0
    return float(np.std(difference, ddof=1)) * math.sqrt(design_effect(difference, labels))


def quantile_sum(confidence: float = 0.95, power: float = POWER, units: float | None = None) -> float:
    """Return ``t(1/2 + confidence/2) + t(power)`` with ``units - 1`` degrees of freedom (Cohen 1988).

    2.80 at 95 % and 80 % of very many units, 3.15 of ten.

    Args:
        confidence: of the two-sided interval.
        power: chance to find the gain.
        units: independent ones, queries or groups, at least two; None for very many.
    """
    from scipy import stats

    spread = stats.norm if units is None else stats.t(max(units, 2) - 1)
    return float(spread.ppf(0.5 + confidence / 2) + spread.ppf(power))


def detectable_gain(
    error: float, n: int, min_gain: float = 0.0, confidence: float = 0.95, units: float | None = None
) -> float:
    """Return the true gain that ends in SHIP with 80 % power: ``min_gain + (t.975 + t.80) · SE`` (Cohen 1988).

    Args:
        error: the standard error of one query's paired difference, see :func:`unit_error`; SE is this over ``√n``.
        n: queries.
        min_gain: the contract's.
        confidence: the contract's; .975 is its upper quantile at 95 %.
        units: groups, where groups decide, as many of equal size as they are worth (see :func:`effective_groups`):
            few large ones make the interval wider than their number says. None for each query its own.
    """
    return min_gain + quantile_sum(confidence, units=units or n) * error / math.sqrt(n)


def chance_of_showing(
    error: float,
    n: int,
    gain: float,
    min_gain: float = 0.0,
    confidence: float = 0.95,
    units: float | None = None,
) -> float:
    """Return the chance that the interval's lower end reaches ``min_gain`` where ``gain`` is true: its power.

    The tail of the noncentral t beyond the quantile of the interval (Cohen 1988), with one degree of freedom less
    than there are units; 0 of fewer than two. Arguments as in :func:`detectable_gain`.
    """
    from scipy import stats

    independent = units or n
    if n < 1 or independent < 2:
        return 0.0
    if error == 0:
        return float(gain >= min_gain)
    freedom = independent - 1
    noncentral = (gain - min_gain) / (error / math.sqrt(n))
    return float(stats.nct.sf(stats.t.ppf(0.5 + confidence / 2, freedom), freedom, noncentral))


def queries_needed(error: float, gain: float, min_gain: float = 0.0, confidence: float = 0.95) -> int | None:
    """Return how many queries show a true gain with 80 % power; None above a million, or where none can.

    ``((t.975 + t.80) · error / (gain - min_gain))²``; arguments as in :func:`detectable_gain`.
    """
    if gain <= min_gain:
        return None
    by_normal = (quantile_sum(confidence) * error / (gain - min_gain)) ** 2
    if by_normal > MOST_QUERIES:
        return None
    needed = max(1, math.ceil(by_normal))
    # Student's t is wider than the normal by so little that a few queries more make up for it.
    while detectable_gain(error, needed, min_gain, confidence) > gain:
        needed += 1
    return needed


def groups_for(queries: int | None, sizes: pd.Series) -> int | None:
    """Return in how many groups, of the mean size of those at hand, so many queries come; None where there is none."""
    return None if queries is None else math.ceil(queries / float(sizes.mean()))


def effective_groups(sizes: pd.Series) -> float:
    """Return how many groups of equal size are worth what groups of these sizes are: ``(Σn)² / Σn²`` (Kish 1965)."""
    return worth_of(sizes.to_numpy(dtype=float))


@dataclass(frozen=True)
class SeedSpread:
    """How far a mean moves by the training seed (SD, of so many seeds) and by the choice of queries (SE)."""

    mean: float
    seed_sd: float
    query_se: float
    seeds: int

    @property
    def over_seeds(self) -> Ends:
        """The 95 % interval of the mean over training seeds, on the same queries (Student's t, 1908)."""
        from scipy import stats

        half = float(stats.t.ppf(0.975, self.seeds - 1)) * self.seed_sd / math.sqrt(self.seeds)
        return self.mean - half, self.mean + half


def seed_spread(scores: Floats, labels: list[str] | None = None) -> SeedSpread:
    """Set the spread over training seeds beside the spread over queries.

    Args:
        scores: a score, or a difference to the base, of each seed and query, ``[seeds, queries]``.
        labels: the group of each query; None: each its own.

    Returns:
        the mean; the standard deviation of the seeds' means; the standard error of the mean over
        queries, of scores averaged over seeds, with the design effect of the groups.

    Raises:
        DataError: under two seeds or two queries, of which no spread can be taken.
    """
    if scores.ndim != 2 or min(scores.shape) < 2:
        raise DataError(f"scores of shape {scores.shape}: expected two seeds and two queries or more")
    of_query, of_seed = scores.mean(axis=0), scores.mean(axis=1)
    effect = 1.0 if labels is None else design_effect(of_query, labels)
    # The seeds are averaged first, so that this is the doubt that more seeds would not take away.
    variance = float(np.var(of_query, ddof=1)) / len(of_query) * effect
    return SeedSpread(
        mean=float(scores.mean()),
        seed_sd=float(np.std(of_seed, ddof=1)),
        query_se=math.sqrt(variance),
        seeds=len(scores),
    )


def paired_spread(scores: Mapping[str, pd.Series], groups: Groups) -> pd.DataFrame:
    """Return how far two systems differ from query to query, for every pair of systems at hand.

    Args:
        scores: per-query scores of each system, over the same queries.
        groups: group by query id, or several such groupings by name.

    Returns:
        one row a pair, the widest first: ``pair, sd, design effect, unit error``; the last is
        ``sd · √(design effect)``, the design effect being Kish's (1965), the largest of all groupings.
    """
    rows = []
    for one, two in combinations(scores, 2):
        # pandas puts queries side by side by their ids, so the labels must follow the difference's own order.
        per_query = scores[two] - scores[one]
        difference = per_query.to_numpy(dtype=float)
        sd = float(np.std(difference, ddof=1)) if len(difference) > 1 else 0.0
        labels = labels_of(per_query.index, groups).values()
        effect = max(design_effect(difference, own) for own in labels)
        error = max(unit_error(difference, own) for own in labels)
        rows.append((f"{two} - {one}", sd, effect, error))
    table = pd.DataFrame(rows, columns=["pair", "sd", "design effect", "unit error"])
    return table.sort_values(["unit error", "pair"], ascending=[False, True], ignore_index=True)


def gain_curve(
    unit_error: float, counts: Sequence[int], min_gain: float, confidence: float, queries_a_group: float = 1.0
) -> pd.DataFrame:
    """Return the detectable gain at each number of queries, for a figure; ``queries_a_group`` of those groups worth."""
    gains = [detectable_gain(unit_error, n, min_gain, confidence, units=n / queries_a_group) for n in counts]
    return pd.DataFrame({"detectable gain": gains}, index=pd.Index(counts, name="queries"))
