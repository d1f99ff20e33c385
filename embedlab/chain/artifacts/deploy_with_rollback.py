"""Step 21: gradual traffic and the way back."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import INTEGER, NUMBER, TEXT, Artifact, Table
from embedlab.rollout.results import Stage


@dataclass(frozen=True)
class Rollout(Artifact, step="21", file="rollout.json"):
    """The rehearsal.

    Attributes:
        passed: the gate; None where nothing failed and a stage waits for traffic.
        reason: what failed, or what is missing.
        rollback_drill: whether the drill brought the old index back; None where its watch waits for traffic.
        stages: what was seen at each share of the traffic.
        live: name of the index that answers at the end.
        noticed_at_percent: share at which the candidate broken on purpose was noticed; None where it was not.
        drill_alarm: why.
        drill_quality: score while it was live.
        metric: the contract's.
        sticky: whether a user or a group stays with one index as the share grows.
    """

    passed: bool | None
    reason: str
    rollback_drill: bool | None
    stages: list[Stage]
    live: str
    noticed_at_percent: int | None
    drill_alarm: str
    drill_quality: float
    metric: str
    sticky: bool


STAGES = Table(
    "21",
    "stages.parquet",
    "a stage of the rollout or of the drill",
    {
        "percent": INTEGER,
        "queries": INTEGER,
        "groups": INTEGER,
        "live": NUMBER,
        "candidate": NUMBER,
        "difference": NUMBER,
        "upper": NUMBER,
        "detectable": NUMBER,
        "errors": NUMBER,
        "empty": NUMBER,
        "alarm": TEXT,
        "lacks": TEXT,
        "state": TEXT,
        "rollout": TEXT,
    },
)
DEPLOYED = "indexes/deployed"
"""The service at the end, in files of the same kind as step 20 leaves."""
