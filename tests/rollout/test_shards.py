"""Shards go on after kill -9, name what is damaged, and serve no vector of a document that changed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT
from toy_encoder import DOCUMENTS, NEW, OLD, ToyEncoder

from embedlab.errors import (
    DataError,
    EmbedlabError,
    IdentityError,
    IntegrityError,
    LockedError,
    MissingInputError,
    ParameterError,
)
from embedlab.files import sha256_file
from embedlab.retrieval import Settings
from embedlab.rollout.encode.documents import encode_documents, passages_of
from embedlab.rollout.encode.shard_files import note, read_shard, shard_name
from embedlab.rollout.encode.shards import Shards, encode_shards
from embedlab.rollout.stores.base import Document

WHOLE = Settings()
CUT = Settings(chunk="all", passage_words=2, passage_overlap=1)
CORPUS = [Document(doc_id, f"title {doc_id}", text, {"n": at}) for at, (doc_id, text) in enumerate(DOCUMENTS.items())]
SHARDS = 13
"""Of the corpus, at eight documents each; the last one holds four."""


class Counting(ToyEncoder):
    """Remembers every text that it encoded."""

    def __init__(self, name="new", seed=1):
        super().__init__(name, seed)
        self.seen = []

    def encode_uncached(self, texts, kind="document"):
        self.seen += texts
        return super().encode_uncached(texts, kind)


def encode(folder, documents=CORPUS, encoder=NEW, settings=WHOLE, shard_size=8):
    return encode_shards(documents, encoder, folder, settings, shard_size)


def files(folder):
    """Return the bytes of every file by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture
def made(tmp_path):
    """A folder of finished shards."""
    encode(tmp_path / "made")
    return tmp_path / "made"


# --- documents to vectors -------------------------------------------------------------------------


def test_a_document_has_its_title_before_each_passage():
    documents = [Document("b", "T", "one two three"), Document("a"), Document("a", "", "four five")]
    assert passages_of(NEW, documents, WHOLE) == [["T one two three"], [""], ["four five"]]
    assert passages_of(NEW, documents, CUT) == [["T one two", "T two three"], [""], ["four five"]]
    assert passages_of(NEW, [], CUT) == []


def test_entries_hold_the_vectors_of_their_passages_and_say_whose_they_are():
    entries = encode_documents(NEW, CORPUS, CUT)
    assert [entry.document for entry in entries] == CORPUS
    for entry, passages in zip(entries, passages_of(NEW, CORPUS, CUT), strict=True):
        np.testing.assert_array_equal(entry.vectors, NEW.encode_uncached(passages))
        assert entry.space == NEW.identity.digest
        entry.require_unchanged("here")
    assert encode_documents(NEW, [], CUT) == []


# --- writing and reading --------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [WHOLE, CUT], ids=["whole", "passages"])
def test_what_is_found_is_what_the_model_gives(tmp_path, settings):
    shards = encode(tmp_path / "shards", settings=settings)
    assert shards.check() == {}
    found = shards.find(CORPUS)
    assert list(found) == [document.doc_id for document in CORPUS]
    for start in range(0, len(CORPUS), 8):
        for entry in encode_documents(NEW, CORPUS[start : start + 8], settings):
            np.testing.assert_array_equal(found[entry.document.doc_id], entry.vectors)


def test_a_shard_is_a_parquet_file_that_any_program_reads(made):
    table = pq.read_table(made / shard_name(12))
    assert table.column_names == ["doc_id", "content", "passage", "passages", "vector"]
    assert table["doc_id"].to_pylist() == ["d096", "d097", "d098", "d099"]
    assert table["content"][0].as_py() == CORPUS[96].content
    assert table["vector"].type == pa.list_(pa.float32(), NEW.identity.dimensions)
    plan = json.loads((made / "shards.json").read_text())
    assert (plan["documents"], plan["shards"], plan["shard_size"]) == (100, SHARDS, 8)
    assert plan["identity"]["digest"] == NEW.identity.digest


def test_a_changed_document_is_not_served_and_its_neighbours_are(made):
    changed = replace(CORPUS[9], text="something else")
    moved = replace(CORPUS[11], metadata={"n": -1})
    unknown = [Document("d0095"), Document("a"), Document("z")]
    found = Shards(made).find([CORPUS[8], changed, CORPUS[10], moved, *unknown])
    assert list(found) == ["d008", "d010"]


