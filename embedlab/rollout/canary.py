"""Gradual traffic with a watch: sticky split, stages, automatic rollback."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from embedlab.data.text import stable_hash
from embedlab.evaluation.results import MIN_GROUPS
from embedlab.evaluation.statistics.intervals import StudentT, by_group, student_t
from embedlab.evaluation.statistics.power import quantile_sum
from embedlab.rollout.results import Stage
from embedlab.rollout.service.releases import Releases
from embedlab.rollout.service.state import State
from embedlab.rollout.service.switching import promote

STAGES = (1, 5, 25, 50, 100)
"""Percent of the traffic that the candidate answers."""


PATHS = 100_000
"""Random walks behind :func:`look_levels`; a level of .01 is known to about .0003."""


@dataclass(frozen=True)
class Limits:
    """When the watch pulls back.

    Attributes:
        quality_loss: mean loss of the measure that is accepted.
        confidence: one-sided, over all stages together, with which a larger loss must be seen.
        fewest: judged queries under which quality is not decided.
        error_rate: share of failed requests that is accepted.
        empty_rate: rise in the share of queries without any result that is accepted.
        fewest_groups: groups under which quality is not decided; at least two are.
    """

    quality_loss: float = 0.0
    confidence: float = 0.95
    fewest: int = 30
    error_rate: float = 0.01
    empty_rate: float = 0.05
    fewest_groups: int = MIN_GROUPS


def goes_to_candidate(key: str, percent: float, salt: str = "") -> bool:
    """Return whether the traffic of a user or a group goes to the candidate.

    Sticky: the same key always goes the same way at the same share, and whoever is in at a
    small share stays in at every larger one.
    """
    return stable_hash("canary", salt, key) % 10_000 < 100 * percent


def look_levels(information: Sequence[float], spend: float) -> list[float]:
    """Return the one-sided level at which each look of a sequence may be tested.

    Each look may ring wrongly, where no earlier one did, with probability ``spend`` (Slud and Wei
    1982). The traffic of a stage holds that of the stages before, so the looks' means correlate by
    ``sqrt(information[j] / information[k])``, and a look's level is never below ``spend``, which
    is Bonferroni's. Levels of the normal walk serve Student's t (Jennison and Turnbull 2000, 3.8).

    Args:
        information: groups seen at each look, rising.
        spend: the probability of each look; their sum is the error of the whole rollout.
    """
    from scipy import stats

    if not information:
        return []
    rng = np.random.default_rng(0)
    steps = np.diff(np.asarray(information, dtype=float), prepend=0.0)
    mean = np.zeros(PATHS)
    quiet = np.ones(PATHS, dtype=bool)
    levels = []
    for step, seen in zip(steps, information, strict=True):
        mean += rng.normal(0.0, math.sqrt(max(step, 0.0)), PATHS)
        z = mean / math.sqrt(seen)
        # Of the walks that no earlier look stopped, the share `spend` of all lies beyond the boundary.
        left = z[quiet]
        boundary = float(np.quantile(left, 1 - spend * PATHS / len(left)))
        quiet &= z <= boundary
        levels.append(max(spend, float(stats.norm.sf(boundary))))
    return levels


def loss_estimate(served: pd.DataFrame) -> StudentT:
    """Return the mean gain of the candidate over the queries that it served, with Student's t over groups."""
    difference = (served["candidate"] - served["live"]).to_numpy(dtype=float)
    return student_t(*by_group(difference, served["group"].astype(str).tolist()))


def detectable_loss(estimate: StudentT, level: float, quality_loss: float = 0.0) -> float:
    """Return the smallest true loss that a look notices with 80 % power.

    ``quality_loss + (t(1 - level) + t(.80)) · SE`` with ``groups - 1`` degrees of freedom (Cohen 1988).
    """
    # A one-sided level is the tail of a two-sided interval.
    return quality_loss + quantile_sum(1 - 2 * level, units=estimate.units) * estimate.error


def traffic_scores(live: pd.DataFrame, candidate: pd.DataFrame, groups: Mapping[str, str]) -> pd.DataFrame:
    """Return what :func:`watch` reads, from the same traffic replayed through two releases.

    Args:
        live: by query id (the index): ``score`` (the measure), ``failed`` and ``empty`` (booleans).
        candidate: the same of the candidate.
        groups: by query id, what the traffic is split by: the user, or the group of queries that belong together.
    """
    return pd.DataFrame(
        {
            "group": [groups[str(query_id)] for query_id in live.index],
            "live": live["score"],
            "candidate": candidate["score"],
            "failed": candidate["failed"],
            "live_empty": live["empty"],
            "empty": candidate["empty"],
        }
    )


def missing(queries: int, groups: int, limits: Limits) -> str:
    """Return what a stage lacks to decide on quality, such as ``4 of 10 groups``; empty where nothing."""
    wanted = {"judged queries": (queries, limits.fewest), "groups": (groups, max(2, limits.fewest_groups))}
    return ", ".join(f"{found} of {fewest} {name}" for name, (found, fewest) in wanted.items() if found < fewest)


