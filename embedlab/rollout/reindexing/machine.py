"""The re-indexing machine: every step is written down before it is done, and every command may be repeated.

planned → backfilling → backfilled → validated → cut over → draining → finished. From the start of the backfill to the
end both indexes get what an application writes. A rollback is possible until the old index is deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from embedlab.errors import EmbedlabError
from embedlab.rollout.reindexing.backfill import Backfill
from embedlab.rollout.reindexing.health import Health
from embedlab.rollout.reindexing.progress import standing
from embedlab.rollout.reindexing.validation import Comparison, canary_check, faults_of
from embedlab.rollout.results import Check
from embedlab.rollout.service.clock import elapsed, now
from embedlab.rollout.service.job import (
    ABANDONED,
    BACKFILLED,
    BACKFILLING,
    CUT_OVER,
    CUTTING_OVER,
    DRAINING,
    FINISHED,
    FINISHING,
    PLANNED,
    ROLLED_BACK,
    VALIDATED,
    WRITES_TO_BOTH,
    Job,
    the_job,
    write_job,
)
from embedlab.rollout.service.reader import Reader
from embedlab.rollout.service.releases import Release, Releases
from embedlab.rollout.service.state import State, operator
from embedlab.rollout.service.switching import set_alias
from embedlab.rollout.service.writes import Writer, cursor, last_write, set_cursor
from embedlab.rollout.stores.addresses import create_collection, drop_collection, has_collection, open_collection
from embedlab.rollout.stores.base import Collection, CollectionInfo
from embedlab.rollout.stores.opened import Load, Opened

PROBES = 20
"""Searches of the live index by which its latency is judged."""


class Reindex:
    """One re-indexing, as its state file has it; made by :func:`~embedlab.rollout.reindexing.planning.plan`.

    Args:
        path: the state file.
        load: returns a model by its name and precision; None: :func:`~embedlab.models.load_model`.

    Raises:
        EmbedlabError: if nothing is planned in it.
        IntegrityError: if the file is damaged.
    """

    def __init__(self, path: str | Path, load: Load | None = None) -> None:
        self.state = State(path)
        self.opened = Opened(load)
        self._load = load
        the_job(self.state)

    @property
    def job(self) -> Job:
        """The re-indexing as it stands now."""
        return the_job(self.state)

    # --- backfill ----------------------------------------------------------------------------

    def start(self, resume: bool = False) -> Job:
        """Write to both indexes from now on, and bring every document into the new one; goes on where it stopped.

        Args:
            resume: go on although somebody paused it.

        Returns:
            the job as it stands at the end: backfilled, or still backfilling where documents were put aside.

        Raises:
            LockedError: if another process does this already; names it.
            StoppedError: if somebody paused it or rolled back.
            StoreError: if a store could not be reached for too long; the same command goes on from there.
        """
        with self.state.operating():
            job = self._begun(resume)
            if job.state != BACKFILLING:
                return job
            self._writer().catch_up()
            target = self.opened.collection(self.state.address(job.target))
            health = Health(job.options.health, job.options.p95_ms, self._probes(job))
            job = Backfill(self.state, self.opened.encoder(target.info), target, health).run()
            self.state.backup()
            return job

    def _begun(self, resume: bool) -> Job:
        """Make the new index and let writes go to both, unless that is done."""
        job = self.job
        if job.paused_by and not resume:
            raise EmbedlabError(f"paused by {job.paused_by}; go on with 'embedlab reindex resume'")
        if job.state == PLANNED:
            self._make_target(job)
            source = self.state.address(job.source)
            with self.state.db.transaction():
                at = cursor(self.state, source)
                set_cursor(self.state, self.state.address(job.target), at["seq"], {})
                write_job(self.state, self.job, state=BACKFILLING, since=at["seq"], paused_by="")
            self.state.backup()
        elif job.state in (ABANDONED, FINISHING):
            raise EmbedlabError(
                f"the re-indexing was {job.state}; end it with 'embedlab reindex finish', then plan anew"
            )
        elif job.paused_by:
            with self.state.db.transaction():
                write_job(self.state, self.job, paused_by="")
        return self.job

    def _make_target(self, job: Job) -> None:
        """Make the new index; one that this re-indexing made before a kill is taken as it is."""
        address = self.state.address(job.target)
        if has_collection(address):
            found = open_collection(address)
            made_for = found.info.made_for
            found.close()
            if made_for != job.id:
                raise EmbedlabError(f"{address} exists already; an index is never overwritten: plan with another --to")
            return
        encoder = self.opened.new_encoder(job.model, job.precision)
        create_collection(address, CollectionInfo(encoder.identity, job.model, job.settings, job.id)).close()

    def _probes(self, job: Job) -> list[Callable[[], object]]:
        """Return searches of the live index whose time says how it is; none where no latency is asked for."""
        if job.options.p95_ms <= 0:
            return []
        reader = Reader(State(self.state.path), self._load)
        documents = self.opened.collection(self.state.address(job.source)).documents("", PROBES)
        texts = [f"{document.title} {document.text}"[:200] for document in documents]
        return [partial(reader.search, text) for text in texts]

    def pause(self) -> Job:
        """Let the backfill stop after its present batch, whichever process runs it."""
        with self.state.db.transaction():
            job = self.job
            if job.state not in (PLANNED, BACKFILLING):
                raise EmbedlabError(f"there is no backfill to pause: the re-indexing is {job.state}")
            return write_job(self.state, job, paused_by=job.paused_by or operator())

    # --- validation --------------------------------------------------------------------------

    def validate(self) -> list[Check]:
        """Compare the new index with the old one, and note whether it may answer; nothing is switched.

        Raises:
            EmbedlabError: if the backfill is not done, or an index lacks writes.
        """
        with self.state.operating():
            job = self._require((BACKFILLED, VALIDATED, ROLLED_BACK, CUT_OVER, DRAINING), "validated")
            self._writer().catch_up()
            begin = last_write(self.state)
            old, new = self._indexes(job)
            comparison = Comparison(old, new, self.opened.encoder(new.info), job.options.sample)
            comparison.walk(self.state.all("batches"))
            canaries = self._canaries(job)
            with self.state.db.transaction():
                job = self.job
                self._writer().settle()
                self._require_taken(job)
                checks = comparison.checks(self._written_after(begin), self._written_after(job.since or 0))
                checks += canaries
                self._note_validation(job, checks, old, new)
            self.state.backup()
            return checks

    def _note_validation(self, job: Job, checks: list[Check], old: Collection, new: Collection) -> None:
        passed = all(check.passed for check in checks)
        seen = {"writes": last_write(self.state), "old": old.version(), "new": new.version()}
        found = {"checks": [asdict(check) for check in checks], "passed": passed, "at": now().in_words} | seen
        state = job.state
        if passed and state in (BACKFILLED, ROLLED_BACK):
            state = VALIDATED
        elif not passed and state == VALIDATED:
            state = BACKFILLED
        write_job(self.state, job, validation=found, state=state)

    def _canaries(self, job: Job) -> list[Check]:
        if job.canaries is None:
            return []
        reader = Reader(State(self.state.path), self._load)
        checks = [canary_check(job.canaries, partial(reader.search_release, self._new_release(job)))]
        reader.close()
        return checks

    def _written_after(self, number: int) -> list[str]:
        rows = self.state.db.rows("SELECT DISTINCT doc_id FROM writes WHERE key > ?", [number])
        return [row["doc_id"] for row in rows]

    def _require_taken(self, job: Job) -> None:
        """Raise an EmbedlabError where one of both indexes did not take a document."""
        for stored in (job.source, job.target):
            for doc_id, why in cursor(self.state, self.state.address(stored))["aside"].items():
                raise EmbedlabError(f"{stored} could not take document {doc_id!r}: {why}; write it again, or delete it")

    # --- switching ---------------------------------------------------------------------------

    def cutover(self, revalidate: bool = False) -> Job:
        """Let the new index answer, with its own model and stages: one switch of all of them.

        Args:
            revalidate: what was written since the validation is checked now, while writers wait, instead of refused.

        Raises:
            EmbedlabError: if the validation did not pass, or not on the present content.
        """
        with self.state.operating():
            job = self._require((VALIDATED, CUTTING_OVER, CUT_OVER, DRAINING), "cut over")
            if job.state in (CUT_OVER, DRAINING):
                return job
            if job.state == VALIDATED:
                self._writer().catch_up()
                old, new = self._indexes(job)
                with self.state.db.transaction():
                    job = self.job
                    self._writer().settle()
                    self._require_validated(job, old, new, revalidate)
                    job = write_job(self.state, job, state=CUTTING_OVER)
                self.state.backup()
            return self._switched(job)

    def _switched(self, job: Job) -> Job:
        began = time.monotonic()
        with self.state.db.transaction():
            releases = Releases(self.state)
            release = self._new_release(job)
            releases.put(release)
            releases.note(release.name, f"cut over from {job.source}", began=began)
            job = write_job(self.state, self.job, state=CUT_OVER)
        set_alias(self.state.address(job.target))
        self.state.backup()
        return job

    def _require_validated(self, job: Job, old: Collection, new: Collection, revalidate: bool) -> None:
        found = job.validation
        if found is None or not found["passed"]:
            raise EmbedlabError("not cut over: no validation has passed; run 'embedlab reindex validate'")
        self._require_taken(job)
        later = self._written_after(found["writes"])
        if later and not revalidate:
            count = "1 document was" if len(later) == 1 else f"{len(later):,} documents were"
            raise EmbedlabError(
                f"not cut over: {count} written since the validation at {found['at']}, the first "
                f"{later[0]!r}; validate again, or run 'embedlab reindex cutover --revalidate', which checks them alone"
            )
        for fault, doc_id in faults_of(old, new, later):
            raise EmbedlabError(f"not cut over: document {doc_id!r}, written since the validation, is among: {fault}")
        # Without a write through the door a version changes only where somebody wrote past it.
        if not later and (old.version(), new.version()) != (found["old"], found["new"]):
            raise EmbedlabError(
                "not cut over: an index was changed past the state file since the validation; validate again"
            )

    def rollback(self, why: str = "rolled back") -> Job:
        """Go back to the old index at once, or give the new one up before it ever answered; repeated, it does nothing.

        Needs no operator's lock: a backfill in another process stops by itself.

        Raises:
            EmbedlabError: if the re-indexing is finished, or its old index being deleted.
        """
        began = time.monotonic()
        with self.state.db.transaction():
            job = self._require((*WRITES_TO_BOTH, PLANNED, ABANDONED), "rolled back")
            if job.state in (CUT_OVER, DRAINING, CUTTING_OVER):
                releases = Releases(self.state)
                if releases.live().index == job.target:
                    releases.note(self._old_release(job).name, why, began=began)
                job = write_job(self.state, job, state=ROLLED_BACK, validation=None, drained=None)
            elif job.state != ROLLED_BACK:
                job = write_job(self.state, job, state=ABANDONED)
        set_alias(self.state.address(job.source))
        self.state.backup()
        return job

    def drain(self) -> Job:
        """Begin the retention period: the old index still gets every write, and a rollback is still one command."""
        with self.state.operating(), self.state.db.transaction():
            job = self._require((CUT_OVER, DRAINING), "drained")
            if job.state == DRAINING:
                return job
            return write_job(self.state, job, state=DRAINING, drained=now())

    def retention_left(self) -> float:
        """Return the seconds before which the old index may not be deleted."""
        job = self.job
        if job.drained is None:
            return 3600 * job.options.retention_hours
        return max(3600 * job.options.retention_hours - elapsed(job.drained, now()), 0.0)

    def finish(self) -> Job:
        """Delete the index that does not answer: the old one after its retention, the new one after a rollback.

        Raises:
            EmbedlabError: if the retention period is not over, or neither state is reached.
        """
        with self.state.operating():
            job = self._require((DRAINING, ROLLED_BACK, ABANDONED, FINISHING, FINISHED), "finished")
            if job.state == FINISHED:
                return job
            if job.state == DRAINING and self.retention_left() > 0:
                raise EmbedlabError(
                    f"the old index is kept for {job.options.retention_hours:g} h from the drain on: "
                    f"{self.retention_left() / 3600:.2f} h are left; a rollback needs it until then"
                )
            live = self.state.address(Releases(self.state).live().index)
            doomed = job.source if live == self.state.address(job.target) else job.target
            with self.state.db.transaction():
                Releases(self.state).remove(doomed)
                write_job(self.state, self.job, state=FINISHING)
            return self._deleted(doomed)

    def _deleted(self, doomed: str) -> Job:
        address = self.state.address(doomed)
        self.opened.forget(address)
        drop_collection(address)
        with self.state.db.transaction():
            self.state.db.write("DELETE FROM batches")
            self.state.db.write("DELETE FROM cursors WHERE key = ?", [doomed])
            job = write_job(self.state, self.job, state=FINISHED)
        self.state.backup()
        return job

    # --- what stands where -------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return where it stands, as :func:`~embedlab.rollout.reindexing.progress.standing` says."""
        return standing(self.state, self.opened, self.retention_left())

    def _require(self, states: tuple[str, ...], what: str) -> Job:
        job = self.job
        if job.state not in states:
            raise EmbedlabError(f"a re-indexing that is {job.state} cannot be {what}: {NEXT[job.state]}")
        return job

    def _indexes(self, job: Job) -> tuple[Collection, Collection]:
        return tuple(self.opened.collection(self.state.address(stored)) for stored in (job.source, job.target))  # type: ignore[return-value]

    def _new_release(self, job: Job) -> Release:
        info = self.opened.collection(self.state.address(job.target)).info
        return Release(job.release, job.target, info.identity.digest, info.model, job.target, job.settings)

    def _old_release(self, job: Job) -> Release:
        """Return the release that answered from the old index last."""
        releases = Releases(self.state)
        named = [entry["release"] for entry in reversed(releases.history())]
        known = set(releases.names())
        return next(r for r in (releases.get(name) for name in named if name in known) if r.index == job.source)

    def _writer(self) -> Writer:
        return Writer(self.state, opened=self.opened)

    def close(self) -> None:
        """Let go of files and connections."""
        self.opened.close()
        self.state.close()


NEXT = {
    PLANNED: "begin with 'embedlab reindex start'",
    BACKFILLING: "let 'embedlab reindex start' come to its end; 'status' says what is missing",
    BACKFILLED: "run 'embedlab reindex validate'",
    VALIDATED: "run 'embedlab reindex cutover'",
    CUTTING_OVER: "repeat 'embedlab reindex cutover', or roll back",
    CUT_OVER: "run 'embedlab reindex drain', or roll back",
    DRAINING: "'embedlab reindex finish' ends it after the retention period",
    ROLLED_BACK: "validate again to cut over again, or end it with 'embedlab reindex finish'",
    ABANDONED: "end it with 'embedlab reindex finish', which deletes the new index, and plan anew",
    FINISHING: "repeat 'embedlab reindex finish'",
    FINISHED: "plan another one",
}
"""What can be done from a state."""
