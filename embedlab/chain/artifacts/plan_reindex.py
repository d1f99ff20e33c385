"""Step 20: re-indexing beside the live index."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import INTEGER, TEXT, Artifact, Table
from embedlab.rollout.results import Check, Plan


@dataclass(frozen=True)
class ReindexPlan(Artifact, step="20", file="plan.json"):
    """The plan for this corpus and for production, the kind of index, and the steps in order."""

    here: Plan
    production: Plan
    index: str
    steps: list[str]


@dataclass(frozen=True)
class Reindexed(Artifact, step="20", file="reindex.json"):
    """What happened.

    Attributes:
        passed: the gate.
        reason: what failed.
        rollback_kept: whether the old index answers as before.
        documents: re-embedded.
        batches: of them.
        old: name of the index that was live.
        new: name of the candidate.
        live: name of the index that answers at the end.
        quality_before: on dev, in ``metric``.
        quality_after: likewise, of the candidate.
        metric: the contract's.
        checks: of the candidate.
    """

    passed: bool
    reason: str
    rollback_kept: bool
    documents: int
    batches: int
    old: str
    new: str
    live: str
    quality_before: float
    quality_after: float
    metric: str
    checks: list[Check]


BATCHES = Table(
    "20",
    "batches.parquet",
    "a batch: its documents, the first and the last one, and its checksum",
    {"batch": INTEGER, "documents": INTEGER, "first": TEXT, "last": TEXT, "sha256": TEXT},
)
LIVE = "indexes/live"
"""Folder of the releases after the cut-over."""
