"""Where a re-indexing stands: for people, programs and who waits for it."""

from __future__ import annotations

from typing import Any

from embedlab.errors import MissingInputError, StoreError
from embedlab.rollout.reindexing.backfill import FAILED
from embedlab.rollout.service.job import BACKFILLING, CUT_OVER, DRAINING, PLANNED, WRITES_TO_BOTH, Job, the_job
from embedlab.rollout.service.releases import Releases
from embedlab.rollout.service.state import State
from embedlab.rollout.service.writes import cursor, last_write
from embedlab.rollout.stores.opened import Opened


def standing(state: State, opened: Opened, retention_left: float) -> dict[str, Any]:
    """Return where a re-indexing stands.

    Args:
        state: the state file.
        opened: its collections.
        retention_left: seconds before which the old index may not be deleted.

    Returns:
        ``state, done, total, failed, rate`` (documents a second of the last backfill, None before the first),
        ``seconds_left`` (at this rate; None where it is not known), and who answers, what is put aside and why, what
        is waited for, and how many writes each index lacks.
    """
    job = the_job(state)
    aside = {number: row["aside"] for number, row in state.all("batches").items() if row["state"] == FAILED}
    done = job.progress.get("done", 0)
    total = max(_total(job, state, opened), done)
    live = Releases(state).current()
    is_kept = job.state in (CUT_OVER, DRAINING)
    return {
        "state": job.state,
        "done": done,
        "total": total,
        "failed": sum(len(documents) for documents in aside.values()),
        "rate": job.progress.get("rate"),
        "seconds_left": _seconds_left(job, total - done),
        "paused_by": job.paused_by,
        "waits_for": job.progress.get("waits_for", ""),
        "waited_for_store": job.progress.get("waited_for_store", 0.0),
        "aside": {str(number): documents for number, documents in aside.items()},
        "writes_behind": _writes_behind(job, state),
        "live": live.name if live else None,
        "index": live.index if live else None,
        "validation": job.validation,
        "retention_left_hours": round(retention_left / 3600, 4) if is_kept else None,
    }


def _seconds_left(job: Job, documents: int) -> float | None:
    if job.state not in (PLANNED, BACKFILLING):
        return 0.0
    rate = job.progress.get("rate")
    return documents / rate if rate else None


def _total(job: Job, state: State, opened: Opened) -> int:
    """Return the documents of the old index now; what was planned where it cannot be asked."""
    if job.state not in (PLANNED, BACKFILLING):
        return int(job.progress.get("done", 0))
    try:
        return opened.collection(state.address(job.source)).count()
    except (StoreError, MissingInputError):
        return job.plan.documents


def _writes_behind(job: Job, state: State) -> dict[str, int]:
    """Return how many writes each of both indexes lacks."""
    if job.state not in WRITES_TO_BOTH:
        return {}
    last = last_write(state)
    return {stored: last - cursor(state, state.address(stored))["seq"] for stored in (job.source, job.target)}
