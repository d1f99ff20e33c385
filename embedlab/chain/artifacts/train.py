"""Step 14: the training run and the model that goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embedlab.chain.artifacts.base import INTEGER, NUMBER, TEXT, Artifact, Table
from embedlab.evaluation.results import Comparison
from embedlab.training.results import AdapterUse, Checkpoint, MinedUse, Mix, SeedRun


@dataclass(frozen=True)
class Training(Artifact, step="14", file="training.json"):
    """What training did.

    Attributes:
        kept: ``tuned`` or ``base``: which weights go on.
        best_step: the checkpoint that was taken.
        share: of the tuned weights in the mix with the base's.
        steps_done: training steps in all.
        loss: its name.
        hard_negatives: mined documents added to each batch.
        mined: how many of the mined negatives stood in the batches that led to the checkpoint.
        base: sha256 of the weights that training began with.
        checkpoints: what the choice of the step rests on.
        seeds: every training run; the first one goes on, or with ``averaged`` the mean of their weights.
        averaged: whether it is that mean.
        mixes: what the choice of the share rests on.
        adapter: what a map of the untuned base's query vectors gains on dev, where no document is embedded again.
        route: what a map of the tuned model's query vectors gains on validation and dev together.
        routed: whether the model that goes on has it, as a route of its own for queries.
        pairs: query-document pairs that were seen.
        rows: training queries.
        validation: tuned against base on the validation queries.
        validation_and_dev: the same on those and the dev queries together, which decides what is kept.
        weights: sha256 of the model that goes on.
        recipe: every setting.
    """

    kept: str
    best_step: int
    share: float
    steps_done: int
    loss: str
    hard_negatives: int
    mined: MinedUse
    base: str
    checkpoints: list[Checkpoint]
    seeds: list[SeedRun]
    averaged: bool
    mixes: list[Mix]
    adapter: AdapterUse
    route: AdapterUse
    routed: bool
    pairs: int
    rows: int
    validation: Comparison
    validation_and_dev: Comparison
    weights: str
    recipe: dict[str, Any]


CURVE = Table(
    "14",
    "curve.parquet",
    "a step: the loss, and the validation score where it was checked",
    {"step": INTEGER, "loss": NUMBER, "validation": NUMBER},
)
VALIDATION = Table(
    "14",
    "validation.parquet",
    "a validation query: the score of base and tuned model",
    {"query_id": TEXT, "base": NUMBER, "tuned": NUMBER},
)
MIXES = Table(
    "14",
    "mixes.parquet",
    "a dev query",
    {"query_id": TEXT},
    "the measure at each share of the tuned weights, under the share",
)
ADAPTER = Table(
    "14",
    "adapter.parquet",
    "a dev query: the score of the untuned base, and with an adapter of its queries",
    {"query_id": TEXT, "base": NUMBER, "adapted": NUMBER},
)
QUERY_ADAPTER = "models/query_adapter"
"""Folder of the adapter of the untuned base's queries."""
TUNED = "models/tuned"
"""Folder of the model that goes on, in sentence-transformers' format."""
