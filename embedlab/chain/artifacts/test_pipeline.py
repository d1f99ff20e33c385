"""Step 18: the gain end to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embedlab.chain.artifacts.base import FLAG, NUMBER, TEXT, Artifact, Table
from embedlab.evaluation.results import Comparison, Ends


@dataclass(frozen=True)
class EndToEnd(Artifact, step="18", file="pipeline.json"):
    """Both pipelines with every stage, on the sealed test.

    Attributes:
        baseline: score of the base's pipeline.
        tuned: score of the tuned one's.
        delta: the gain.
        ci95: its interval.
        passed: the gate: None where the interval reaches to both sides of the minimum gain.
        reason: why.
        metric: the contract's.
        comparison: the same in full.
        settings: by model what its pipeline does.
        filter: the metadata field, or why there is none.
        thresholds: by model the score threshold, and the shares of results that it drops.
        indexes: by model sizes, and the recall of an approximate index.
        evidence_in_prompt: by model the share of queries with a relevant document in the prompt.
        prompt_words: length of the prompt.
    """

    baseline: float
    tuned: float
    delta: float
    ci95: Ends
    passed: bool | None
    reason: str
    metric: str
    comparison: Comparison
    settings: dict[str, dict[str, Any]]
    filter: str
    thresholds: dict[str, dict[str, float]]
    indexes: dict[str, dict[str, float]]
    evidence_in_prompt: dict[str, float]
    prompt_words: int


CHOICES = Table(
    "18",
    "choices.parquet",
    "a setting that was tried on dev, for each model on its own",
    {"model": TEXT, "stage": TEXT, "setting": TEXT, "quality": NUMBER, "chosen": FLAG},
)
END_TO_END = Table(
    "18",
    "end_to_end.parquet",
    "a pipeline's scores on a test query, and whether a relevant document reached the prompt",
    {"query_id": TEXT, "system": TEXT, "in_prompt": FLAG, "group": TEXT},
    "a number a measure",
)