def test_a_reader_reads_every_shard_once_and_keeps_two(made, monkeypatch):
    read = []
    monkeypatch.setattr(
        "embedlab.rollout.encode.shards.read_shard", lambda *a: read.append(a[0].name) or read_shard(*a)
    )
    shards = Shards(made)
    for start in range(0, 100, 3):
        shards.find(CORPUS[start : start + 3])
    assert read == [shard_name(number) for number in range(SHARDS)]
    assert len(shards._loaded) == 2


@pytest.mark.parametrize("settings", [WHOLE, CUT], ids=["whole", "passages"])
def test_all_vectors_come_in_the_order_of_the_ids(tmp_path, settings):
    shards = encode(tmp_path / "shards", settings=settings)
    ids, vectors = shards.vectors()
    found = shards.find(CORPUS)
    assert ids == [doc_id for doc_id, own in found.items() for _ in own]
    np.testing.assert_array_equal(vectors, np.concatenate(list(found.values())))


def test_the_file_of_a_document_is_known(made):
    shards = Shards(made)
    assert [shards.file_of(doc_id) for doc_id in ("d000", "d035", "d099", "z")] == [
        *(shard_name(0), shard_name(4), shard_name(12), "")
    ]


def test_not_all_vectors_are_given_where_a_shard_is_missing_or_damaged(made):
    put(made, 4, with_nan)
    with pytest.raises(IntegrityError, match=r"shard-000004\.parquet: a vector of document 'd035' holds NaN"):
        Shards(made).vectors()
    (made / "journal.jsonl").unlink()
    with pytest.raises(IntegrityError, match=r"shard-000000\.parquet: not finished"):
        Shards(made).vectors()


def test_a_corpus_of_nothing_has_no_shards(tmp_path):
    shards = encode(tmp_path / "none", documents=[])
    assert (shards.plan.documents, shards.check(), shards.find(CORPUS)) == (0, {}, {})
    ids, vectors = shards.vectors()
    assert (ids, vectors.shape) == ([], (0, NEW.identity.dimensions))


def test_no_shards_are_asked_for_by_name(tmp_path):
    with pytest.raises(MissingInputError, match=r"holds no shards: it lacks shards\.json"):
        Shards(tmp_path)


# --- what cannot be encoded -----------------------------------------------------------------------


@pytest.mark.parametrize("order", [[1, 0], [0, 0]], ids=["out of order", "twice"])
def test_ids_come_in_order_each_once(tmp_path, order):
    with pytest.raises(DataError, match="in the order of their ids, each once: 'd000' comes after 'd00"):
        encode(tmp_path / "shards", documents=[CORPUS[at] for at in order])
    assert not (tmp_path / "shards").exists()


def test_a_generator_is_refused_before_it_is_used_up(tmp_path):
    with pytest.raises(ParameterError, match="not a generator"):
        encode(tmp_path / "shards", documents=iter(CORPUS))


def test_a_shard_of_no_documents_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="at least one document, found 0"):
        encode(tmp_path / "shards", shard_size=0)


class Living:
    """A corpus that somebody writes to: it gives something else each time."""

    def __init__(self, *given):
        self.given = list(given)

    def __iter__(self):
        return iter(self.given.pop(0))


def test_documents_that_change_while_they_are_read_are_told(tmp_path):
    later = [*CORPUS[:20], replace(CORPUS[20], text="changed")]
    with pytest.raises(DataError, match=r"shard-000002\.parquet: the documents changed .* from 'd016' on"):
        encode(tmp_path / "one", documents=Living(CORPUS, later))
    with pytest.raises(DataError, match="10 of 13 shards got no documents"):
        encode(tmp_path / "two", documents=Living(CORPUS, CORPUS[:24]))
    with pytest.raises(DataError, match=r"shard-000003\.parquet: the documents changed"):
        encode(tmp_path / "three", documents=Living(CORPUS[:24], CORPUS))


def test_a_vector_that_is_no_number_is_not_written(tmp_path):
    class Broken(ToyEncoder):
        def encode_uncached(self, texts, kind="document"):
            return np.where([["d012" in text] for text in texts], np.nan, super().encode_uncached(texts, kind))

    with pytest.raises(DataError, match=r"shard-000001\.parquet: a vector of document 'd012' holds NaN"):
        encode(tmp_path / "shards", encoder=Broken("new", seed=1))
    assert set(Shards(tmp_path / "shards").finished) == {0}


