"""The commands ``index``, ``reindex`` and ``release``, as a user types them, on a small model of tables."""

import json
import sqlite3

import numpy as np
import pytest
from conftest import embedlab_here

from embedlab.models import MINILM, WORDLLAMA, Encoder
from embedlab.rollout import Document, open_collection
from embedlab.rollout import writer as open_writer

pytestmark = pytest.mark.model

CORPUS = [
    {"_id": "bread", "title": "Bread", "text": "Flour, water, salt and yeast are kneaded and baked.", "kind": "food"},
    {"_id": "soup", "title": "Soup", "text": "Onions are cooked in broth for an hour.", "kind": "food"},
    {"_id": "rail", "title": "Railway", "text": "Trains run on steel rails between towns.", "kind": "travel"},
    {
        "_id": "ship",
        "title": "Ship",
        "text": "A vessel that crosses the sea with cargo.",
        "kind": "travel",
        "year": 1912,
    },
    {"_id": "blank", "title": "", "text": ""},
]


@pytest.fixture
def place(tmp_path):
    """Return a folder with a corpus and an index ``old`` of it, and a runner of commands."""
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CORPUS))

    def command(*words, code=0):
        done = embedlab_here(tmp_path, *[str(word) for word in words])
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    command("index", "build", "--model", WORDLLAMA, "--source", "beir", "--path", tmp_path, "--out", tmp_path / "old")
    return tmp_path, command


def planned(place, *options):
    folder, command = place
    words = ["--state", folder / "s.db", "--from", folder / "old", "--to", folder / "new", "--model", WORDLLAMA]
    command("reindex", "plan", *words, "--retention-hours", "0", *options)
    return folder / "s.db", command


def test_an_index_is_built_searched_and_filtered(place):
    folder, command = place
    found = json.loads(command("index", "search", folder / "old", "a train on rails", "--k", "2", "--json"))
    assert found["hits"][0]["doc_id"] == "rail"
    assert len(found["hits"]) == 2
    found = json.loads(command("index", "search", folder / "old", "a train", "--where", "kind=food", "--json"))
    assert {hit["doc_id"] for hit in found["hits"]} == {"bread", "soup"}
    found = json.loads(command("index", "search", folder / "old", "a train", "--where", "year=1912", "--json"))
    assert [hit["doc_id"] for hit in found["hits"]] == ["ship"]


