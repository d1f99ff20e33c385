"""Step 12: the cleaned training store."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import FLAG, INTEGER, NUMBER, TEXT, Artifact, Table
from embedlab.chain.artifacts.training_store import removed_by, rows_of


@dataclass(frozen=True)
class Change:
    """A difference on dev in the contract's measure, its 95 % interval, and the training seeds behind it."""

    delta: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Effect(Artifact, step="12", file="effect.json"):
    """What cleaning changes on dev after a short training (None where not measured), in numbers and in words."""

    effect: Change | None
    said: str
    steps: int


CLEAN = rows_of("12", "clean.parquet", "a training query after cleaning")
REMOVED = removed_by("12")
COUNTS = Table(
    "12",
    "counts.parquet",
    "a rule: rows before and after it, and how many it lists",
    {"rule": TEXT, "before": INTEGER, "after": INTEGER, "listed": INTEGER, "applied": FLAG},
)
COLLISIONS = Table(
    "12",
    "collisions.parquet",
    "a way to make batches: right answers that would count as negatives in an epoch",
    {"batches of": TEXT, "batches": INTEGER, "negatives": INTEGER, "collisions": INTEGER, "per million": NUMBER},
    "combinations masked",
)
