"""Step 19: what answers today and what is proposed, on the same queries."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import NUMBER, TEXT, Artifact, Table
from embedlab.evaluation.results import Ends


@dataclass(frozen=True)
class Shadow(Artifact, step="19", file="shadow.json"):
    """The replay.

    Attributes:
        queries: replayed.
        dated: whether they are the latest ones.
        overlap10: mean share of the first ten documents that both show.
        rbo: mean rank-biased overlap.
        metric: the contract's.
        today: its mean in what answers today.
        proposed: likewise in what is proposed.
        delta: the difference.
        ci95: its interval.
        unanswered: queries without an answer from the candidate.
        within_latency_budget: None where the machine cannot tell.
        systems: by role the name of what was asked.
        passed: the gate.
        reason: why.
    """

    queries: int
    dated: bool
    overlap10: float
    rbo: float
    metric: str
    today: float
    proposed: float
    delta: float
    ci95: Ends
    unanswered: int
    within_latency_budget: bool | None
    systems: dict[str, str]
    passed: bool
    reason: str


REPLAY = Table(
    "19",
    "replay.parquet",
    "a replayed query: how far the answers agree, and both scores",
    {"query_id": TEXT, "overlap": NUMBER, "rbo": NUMBER, "today": NUMBER, "proposed": NUMBER},
)
