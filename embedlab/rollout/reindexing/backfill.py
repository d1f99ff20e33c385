"""The backfill: every document of the old index is encoded by the new model and stored in the new one.

One thread encodes, one stores; few encoded batches wait between them, so that encoding waits for the store. A batch
counts once its documents and then its row are on the disk. Documents that an application has written since the
backfill began are left to the writes, which know better.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tenacity import Retrying as Again
from tenacity import retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_exponential

from embedlab.errors import EmbedlabError, IntegrityError, StoreError
from embedlab.progress import Progress
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.rollout.encode.documents import encode_documents
from embedlab.rollout.encode.shards import Shards
from embedlab.rollout.reindexing.health import Health
from embedlab.rollout.service.job import BACKFILLED, BACKFILLING, Job, the_job, write_job
from embedlab.rollout.service.state import State
from embedlab.rollout.service.writes import encode_or_refuse, store_or_refuse, written_since
from embedlab.rollout.stores.addresses import open_collection
from embedlab.rollout.stores.base import Collection, Document, Entry

WAITING = 2
"""Encoded batches that wait for the store at most."""

DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Batch:
    """Documents on their way.

    Attributes:
        number: in the order of their ids.
        documents: as the old index had them.
        entries: with their new vectors.
        refused: documents that the model does not take, by id, and why.
        ready: when it was encoded, on this process' own clock.
    """

    number: int
    documents: list[Document]
    entries: list[Entry]
    refused: dict[str, str]
    ready: float


class StoppedError(EmbedlabError):
    """The backfill was paused, or its re-indexing rolled back, by somebody else."""


class Backfill:
    """One run of the backfill, until all is done, or somebody pauses it.

    Args:
        state: the state file.
        encoder: the new model.
        target: the new index.
        health: what is asked before each batch whether to go on.
    """

    def __init__(self, state: State, encoder: EncodesWithIdentity, target: Collection, health: Health) -> None:
        self.state, self.encoder, self.target, self.health = state, encoder, target, health
        self.job = the_job(state)
        # Read in the encoding thread alone.
        self._shards = Shards(Path(self.job.options.shards)) if self.job.options.shards else None
        self._waited = 0.0
        self._began = time.monotonic()
        self._stored = 0

    def run(self) -> Job:
        """Store what is missing; return the job as it stands then.

        Raises:
            StoppedError: if somebody paused or rolled back.
            StoreError: if a store could not be reached for as long as the job is patient.
        """
        self._retry_failed()
        done = self.job.progress.get("done", 0)
        with Progress("Backfill", max(self.job.plan.documents, done)) as bar:
            bar.advance(done)
            for batch in self._encoded():
                self._patiently(partial(self._store, batch))
                bar.advance(len(batch.documents))
                self._keep_pace()
                self.health.wait(self._note_waiting)
        return self._finished()

    # --- encoding, in its own thread ---------------------------------------------------------

    def _encoded(self) -> Iterator[Batch]:
        """Yield batch after batch; the next ones are encoded while this one is stored."""
        coming = self._batches(*self._next())
        with ThreadPoolExecutor(max_workers=1) as encoding:
            waiting: deque[Future[Batch | None]] = deque()
            while True:
                while len(waiting) < WAITING:
                    waiting.append(encoding.submit(next, coming, None))
                batch = waiting.popleft().result()
                if batch is None:
                    return
                yield batch
                # The encoder has stood still since the last of the waiting batches was ready.
                if all(future.done() for future in waiting):
                    self._waited += time.monotonic() - _ready(waiting)

    def _batches(self, number: int, after: str) -> Iterator[Batch]:
        """Yield the batches from one number on; runs in the encoding thread alone."""
        # A connection belongs to its thread: this one reads the old index with one of its own.
        source = open_collection(self.state.address(self.job.source))
        size = self.job.options.batch_size
        while True:
            documents = self._patiently(partial(source.documents, after, size))
            if not documents:
                source.close()
                return
            sound, refused = _sound(source, documents)
            entries, unwanted = self._vectors(sound)
            yield Batch(number, documents, entries, refused | unwanted, time.monotonic())
            number, after = number + 1, documents[-1].doc_id

    def _vectors(self, documents: list[Document]) -> tuple[list[Entry], dict[str, str]]:
        """Return documents with their vectors: from shards where they are the ones that were encoded, else made now."""
        known = self._shards.find(documents) if self._shards is not None else {}
        space = self.encoder.identity.digest
        entries = [Entry.of(d, known[d.doc_id], space) for d in documents if d.doc_id in known]
        made, refused = self._encoded_now([d for d in documents if d.doc_id not in known])
        return entries + made, refused

    def _encoded_now(self, documents: list[Document]) -> tuple[list[Entry], dict[str, str]]:
        """Encode documents, again where that fails; then each alone, so that only the bad ones are put aside."""
        settings = self.target.info.settings
        stop = stop_after_attempt(self.job.options.attempts - 1)
        again = Again(stop=stop, wait=wait_exponential(0.1, max=5), reraise=True)
        try:
            return again(encode_documents, self.encoder, documents, settings), {}
        except EmbedlabError:
            return encode_or_refuse(self.encoder, documents, settings)

    # --- storing -----------------------------------------------------------------------------

    def _store(self, batch: Batch) -> None:
        """Store a batch and note it; no application's write comes between the look at the writes and the store."""
        ids = [document.doc_id for document in batch.documents]
        with self.state.db.transaction():
            job = self._still_wanted()
            stored, aside = self._put(job, batch, ids)
            self.state.put("batches", batch.number, _row(batch, stored, aside))
            self._stored += len(batch.documents)
            write_job(self.state, job, progress=self._progress(job, len(batch.documents)))

    def _put(self, job: Job, batch: Batch, ids: list[str]) -> tuple[list[Entry], dict[str, str]]:
        """Store what no application has written since, in a transaction; return what is stored, and what is put aside.

        Args:
            job: as it stands in this transaction.
            batch: what was encoded and refused.
            ids: of the documents that it is about.
        """
        newer = written_since(self.state, job.since or 0, ids)
        due = [entry for entry in batch.entries if entry.document.doc_id not in newer]
        refused = batch.refused | store_or_refuse(self.target, due)
        aside = {doc_id: why for doc_id, why in refused.items() if doc_id not in newer}
        return [entry for entry in due if entry.document.doc_id not in aside], aside

    def _still_wanted(self) -> Job:
        job = the_job(self.state)
        if job.paused_by:
            raise StoppedError(f"paused by {job.paused_by}; go on with 'embedlab reindex resume'")
        if job.state != BACKFILLING or job.id != self.job.id:
            raise StoppedError(f"the re-indexing is {job.state} now; nothing more is backfilled")
        return job

    def _progress(self, job: Job, documents: int) -> dict[str, Any]:
        done = job.progress.get("done", 0) + documents
        rate = self._stored / max(time.monotonic() - self._began, 1e-9)
        return {"done": done, "rate": rate, "waited_for_store": round(self._waited, 3), "waits_for": ""}

    def _note_waiting(self, reason: str) -> None:
        with self.state.db.transaction():
            job = self._still_wanted()
            write_job(self.state, job, progress=job.progress | {"waits_for": reason})

    def _keep_pace(self) -> None:
        """Wait as long as the documents so far were too many a second."""
        most = self.job.options.documents_per_second
        if most > 0:
            early = self._stored / most - (time.monotonic() - self._began)
            time.sleep(max(early, 0))

    def _patiently(self, action: Callable[[], Any]) -> Any:
        """Return what an action returns, tried again while a store cannot be reached."""
        again = Again(
            retry=retry_if_exception_type(StoreError),
            stop=stop_after_delay(self.job.options.patience),
            wait=wait_exponential(0.1, max=5),
            reraise=True,
        )
        return again(action)

    # --- where it stands ---------------------------------------------------------------------

    def _next(self) -> tuple[int, str]:
        """Return the number of the next batch, and the id after which it begins."""
        row = self.state.db.row("SELECT max(key) AS key FROM batches")
        if row is None or row["key"] is None:
            return 0, ""
        last = self.state.get("batches", row["key"])
        assert last is not None
        return row["key"] + 1, last["last"]

    def _retry_failed(self) -> None:
        """Try once more what was put aside, as the old index has it now."""
        failed = {number: row for number, row in self.state.all("batches").items() if row["state"] == FAILED}
        if not failed:
            return
        source = open_collection(self.state.address(self.job.source))
        try:
            for number, row in failed.items():
                known = source.get(list(row["aside"]))
                documents = [entry.document for entry in known.values()]
                sound, refused = _sound(source, documents)
                entries, unwanted = self._vectors(sound)
                batch = Batch(number, documents, entries, refused | unwanted, 0.0)
                self._patiently(partial(self._store_again, batch, row))
        finally:
            source.close()

    def _store_again(self, batch: Batch, row: dict[str, Any]) -> None:
        with self.state.db.transaction():
            stored, aside = self._put(self._still_wanted(), batch, list(row["aside"]))
            total = f"{(int(row['checksum'], 16) + _sum(stored)) % MODULUS:032x}"
            changes = {"aside": aside, "checksum": total, "state": FAILED if aside else DONE}
            self.state.put("batches", batch.number, row | changes)

    def _finished(self) -> Job:
        """Note that all is done, unless something was put aside."""
        with self.state.db.transaction():
            job = self._still_wanted()
            if any(row["state"] == FAILED for row in self.state.all("batches").values()):
                return job
            return write_job(self.state, job, state=BACKFILLED)


