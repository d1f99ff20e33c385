"""How far a mean paired difference is known: over queries, and over groups of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Ends = tuple[float, float]

RESAMPLES = 10_000

BATCH_VALUES = 4_000_000
"""Values that one batch of resamples may hold: 32 MB a copy, whatever the number of queries."""

WIDEST = 1.0
"""How far two means of a measure in 0..1 can lie apart."""

FEW_UNLIKE = 10
"""Where fewer units than this differ from the rest, which tie, the rule of three widens the interval."""

Alternative = Literal["greater", "less"]


class Estimate(Protocol):
    """What the true difference may be, as one method sees it."""

    def ends(self, confidence: float) -> Ends:
        """Return the two-sided interval."""
        ...

    def p_value(self, bound: float, alternative: Alternative) -> float:
        """Return the one-sided p-value that goes with the interval's end."""
        ...


@dataclass(frozen=True)
class Bootstrap:
    """The means of all resamples, ``[RESAMPLES]``: the percentile bootstrap (Efron and Tibshirani 1993)."""

    means: Floats

    def ends(self, confidence: float) -> Ends:
        """Return the interval between two percentiles of the resampled means."""
        tail = (1 - confidence) / 2
        low, high = np.quantile(self.means, [tail, 1 - tail])
        return float(low), float(high)

    def p_value(self, bound: float, alternative: Alternative) -> float:
        """Return the share of resampled means at ``bound`` or beyond it, on the wrong side."""
        wrong = self.means <= bound if alternative == "greater" else self.means >= bound
        return float((1 + wrong.sum()) / (1 + len(self.means)))


@dataclass(frozen=True)
class StudentT:
    """Student's t over units, queries or groups: ``units - 1`` degrees of freedom, the jackknife's standard error."""

    mean: float
    error: float
    units: int

    def ends(self, confidence: float) -> Ends:
        """Return ``mean ± t · error``."""
        from scipy import stats

        half = float(stats.t.ppf(0.5 + confidence / 2, self.units - 1)) * self.error
        return self.mean - half, self.mean + half

    def p_value(self, bound: float, alternative: Alternative) -> float:
        """Return the tail of Student's distribution beyond ``bound``."""
        from scipy import stats

        above = self.mean - bound if alternative == "greater" else bound - self.mean
        return float(stats.t.sf(above / self.error, self.units - 1))


@dataclass(frozen=True)
class Unseen:
    """Units of which nearly all show the same difference: the rule of three (Hanley and Lippman-Hand 1983), exact.

    Of units that are unlike these at most a share of ``1 - tail^(1 / units)`` can have gone unseen; their
    differences may lie anywhere between minus one and one.
    """

    mean: float
    units: int

    def ends(self, confidence: float) -> Ends:
        """Return what the mean is where all unseen ones are as low, and as high, as they can be."""
        share = 1 - ((1 - confidence) / 2) ** (1 / self.units)
        seen = (1 - share) * self.mean
        return seen - share * WIDEST, seen + share * WIDEST

    def p_value(self, bound: float, alternative: Alternative) -> float:
        """Return the chance to see none of as many unlike units as take the mean to ``bound``."""
        above = self.mean - bound if alternative == "greater" else bound - self.mean
        farthest = WIDEST + self.mean if alternative == "greater" else WIDEST - self.mean
        if above <= 0:
            return 1.0
        if above >= farthest:
            return 0.0
        return float((1 - above / farthest) ** self.units)


@dataclass(frozen=True)
class Nothing:
    """One unit alone, which says nothing of others."""

    def ends(self, confidence: float) -> Ends:
        """Return the widest interval there is."""
        return -WIDEST, WIDEST

    def p_value(self, bound: float, alternative: Alternative) -> float:
        """Return that everything is as likely."""
        return 1.0


@dataclass(frozen=True)
class Gain:
    """A mean paired difference as several methods see it, over queries and, where some share a group, over groups."""

    queries: tuple[Estimate, ...]
    groups: tuple[Estimate, ...]

    def over_queries(self, confidence: float = 0.95) -> Ends:
        """Return the interval for other queries like these."""
        return widest(self.queries, confidence)

    def over_groups(self, confidence: float = 0.95) -> Ends | None:
        """Return the interval for other groups like these."""
        return widest(self.groups, confidence) if self.groups else None

    def ends(self, confidence: float = 0.95) -> Ends:
        """Return the interval that decides: on each side the farthest end of all."""
        return widest((*self.queries, *self.groups), confidence)

    def p_value(self, bound: float = 0.0, alternative: Alternative = "greater") -> float:
        """Return the one-sided p-value of "the true difference is at most ``bound``", the largest of all.

        It inverts the interval that decides: it is under ``(1 - confidence) / 2`` just where the lower end
        lies above the bound. With ``less`` the null is "at least ``bound``": for a slice at minus the
        tolerance, that the loss is at most the tolerance.
        """
        return max(estimate.p_value(bound, alternative) for estimate in (*self.queries, *self.groups))