def share_served(scores: pd.DataFrame, percent: float, salt: str = "") -> pd.DataFrame:
    """Return the rows of the traffic that the candidate answers: whole groups."""
    inside = {group: goes_to_candidate(str(group), percent, salt) for group in scores["group"].unique()}
    return scores[scores["group"].map(inside).astype(bool)]


def watch(
    scores: pd.DataFrame,
    percent: int,
    limits: Limits,
    *,
    level: float | None = None,
    within_latency: bool = True,
    salt: str = "",
) -> Stage:
    """Look at the queries that the candidate answers at one stage.

    Queries of a group rise and fall together, so the traffic is split by group and the bound of the
    mean difference is Student's t over groups. Where queries or groups are too few the stage waits.

    Args:
        scores: as :func:`traffic_scores` returns it, by query id (the index): ``group``, ``live``,
            ``candidate`` (the measure), ``failed``, ``live_empty`` and ``empty`` (booleans).
        percent: share of the traffic.
        limits: when to pull back.
        level: one-sided, of this look alone; None: all that ``limits`` allow.
        within_latency: whether the candidate's measured latency keeps the budget.
        salt: of the split.
    """
    served = share_served(scores, percent, salt)
    mean = served[["live", "candidate", "failed", "live_empty", "empty"]].astype(float).mean().fillna(0.0)
    lacks = missing(len(served), served["group"].nunique(), limits)
    upper, detectable = None, None
    if not lacks:
        level = 1 - limits.confidence if level is None else level
        estimate = loss_estimate(served)
        upper = estimate.ends(1 - 2 * level)[1]
        detectable = detectable_loss(estimate, level, limits.quality_loss)

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
        groups=served["group"].nunique(),
        live=float(mean["live"]),
        candidate=float(mean["candidate"]),
        difference=float(mean["candidate"] - mean["live"]),
        upper=upper,
        detectable=detectable,
        errors=float(mean["failed"]),
        empty=float(mean["empty"]),
        alarm=", ".join(alarms),
        lacks=lacks,
    )


def watch_stages(
    scores: pd.DataFrame,
    limits: Limits,
    stages: Sequence[int] = STAGES,
    within_latency: Mapping[int, bool] | None = None,
    salt: str = "",
) -> list[Stage]:
    """Look at stage after stage until one rings or waits.

    A harmless candidate is pulled back for its quality with at most ``1 - confidence``: each look
    spends its equal part, see :func:`look_levels`. In 5000 simulated rollouts over 2000 users of four
    queries 4.9 % were (Bonferroni 4.1 %), in 10,000 over 100 groups of thirteen 5.3 % (4.1 %), and
    candidates worse by .05 never later than under Bonferroni. An anytime-valid sequence (Waudby-Smith
    et al. 2024) asks for z of 2.8 or more at every look of the default stages, this boundary for 2.2 to 2.3.

    Args:
        scores: as for :func:`watch`.
        limits: when to pull back.
        stages: percents, rising.
        within_latency: by percent, whether latency keeps the budget; missing ones do.
        salt: of the split.
    """
    groups = [share_served(scores, percent, salt)["group"].nunique() for percent in stages]
    levels = look_levels([max(1, number) for number in groups], (1 - limits.confidence) / len(stages))
    in_time = within_latency or {}
    seen: list[Stage] = []
    for percent, level in zip(stages, levels, strict=True):
        stage = watch(scores, percent, limits, level=level, within_latency=in_time.get(percent, True), salt=salt)
        seen.append(stage)
        if stage.alarm or stage.lacks:
            break
    return seen


def roll_out(
    state: State,
    candidate: str,
    scores: pd.DataFrame,
    limits: Limits,
    stages: Sequence[int] = STAGES,
    within_latency: Mapping[int, bool] | None = None,
) -> list[Stage]:
    """Raise the candidate's traffic stage by stage; stop where a stage waits, go back at the first alarm.

    The candidate is promoted for the stage of 100 %. At an alarm the release answers again that was live before,
    whatever does then; so it is where that last stage cannot be judged.

    Args:
        state: the state of the service, which knows both releases.
        candidate: the candidate's name, which is also the salt of the split.
        scores: as for :func:`watch`.
        limits: when to pull back.
        stages: percents, rising.
        within_latency: by percent, whether latency keeps the budget; missing ones do.
    """
    before = Releases(state).live().name
    seen = watch_stages(scores, limits, stages, within_latency, candidate)
    for stage in seen:
        if stage.percent == 100:
            promote(state, candidate, "all traffic goes to the candidate")
        if stage.alarm:
            promote(state, before, f"rolled back at {stage.percent} %: {stage.alarm}")
        elif stage.lacks and stage.percent == 100:
            promote(state, before, f"waits at 100 %: {stage.lacks}")
    return seen


def stages_table(stages: Sequence[Stage]) -> pd.DataFrame:
    """Return the stages as a table with their ``state``; what a waiting stage did not compute is missing."""
    table = pd.DataFrame([asdict(stage) for stage in stages]).astype({"upper": float, "detectable": float})
    return table.assign(state=[stage.state for stage in stages])
