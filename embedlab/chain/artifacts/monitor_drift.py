"""Step 22: whether it stays good."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import FLAG, INTEGER, NUMBER, TEXT, Artifact, Table


@dataclass(frozen=True)
class Trigger:
    """A rule that calls for retraining, in words, whether it fired, and what it saw."""

    rule: str
    fired: bool
    seen: str


@dataclass(frozen=True)
class Drift(Artifact, step="22", file="drift.json"):
    """What monitoring sees.

    Attributes:
        passed: whether a planted fault is noticed and false alarms are rare; None: too few queries to tell.
        retrain: whether a trigger fired.
        reason: in words.
        dated: whether periods are years.
        reference: name of the reference period.
        years: queries by period.
        alarms: tests that alarm.
        tests: in all.
        false_alarm_rate: of the whole rule, where one period is divided by groups or days; None: indivisible.
        false_alarm_rate_psi: of the population stability index alone, on the same divisions.
        planted_noticed: whether the rule alarms at a planted fault.
        canary: how the gain over the base on canary queries changed until today, had the release been at a year's end.
        rules: the triggers.
        thresholds: ``alpha, psi, terms, max_drop``.
        to_label: queries on the list of what to label next.
        listed_fail: share of them that fail; None where unknown.
        rest_fail: of the others.
    """

    passed: bool | None
    retrain: bool
    reason: str
    dated: bool
    reference: str
    years: dict[str, int]
    alarms: int
    tests: int
    false_alarm_rate: float | None
    false_alarm_rate_psi: float | None
    planted_noticed: bool
    canary: dict[str, float]
    rules: list[Trigger]
    thresholds: dict[str, float]
    to_label: int
    listed_fail: float | None
    rest_fail: float | None


DRIFT = Table(
    "22",
    "drift.parquet",
    "a signal in a later period against the reference",
    {
        "period": TEXT,
        "signal": TEXT,
        "queries": INTEGER,
        "reference_mean": NUMBER,
        "mean": NUMBER,
        "psi": NUMBER,
        "statistic": NUMBER,
        "expected": NUMBER,
        "p": NUMBER,
        "p_holm": NUMBER,
        "alarm": FLAG,
    },
)
LABEL_NEXT = Table(
    "22",
    "label_next.parquet",
    "a query to label next, the most doubtful first",
    {"query_id": TEXT, "text": TEXT, "top_score": NUMBER, "disagreement": NUMBER, "priority": NUMBER},
)
