"""Paired statistics over per-query scores: intervals, tests, power, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import DataError
from embedlab.metrics import per_query
from embedlab.trec import read_qrels, read_run

Floats = NDArray[np.float64]
RESAMPLES = 10_000
POWER = 0.80
MIN_GROUPS = 10
"""Under this many groups an interval is not to be trusted with a SHIP."""

MOST_QUERIES = 10**6
WIDEST = 1.0
"""How far two means of a measure in 0..1 can lie apart: the interval where one group alone is left."""


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of two runs; ``verdict`` is SHIP, DO_NOT_SHIP or INCONCLUSIVE."""

    verdict: str
    metric: str
    n_queries: int
    n_groups: int
    baseline: float
    candidate: float
    delta: float
    ci95: tuple[float, float]
    p_value: float
    min_gain: float
    queries_needed: int | None
    wins: int
    ties: int
    losses: int
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self) | {"ci95": list(self.ci95), "warnings": list(self.warnings)}


def compare(
    qrels: Any,
    baseline: Any,
    candidate: Any,
    metric: str = "nDCG@10",
    min_gain: float = 0.0,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare two runs query by query.

    Args:
        qrels: judgments: a TREC or BEIR file, a dict of dicts, or a DataFrame.
        baseline: the run to beat: a TREC file, a dict of dicts, or a DataFrame.
        candidate: the run that should be better.
        metric: an ir-measures name.
        min_gain: the smallest gain worth having; may be negative (non-inferiority).
        groups: group by query id, for queries that are not independent; None: each its own.
        seed: of the resampling.

    Raises:
        DataError: if a file or score is faulty, or runs and judgments share no query.
    """
    judged, runs = read_qrels(qrels), [read_run(baseline), read_run(candidate)]
    ids = set(judged["query_id"])
    warnings = []
    for name, run in zip(("baseline", "candidate"), runs, strict=True):
        seen = set(run["query_id"])
        if not seen & ids:
            raise DataError(f"{name}: none of its {len(seen)} queries is among the {len(ids)} judged ones")
        if ids - seen:
            warnings.append(f"{name}: {len(ids - seen)} judged queries are missing and score 0")
        if seen - ids:
            warnings.append(f"{name}: {len(seen - ids)} queries without judgments are left out")
    if groups is None:
        shared = judged[judged["relevance"] >= 1].duplicated("doc_id", keep=False)
        count = judged.loc[judged["relevance"] >= 1, "query_id"][shared].nunique()
        if count:
            warnings.append(f"{count} queries share relevant documents; give groups for an honest interval")
    scores = [per_query(judged, run, [metric])[metric] for run in runs]
    return compare_scores(scores[0], scores[1], metric, min_gain, groups, seed, tuple(warnings))


def compare_scores(
    baseline: pd.Series,
    candidate: pd.Series,
    metric: str = "nDCG@10",
    min_gain: float = 0.0,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
    warnings: tuple[str, ...] = (),
) -> Comparison:
    """Compare per-query scores (Series over the same query ids); see :func:`compare`."""
    if not baseline.index.equals(candidate.index):
        raise DataError(f"scores of {len(baseline)} and {len(candidate)} queries: not the same queries")
    for name, values in (("baseline", baseline), ("candidate", candidate)):
        for query_id, value in values[~np.isfinite(values)].items():
            raise DataError(f"{name}: the score of query {query_id!r} is {value}, not a finite number")
    difference = (candidate - baseline).to_numpy(dtype=float)
    labels = _labels(baseline.index, groups)
    low, high = interval(difference, labels, seed)
    n_groups = len(set(labels))
    delta = float(difference.mean())
    return Comparison(
        verdict=decide(low, high, min_gain, n_groups),
        metric=metric,
        n_queries=len(difference),
        n_groups=n_groups,
        baseline=float(baseline.mean()),
        candidate=float(candidate.mean()),
        delta=delta,
        ci95=(low, high),
        p_value=randomization_p(difference, seed),
        min_gain=min_gain,
        queries_needed=queries_needed(difference, labels, delta - min_gain),
        wins=int((difference > 1e-9).sum()),
        ties=int((np.abs(difference) <= 1e-9).sum()),
        losses=int((difference < -1e-9).sum()),
        warnings=warnings,
    )


def _labels(index: pd.Index, groups: Mapping[str, str] | None) -> list[str]:
    if groups is None:
        return [str(q) for q in index]
    missing = [q for q in index if q not in groups]
    if missing:
        raise DataError(
            f"groups: {len(missing)} of {len(index)} judged queries have no group, the first: {missing[0]!r}"
        )
    return [str(groups[q]) for q in index]


def decide(low: float, high: float, min_gain: float, n_groups: int) -> str:
    """Return SHIP, DO_NOT_SHIP or INCONCLUSIVE for an interval of the gain.

    SHIP needs the lower end at ``min_gain`` or more, above 0 where that is 0, and ten groups.
    """
    if high < min_gain:
        return "DO_NOT_SHIP"
    enough = low > 0 if min_gain == 0 else low >= min_gain
    return "SHIP" if enough and n_groups >= MIN_GROUPS else "INCONCLUSIVE"


def interval(
    difference: Floats, labels: list[str] | None = None, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the bootstrap percentile interval of a mean paired difference.

    Queries are resampled and, where several share a label, whole groups too (Field and Welsh
    2007, the cluster bootstrap); the wider interval is returned.

    Args:
        difference: per-query differences, ``[n]``.
        labels: the group of each query.
        seed: of the resampling.
        confidence: coverage, .95 for a 95 % interval.
    """
    ones = np.ones(len(difference))
    found = [_bootstrap(difference, ones, seed, confidence)]
    if labels is not None and len(set(labels)) < len(difference):
        frame = pd.DataFrame({"d": difference, "n": ones}).groupby(np.asarray(labels)).sum()
        found.append(_bootstrap(frame["d"].to_numpy(), frame["n"].to_numpy(), seed, confidence))
    return max(found, key=lambda ends: ends[1] - ends[0])


def _bootstrap(sums: Floats, sizes: Floats, seed: int, confidence: float) -> tuple[float, float]:
    from scipy import stats

    if len(sums) < 2 or (np.allclose(sums, sums[0]) and np.allclose(sizes, sizes[0])):
        mean = float(sums.sum() / max(sizes.sum(), 1))
        return (mean, mean) if len(sums) > 1 else (-WIDEST, WIDEST)
    result = stats.bootstrap(
        (sums, sizes),
        lambda s, n, axis=-1: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 4_000_000 // len(sums)),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def randomization_p(difference: Floats, seed: int = 0) -> float:
    """Return the two-sided p-value of the paired randomization test of a difference of zero."""
    from scipy import stats

    if len(difference) < 2 or np.allclose(difference, 0):
        return 1.0
    result = stats.permutation_test(
        (difference,),
        lambda d, axis=-1: d.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES - 1,
        batch=max(1, 4_000_000 // len(difference)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for being several (Holm 1979)."""
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    adjusted, worst = {}, 0.0
    for position, (name, p) in enumerate(ordered):
        worst = max(worst, min(1.0, p * (len(ordered) - position)))
        adjusted[name] = worst
    return adjusted


def design_effect(difference: Floats, labels: list[str]) -> float:
    """Return how many times a mean's variance grows because queries come in groups, at least 1.

    The ratio of the cluster-robust variance of the mean to the variance under independence
    (Kish 1965).
    """
    n = len(difference)
    variance = float(np.var(difference, ddof=1)) / n if n > 1 else 0.0
    if variance == 0 or len(set(labels)) < 2:
        return 1.0
    centred = pd.Series(difference - difference.mean()).groupby(np.asarray(labels)).sum()
    g = len(centred)
    clustered = float((centred**2).sum()) / n**2 * g / (g - 1)
    return max(1.0, clustered / variance)


def _z(confidence: float = 0.95, power: float = POWER) -> float:
    from scipy import stats

    return float(stats.norm.ppf(0.5 + confidence / 2) + stats.norm.ppf(power))


def detectable_gain(difference: Floats, labels: list[str], n: int, min_gain: float = 0.0) -> float:
    """Return the true gain that ends in SHIP with 80 % power over ``n`` queries.

    ``min_gain + (z.975 + z.80) · SE`` (Cohen 1988), the standard error taken from a paired
    difference really seen, with the design effect of its groups.
    """
    spread = float(np.std(difference, ddof=1)) * math.sqrt(design_effect(difference, labels))
    return min_gain + _z() * spread / math.sqrt(n)


def queries_needed(difference: Floats, labels: list[str], gain: float) -> int | None:
    """Return how many queries would settle a gain over the minimum; None above a million.

    ``((z.975 + z.80) · sd / |gain|)²`` times the design effect; takes the gain seen as true.
    """
    spread = float(np.std(difference, ddof=1)) if len(difference) > 1 else 0.0
    if gain == 0 or not math.isfinite(gain):
        return None
    needed = (_z() * spread / abs(gain)) ** 2 * design_effect(difference, labels)
    return math.ceil(needed) if needed <= MOST_QUERIES else None