# --- another plan ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"encoder": OLD}, IdentityError, "was made by new, not by old; .* differing: .*weights"),
        ({"settings": CUT}, EmbedlabError, r"another plan: chunking none \(here all \(2 words, overlap 1\)\)"),
        ({"shard_size": 9}, EmbedlabError, r"another plan: 8 documents a shard \(here 9\)"),
        ({"documents": CORPUS[:-1]}, EmbedlabError, r"100 documents \(here 99\), other ids or contents from 'd096' on"),
        (
            {"documents": [*CORPUS[:50], replace(CORPUS[50], title="x"), *CORPUS[51:]]},
            EmbedlabError,
            r"100 documents \(here 100\), other ids or contents from 'd048' on",
        ),
    ],
    ids=["model", "chunking", "shard size", "fewer documents", "a changed document"],
)
def test_shards_of_another_plan_are_refused_and_stay(tmp_path, changes, error, told):
    folder = tmp_path / "shards"
    encode(folder)
    before = files(folder)
    with pytest.raises(error, match=told):
        encode(folder, **changes)
    assert files(folder) == before


def test_another_name_of_the_same_model_is_the_same_plan(made):
    encoder = Counting("a copy elsewhere")
    encode(made, encoder=encoder)
    assert encoder.seen == []


def test_words_of_a_passage_do_not_count_where_documents_are_whole(made):
    encode(made, settings=Settings(passage_words=7, passage_overlap=1, weight=0.5))
    Shards(made).require(NEW.identity, Settings(passage_words=9))


def test_vectors_of_another_model_or_other_passages_are_not_used(made):
    shards = Shards(made)
    with pytest.raises(IdentityError, match="vectors of two models must not be mixed"):
        shards.require(OLD.identity, WHOLE)
    with pytest.raises(EmbedlabError, match=r"cut by none, asked for all \(2 words, overlap 1\)"):
        shards.require(NEW.identity, CUT)


# --- damage ---------------------------------------------------------------------------------------


def put(folder, number, change):
    """Change a column of a shard and record it as if it had been written so."""
    path = folder / shard_name(number)
    table = pq.read_table(path)
    pq.write_table(change(table), path)
    note(folder, Shards(folder).plan, number, sha256_file(path))


def with_vectors(table, vectors):
    at = table.column_names.index("vector")
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return table.set_column(at, "vector", column)


def vectors_of(table):
    return np.stack(table["vector"].to_numpy()).astype(np.float32)


def with_nan(table):
    vectors = vectors_of(table)
    vectors[3, 5] = np.nan
    return with_vectors(table, vectors)


