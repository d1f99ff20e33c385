"""Step 13: train and validation, and the proof that nothing leaks."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import Artifact
from embedlab.chain.artifacts.training_store import removed_by, rows_of
from embedlab.evaluation.results import Comparison


@dataclass(frozen=True)
class SplitGain:
    """What a short training gains on a validation part: scores of base and tuned, and the difference."""

    validation: str
    queries: float
    base: float
    tuned: float
    delta: float
    low: float
    high: float

    @classmethod
    def of(cls, validation: str, gain: Comparison) -> SplitGain:
        """Return the gain on a validation part, as a comparison of base and tuned found it."""
        low, high = gain.ci95
        return cls(validation, float(gain.n_queries), gain.baseline, gain.candidate, gain.delta, low, high)


@dataclass(frozen=True)
class Overlap:
    """What two parts share (``items`` names leaks alone)."""

    between: str
    kind: str
    count: int
    leak: bool
    items: list[str]


@dataclass(frozen=True)
class Leakage(Artifact, step="13", file="leakage.json"):
    """The leakage report.

    Attributes:
        total: leaks between train, validation, dev and test; must be 0.
        unit: ``group`` or ``query``: what dev and test were kept apart by.
        split_unit: the same for train and validation.
        random_split_share: share of validation rows whose group a random split would have in training.
        split_gains: what a split by group and one at random claim.
        inflated_by: how much more the random split claims; None where not measured.
        counts: every pair of parts and kind of overlap.
    """

    total: int
    unit: str
    split_unit: str
    random_split_share: float
    split_gains: list[SplitGain]
    inflated_by: float | None
    counts: list[Overlap]


TRAINING = rows_of("13", "training.parquet", "a training query of train or validation")
REMOVED = removed_by("13")
