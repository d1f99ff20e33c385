"""Step 20: re-indexing beside the live index."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import INTEGER, TEXT, Artifact, Table
from embedlab.rollout.results import Check


@dataclass(frozen=True)
class Needed:
    """What re-indexing so many documents takes, times left out.

    Attributes:
        documents: of the corpus.
        passages: texts that get a vector.
        batches: of documents.
        extra_bytes: on the disk, beside the live index.
    """

    documents: int
    passages: int
    batches: int
    extra_bytes: int


@dataclass(frozen=True)
class ReindexPlan(Artifact, step="20", file="plan.json"):
    """The plan for this corpus and for production, and the steps in order.

    Attributes:
        here: for this corpus.
        production: for so many documents like these.
        batch_size: documents a batch, fewer where the corpus at hand would have no middle.
        model: that encodes anew.
        dimensions: of a vector.
        index: kind of the new index.
        steps: in order.
    """

    here: Needed
    production: Needed
    batch_size: int
    model: str
    dimensions: int
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
        killed_after: documents in the new index when the worker was killed.
        writes: documents that the application wrote or deleted meanwhile.
        differing: documents that were lost, came back, or stand in an index with another content or vector.
        wrong_answers: answers of the service, asked all the while, that neither index gives.
        states: that the re-indexing passed, in order.
        old: name of the release that was live, and of its index.
        new: name of the candidate, and of its index.
        live: name of the release that answers at the end.
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
    killed_after: int
    writes: int
    differing: int
    wrong_answers: int
    states: list[str]
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
    "a batch: documents read, the first and the last one, how many of them the backfill stored, and their checksum",
    {"batch": INTEGER, "documents": INTEGER, "first": TEXT, "last": TEXT, "stored": INTEGER, "checksum": TEXT},
)
LIVE = "indexes/live"
"""The service after the cut-over: a state file, `service.db`, and a folder an index."""
