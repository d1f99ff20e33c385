"""Paired comparison of two runs: an interval, and a verdict at a minimum gain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embedlab.data.trec import read_groups, read_qrels, read_run
from embedlab.errors import DataError, ParameterError, shown
from embedlab.evaluation.metrics import parse_measure, per_query
from embedlab.evaluation.results import Comparison, OverGroups, counted, decide, too_few
from embedlab.evaluation.statistics.intervals import (
    Alternative,
    Gain,
    Groups,
    gain,
    labels_of,
    randomization_p,
    worth_of,
)
from embedlab.evaluation.statistics.power import effective_groups, groups_for, queries_needed, unit_error
from embedlab.evaluation.statistics.resampling import Floats

SAME = 1e-9
"""Scores closer than this tie."""


def compare(
    qrels: Any,
    baseline: Any,
    candidate: Any,
    metric: str = "nDCG@10",
    min_gain: float = 0.0,
    groups: Groups | str | Path | None = None,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two runs query by query.

    Args:
        qrels: judgments: a TREC or BEIR file, a dict of dicts, or a DataFrame.
        baseline: the run to beat: a TREC file, a dict of dicts, or a DataFrame.
        candidate: the run that should be better.
        metric: an ir-measures name.
        min_gain: the smallest gain worth having; may be negative (non-inferiority).
        groups: group by query id, or a TSV file with the header ``query-id``, ``group``, for
            queries that are not independent; or several such mappings by the name of a grouping, of
            which the farthest end counts on each side; None: each its own.
        seed: of the resampling.
        confidence: of the interval that decides.

    Raises:
        DataError: if a file or score is faulty, or runs and judgments share no query.
        ParameterError: if there is no such metric, or ``min_gain`` or ``confidence`` is illegal.
    """
    parse_measure(metric)
    _check_numbers(min_gain, confidence, seed)
    judged = read_qrels(qrels)
    runs = {"baseline": read_run(baseline, "baseline"), "candidate": read_run(candidate, "candidate")}
    known = read_groups(Path(groups)) if isinstance(groups, (str, Path)) else groups
    warnings = _warnings(judged, runs, independent=known is None)
    scores = {}
    for name, run in runs.items():
        asked = run[run["query_id"].isin(judged["query_id"])]
        scores[name] = per_query(judged, asked, [metric])[metric]
    return compare_scores(
        scores["baseline"], scores["candidate"], metric, min_gain, known, seed, tuple(warnings), confidence
    )


