"""Step 18: the gain end to end."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import FLAG, NUMBER, TEXT, Artifact, Table
from embedlab.retrieval.systems import System


@dataclass(frozen=True)
class EndToEnd(Artifact, step="18", file="pipeline.json"):
    """The proposed system, built anew from what step 15 froze, on the sealed test.

    Attributes:
        system: what was built.
        same: share of the test queries whose shown results are those that step 15 scored.
        passed: the gate: every query gets what was scored.
        reason: why.
        metric: the contract's.
        baseline: score of the same stages with the base model.
        tuned: score of the proposed system.
        within_latency_budget: whether a query keeps to the budget in an index of production's size; None where
            that was not measured, or the machine cannot tell.
        latency: what was measured and how, in words without times.
        thresholds: by system the score threshold, and the shares of results that it would drop.
        indexes: by kind the size, and the recall of an approximate index.
        evidence_in_prompt: by system the share of queries with a relevant document in the prompt.
        prompt_words: length of the prompt.
    """

    system: System
    same: float
    passed: bool
    reason: str
    metric: str
    baseline: float
    tuned: float
    within_latency_budget: bool | None
    latency: str
    thresholds: dict[str, dict[str, float]]
    indexes: dict[str, dict[str, float]]
    evidence_in_prompt: dict[str, float]
    prompt_words: int


STAGES = Table(
    "18",
    "stages.parquet",
    "a stage of the proposed system: the test's mean without it, and what it gives",
    {"stage": TEXT, "without": NUMBER, "delta": NUMBER, "low": NUMBER, "high": NUMBER},
    "wins, ties and losses",
)
END_TO_END = Table(
    "18",
    "end_to_end.parquet",
    "a system's scores on a test query, and whether a relevant document reached the prompt",
    {"query_id": TEXT, "system": TEXT, "in_prompt": FLAG, "group": TEXT},
    "a number a measure",
)
OPTIONS = Table(
    "18",
    "options.parquet",
    "a way to make the search better: its gain over what answers today on dev (on the test for what was scored there), "
    "what it takes and costs, what must be embedded anew for it, and how it is undone",
    {
        "option": TEXT,
        "step": TEXT,
        "tuned": FLAG,
        "delta": NUMBER,
        "ci_low": NUMBER,
        "ci_high": NUMBER,
        "surely": FLAG,
        "test_delta": NUMBER,
        "test_low": NUMBER,
        "test_high": NUMBER,
        "query_ms": NUMBER,
        "added_ms": NUMBER,
        "index_gb": NUMBER,
        "once": NUMBER,
        "monthly": NUMBER,
        "reembed": TEXT,
        "undo": TEXT,
        "status": TEXT,
        "front": FLAG,
    },
)