def test_building_again_encodes_only_what_changed(place):
    folder, command = place
    rows = [*CORPUS[:-1], {"_id": "blank", "title": "", "text": "no longer blank"}, {"_id": "new", "text": "more"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["index", "build", "--model", WORDLLAMA, "--path", folder / "corpus.jsonl", "--out", folder / "old"]
    assert "6 documents, 2 encoded now" in command(*words)
    assert "built with other settings" in command(*words, "--chunk", "all", code=4)


def test_an_index_is_verified_and_a_fault_is_exit_code_5(place):
    folder, command = place
    assert json.loads(command("index", "verify", folder / "old", "--sample", "0", "--json"))["passed"]
    with sqlite3.connect(folder / "old" / "index.db") as data:
        data.execute("UPDATE entries SET text = 'changed' WHERE doc_id = 'soup'")
    said = command("index", "verify", folder / "old", code=5)
    assert "✗ documents that are not what was written (soup): 1" in said


def test_the_whole_way_with_the_state_file_alone(place):
    state, command = planned(place)
    folder = place[0]
    assert "State: backfilled; 5 of 5 documents" in command("reindex", "start", "--state", state)
    assert "backfilled" in command("reindex", "start", "--state", state)
    (folder / "more.jsonl").write_text('{"_id": "cheese", "title": "Cheese", "text": "Milk curdles and ripens."}\n')
    command("index", "upsert", "--state", state, folder / "more.jsonl")
    command("index", "upsert", "--state", state, "--id", "jam", "--text", "Fruit boiled with sugar.")
    command("index", "delete", "--state", state, "soup")
    assert "State: validated" in command("reindex", "validate", "--state", state)
    assert "new answers" in command("reindex", "cutover", "--state", state)
    found = json.loads(command("index", "search", "--state", state, "milk", "--json"))
    assert (found["release"], found["hits"][0]["doc_id"]) == ("new", "cheese")
    assert "soup" not in {hit["doc_id"] for hit in found["hits"]}
    assert "old answers" in command("reindex", "rollback", "--state", state)
    found = json.loads(command("index", "search", "--state", state, "milk", "--json"))
    assert (found["release"], found["hits"][0]["doc_id"]) == ("old", "cheese")
    for step in ("validate", "cutover", "drain", "finish"):
        command("reindex", step, "--state", state)
    assert not (folder / "old").exists()
    status = json.loads(command("reindex", "status", "--state", state, "--json"))
    assert {"state", "done", "total", "failed", "rate", "seconds_left"} <= set(status)
    assert (status["state"], status["live"]) == ("finished", "new")


def test_vectors_that_were_made_before_are_taken_over(place, monkeypatch):
    """The document that changed since is encoded; no other text reaches the model."""
    folder, command = place
    said = command(
        "index", "encode", "--model", WORDLLAMA, "--path", folder, "--out", folder / "shards", "--shard-size", 2
    )
    assert "5 documents in 3 shards" in said
    state, command = planned(place, "--shards", folder / "shards")
    command("index", "upsert", "--state", state, "--id", "soup", "--text", "Beetroot, cold, with cream.")
    encoded = []
    whole = Encoder.encode_uncached
    monkeypatch.setattr(
        Encoder,
        "encode_uncached",
        lambda self, texts, kind="document": (encoded.extend(texts), whole(self, texts, kind))[1],
    )
    command("reindex", "start", "--state", state)
    assert encoded == ["Beetroot, cold, with cream."]
    monkeypatch.undo()
    command("reindex", "validate", "--state", state)


def test_shards_of_another_model_are_refused(place):
    folder, command = place
    command("index", "encode", "--model", MINILM, "--path", folder, "--out", folder / "shards")
    words = ["--state", folder / "s.db", "--from", folder / "old", "--to", folder / "new", "--model", WORDLLAMA]
    assert "vectors of two models must not be mixed" in command(
        "reindex", "plan", *words, "--shards", folder / "shards", code=4
    )


def test_status_and_plan_print_for_people(place):
    state, command = planned(place)
    said = command("reindex", "status", "--state", state)
    assert "planned" in said
    assert "0 of 5" in said
    plan = json.loads(
        command("reindex", "plan", "--state", state, "--from", place[0] / "old", "--to", place[0] / "new", "--model",
                WORDLLAMA, "--retention-hours", "0", "--json")
    )  # fmt: skip
    assert plan["documents"] == 5
    assert plan["documents_per_second"] > 0


def test_a_failed_validation_is_exit_code_5_and_a_cutover_before_it_4(place):
    state, command = planned(place)
    command("reindex", "start", "--state", state)
    assert "cannot be cut over: run 'embedlab reindex validate'" in command(
        "reindex", "cutover", "--state", state, code=4
    )
    with sqlite3.connect(place[0] / "new" / "index.db") as data:
        data.execute("DELETE FROM entries WHERE doc_id = 'soup'")
    found = json.loads(command("reindex", "validate", "--state", state, "--json", code=5))
    assert not found["passed"]
    assert "not checked: plan with --run RUN" in command("reindex", "validate", "--state", state, code=5)


def test_a_changed_byte_is_exit_code_3(place):
    state, command = planned(place)
    content = bytearray(state.read_bytes())
    content[content.index(b'"planned"') + 2] ^= 1
    state.write_bytes(bytes(content))
    said = command("reindex", "status", "--state", state, code=3)
    assert "Damaged" in said
    assert "service" in said or "s.db" in said


def test_pause_and_resume(place):
    state, command = planned(place)
    assert "Paused by" in command("reindex", "pause", "--state", state)
    assert "paused by" in command("reindex", "start", "--state", state, code=4)
    assert "backfilled" in command("reindex", "resume", "--state", state)


def test_releases_are_listed_created_promoted_and_rolled_back(place):
    folder, command = place
    state = folder / "s.db"
    assert "queries by wordllama-256, dense" in command(
        "release", "create", "first", "--state", state, "--index", folder / "old"
    )
    command("release", "promote", "first", "--state", state, "--why", "to begin with")
    (folder / "hybrid.json").write_text('{"weight": 0.5}')
    command(
        "release", "create", "hybrid", "--state", state, "--index", folder / "old", "--settings", folder / "hybrid.json"
    )
    command("release", "promote", "hybrid", "--state", state, "--why", "words count too")
    found = json.loads(command("release", "list", "--state", state, "--json"))
    assert [(r["name"], r["role"]) for r in found["releases"]] == [("first", "previous"), ("hybrid", "current")]
    assert [(e["release"], e["why"]) for e in found["history"]] == [
        ("first", "to begin with"), ("hybrid", "words count too")
    ]  # fmt: skip
    assert all(entry["by"] and entry["at"] for entry in found["history"])
    hits = json.loads(command("index", "search", "--state", state, "steel rails", "--json"))["hits"]
    assert hits[0]["doc_id"] == "rail"
    assert "0.5" in command("release", "show", "hybrid", "--state", state)
    assert "first answers" in command("release", "rollback", "--state", state)
    assert "did you mean 'hybrid'" in command("release", "show", "hybird", "--state", state, code=4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["index", "search", "only one word"], "give INDEX and a query"),
        (["index", "search", "FOLDER/nowhere", "query"], "holds no index"),
        (["index", "search", "FOLDER/old", "query", "--where", "kind"], "--where takes field=value"),
        (["index", "verify", "vectors.db"], "names no index"),
        (["index", "verify", "vectors.db#a-b"], "letters, digits and underscores"),
        (["index", "upsert", "--state", "FOLDER/none.db", "FOLDER/corpus.jsonl"], "there is no such state file"),
        (["index", "upsert", "--state", "FOLDER/s.db"], "or --id with --text"),
        (["reindex", "start", "--state", "FOLDER/none.db"], "there is no such state file"),
        (["index", "build", "--model", WORDLLAMA, "--path", "FOLDER/none", "--out", "FOLDER/x"], "corpus.jsonl"),
        (
            ["index", "build", "--model", WORDLLAMA, "--path", "FOLDER", "--out", "FOLDER/x", "--kind", "ivf"],
            "flat, hnsw",
        ),
        (["release", "create", "x", "--state", "FOLDER/s.db", "--index", "FOLDER/none"], "holds no index"),
    ],
)
def test_wrong_input_is_exit_code_4_and_says_what_was_expected(place, words, message):
    folder, command = place
    assert message in command(*[word.replace("FOLDER", str(folder)) for word in words], code=4)


