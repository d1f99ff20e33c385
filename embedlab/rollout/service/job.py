"""What a re-indexing is and where it stands, as its row in the state file says.

Read without pandas, torch or faiss.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from embedlab.errors import EmbedlabError, IntegrityError
from embedlab.retrieval.systems import Settings
from embedlab.rollout.service.clock import Moment
from embedlab.rollout.service.state import State

PLANNED, BACKFILLING, BACKFILLED, VALIDATED = "planned", "backfilling", "backfilled", "validated"
CUTTING_OVER, CUT_OVER, DRAINING = "cutting over", "cut over", "draining"
ABANDONED, ROLLED_BACK, FINISHING, FINISHED = "abandoned", "rolled back", "finishing", "finished"

STATES = (
    PLANNED,
    BACKFILLING,
    BACKFILLED,
    VALIDATED,
    CUTTING_OVER,
    CUT_OVER,
    DRAINING,
    ROLLED_BACK,
    ABANDONED,
    FINISHING,
    FINISHED,
)

WRITES_TO_BOTH = (BACKFILLING, BACKFILLED, VALIDATED, CUTTING_OVER, CUT_OVER, DRAINING, ROLLED_BACK)
"""States in which what an application writes goes to the old and to the new index."""


@dataclass(frozen=True)
class Options:
    """How a re-indexing is run.

    Attributes:
        batch_size: documents a batch: what is done again after a kill.
        documents_per_second: the most that are encoded; 0: as fast as it goes.
        health: a command; while it fails, the backfill waits. Blank: none.
        p95_ms: while the live index answers slower than this, the backfill waits; 0: not measured.
        retention_hours: from the drain on, before which the old index cannot be deleted.
        sample: documents that the validation encodes again; 0: all.
        attempts: before a batch is put aside.
        patience: seconds that are waited for a store that cannot be reached.
        shards: folder of vectors that were made before, perhaps on other machines; blank: none.
    """

    batch_size: int = 64
    documents_per_second: float = 0.0
    health: str = ""
    p95_ms: float = 0.0
    retention_hours: float = 24.0
    sample: int = 256
    attempts: int = 3
    patience: float = 300.0
    shards: str = ""


@dataclass(frozen=True)
class Plan:
    """What a re-indexing will do and need; sizes in bytes.

    Attributes:
        documents: in the old index when it was planned.
        batches: of them.
        dimensions: of a new vector.
        documents_per_second: at which the new model encoded a sample here.
        hours: that encoding all takes at this speed.
        extra_bytes: that the new index takes beside the old one.
        free_bytes: that its disk has; None where the store does not say.
        cost: of the hours; None without a price.
    """

    documents: int
    batches: int
    dimensions: int
    documents_per_second: float
    hours: float
    extra_bytes: int
    free_bytes: int | None
    cost: float | None


@dataclass(frozen=True)
class Canaries:
    """Queries with known answers, and the quality that the evaluation promised for them.

    Attributes:
        metric: such as ``nDCG@10``.
        queries: texts by query id.
        qrels: relevance by query id and document id.
        low: lower end of the interval promised for the mean.
        high: upper end.
        metadata: what a query says beside its text, by query id, for a release that filters by it.
    """

    metric: str
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]
    low: float
    high: float
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One re-indexing.

    Attributes:
        id: told apart by; also stamped on the new index.
        state: one of :data:`STATES`.
        source: stored address of the old index.
        target: that of the new one.
        release: name of the release that searches the new one.
        model: how the new model is loaded.
        precision: in which it encodes.
        settings: passages, kind of index and stages of the new one.
        options: how it is run.
        plan: what was planned.
        canaries: None without a run to compare with.
        since: number of the last write that the old index held when the backfill began; None before.
        paused_by: who asked it to pause; blank: nobody.
        progress: what the backfill last noted: ``done, rate, waited_for_store`` and ``waits_for``.
        validation: the last one: ``checks, passed, at`` and the content that it saw; None before.
        drained: when the drain began; None before.
    """

    id: str
    state: str
    source: str
    target: str
    release: str
    model: str
    precision: str
    settings: Settings
    options: Options
    plan: Plan
    canaries: Canaries | None = None
    since: int | None = None
    paused_by: str = ""
    progress: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] | None = None
    drained: Moment | None = None

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Job:
        """Return what ``asdict`` gave; raises an IntegrityError where it is no job."""
        try:
            parts = {"settings": Settings(**body["settings"]), "options": Options(**body["options"])}
            parts |= {"plan": Plan(**body["plan"])}
            if body["canaries"] is not None:
                parts["canaries"] = Canaries(**body["canaries"])
            if body["drained"] is not None:
                parts["drained"] = Moment(**body["drained"])
            return cls(**body | parts)
        except (TypeError, KeyError) as error:
            raise IntegrityError(f"the re-indexing in the state file is damaged: {error}") from None


def read_job(state: State) -> Job | None:
    """Return the re-indexing of a state file, None where none was planned."""
    body = state.get("job", 1)
    return None if body is None else Job.from_dict(body)


def the_job(state: State) -> Job:
    """Return the re-indexing of a state file; raises an EmbedlabError where none was planned."""
    job = read_job(state)
    if job is None:
        raise EmbedlabError(f"{state.path}: no re-indexing is planned; plan one with 'embedlab reindex plan'")
    return job


def write_job(state: State, job: Job, /, **changes: Any) -> Job:
    """Write a job with changes, in a transaction; return it."""
    new = replace(job, **changes)
    state.put("job", 1, asdict(new))
    return new
