"""A service that is re-indexed while it is written to, read and killed: the processes, and what must be true of them.

Run as a program it is one of these processes: ``operate``, ``write`` or ``read``, with toy encoders.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from toy_encoder import DIMENSIONS, NEW, OLD, ToyEncoder, toy_service

from embedlab.errors import EmbedlabError, LockedError, StoreError
from embedlab.retrieval import Settings
from embedlab.rollout import Document, Options, Reindex, StoppedError, encode_documents, open_collection, plan, reader
from embedlab.rollout import writer as open_writer
from embedlab.rollout.service import job as states

TESTS = Path(__file__).parent

ENCODERS = {"old": OLD, "new": NEW}

TEXTS = {
    f"d{i:04d}": f"document number{i} about topic{i % 17} word{i * 7 % 101} extra{i * 13 % 89}" for i in range(200)
}

ANCHORS = {f"a{i:02d}": f"anchor{i} stands{i} still{i} always{i}" for i in range(12)}
"""Documents that nobody writes: a search for one's own text finds it first, with a cosine of 1, at any moment."""


def load(model, precision="float32"):
    """Return a toy encoder by its name."""
    return ENCODERS[model]


def slow(model, precision="float32"):
    """Return a toy encoder that takes its time, so that a kill meets it at work."""
    return ToyEncoder(model, seed=ENCODERS[model].seed, pause=0.01)


def planned_service(folder, old=None, new=None, **options):
    """Return the state file of a service with a planned re-indexing."""
    texts = TEXTS | ANCHORS
    toy_service(folder, old or folder / "old", texts).close()
    chosen = Options(**{"batch_size": 8, "retention_hours": 0, "sample": 0, "patience": 20.0} | options)
    target = str(new or folder / "new")
    plan(folder / "service.db", str(old or folder / "old"), target, "new", chosen, load=load)
    return folder / "service.db"


# --- one process ---------------------------------------------------------------------------------


def operate(state, until):
    """Do what is next until the re-indexing is in a state."""
    machine = Reindex(state, slow)
    while machine.job.state != until:
        now = machine.job.state
        if now in (states.PLANNED, states.BACKFILLING):
            machine.start(resume=True)
        elif now == states.BACKFILLED:
            failed = [check for check in machine.validate() if not check.passed]
            assert not failed, failed
        elif now in (states.VALIDATED, states.CUTTING_OVER):
            machine.cutover(revalidate=True)
        elif now == states.CUT_OVER:
            machine.drain()
        elif now in (states.DRAINING, states.FINISHING):
            machine.finish()
        else:
            raise AssertionError(now)
    machine.close()


def write(state, diary, seed):
    """Insert, change and delete documents for ever; note each write before and after it."""
    rng = random.Random(seed)
    door = open_writer(state, load)
    with Path(diary).open("a") as notes:

        def note(**line):
            notes.write(json.dumps(line) + "\n")
            notes.flush()
            os.fsync(notes.fileno())

        number = 0
        while True:
            number += 1
            kind = rng.choice(["insert", "change", "change", "delete"])
            doc_id = f"w{seed}{number:05d}" if kind == "insert" else rng.choice(list(TEXTS))
            text = None if kind == "delete" else f"written{rng.random()} by{seed} topic{rng.randrange(17)} at{number}"
            note(began=doc_id, text=text)
            try:
                if text is None:
                    door.delete([doc_id])
                else:
                    door.upsert([Document(doc_id, "", text)])
            except StoreError:
                note(unsure=doc_id)
                continue
            note(done=doc_id)
            time.sleep(rng.random() * 0.02)


def read(state, report):
    """Ask for the anchors for ever; write down what is wrong with an answer, and how many were asked."""
    asked = 0
    found = reader(state, load)
    rng = random.Random(0)
    while True:
        doc_id, text = rng.choice(list(ANCHORS.items()))
        try:
            hits = found.search(text, 5)
        except StoreError:
            continue
        asked += 1
        fault = ""
        if len(hits) < 5:
            fault = f"{len(hits)} answers for {doc_id}"
        elif hits[0].doc_id != doc_id or abs(hits[0].score - 1) > 1e-3:
            fault = f"{hits[0]} for {doc_id}"
        if fault or asked % 20 == 0:
            with Path(report).open("a") as notes:
                notes.write(json.dumps({"asked": asked, "fault": fault}) + "\n")