def _sound(source: Collection, documents: list[Document]) -> tuple[list[Document], dict[str, str]]:
    """Return the documents that are what was written to the old index, and those that are not, with the reason."""
    entries = source.get([document.doc_id for document in documents])
    sound, refused = [], {}
    for document in documents:
        entry = entries.get(document.doc_id)
        if entry is None:
            continue  # deleted meanwhile
        try:
            entry.require_unchanged(source.address)
            sound.append(entry.document)
        except IntegrityError as error:
            refused[document.doc_id] = str(error)
    return sound, refused


def _ready(waiting: deque[Future[Batch | None]]) -> float:
    """Return when the last of some encoded batches was ready; now where all were before."""
    found = [future.result() for future in waiting if future.exception() is None]
    return max((batch.ready for batch in found if batch is not None), default=time.monotonic())


MODULUS = 1 << 128


def _sum(entries: list[Entry]) -> int:
    """Return the sum of checksums, which does not depend on their order."""
    return sum(int(entry.checksum, 16) for entry in entries) % MODULUS


def _row(batch: Batch, stored: list[Entry], aside: dict[str, str]) -> dict[str, Any]:
    return {
        "state": FAILED if aside else DONE,
        "documents": len(batch.documents),
        "first": batch.documents[0].doc_id,
        "last": batch.documents[-1].doc_id,
        "stored": len(stored),
        "aside": aside,
        "checksum": f"{_sum(stored):032x}",
    }