DAMAGE = {
    "NaN": (with_nan, "a vector of document 'd035' holds NaN or infinity"),
    "dimensions": (lambda t: with_vectors(t, vectors_of(t)[:, :63]), "expected 64 numbers each"),
    "another shard": (lambda t: t.slice(1), "its documents are not those of the plan"),
    "no column": (lambda t: t.drop_columns(["content"]), "not readable as a shard"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_that_has_a_valid_checksum_is_found_by_name(made, kind):
    change, told = DAMAGE[kind]
    put(made, 4, change)
    found = Shards(made).check()
    assert list(found) == ["shard-000004.parquet"]
    assert told in found["shard-000004.parquet"]
    with pytest.raises(IntegrityError, match=r"shard-000004\.parquet"):
        Shards(made).find(CORPUS)


@pytest.mark.parametrize("seed", range(5))
def test_one_byte_that_changed_anywhere_is_found_and_mended_by_the_same_command(made, seed):
    sound = files(made)
    rng = random.Random(seed)
    path = made / shard_name(rng.randrange(SHARDS))
    changed = bytearray(path.read_bytes())
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    path.write_bytes(changed)
    found = Shards(made).check()
    assert list(found) == [path.name]
    assert "not what was written: found" in found[path.name]
    with pytest.raises(IntegrityError, match=path.name):
        Shards(made).find(CORPUS)
    encoder = Counting()
    encode(made, encoder=encoder)
    assert len(encoder.seen) <= 8
    assert files(made) == sound


def test_a_missing_shard_is_found_and_mended(made):
    sound = files(made)
    (made / shard_name(7)).unlink()
    assert "there is no such file" in Shards(made).check()["shard-000007.parquet"]
    encode(made)
    assert files(made) == sound


def test_an_unfinished_shard_is_told_and_its_documents_are_not_found(made):
    journal = (made / "journal.jsonl").read_bytes()
    (made / "journal.jsonl").write_bytes(journal[:-20])
    shards = Shards(made)
    assert list(shards.check()) == ["shard-000012.parquet"]
    assert "not finished" in shards.check()["shard-000012.parquet"]
    assert len(shards.find(CORPUS)) == 96
    encode(made)
    assert (made / "journal.jsonl").read_bytes() == journal


def test_a_plan_that_was_changed_is_refused(made):
    plan = made / "shards.json"
    whole = json.loads(plan.read_text())
    whole["parts"][2]["content"] = "0" * 64
    plan.write_text(json.dumps(whole))
    with pytest.raises(IntegrityError, match="the plan was changed"):
        Shards(made)
    plan.write_text("{")
    with pytest.raises(IntegrityError, match="not readable as a plan"):
        Shards(made)


def test_shards_of_an_older_plan_in_the_same_folder_do_not_count(made):
    (made / "shards.json").unlink()
    encoder = Counting("old", seed=0)
    encode(made, encoder=encoder)
    assert len(encoder.seen) == 100
    assert Shards(made).check() == {}


# --- killed at any moment -------------------------------------------------------------------------

WORKER = """
import os, signal, sys, time
from pathlib import Path
import test_shards
from toy_encoder import ToyEncoder
from embedlab.rollout.encode import shard_files, shards

folder, where = Path(sys.argv[1]), sys.argv[2]
replace_file, note = shard_files.replace_file, shards.note

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def replace_and_die(target, write):
    def half(path):
        write(path)
        if target.name == "shard-000004.parquet":
            os.truncate(path, 100)
            die()
    return replace_file(target, half)

def die_before(folder, plan, number, digest):
    if number == 4:
        die()
    note(folder, plan, number, digest)

def die_within(folder, plan, number, digest):
    if number == 4:
        with (folder / "journal.jsonl").open("a") as stream:
            stream.write(shard_files._line(plan, number, digest)[:-9])
        die()
    note(folder, plan, number, digest)

class Slow(ToyEncoder):
    def encode_uncached(self, texts, kind="document"):
        time.sleep(0.05)
        return super().encode_uncached(texts, kind)

if where == "in the file":
    shard_files.replace_file = replace_and_die
if where == "before the line":
    shards.note = die_before
if where == "in the line":
    shards.note = die_within
encoder = Slow("new", seed=1) if where == "anywhere" else test_shards.NEW
test_shards.encode(folder, encoder=encoder)
"""


def worker(folder, where):
    """Start a process that encodes the corpus and dies, or is slow enough to be killed."""
    paths = [PROJECT, PROJECT / "tests", PROJECT / "tests" / "rollout"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.Popen([sys.executable, "-B", "-c", WORKER, str(folder), where], env=env)


@pytest.mark.parametrize("where", ["in the file", "before the line", "in the line"])
def test_kill_9_at_a_shard_costs_that_shard_alone(tmp_path, made, where):
    """About 1 s each: a process of its own dies at the fifth shard, this one finishes."""
    folder = tmp_path / "shards"
    assert worker(folder, where).wait(60) == -signal.SIGKILL
    assert set(Shards(folder).finished) == {0, 1, 2, 3}
    finish(folder, made)


def test_kill_9_from_outside_leaves_what_is_finished(tmp_path, made):
    """About 1 s."""
    folder = tmp_path / "shards"
    running = worker(folder, "anywhere")
    journal, deadline = folder / "journal.jsonl", time.monotonic() + 60
    while time.monotonic() < deadline and (not journal.exists() or journal.read_text().count("shard") < 4):
        assert running.poll() is None, "the worker ended by itself"
        time.sleep(0.01)
    with pytest.raises(LockedError, match="is being written by another process"):
        encode(folder)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert 3 <= len(Shards(folder).finished) < SHARDS
    finish(folder, made)


def finish(folder, made):
    """Go on with killed work: what is finished is not encoded again, and the folder ends up as if never stopped."""
    finished = set(Shards(folder).finished)
    kept = {number: (folder / shard_name(number)).stat().st_mtime_ns for number in finished}
    encoder = Counting()
    encode(folder, encoder=encoder)
    unfinished = [f"{d.title} {d.text}" for at, d in enumerate(CORPUS) if at // 8 not in finished]
    assert encoder.seen == unfinished
    assert kept == {number: (folder / shard_name(number)).stat().st_mtime_ns for number in finished}
    assert files(folder) == files(made)


def test_a_copy_of_a_folder_is_as_good(made, tmp_path):
    shutil.copytree(made, tmp_path / "elsewhere")
    assert Shards(tmp_path / "elsewhere").check() == {}