def die_at(number, after):
    """Kill this process at its so-many-th commit or change of a store, before or after it is done."""
    count = 0

    def counted(whole):
        def change(*args, **kwargs):
            nonlocal count
            count += 1
            if count == number and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = whole(*args, **kwargs)
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return change

    class Killed(sqlite3.Connection):
        def execute(self, statement, *values):
            whole = super().execute
            return counted(whole)(statement, *values) if statement == "COMMIT" else whole(statement, *values)

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **kwargs: connect(*args, **kwargs, factory=Killed)
    if os.environ.get("MILVUS_POINTS"):
        from embedlab.rollout.stores.milvus import MilvusCollection

        MilvusCollection.upsert = counted(MilvusCollection.upsert)
        MilvusCollection.delete = counted(MilvusCollection.delete)


# --- all processes -------------------------------------------------------------------------------


def spawn(*words, **environment):
    """Start one of the processes above."""
    command = [sys.executable, __file__, *map(str, words)]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def ended(process, seconds=120):
    """Return the exit code of a process, and show what it said where it failed by itself."""
    _, said = process.communicate(timeout=seconds)
    if process.returncode not in (0, -signal.SIGKILL):
        raise AssertionError(said)
    return process.returncode


def kill(process):
    """Kill a process the hard way."""
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()


@dataclass
class Expected:
    """What the indexes must hold.

    Attributes:
        texts: of every live document whose last write is known.
        unsure: documents whose last write was interrupted: each may be as before it or as after it.
    """

    texts: dict
    unsure: dict


def expected(diaries):
    """Return what must be in the indexes, by the diaries of the writers; each writes documents of its own alone."""
    texts = dict(TEXTS | ANCHORS)
    unsure = {}
    for diary in diaries:
        began = {}
        # A writer that was killed at once has none.
        lines = Path(diary).read_text().splitlines() if Path(diary).exists() else []
        for line in lines:
            note = json.loads(line)
            if "began" in note:
                began = note
                unsure.setdefault(note["began"], {texts.get(note["began"])}).add(note["text"])
            elif "done" in note:
                unsure.pop(note["done"], None)
                texts[note["done"]] = began["text"]
    known = {doc_id: text for doc_id, text in texts.items() if text is not None and doc_id not in unsure}
    return Expected(known, unsure)


def require_as_expected(address, encoder, wanted):
    """Check that an index holds just the live documents, each once, each with the vector of the right model."""
    collection = open_collection(str(address))
    ids = list(collection.ids())
    assert len(ids) == len(set(ids)) == collection.count(), "a document stands there twice"
    entries = collection.get(ids)
    for doc_id, options in wanted.unsure.items():
        found = entries[doc_id].document.text if doc_id in entries else None
        assert found in options, (doc_id, found, options)
    sure = {doc_id: entry.document.text for doc_id, entry in entries.items() if doc_id not in wanted.unsure}
    assert sure.keys() - wanted.texts.keys() == set(), "a deleted document is back"
    assert wanted.texts.keys() - sure.keys() == set(), "a document is lost"
    assert sure == wanted.texts
    again = encode_documents(encoder, [entries[doc_id].document for doc_id in ids], Settings())
    for entry in again:
        there = entries[entry.document.doc_id]
        assert there.space == encoder.identity.digest
        assert there.vectors.shape == (1, DIMENSIONS)
        np.testing.assert_allclose(there.vectors, entry.vectors, atol=1e-6)
    collection.close()
    return {doc_id: entry.document.text for doc_id, entry in entries.items()}


def require_good_answers(report):
    """Check that no answer was empty, mixed or wrong; return how many were asked for."""
    notes = [json.loads(line) for line in Path(report).read_text().splitlines()]
    faults = [note["fault"] for note in notes if note["fault"]]
    assert not faults, faults[:3]
    return max(note["asked"] for note in notes)


if __name__ == "__main__":
    role, state, *rest = sys.argv[1:]
    if role == "operate":
        if len(rest) == 3:
            die_at(int(rest[1]), rest[2] == "after")
        try:
            operate(Path(state), rest[0])
        except (LockedError, StoppedError) as error:
            sys.exit(str(error))
    elif role == "write":
        write(Path(state), rest[0], int(rest[1]))
    else:
        try:
            read(Path(state), rest[0])
        except EmbedlabError as error:
            with Path(rest[0]).open("a") as notes:
                notes.write(json.dumps({"asked": 0, "fault": repr(error)}) + "\n")
            raise