# --- doctor -------------------------------------------------------------------------------------


def test_the_doctor_finds_vectors_of_two_spaces_and_unstamped_ones(place):
    folder, command = place
    assert "✓" in command("index", "doctor", folder / "old")
    with sqlite3.connect(folder / "old" / "index.db") as data:
        data.execute("UPDATE entries SET space = 'another' WHERE doc_id IN ('soup', 'ship')")
        data.execute("UPDATE entries SET space = '' WHERE doc_id = 'rail'")
    found = json.loads(command("index", "doctor", folder / "old", "--json", code=5))
    assert sorted(found["spaces"].values()) == [1, 2, 2]
    assert [check["found"] for check in found["checks"]] == [2, 1, 0, 2, 0]


def test_the_doctor_finds_vectors_that_the_model_does_not_make(place):
    """Of a plain file of vectors, half by another model: nobody stamped them, and the texts lie elsewhere."""
    folder, command = place
    collection = open_collection(str(folder / "old"))
    entries = collection.get(list(collection.ids()))
    vectors = np.stack([entries[row["_id"]].vectors[0] for row in CORPUS])
    vectors[2:4] = np.roll(vectors[2:4], 7, axis=1)
    np.save(folder / "vectors.npy", vectors)
    words = ["index", "doctor", folder / "vectors.npy", "--model", WORDLLAMA, "--path", folder]
    found = json.loads(command(*words, "--json", code=5))
    assert (found["sampled"], found["reproduced"], found["others"]) == (5, 3, ["rail", "ship"])
    assert found["spaces"] == {"nobody says whose": 5}


def test_an_application_writes_through_the_door_in_python(place):
    state, command = planned(place)
    command("reindex", "start", "--state", state)
    door = open_writer(str(state))
    door.upsert([Document("tea", "Tea", "Leaves in hot water.", {"kind": "food"})])
    door.close()
    for name in ("old", "new"):
        assert open_collection(str(place[0] / name)).get(["tea"])["tea"].document.title == "Tea"
