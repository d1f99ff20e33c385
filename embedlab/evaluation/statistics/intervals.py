"""How far a mean paired difference is known: over queries, and over groups of queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

import numpy as np
import pandas as pd

from embedlab.errors import DataError, shown
from embedlab.evaluation.statistics.resampling import Floats, flipped_sums, resampled_sums

Ends = tuple[float, float]

Labels = list[str] | Mapping[str, list[str]] | None
"""The group of each query in their order; or such lists by the name of a grouping; None: each its own."""

Groups = Mapping[str, str] | Mapping[str, Mapping[str, str]]
"""Group by query id; or several such mappings by the name of a grouping, such as ``document``."""

GROUP = "group"
"""The name of a grouping that is the only one."""

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
    units: float

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
    units: float

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
    """A mean paired difference as several methods see it, over queries and over each way of grouping them.

    Attributes:
        queries: estimates over queries.
        groupings: estimates over groups by the grouping's name; those alone in which some queries share a group.
    """

    queries: tuple[Estimate, ...]
    groupings: Mapping[str, tuple[Estimate, ...]]

    def over_queries(self, confidence: float = 0.95) -> Ends:
        """Return the interval for other queries like these."""
        return widest(self.queries, confidence)

    def over_groups(self, confidence: float = 0.95) -> Ends | None:
        """Return the interval for other groups like these: the farthest end of all groupings on each side."""
        found = [estimate for estimates in self.groupings.values() for estimate in estimates]
        return widest(found, confidence) if found else None

    def over(self, grouping: str, confidence: float = 0.95) -> Ends:
        """Return the interval for other groups of this grouping."""
        return widest(self.groupings[grouping], confidence)

    def _every(self) -> Iterator[Estimate]:
        yield from self.queries
        for estimates in self.groupings.values():
            yield from estimates

    def ends(self, confidence: float = 0.95) -> Ends:
        """Return the interval that decides: on each side the farthest end of all."""
        return widest(list(self._every()), confidence)

    def p_value(self, bound: float = 0.0, alternative: Alternative = "greater") -> float:
        """Return the one-sided p-value of "the true difference is at most ``bound``", the largest of all.

        It inverts the interval that decides: it is under ``(1 - confidence) / 2`` just where the lower end
        lies above the bound. With ``less`` the null is "at least ``bound``": for a slice at minus the
        tolerance, that the loss is at most the tolerance.
        """
        return max(estimate.p_value(bound, alternative) for estimate in self._every())


def widest(estimates: Sequence[Estimate], confidence: float) -> Ends:
    """Return the lowest lower and the highest upper end of several intervals."""
    ends = [estimate.ends(confidence) for estimate in estimates]
    return min(low for low, _ in ends), max(high for _, high in ends)


def labels_of(index: Iterable[str], groups: Groups | None) -> dict[str, list[str]]:
    """Return by the name of each grouping the group of each query; nothing where each query is its own.

    Args:
        index: query ids.
        groups: group by query id, a grouping called :data:`GROUP`; or several such mappings by their names.

    Raises:
        DataError: if a query has no group; says how many, and the first.
    """
    if groups is None:
        return {}
    if not isinstance(groups, Mapping):
        raise DataError(f"groups: expected the group of each query by its id, found {type(groups).__name__}")
    ids = [str(query_id) for query_id in index]
    found = {}
    for name, group_of in _by_name(groups).items():
        own = [_label(group_of.get(query_id)) for query_id in ids]
        missing = [query_id for query_id, label in zip(ids, own, strict=True) if not label]
        if missing:
            raise DataError(
                f"groups: {len(missing)} of {len(ids)} judged queries have no {name}, the first: {shown(missing[0])!r}"
            )
        found[name] = own
    return found


def _label(group: object) -> str:
    """Return the name of a group; nothing of None, NaN and blanks, which would put all their queries into one."""
    is_nan = group != group  # nothing else differs from itself
    return "" if group is None or is_nan else str(group).strip()


def _by_name(groups: Groups) -> Mapping[str, Mapping[str, str]]:
    several = {name: found for name, found in groups.items() if isinstance(found, Mapping)}
    if several and len(several) < len(groups):
        raise DataError("groups: expected the group of each query, or several such mappings by name, found both in one")
    return several or {GROUP: cast(Mapping[str, str], groups)}


def named(labels: Labels) -> Mapping[str, list[str]]:
    """Return the labels of each grouping by its name; none where each query is its own."""
    if labels is None:
        return {}
    return labels if isinstance(labels, Mapping) else {GROUP: labels}


def gain(difference: Floats, labels: Labels = None, seed: int = 0, weights: Floats | None = None) -> Gain:
    """Estimate a mean paired difference.

    Queries are resampled (percentile bootstrap), and Student's t is taken beside it: of few queries
    either alone is too narrow. Where several share a label, the same is done over whole groups
    (cluster bootstrap, Field and Welsh 2007; cluster-robust t), in each grouping by itself. BCa and the
    bootstrap-t are no better here: where many queries tie, their intervals are narrower still.

    Of a weighted mean each unit weighs what its queries do. Uneven weights leave fewer units of equal weight
    (Kish 1965): as many fewer count for Student's t and for the rule of three.

    Args:
        difference: per-query differences, ``[n]``.
        labels: the group of each query; several groupings by name; None: each its own.
        seed: of the resampling.
        weights: of the queries, ``[n]``, above 0; None: all alike.
    """
    weights = np.ones(len(difference)) if weights is None else weights
    worth = worth_of(weights) / len(weights)
    over_queries = estimates(difference * weights, weights, seed, worth)
    groupings = {}
    for name, own in named(labels).items():
        if len(set(own)) < len(own):
            groupings[name] = estimates(*by_group(difference, own, weights), seed, worth)
    return Gain(over_queries, groupings)


def worth_of(weights: Floats) -> float:
    """Return how many units of equal weight are worth what units of these weights are: ``(Σw)² / Σw²`` (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def estimates(
    sums: Floats, sizes: Floats, seed: int, worth: float = 1.0, resampled: Bootstrap | None = None
) -> tuple[Estimate, ...]:
    """Return what is known of the mean ``sum(sums) / sum(sizes)``.

    Args:
        sums: as for :func:`student_t`.
        sizes: likewise.
        seed: of the resampling.
        worth: the share of the units that uneven weights of queries leave, at most 1.
        resampled: the resampled means, where they are known.
    """
    if len(sums) < 2:
        return (Nothing(),)
    units = max(2.0, len(sums) * worth)
    unseen = Unseen(float(sums.sum() / sizes.sum()), units)
    unlike = unlike_the_rest(sums / sizes)
    if unlike == 0:
        return (unseen,)
    student = replace(student_t(sums, sizes), units=units)
    found = resampled or bootstrap(sums, sizes, seed), student
    # Where few units are unlike the rest, others of their kind are easily missed: resamples know only those seen.
    rare = unlike < FEW_UNLIKE and unlike < len(sums) / 2
    return (*found, unseen) if rare else found


def unlike_the_rest(rates: Floats) -> int:
    """Return how many units differ from the most frequent value."""
    _, counts = np.unique(rates.round(12), return_counts=True)
    return len(rates) - int(counts.max())


def by_group(difference: Floats, labels: list[str], weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Return the sum of differences in each group and the number of its queries, weighted; ``[groups]`` each."""
    weights = np.ones(len(difference)) if weights is None else weights
    frame = pd.DataFrame({"sum": difference * weights, "size": weights}).groupby(np.asarray(labels)).sum()
    return frame["sum"].to_numpy(), frame["size"].to_numpy()


def interval(difference: Floats, labels: Labels = None, seed: int = 0, confidence: float = 0.95) -> tuple[float, float]:
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
    resampled = resampled_sums((sums, sizes), seed)
    return Bootstrap(resampled[0] / resampled[1])


def randomization_p(
    difference: Floats, labels: list[str] | None = None, seed: int = 0, weights: Floats | None = None
) -> float:
    """Return the two-sided p-value of the paired randomization test of a difference of zero.

    The sign of each group's differences is flipped at random (Fisher 1935; Smucker et al. 2007): queries
    of one group rise and fall together, and signs flipped one by one find differences where there are
    none. Groups that tie change no resample and are left out.

    Args:
        difference: per-query differences, ``[n]``.
        labels: the group of each query; None: each its own.
        seed: of the flips.
        weights: of the queries, ``[n]``, above 0; None: all alike.
    """
    weighted = difference if weights is None else difference * weights
    sums = weighted if labels is None else by_group(weighted, labels)[0]
    moved = sums[np.abs(sums) > 1e-12]
    # Of one group that moved both signs are equally far from zero.
    if len(moved) < 2:
        return 1.0
    flipped, is_exact = flipped_sums(moved, seed)
    as_far = int((np.abs(flipped) >= abs(moved.sum()) - 1e-12).sum())
    if is_exact:
        return as_far / len(flipped)
    return (1 + as_far) / (1 + len(flipped))  # what was observed is one of the ways, too
