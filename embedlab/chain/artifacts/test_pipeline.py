"""Step 18: the gain end to end."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import FLAG, NUMBER, TEXT, Artifact, Table
from embedlab.evaluation.results import NoAnswer
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
        indexes: by setting the tuned model's recall and MB on disk, where measured.
        index_recall: share of the exact neighbours that an index must find to be chosen.
        index_chosen: by model the setting of fewest bytes that keeps it; blank where none does.
        no_answer: by system the threshold under which a query gets no answer, calibrated on dev.
        gain_alone: of tuning, with the models searching alone.
        gain_end_to_end: of tuning, with every stage that either has.
        absorbed: by stage by how much the gain of tuning is larger where the stage is switched off in both.
        evidence_in_prompt: by system the share of queries with a relevant document in the prompt.
        prompt_tokens: length of the prompt, at most.
        tokenizer: whose tokens these are.
        answers_right: by system the share of answers from the prompts that a judge calls right; empty where no
            language model was asked.
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
    index_recall: float
    index_chosen: dict[str, str]
    no_answer: dict[str, NoAnswer]
    gain_alone: float
    gain_end_to_end: float
    absorbed: dict[str, float]
    evidence_in_prompt: dict[str, float]
    prompt_tokens: int
    tokenizer: str
    answers_right: dict[str, float]


STAGES = Table(
    "18",
    "stages.parquet",
    "a stage of the proposed system: the test's mean without it, and what it gives",
    {"stage": TEXT, "without": NUMBER, "delta": NUMBER, "low": NUMBER, "high": NUMBER},
    "wins, ties and losses",
)
GAINS = Table(
    "18",
    "gains.parquet",
    "the gain of tuning on the test, alone, end to end, and with a stage switched off in both systems; how far it is "
    "from the gain end to end, query by query",
    {
        "where": TEXT,
        "base": NUMBER,
        "tuned": NUMBER,
        "delta": NUMBER,
        "low": NUMBER,
        "high": NUMBER,
        "change": NUMBER,
        "change_low": NUMBER,
        "change_high": NUMBER,
    },
)
INDEXES = Table(
    "18",
    "indexes.parquet",
    "a way to index one model's vectors: its recall of the exact ten, bytes on disk and in memory, or why it was not "
    "measured",
    {
        "model": TEXT,
        "setting": TEXT,
        "recall": NUMBER,
        "bytes": NUMBER,
        "memory": NUMBER,
        "status": TEXT,
        "chosen": FLAG,
    },
)
COVERAGE = Table(
    "18",
    "coverage.parquet",
    "a threshold under which a system says that there is no answer: the share of the dev queries that it answers, and "
    "of these the share whose first result is right",
    {"system": TEXT, "threshold": NUMBER, "coverage": NUMBER, "precision": NUMBER},
)
END_TO_END = Table(
    "18",
    "end_to_end.parquet",
    "a system's scores on a test query, and at which position of the prompt the first relevant document stands",
    {"query_id": TEXT, "system": TEXT, "in_prompt": FLAG, "position": NUMBER, "group": TEXT},
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
