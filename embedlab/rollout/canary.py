"""Gradual traffic with a watch: sticky split, stages, automatic rollback."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.text import stable_hash
from embedlab.rollout.releases import Registry
from embedlab.rollout.results import Stage

STAGES = (1, 5, 25, 50, 100)
"""Percent of the traffic that the candidate answers."""


@dataclass(frozen=True)
class Limits:
    """When the watch pulls back.

    Attributes:
        quality_loss: mean loss of the measure that is accepted.
        confidence: one-sided, over all stages together, with which a larger loss must be seen.
        fewest: judged queries under which quality is not decided.
        error_rate: share of failed requests that is accepted.
        empty_rate: rise in the share of queries without any result that is accepted.
    """

    quality_loss: float = 0.0
    confidence: float = 0.95
    fewest: int = 5
    error_rate: float = 0.01
    empty_rate: float = 0.05


def goes_to_candidate(key: str, percent: float, salt: str = "") -> bool:
    """Return whether a user's or query's traffic goes to the candidate.

    Sticky: the same key always goes the same way at the same share, and whoever is in at a
    small share stays in at every larger one.
    """
    return stable_hash("canary", salt, key) % 10_000 < 100 * percent


def upper_bound(difference: NDArray[np.float64], confidence: float) -> float:
    """Return the one-sided upper confidence bound of a mean (Student 1908)."""
    from scipy import stats

    n = len(difference)
    error = float(difference.std(ddof=1)) / math.sqrt(n)
    return float(difference.mean() + stats.t.ppf(confidence, n - 1) * error)


def traffic_scores(live: pd.DataFrame, candidate: pd.DataFrame) -> pd.DataFrame:
    """Return what :func:`watch` reads, from the same traffic replayed through two releases.

    Args:
        live: by query id (the index): ``score`` (the measure), ``failed`` and ``empty`` (booleans).
        candidate: the same of the candidate.
    """
    return pd.DataFrame(
        {
            "live": live["score"],
            "candidate": candidate["score"],
            "failed": candidate["failed"],
            "live_empty": live["empty"],
            "empty": candidate["empty"],
        }
    )


def watch(
    scores: pd.DataFrame,
    percent: int,
    limits: Limits,
    *,
    looks: int = len(STAGES),
    within_latency: bool = True,
    salt: str = "",
) -> Stage:
    """Look at the queries that the candidate answers at one stage.

    Each look spends its share of the error allowed over all looks (Bonferroni), so that a
    harmless candidate is pulled back with at most ``1 - confidence``.

    Args:
        scores: as :func:`traffic_scores` returns it, by query id (the index): ``live``, ``candidate``
            (the measure), ``failed``, ``live_empty`` and ``empty`` (booleans).
        percent: share of the traffic.
        limits: when to pull back.
        looks: stages in all.
        within_latency: whether the candidate's measured latency keeps the budget.
        salt: of the split.
    """
    answered = [goes_to_candidate(str(query_id), percent, salt) for query_id in scores.index]
    served = scores[answered]
    mean = served[["live", "candidate", "failed", "live_empty", "empty"]].astype(float).mean().fillna(0.0)
    upper = None
    if len(served) >= max(limits.fewest, 2):
        difference = (served["candidate"] - served["live"]).to_numpy(dtype=float)
        upper = upper_bound(difference, 1 - (1 - limits.confidence) / looks)

    alarms = []
    if upper is not None and upper < -limits.quality_loss:
        alarms.append("quality")
    if mean["failed"] > limits.error_rate:
        alarms.append("errors")
    if mean["empty"] - mean["live_empty"] > limits.empty_rate:
        alarms.append("empty results")
    if not within_latency:
        alarms.append("latency")
    return Stage(
        percent=percent,
        queries=len(served),
        live=float(mean["live"]),
        candidate=float(mean["candidate"]),
        difference=float(mean["candidate"] - mean["live"]),
        upper=upper,
        errors=float(mean["failed"]),
        empty=float(mean["empty"]),
        alarm=", ".join(alarms),
    )


def roll_out(
    registry: Registry,
    candidate: str,
    scores: pd.DataFrame,
    limits: Limits,
    stages: Sequence[int] = STAGES,
    within_latency: Mapping[int, bool] | None = None,
) -> list[Stage]:
    """Raise the candidate's traffic stage by stage; stop and go back at the first alarm.

    The alias moves to the candidate when it has passed every stage. At an alarm it is put back
    to the release that was live before, whatever it names then.

    Args:
        registry: holds both indexes; the live one is the alias's.
        candidate: the candidate's index name.
        scores: as for :func:`watch`.
        limits: when to pull back.
        stages: percents, rising.
        within_latency: by percent, whether latency keeps the budget; missing ones do.
    """
    before = registry.live().index
    seen: list[Stage] = []
    for percent in stages:
        if percent == 100:
            registry.switch(candidate, "all traffic goes to the candidate")
        in_time = within_latency is None or within_latency.get(percent, True)
        stage = watch(scores, percent, limits, looks=len(stages), within_latency=in_time, salt=candidate)
        seen.append(stage)
        if stage.alarm:
            registry.switch(before, f"rolled back at {percent} %: {stage.alarm}")
            break
    return seen


def stages_table(stages: Sequence[Stage]) -> pd.DataFrame:
    """Return the stages as a table; a bound that was not computed is missing."""
    return pd.DataFrame([asdict(stage) for stage in stages]).astype({"upper": float})