def widest(estimates: Sequence[Estimate], confidence: float) -> Ends:
    """Return the lowest lower and the highest upper end of several intervals."""
    ends = [estimate.ends(confidence) for estimate in estimates]
    return min(low for low, _ in ends), max(high for _, high in ends)


def gain(difference: Floats, labels: list[str] | None = None, seed: int = 0) -> Gain:
    """Estimate a mean paired difference.

    Queries are resampled (percentile bootstrap), and Student's t is taken beside it: of few queries
    either alone is too narrow. Where several share a label, the same is done over whole groups
    (cluster bootstrap, Field and Welsh 2007; cluster-robust t). BCa and the bootstrap-t are no
    better here: where many queries tie, their intervals are narrower still.

    Args:
        difference: per-query differences, ``[n]``.
        labels: the group of each query; None: each its own.
        seed: of the resampling.
    """
    over_queries = estimates(difference, np.ones(len(difference)), seed)
    if labels is None or len(set(labels)) == len(difference):
        return Gain(over_queries, ())
    return Gain(over_queries, estimates(*by_group(difference, labels), seed))


def estimates(sums: Floats, sizes: Floats, seed: int) -> tuple[Estimate, ...]:
    """Return what is known of the mean ``sum(sums) / sum(sizes)``; arguments as for :func:`student_t`."""
    if len(sums) < 2:
        return (Nothing(),)
    unseen = Unseen(float(sums.sum() / sizes.sum()), len(sums))
    unlike = unlike_the_rest(sums / sizes)
    if unlike == 0:
        return (unseen,)
    found = bootstrap(sums, sizes, seed), student_t(sums, sizes)
    # Where few units are unlike the rest, others of their kind are easily missed: resamples know only those seen.
    rare = unlike < FEW_UNLIKE and unlike < len(sums) / 2
    return (*found, unseen) if rare else found


def unlike_the_rest(rates: Floats) -> int:
    """Return how many units differ from the most frequent value."""
    _, counts = np.unique(rates.round(12), return_counts=True)
    return len(rates) - int(counts.max())


def by_group(difference: Floats, labels: list[str]) -> tuple[Floats, Floats]:
    """Return the sum of differences in each group and the number of its queries, ``[groups]`` each."""
    frame = pd.DataFrame({"sum": difference, "size": 1.0}).groupby(np.asarray(labels)).sum()
    return frame["sum"].to_numpy(), frame["size"].to_numpy()


def interval(
    difference: Floats, labels: list[str] | None = None, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of a mean paired difference that decides; arguments as in :func:`gain`."""
    return gain(difference, labels, seed).ends(confidence)


def student_t(sums: Floats, sizes: Floats) -> StudentT:
    """Return Student's t over units of the mean ``sum(sums) / sum(sizes)``.

    The standard error leaves out one unit at a time (CV3 of MacKinnon, Nielsen and Webb 2023),
    which holds for groups of unequal size.

    Args:
        sums: the sum of differences in each unit (a query, a group), ``[units]``, two or more, not all alike.
        sizes: the queries in each unit.
    """
    n = len(sums)
    mean = float(sums.sum() / sizes.sum())
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    error = float(np.sqrt((n - 1) / n * ((without - mean) ** 2).sum()))
    return StudentT(mean, error, n)


def bootstrap(sums: Floats, sizes: Floats, seed: int) -> Bootstrap:
    """Return the resampled means ``sum(sums) / sum(sizes)``; arguments as for :func:`student_t`."""
    from scipy import stats

    result = stats.bootstrap(
        (sums, sizes),
        lambda s, n, axis=-1: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH_VALUES // len(sums)),
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Bootstrap(result.bootstrap_distribution)


def randomization_p(difference: Floats, labels: list[str] | None = None, seed: int = 0) -> float:
    """Return the two-sided p-value of the paired randomization test of a difference of zero.

    The sign of each group's differences is flipped at random (Fisher 1935; Smucker et al. 2007): queries
    of one group rise and fall together, and signs flipped one by one find differences where there are
    none. Groups that tie change no resample and are left out.

    Args:
        difference: per-query differences, ``[n]``.
        labels: the group of each query; None: each its own.
        seed: of the flips.
    """
    from scipy import stats

    sums = difference if labels is None else by_group(difference, labels)[0]
    moved = sums[np.abs(sums) > 1e-12]
    # Of one group that moved both signs are equally far from zero.
    if len(moved) < 2:
        return 1.0
    result = stats.permutation_test(
        (moved,),
        lambda d, axis=-1: d.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES - 1,
        batch=max(1, BATCH_VALUES // len(moved)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)
