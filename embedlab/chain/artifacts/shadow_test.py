"""Step 19: both pipelines on the same queries."""

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
        base: its mean.
        tuned: likewise.
        delta: the difference.
        ci95: its interval.
        unanswered: queries without an answer from the candidate.
        within_latency_budget: None where the machine cannot tell.
        weights: share of the dense score, by model.
        passed: the gate.
        reason: why.
    """

    queries: int
    dated: bool
    overlap10: float
    rbo: float
    metric: str
    base: float
    tuned: float
    delta: float
    ci95: Ends
    unanswered: int
    within_latency_budget: bool | None
    weights: dict[str, float]
    passed: bool
    reason: str


REPLAY = Table(
    "19",
    "replay.parquet",
    "a replayed query: how far the answers agree, and both scores",
    {"query_id": TEXT, "overlap": NUMBER, "rbo": NUMBER, "base": NUMBER, "tuned": NUMBER},
)