def _check_numbers(min_gain: Any, confidence: Any, seed: Any) -> None:
    """Raise a ParameterError unless each is a number and makes sense: measures lie between 0 and 1, so gains do too."""
    for name, value in (("min_gain", min_gain), ("confidence", confidence)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ParameterError(f"{name} must be a number, found {shown(value)!r}")
    if not -1 <= min_gain <= 1:
        raise ParameterError(
            f"min_gain must be a number between -1 and 1, as measures lie between 0 and 1: found {min_gain}"
        )
    if not 0.5 < confidence < 1:
        raise ParameterError(f"confidence must lie between .5 and 1, found {confidence}")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ParameterError(f"seed must be a whole number of 0 or more, found {shown(seed)!r}")


def _warnings(judged: pd.DataFrame, runs: Mapping[str, pd.DataFrame], independent: bool) -> list[str]:
    """Return what a reader of the result should know of its data.

    Raises:
        DataError: if a run and the judgments share no query.
    """
    ids = set(judged["query_id"])
    warnings = []
    for name, run in runs.items():
        seen = set(run["query_id"])
        if not seen & ids:
            raise DataError(f"{name}: none of its {len(seen)} queries is among the {len(ids)} judged ones")
        if ids - seen:
            warnings.append(f"{name}: {len(ids - seen)} judged queries are missing and score 0")
        if seen - ids:
            warnings.append(f"{name}: {len(seen - ids)} queries without judgments are left out")
    relevant = judged[judged["relevance"] >= 1]
    hopeless = len(ids - set(relevant["query_id"]))
    if hopeless:
        warnings.append(f"{hopeless} judged queries have no relevant document and score 0")
    shared = relevant.loc[relevant.duplicated("doc_id", keep=False), "query_id"].nunique()
    if independent and shared:
        warnings.append(f"{shared} queries share relevant documents; give groups for an honest interval")
    return warnings


def compare_scores(
    baseline: pd.Series,
    candidate: pd.Series,
    metric: str = "nDCG@10",
    min_gain: float = 0.0,
    groups: Groups | None = None,
    seed: int = 0,
    warnings: tuple[str, ...] = (),
    confidence: float = 0.95,
    weights: pd.Series | None = None,
) -> Comparison:
    """Compare per-query scores (Series over the same query ids); see :func:`compare`.

    Of several groupings the farthest end counts on each side; numbers of groups are those of the coarsest.
    ``weights``, by query id, bring the queries to another mix: all means are weighted, a sample counts as many
    queries as it is worth, and what weighs nothing is left out.
    """
    if weights is not None:
        weights = _checked(weights, baseline.index)
        baseline, candidate = baseline[weights.index], candidate[weights.index]
    difference = _difference(baseline, candidate)
    if not math.isfinite(min_gain) or not 0.5 < confidence < 1:
        raise ParameterError(
            f"min_gain must be a number and confidence lie between .5 and 1, found {min_gain} and {confidence}"
        )
    weight = np.ones(len(difference)) if weights is None else weights.to_numpy()
    labels = labels_of(baseline.index, groups)
    known = gain(difference, labels, seed, weight)
    low, high = known.ends(confidence)
    over = _Grouped(baseline.index, labels, known)
    wins, losses = int((difference > SAME).sum()), int((difference < -SAME).sum())
    worth = None if weights is None else worth_of(weight)
    few = too_few(counted(len(difference), worth), len(over.sizes), wins + losses, min_gain)
    delta = float(np.average(difference, weights=weight))
    needed = queries_needed(over.unit_error(difference, weight), abs(delta - min_gain), confidence=confidence)
    return Comparison(
        verdict=decide(low, high, min_gain, few),
        metric=metric,
        n_queries=len(difference),
        n_groups=len(over.sizes),
        baseline=float(np.average(baseline, weights=weight)),
        candidate=float(np.average(candidate, weights=weight)),
        delta=delta,
        ci95=known.ends(),
        p_value=max(randomization_p(difference, own, seed, weight) for own in over.labels.values()),
        min_gain=min_gain,
        queries_needed=needed,
        wins=wins,
        ties=len(difference) - wins - losses,
        losses=losses,
        warnings=warnings,
        ci95_queries=known.over_queries(),
        ci95_groups=known.over_groups(),
        confidence=confidence,
        ci=(low, high),
        p_gain=known.p_value(min_gain, "greater"),
        p_loss=known.p_value(min_gain, "less"),
        groups_needed=groups_for(needed, over.sizes) if over.coarsest else None,
        effective_groups=effective_groups(over.sizes),
        grouping=over.coarsest,
        groupings=over.found,
        worth=worth,
    )


class _Grouped:
    """The groupings of the queries in which some share a group, and the coarsest of them.

    Attributes:
        labels: by the grouping's name; where no query shares a group, each query's own id under a blank name.
        found: each grouping with its interval.
        coarsest: the name of the one with the fewest groups, blank where there is none.
        sizes: queries of each of its groups.
    """

    def __init__(self, index: pd.Index, labels: Mapping[str, list[str]], known: Gain) -> None:
        shared = {name: labels[name] for name in known.groupings}
        self.labels = shared or {"": [str(query_id) for query_id in index]}
        sizes = {name: pd.Series(own).value_counts() for name, own in self.labels.items()}
        self.coarsest = min(sizes, key=lambda name: len(sizes[name]))
        self.sizes = sizes[self.coarsest]
        self.found = tuple(
            OverGroups(name, len(sizes[name]), effective_groups(sizes[name]), known.over(name)) for name in shared
        )

    def unit_error(self, difference: Floats, weight: Floats) -> float:
        """Return the standard error of one query's difference, the largest of all groupings."""
        mean = np.average(difference, weights=weight)
        # A weighted mean is that of these values (linearization), so its error is theirs.
        values = mean + weight / weight.mean() * (difference - mean)
        return max(unit_error(values, own) for own in self.labels.values())


def _checked(weights: pd.Series, index: pd.Index) -> pd.Series:
    """Return the weights of these queries, those of 0 left out.

    Raises:
        DataError: if a query has none, one is negative or no number, or all are 0.
    """
    found = weights.reindex(index).astype(float)
    if not ((found >= 0) & np.isfinite(found)).all() or not found.any():
        raise DataError("weights: every query needs one of 0 or more, and some need more than 0")
    return found[found > 0]


def compare_all(
    scores: Mapping[str, pd.Series],
    baseline: str,
    metric: str = "nDCG@10",
    min_gain: float = 0.0,
    groups: Groups | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    weights: pd.Series | None = None,
) -> dict[str, Comparison]:
    """Compare every system with one of them; per-query scores by system, see :func:`compare_scores`."""
    said: dict[str, Any] = {"groups": groups, "seed": seed, "confidence": confidence, "weights": weights}
    return {
        name: compare_scores(scores[baseline], found, metric, min_gain, **said)
        for name, found in scores.items()
        if name != baseline
    }


def comparison_table(comparisons: Mapping[str, Comparison], name: str = "system") -> pd.DataFrame:
    """Return a row a comparison: the candidate's score, ``delta, low, high, wins, ties, losses``.

    Args:
        comparisons: by name, all of one measure.
        name: what the names are; it heads the index.
    """
    rows = {key: found.row() for key, found in comparisons.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(name)


def _difference(baseline: pd.Series, candidate: pd.Series) -> Floats:
    if not baseline.index.equals(candidate.index):
        raise DataError(f"scores of {len(baseline)} and {len(candidate)} queries: not the same queries")
    if baseline.empty:
        raise DataError("scores of 0 queries: nothing to compare")
    for name, values in (("baseline", baseline), ("candidate", candidate)):
        broken = values[~np.isfinite(values)]
        for query_id, value in broken.items():
            raise DataError(f"{name}: the score of query {query_id!r} is {value}, not a finite number")
    return (candidate - baseline).to_numpy(dtype=float)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for being several (Holm 1979)."""
    smallest_first = sorted(p_values.items(), key=lambda item: item[1])
    adjusted: dict[str, float] = {}
    worst = 0.0
    for position, (name, p) in enumerate(smallest_first):
        still_open = len(smallest_first) - position
        # No hypothesis may be rejected before one with a smaller p-value.
        worst = max(worst, min(1.0, p * still_open))
        adjusted[name] = worst
    return adjusted


def several(comparisons: Mapping[str, Comparison], alternative: Alternative = "greater") -> pd.DataFrame:
    """Return a table of comparisons made together: candidates, measures or slices.

    Args:
        comparisons: by name, each at its own ``min_gain``, all at one confidence.
        alternative: ``greater`` asks which gains exceed ``min_gain``. ``less`` asks which fall
            short of it: of slices at a ``min_gain`` of minus the tolerance, which lose more.

    Returns:
        ``delta, low, high, wins, ties, losses, p, p_holm, survives``, one row a comparison:
        ``low, high`` is ``ci``, not widened for being several; ``p`` is one-sided and ``p_holm``
        adjusted (Holm 1979); ``survives`` says whether it is at most ``1 - confidence``.
    """
    p = {}
    for name, found in comparisons.items():
        p[name] = found.p_gain if alternative == "greater" else found.p_loss
    adjusted = holm(p)
    rows = []
    for name, found in comparisons.items():
        low, high = found.ci
        survives = adjusted[name] <= 1 - found.confidence
        counts = (found.wins, found.ties, found.losses)
        rows.append((found.delta, low, high, *counts, p[name], adjusted[name], survives))
    columns = ["delta", "low", "high", "wins", "ties", "losses", "p", "p_holm", "survives"]
    return pd.DataFrame(rows, index=list(comparisons), columns=columns)
