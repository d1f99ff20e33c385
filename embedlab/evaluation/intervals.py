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
"""How far two means of a measure in 0..1 can lie apart: the interval where one group alone is left."""

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
class ClusterT:
    """Student's t over groups: ``groups - 1`` degrees of freedom and the jackknife's standard error."""

    mean: float
    error: float
    groups: int

    def ends(self, confidence: float) -> Ends:
        """Return ``mean ± t · error``."""
        from scipy import stats

        half = float(stats.t.ppf(0.5 + confidence / 2, self.groups - 1)) * self.error
        return self.mean - half, self.mean + half

    def p_value(self, bound: float, alternative: Alternative) -> float:
        """Return the tail of Student's distribution beyond ``bound``."""
        from scipy import stats

        above = self.mean - bound if alternative == "greater" else bound - self.mean
        if self.error == 0:
            return 0.0 if above > 0 else 1.0
        return float(stats.t.sf(above / self.error, self.groups - 1))


@dataclass(frozen=True)
class Gain:
    """A mean paired difference over queries and, where some share a group, over groups."""

    queries: Estimate
    groups: tuple[Estimate, ...]

    def over_queries(self, confidence: float = 0.95) -> Ends:
        """Return the interval for other queries like these."""
        return self.queries.ends(confidence)

    def over_groups(self, confidence: float = 0.95) -> Ends | None:
        """Return the interval for other groups like these, the wider of the two methods'."""
        return widest(self.groups, confidence).ends(confidence) if self.groups else None

    def deciding(self, confidence: float = 0.95) -> Estimate:
        """Return the estimate with the widest interval of all."""
        return widest((self.queries, *self.groups), confidence)


def widest(estimates: Sequence[Estimate], confidence: float) -> Estimate:
    """Return the estimate whose interval is widest; the first of equals."""

    def width(estimate: Estimate) -> float:
        low, high = estimate.ends(confidence)
        return high - low

    return max(estimates, key=width)


def gain(difference: Floats, labels: list[str] | None = None, seed: int = 0) -> Gain:
    """Estimate a mean paired difference.

    Queries are resampled (percentile bootstrap). Where several share a label, whole groups are
    resampled too (cluster bootstrap, Field and Welsh 2007), and Student's t over groups is
    taken beside it, because resampling few groups gives intervals that are too narrow.

    Args:
        difference: per-query differences, ``[n]``.
        labels: the group of each query; None: each its own.
        seed: of the resampling.
    """
    ones = np.ones(len(difference))
    queries = _bootstrap(difference, ones, seed)
    if labels is None or len(set(labels)) == len(difference):
        return Gain(queries, ())
    sums, sizes = by_group(difference, labels)
    groups: tuple[Estimate, ...] = (_bootstrap(sums, sizes, seed),)
    return Gain(queries, groups if len(sums) < 2 else (*groups, cluster_t(sums, sizes)))


def by_group(difference: Floats, labels: list[str]) -> tuple[Floats, Floats]:
    """Return the sum of differences in each group and the number of its queries, ``[groups]`` each."""
    frame = pd.DataFrame({"sum": difference, "size": 1.0}).groupby(np.asarray(labels)).sum()
    return frame["sum"].to_numpy(), frame["size"].to_numpy()


def interval(
    difference: Floats, labels: list[str] | None = None, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the interval of a mean paired difference that decides; arguments as in :func:`gain`."""
    return gain(difference, labels, seed).deciding(confidence).ends(confidence)


def one_sided_p(
    difference: Floats,
    labels: list[str] | None = None,
    bound: float = 0.0,
    alternative: Alternative = "greater",
    seed: int = 0,
    confidence: float = 0.95,
) -> float:
    """Return the one-sided p-value of "the true difference is at most ``bound``".

    It inverts the interval that decides (bootstrap: Efron and Tibshirani 1993, chapter 15;
    Student's t over groups otherwise), so it is under ``(1 - confidence) / 2`` where the lower
    end lies above the bound. With ``alternative="less"`` the null is "at least ``bound``": for
    a slice with ``bound=-tolerance``, that the loss is at most the tolerance.
    """
    return gain(difference, labels, seed).deciding(confidence).p_value(bound, alternative)


def cluster_t(sums: Floats, sizes: Floats) -> ClusterT:
    """Return Student's t over groups of the mean ``sum(sums) / sum(sizes)``.

    The standard error leaves out one group at a time (CV3 of MacKinnon, Nielsen and Webb 2023),
    which holds for groups of unequal size.

    Args:
        sums: the sum of differences in each group, ``[groups]``, two or more.
        sizes: the queries in each group.
    """
    n = len(sums)
    mean = float(sums.sum() / sizes.sum())
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    error = float(np.sqrt((n - 1) / n * ((without - mean) ** 2).sum()))
    return ClusterT(mean, error, n)


def _bootstrap(sums: Floats, sizes: Floats, seed: int) -> Bootstrap:
    from scipy import stats

    if len(sums) < 2:
        return Bootstrap(np.repeat([-WIDEST, WIDEST], RESAMPLES // 2))
    rates = sums / sizes
    if np.allclose(rates, rates[0], rtol=0, atol=1e-12):
        return Bootstrap(np.full(RESAMPLES, sums.sum() / sizes.sum()))
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


def randomization_p(difference: Floats, seed: int = 0) -> float:
    """Return the two-sided p-value of the paired randomization test of a difference of zero.

    Signs are flipped at random (Fisher 1935; Smucker et al. 2007). Queries that tie change no
    resample and are left out.
    """
    from scipy import stats

    moved = difference[np.abs(difference) > 1e-12]
    if len(moved) == 0 or len(difference) < 2:
        return 1.0
    if len(moved) == 1:
        return 1.0  # both signs are equally far from zero
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
