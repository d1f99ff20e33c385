"""The re-indexing machine, command by command: what it refuses, what it survives, what it notices."""

import json
import sqlite3
import threading
import time

import numpy as np
import pytest
from service_life import ENCODERS, TEXTS, load, planned_service
from toy_encoder import NEW, OLD, ToyEncoder, documents_of, toy_service

from embedlab.errors import (
    DataError,
    EmbedlabError,
    IntegrityError,
    LockedError,
    MissingInputError,
    ParameterError,
    StoreError,
)
from embedlab.retrieval import Settings
from embedlab.rollout import (
    Canaries,
    Document,
    Entry,
    Options,
    Reindex,
    Releases,
    State,
    StoppedError,
    encode_documents,
    open_collection,
    plan,
    reader,
    writer,
)
from embedlab.rollout.reindexing import backfill, planning
from embedlab.rollout.service import clock as clocks
from embedlab.rollout.stores.database import Database
from embedlab.rollout.stores.faiss import FaissCollection, FaissStore


@pytest.fixture
def state(tmp_path):
    """Return the state file of a service with a planned re-indexing."""
    return planned_service(tmp_path)


def until(state, wanted):
    """Return the machine of a re-indexing that has come to a state."""
    machine = Reindex(state, load)
    ways = [
        ("backfilled", machine.start),
        ("validated", machine.validate),
        ("cut over", machine.cutover),
        ("draining", machine.drain),
        ("finished", machine.finish),
    ]
    for name, step in ways:
        step()
        if name == wanted:
            break
    assert machine.job.state == wanted
    return machine


def new_index(state):
    return open_collection(str(state.parent / "new"))


def failed(checks):
    return [check.check for check in checks if not check.passed]


# --- the way ------------------------------------------------------------------------------------


def test_the_way_from_a_plan_to_the_end(state):
    machine = until(state, "finished")
    assert [entry["release"] for entry in Releases(machine.state).history()] == ["old", "new"]
    assert not (state.parent / "old").exists()
    assert reader(state, load).search(TEXTS["d0007"], 1)[0].doc_id == "d0007"


@pytest.mark.parametrize("wanted", ["backfilled", "validated", "cut over", "draining", "finished"])
def test_every_command_may_be_repeated(state, wanted):
    machine = until(state, wanted)
    step = {"backfilled": "start", "cut over": "cutover", "draining": "drain", "finished": "finish"}.get(
        wanted, "validate"
    )
    before = len(Releases(machine.state).history())
    getattr(machine, step)()
    assert machine.job.state == wanted
    assert len(Releases(machine.state).history()) == before


def test_a_command_before_its_time_says_what_comes_first(state):
    machine = Reindex(state, load)
    with pytest.raises(EmbedlabError, match="planned cannot be validated: begin with 'embedlab reindex start'"):
        machine.validate()
    machine.start()
    with pytest.raises(EmbedlabError, match="backfilled cannot be cut over: run 'embedlab reindex validate'"):
        machine.cutover()
    with pytest.raises(EmbedlabError, match="cannot be finished"):
        machine.finish()


def test_status_says_how_far_it_is(state):
    machine = Reindex(state, load)
    before = machine.status()
    assert (before["state"], before["done"], before["total"], before["seconds_left"]) == ("planned", 0, 212, None)
    machine.start()
    after = machine.status()
    assert (after["state"], after["done"], after["total"], after["failed"]) == ("backfilled", 212, 212, 0)
    assert after["rate"] > 0
    assert json.dumps(after)


def test_the_same_plan_again_is_the_same_and_another_one_is_refused(state):
    folder, options = state.parent, Options(batch_size=8, retention_hours=0, sample=0, patience=20.0)
    first = Reindex(state, load).job
    again = plan(state, str(folder / "old"), str(folder / "new"), "new", options, load=load)
    assert again.id == first.id
    with pytest.raises(EmbedlabError, match="another one is planned"):
        plan(state, str(folder / "old"), str(folder / "other"), "new", options, load=load)


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_documents_cut_into_passages_are_re_indexed_whole(tmp_path, kind):
    toy_service(tmp_path, texts=TEXTS).close()
    state, folder = tmp_path / "service.db", tmp_path
    cut = Settings(chunk="all", passage_words=3, passage_overlap=1, index=kind)
    plan(state, str(folder / "old"), str(folder / "new"), "new", Options(sample=0), cut, load=load)
    machine = Reindex(state, load)
    machine.start()
    door = writer(state, load)
    door.upsert([Document("d0001", "", "now quite short"), Document("x", "", "a text of eight words is cut up here")])
    index = new_index(state)
    assert {doc_id: len(entry.vectors) for doc_id, entry in index.get(["d0000", "d0001", "x"]).items()} == {
        "d0000": 3, "d0001": 1, "x": 4
    }  # fmt: skip
    assert failed(machine.validate()) == []
    machine.cutover()
    assert reader(state, load).search("text of eight", 3)[0].doc_id == "x"


def test_the_stages_of_a_release_switch_with_it(tmp_path):
    """The new release is BM25 alone: its first hit has the rare word that no vector of the toy encoder would find."""
    toy_service(tmp_path, texts=TEXTS).close()
    state = tmp_path / "service.db"
    plan(state, str(tmp_path / "old"), str(tmp_path / "new"), "new", settings=Settings(weight=0.0), load=load)
    machine = Reindex(state, load)
    machine.start()
    writer(state, load).upsert([Document("x", "", "zeppelin " + TEXTS["d0001"])])
    machine.validate()
    machine.cutover()
    asked = reader(state, load)
    assert asked.release().settings.weight == 0.0
    assert [hit.doc_id for hit in asked.search("zeppelin", 3)] == ["x"]
    writer(state, load).delete(["x"])
    assert asked.search("zeppelin", 3) == []


# --- plan ---------------------------------------------------------------------------------------


def test_a_plan_counts_what_it_will_take(state):
    found = Reindex(state, load).job.plan
    assert (found.documents, found.batches, found.dimensions) == (212, 27, 64)
    assert found.hours == pytest.approx(212 / found.documents_per_second / 3600)
    assert found.extra_bytes - planning.EMPTY == pytest.approx(212 * planning.OVERHEAD * 380, rel=0.1)
    until(state, "backfilled")
    assert new_index(state).size_bytes() < found.extra_bytes


def test_a_plan_is_refused_where_the_target_cannot_hold_it(tmp_path, monkeypatch):
    toy_service(tmp_path).close()
    monkeypatch.setattr(FaissStore, "free_bytes", lambda self: 1000)
    with pytest.raises(EmbedlabError, match=r"cannot hold the new index: it needs about .* free"):
        plan(tmp_path / "service.db", str(tmp_path / "old"), str(tmp_path / "new"), "new", load=load)


@pytest.mark.parametrize(
    ("source", "target", "fault", "message"),
    [
        ("old", "old", ParameterError, "the same index"),
        ("nowhere", "new", MissingInputError, "holds no index"),
        ("other", "new", EmbedlabError, "does not answer now"),
        ("old", "other", EmbedlabError, "never overwritten"),
    ],
)
def test_a_plan_names_what_cannot_be(tmp_path, source, target, fault, message):
    toy_service(tmp_path).close()
    from toy_encoder import toy_collection

    toy_collection(tmp_path / "other", OLD).close()
    with pytest.raises(fault, match=message):
        plan(tmp_path / "service.db", str(tmp_path / source), str(tmp_path / target), "new", load=load)


@pytest.mark.parametrize(
    "option", [{"batch_size": 0}, {"attempts": 0}, {"retention_hours": -1}, {"p95_ms": float("nan")}]
)
def test_options_out_of_range_are_refused(tmp_path, option):
    toy_service(tmp_path).close()
    with pytest.raises(ParameterError, match=next(iter(option))):
        plan(tmp_path / "service.db", str(tmp_path / "old"), str(tmp_path / "new"), "new", Options(**option), load=load)


def test_a_plan_that_was_refused_leaves_no_job(tmp_path):
    toy_service(tmp_path).close()
    with pytest.raises(ParameterError):
        plan(tmp_path / "service.db", str(tmp_path / "old"), str(tmp_path / "old"), "new", load=load)
    with pytest.raises(EmbedlabError, match="no re-indexing is planned"):
        Reindex(tmp_path / "service.db", load)


# --- dual write ---------------------------------------------------------------------------------


def test_writes_reach_both_indexes_each_by_its_own_model(state):
    machine = until(state, "backfilled")
    door = writer(state, load)
    door.upsert([Document("x", "a title", "something else", {"year": 2020})])
    door.delete(["d0003"])
    for name, encoder in ENCODERS.items():
        index = open_collection(str(state.parent / name))
        entry = index.get(["x", "d0003"])
        assert list(entry) == ["x"]
        assert entry["x"].document.metadata == {"year": 2020}
        np.testing.assert_allclose(entry["x"].vectors, encoder.encode_uncached(["a title something else"]))
    assert failed(machine.validate()) == []


class WritesBetween(ToyEncoder):
    """Writes to the service while a batch is being encoded: after it was read, before it is stored."""

    def __init__(self, act):
        super().__init__("new", seed=1)
        self.act = act

    def encode_uncached(self, texts, kind="document"):
        if any("document number5 " in text for text in texts):
            act, self.act = self.act, lambda: None
            act()
        return super().encode_uncached(texts, kind)


@pytest.mark.parametrize("kind", ["delete", "change"])
def test_a_write_during_the_batch_that_holds_its_document_is_not_undone(state, kind):
    def act():
        door = writer(state, load)
        if kind == "delete":
            door.delete(["d0005"])
        else:
            door.upsert([Document("d0005", "", "changed meanwhile")])
        door.close()

    encoder = WritesBetween(act)
    machine = Reindex(state, lambda model, precision: encoder if model == "new" else OLD)
    machine.start()
    found = new_index(state).get(["d0005"])
    assert [entry.document.text for entry in found.values()] == ([] if kind == "delete" else ["changed meanwhile"])
    assert failed(Reindex(state, load).validate()) == []


def test_writes_before_the_start_are_in_the_new_index(state):
    door = writer(state, load)
    door.upsert([Document("x", "", "written after the plan")])
    door.delete(["d0001"])
    until(state, "backfilled")
    assert list(new_index(state).get(["x", "d0001"])) == ["x"]


def test_an_index_that_was_away_catches_up_in_order(state, monkeypatch):
    until(state, "backfilled")
    whole = FaissCollection.upsert

    def away(self, entries):
        if self.folder.name == "new":
            raise StoreError("the store is away")
        whole(self, entries)

    door = writer(state, load)
    monkeypatch.setattr(FaissCollection, "upsert", away)
    written = door.upsert([Document("x", "", "first")])
    assert list(written.behind.values()) == ["the store is away"]
    assert Reindex(state, load).status()["writes_behind"] == {"old": 0, "new": 1}
    door.upsert([Document("x", "", "second")])
    monkeypatch.setattr(FaissCollection, "upsert", whole)
    assert door.delete(["d0001"]).behind == {}
    assert new_index(state).get(["x"])["x"].document.text == "second"


def test_a_write_that_the_live_index_cannot_take_now_is_kept(state, monkeypatch):
    door = writer(state, load)

    def away(self, entries):
        raise StoreError("the store is away")

    monkeypatch.setattr(FaissCollection, "upsert", away)
    with pytest.raises(StoreError, match="the write is kept and follows"):
        door.upsert([Document("x", "", "kept")])
    monkeypatch.undo()
    writer(state, load).catch_up()
    assert open_collection(str(state.parent / "old")).get(["x"])["x"].document.text == "kept"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("x", "expected a Document"),
        (Document("", "", "text"), "id must be a text"),
        (Document("a\nb", "", "text"), "id must be a text"),
        (Document("x", "", None), "text must be a text"),
        (Document("x", "", "text", {"when": {1, 2}}), "'x'"),
        (Document("x", "", "\ud800"), "'x'"),
    ],
)
def test_what_is_no_document_is_refused_before_anything_is_written(state, document, message):
    door = writer(state, load)
    with pytest.raises(DataError, match=message):
        door.upsert([Document("good", "", "text"), document])
    assert open_collection(str(state.parent / "old")).get(["good"]) == {}


def test_a_document_that_the_model_refuses_is_named_and_others_go_on(state):
    class Picky(ToyEncoder):
        def encode_uncached(self, texts, kind="document"):
            if any("poison" in text for text in texts):
                raise DataError("it holds poison")
            return super().encode_uncached(texts, kind)

    door = writer(state, lambda model, precision: Picky("old"))
    with pytest.raises(DataError, match="document 'bad' cannot be stored: it holds poison"):
        door.upsert([Document("good", "", "text"), Document("bad", "", "poison")])
    assert list(open_collection(str(state.parent / "old")).get(["good", "bad"])) == ["good"]
    door.upsert([Document("later", "", "text")])
    door.upsert([Document("bad", "", "mended")])
    assert door.catch_up().aside == {}


# --- backfill -----------------------------------------------------------------------------------


def test_a_pause_is_obeyed_after_the_present_batch_and_resumed(state):
    machine = Reindex(state, load)

    class Pausing(ToyEncoder):
        def encode_uncached(self, texts, kind="document"):
            if any("document number99 " in text for text in texts):
                Reindex(state, load).pause()
            return super().encode_uncached(texts, kind)

    pausing = Pausing("new", seed=1)
    with pytest.raises(StoppedError, match=r"paused by .* \(process \d+\)"):
        Reindex(state, lambda model, precision: pausing if model == "new" else OLD).start()
    done = machine.status()["done"]
    assert 0 < done < 212
    with pytest.raises(EmbedlabError, match="paused by"):
        machine.start()
    assert machine.start(resume=True).state == "backfilled"


def test_two_operators_at_once_one_wins_and_the_other_is_told_who(state):
    slow = ToyEncoder("new", seed=1, pause=0.05)
    other = threading.Thread(
        target=lambda: Reindex(state, lambda model, precision: slow if model == "new" else OLD).start()
    )
    other.start()
    while not (state.parent / "new").exists():
        time.sleep(0.01)
    with pytest.raises(LockedError, match=r"is being written by process \d+ on .* since"):
        Reindex(state, load).start()
    other.join()
    assert Reindex(state, load).job.state == "backfilled"


class Poison(ToyEncoder):
    """Refuses every text with a word in it, as often as it is asked."""

    def __init__(self, word):
        super().__init__("new", seed=1)
        self.word = word

    def encode_uncached(self, texts, kind="document"):
        if any(self.word in text.split() for text in texts):
            raise DataError(f"cannot encode {self.word}")
        return super().encode_uncached(texts, kind)


def test_a_batch_that_always_fails_is_put_aside_by_name_and_the_rest_goes_on(state):
    poison = Poison("number77")
    machine = Reindex(state, lambda model, precision: poison if model == "new" else OLD)
    machine.start()
    found = machine.status()
    assert (found["state"], found["failed"], found["done"]) == ("backfilling", 1, 212)
    assert list(found["aside"].values()) == [{"d0077": "cannot encode number77"}]
    assert new_index(state).count() == 211
    with pytest.raises(EmbedlabError, match="backfilling cannot be cut over"):
        machine.cutover()
    assert Reindex(state, load).start().state == "backfilled"
    assert new_index(state).count() == 212
    assert failed(Reindex(state, load).validate()) == []


def test_what_was_put_aside_may_be_deleted_instead(state):
    poison = Poison("number77")
    machine = Reindex(state, lambda model, precision: poison if model == "new" else OLD)
    machine.start()
    writer(state, load).delete(["d0077"])
    assert machine.start().state == "backfilled"
    assert failed(machine.validate()) == []


def test_a_document_that_is_damaged_in_the_old_index_is_put_aside(state):
    damage(state.parent / "old", "UPDATE entries SET text = 'changed past us' WHERE doc_id = 'd0010'")
    machine = Reindex(state, load)
    machine.start()
    assert "is not what was written" in machine.status()["aside"]["2"]["d0010"]


def test_a_store_that_comes_back_is_waited_for(state, monkeypatch):
    whole, refused = FaissCollection.upsert, []

    def flaky(self, entries):
        if self.folder.name == "new" and len(refused) < 3:
            refused.append(entries)
            raise StoreError("the store is away")
        whole(self, entries)

    monkeypatch.setattr(FaissCollection, "upsert", flaky)
    assert Reindex(state, load).start().state == "backfilled"
    assert len(refused) == 3


def test_a_store_that_stays_away_ends_the_backfill_and_nothing_is_lost(tmp_path, monkeypatch):
    state = planned_service(tmp_path, patience=0.3)
    whole = FaissCollection.upsert

    def away(self, entries):
        if self.count() > 100:
            raise StoreError("the store is away")
        whole(self, entries)

    monkeypatch.setattr(FaissCollection, "upsert", away)
    with pytest.raises(StoreError, match="away"):
        Reindex(state, load).start()
    monkeypatch.undo()
    encoder = ToyEncoder("new", seed=1)
    encoded = []
    encode = encoder.encode_uncached
    encoder.encode_uncached = lambda texts, kind="document": (encoded.extend(texts), encode(texts, kind))[1]
    Reindex(state, lambda model, precision: encoder if model == "new" else OLD).start()
    assert len(encoded) == 212 - 104
    assert new_index(state).count() == 212


def test_encoding_waits_for_the_store(state, monkeypatch):
    """The store is slow: no more batches are encoded than may wait, and status says how long encoding stood still."""
    whole, stored, most = FaissCollection.upsert, [], []
    encoder = ToyEncoder("new", seed=1)
    encode, encoded = encoder.encode_uncached, []
    encoder.encode_uncached = lambda texts, kind="document": (encoded.append(texts), encode(texts, kind))[1]

    def slow(self, entries):
        time.sleep(0.02)
        most.append(len(encoded) - len(stored))
        stored.append(entries)
        whole(self, entries)

    monkeypatch.setattr(FaissCollection, "upsert", slow)
    machine = Reindex(state, lambda model, precision: encoder if model == "new" else OLD)
    machine.start()
    assert max(most) <= backfill.WAITING + 1
    assert machine.status()["waited_for_store"] > 0.1


def test_no_more_documents_a_second_than_asked_for(tmp_path):
    state = planned_service(tmp_path, documents_per_second=400, batch_size=16)
    begin = time.monotonic()
    Reindex(state, load).start()
    # A machine may be slower; it must not be faster.
    assert time.monotonic() - begin > 0.8 * 212 / 400


def test_a_failing_health_check_is_waited_for(tmp_path, monkeypatch):
    from embedlab.rollout.reindexing import health

    monkeypatch.setattr(health, "EVERY", 0.05)
    state = planned_service(tmp_path, health=f"test -e {tmp_path / 'healthy'}")
    seen = []
    monkeypatch.setattr(health.Health.__init__, "__defaults__", ("", 0.0, (), 0.05))

    def cure():
        while not seen:
            waits = Reindex(state, load).status()["waits_for"]
            if waits:
                seen.append(waits)
            time.sleep(0.02)
        (tmp_path / "healthy").touch()

    helper = threading.Thread(target=cure)
    helper.start()
    assert Reindex(state, load).start().state == "backfilled"
    helper.join()
    assert seen == ["the health check ended with 1"]


def test_a_slow_live_index_is_waited_for():
    from embedlab.rollout.reindexing.health import Health

    health = Health(p95_ms=5, searches=[lambda: time.sleep(0.01)] * 4)
    assert health.complaint().startswith("the live index answers in 1")
    assert Health(p95_ms=500, searches=[lambda: None] * 4).complaint() == ""
    assert "cannot be run" in Health("no-such-command-anywhere").complaint()


# --- validation ---------------------------------------------------------------------------------


def damage(folder, statement, *values):
    """Change an index past everything, as a bug or a fault of the disk would."""
    with sqlite3.connect(folder / "index.db") as data:
        assert data.execute(statement, values).rowcount > 0


def vectors_of(seed, text):
    return ToyEncoder("any", seed=seed).encode_uncached([text]).tobytes()


def resealed(folder, doc_id, text=None, vectors=None, space=None):
    """Replace parts of an entry together with its checksum, as a wrong program would."""
    index = FaissCollection(folder)
    entry = index.get([doc_id])[doc_id]
    document = Document(doc_id, "", text or entry.document.text, entry.document.metadata)
    new = Entry.of(document, entry.vectors if vectors is None else vectors, space or entry.space)
    index.close()
    statement = "UPDATE entries SET text = ?, vectors = ?, space = ?, checksum = ? WHERE doc_id = ?"
    damage(folder, statement, document.text, new.vectors.tobytes(), new.space, new.checksum, doc_id)


FAULTS = {
    "documents missing": lambda new: damage(new, "DELETE FROM entries WHERE doc_id = 'd0020'"),
    "documents that the old index does not have": lambda new: FaissCollection(new).upsert(
        encode_documents(NEW, [Document("zz", "", "not in the old one")], Settings())
    ),
    "documents with another content": lambda new: FaissCollection(new).upsert(
        encode_documents(NEW, [Document("d0020", "", "another text")], Settings())
    ),
    "documents with NaN or infinity": lambda new: damage(
        new, "UPDATE entries SET vectors = ? WHERE doc_id = 'd0020'", np.full(64, np.nan, dtype="<f4").tobytes()
    ),
    "documents whose vectors are not of unit length": lambda new: resealed(
        new, "d0020", vectors=np.full((1, 64), 0.5, dtype=np.float32)
    ),
    "documents with vectors of another space, or of nobody's": lambda new: resealed(new, "d0020", space="somebody"),
    "documents that are not what was written": lambda new: damage(
        new, "UPDATE entries SET vectors = ? WHERE doc_id = 'd0020'", vectors_of(1, TEXTS["d0021"])
    ),
    "documents whose vectors the model does not make again": lambda new: resealed(
        new, "d0020", vectors=OLD.encode_uncached([TEXTS["d0020"]])
    ),
    "batches with another checksum": lambda new: resealed(new, "d0020", vectors=NEW.encode_uncached([TEXTS["d0021"]])),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_new_index_is_found_by_name_and_nothing_is_cut_over(state, fault):
    machine = until(state, "backfilled")
    FAULTS[fault](state.parent / "new")
    found = [name for name in failed(machine.validate()) if name.startswith(fault)]
    assert found
    if fault != "batches with another checksum":
        assert "d0020" in found[0] or "zz" in found[0]
    assert machine.job.state == "backfilled"
    with pytest.raises(EmbedlabError, match="cannot be cut over"):
        machine.cutover()
    assert Releases(machine.state).live().name == "old"


def test_a_cutover_after_the_content_changed_is_refused(state):
    machine = until(state, "validated")
    door = writer(state, load)
    door.upsert([Document("x", "", "later")])
    with pytest.raises(EmbedlabError, match=r"1 document was written since the validation .* 'x'"):
        machine.cutover()
    assert Releases(machine.state).live().name == "old"
    assert machine.cutover(revalidate=True).state == "cut over"


def test_a_change_past_the_state_file_is_noticed_at_the_cutover(state):
    machine = until(state, "validated")
    index = new_index(state)
    index.upsert(encode_documents(NEW, [Document("d0001", "", "written past the door")], Settings()))
    with pytest.raises(EmbedlabError, match="changed past the state file"):
        machine.cutover()


def test_what_was_written_since_the_validation_is_checked_by_revalidate(state):
    machine = until(state, "validated")
    writer(state, load).upsert([Document("d0001", "", "later")])
    resealed(state.parent / "new", "d0001", text="not what was written to the old one")
    with pytest.raises(EmbedlabError, match="'d0001', written since the validation, is among: documents with another"):
        machine.cutover(revalidate=True)


def test_writes_during_the_validation_are_no_findings(state, monkeypatch):
    machine = until(state, "backfilled")
    door = writer(state, load)
    whole = FaissCollection.documents

    def written_meanwhile(self, after="", limit=256):
        found = whole(self, after, limit)
        if self.folder.name == "old" and after == "":
            door.upsert([Document("d0002", "", "changed while it was validated"), Document("zz", "", "new")])
            door.delete(["d0003"])
        return found

    monkeypatch.setattr(FaissCollection, "documents", written_meanwhile)
    assert failed(machine.validate()) == []


CANARIES = {"q1": TEXTS["d0007"], "q2": TEXTS["d0009"]}
ANSWERS = {"q1": {"d0007": 1}, "q2": {"d0009": 1}}


@pytest.mark.parametrize(("low", "passes"), [(0.9, True), (1.01, False)])
def test_canary_queries_must_keep_what_the_evaluation_promised(tmp_path, low, passes):
    toy_service(tmp_path, texts=TEXTS).close()
    canaries = Canaries("nDCG@10", CANARIES, ANSWERS, low, 1.0)
    state = tmp_path / "service.db"
    plan(state, str(tmp_path / "old"), str(tmp_path / "new"), "new", Options(), canaries=canaries, load=load)
    machine = Reindex(state, load)
    machine.start()
    checks = machine.validate()
    assert [name for name in failed(checks) if "canary" in name] == ([] if passes else ["nDCG@10 of 2 canary queries"])
    assert machine.job.state == ("validated" if passes else "backfilled")


# --- back and out -------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["cut over", "draining"])
def test_a_rollback_brings_back_the_old_index_with_the_writes_of_the_meantime(state, wanted):
    machine = until(state, wanted)
    door, asked = writer(state, load), reader(state, load)
    door.upsert([Document("x", "", "written after the cutover")])
    door.delete(["d0004"])
    machine.rollback("drill")
    assert asked.release().name == "old"
    assert asked.search("written after the cutover", 1)[0].doc_id == "x"
    assert open_collection(str(state.parent / "old")).get(["d0004"]) == {}
    switch = Releases(machine.state).history()[-1]
    assert (switch["release"], switch["why"]) == ("old", "drill")
    assert switch["ms"] < 1000
    assert machine.rollback().state == "rolled back"
    assert failed(machine.validate()) == []
    assert machine.cutover().state == "cut over"


@pytest.mark.parametrize("wanted", ["planned", "backfilled", "validated"])
def test_a_rollback_before_the_cutover_gives_the_new_index_up(state, wanted):
    machine = Reindex(state, load) if wanted == "planned" else until(state, wanted)
    assert machine.rollback().state == "abandoned"
    assert Releases(machine.state).live().name == "old"
    with pytest.raises(EmbedlabError, match="plan anew"):
        machine.start()
    assert machine.finish().state == "finished"
    assert not (state.parent / "new").exists()
    plan(state, str(state.parent / "old"), str(state.parent / "new"), "new", load=load)


def test_a_rollback_stops_a_backfill_in_another_process(state):
    class Rolling(ToyEncoder):
        def encode_uncached(self, texts, kind="document"):
            if any("document number99 " in text for text in texts):
                Reindex(state, load).rollback()
            return super().encode_uncached(texts, kind)

    rolling = Rolling("new", seed=1)
    with pytest.raises(StoppedError, match="abandoned"):
        Reindex(state, lambda model, precision: rolling if model == "new" else OLD).start()


def test_the_candidate_can_be_deleted_after_a_rollback_and_the_old_index_never(state):
    machine = until(state, "cut over")
    machine.rollback()
    machine.finish()
    assert (state.parent / "old").exists()
    assert not (state.parent / "new").exists()
    assert reader(state, load).search(TEXTS["d0007"], 1)[0].doc_id == "d0007"


def test_the_old_index_is_kept_for_its_retention(tmp_path, monkeypatch):
    state = planned_service(tmp_path, retention_hours=2)
    machine = until(state, "draining")
    with pytest.raises(EmbedlabError, match=r"kept for 2 h from the drain on: 2\.00 h are left"):
        machine.finish()
    begin = clocks.now()
    # Two hours on, on both clocks.
    later = clocks.Moment(begin.wall + 7300, begin.running + 7300, begin.boot)
    monkeypatch.setattr("embedlab.rollout.reindexing.machine.now", lambda: later)
    assert machine.finish().state == "finished"


@pytest.mark.parametrize("jump", [90_000, -90_000], ids=["forward", "back"])
def test_a_clock_that_jumps_ends_no_retention_early(tmp_path, monkeypatch, jump):
    state = planned_service(tmp_path, retention_hours=2)
    machine = until(state, "draining")
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + jump)
    with pytest.raises(EmbedlabError, match="kept for 2 h"):
        machine.finish()
    assert machine.status()["retention_left_hours"] > 1.9
    assert machine.rollback().state == "rolled back"


def test_after_a_restart_of_the_machine_the_wall_clock_says_how_long_it_was():
    before, after = clocks.Moment(1000.0, 50.0, "first"), clocks.Moment(4600.0, 5.0, "second")
    assert clocks.elapsed(before, after) == 3600
    assert clocks.elapsed(after, before) == 0


def test_a_cutover_that_was_killed_in_the_middle_is_finished_or_rolled_back(state, monkeypatch):
    machine = until(state, "validated")
    with monkeypatch.context() as patch:
        patch.setattr(Reindex, "_switched", lambda self, job: job)
        machine.cutover()
    assert (machine.job.state, Releases(machine.state).live().name) == ("cutting over", "old")
    assert machine.cutover().state == "cut over"
    assert Releases(machine.state).live().name == "new"


# --- faults of disk and state -------------------------------------------------------------------


@pytest.mark.parametrize("file", ["service.db", "index.db"])
def test_a_full_disk_loses_nothing(tmp_path, file, monkeypatch):
    """SQLite itself says that the disk is full: its file may not grow beyond a few pages more."""
    state = planned_service(tmp_path, patience=0, batch_size=2)
    whole = Database.__init__

    def limited(self, path, *args, **kwargs):
        whole(self, path, *args, **kwargs)
        if path.name == file and path.parent.name != "old":
            pages = self.row("PRAGMA page_count")[0]
            self.rows(f"PRAGMA max_page_count = {pages + 1}")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "__init__", limited)
        with pytest.raises(StoreError, match="the disk is full"):
            Reindex(state, load).start()
    assert Reindex(state, load).start().state == "backfilled"
    assert failed(Reindex(state, load).validate()) == []
    assert reader(state, load).search(TEXTS["d0007"], 1)[0].doc_id == "d0007"


def test_a_full_disk_refuses_a_write_as_a_whole(state, monkeypatch):
    door = writer(state, load)
    pages = door.state.db.row("PRAGMA page_count")[0]
    door.state.db.rows(f"PRAGMA max_page_count = {pages}")
    documents = [Document(f"x{number}", "", "text " * 50) for number in range(200)]
    with pytest.raises(StoreError, match="the disk is full; nothing of this change was kept"):
        door.upsert(documents)
    assert writer(state, load).catch_up().number == 0
    assert reader(state, load).search("text", 1)[0].doc_id.startswith(("d", "a"))


def test_a_state_file_with_one_byte_changed_is_never_believed(state):
    """Every hundredth byte is changed in turn: the file is refused by name, or says what it said before."""
    machine = until(state, "cut over")
    wanted = (machine.job, Releases(machine.state).history(), Releases(machine.state).live())
    machine.close()
    content = state.read_bytes()
    refusals = []
    for position in range(0, len(content), 101):
        changed = bytearray(content)
        changed[position] ^= 0x15
        state.write_bytes(bytes(changed))
        try:
            again = Reindex(state, load)
        except EmbedlabError as error:
            refusals.append(str(error))
            continue
        assert (again.job, Releases(again.state).history(), Releases(again.state).live()) == wanted
        again.close()
    assert len(refusals) > 20
    assert all("service.db" in refusal for refusal in refusals)


def test_the_copy_beside_a_damaged_state_file_goes_on(state):
    machine = until(state, "validated")
    machine.close()
    content = bytearray(state.read_bytes())
    at = content.index(b'"state": "validated"')
    content[at + 11] ^= 1
    state.write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=r"put its copy back: cp .*service\.db\.backup"):
        Reindex(state, load)
    state.write_bytes(state.with_name("service.db.backup").read_bytes())
    assert Reindex(state, load).cutover().state == "cut over"


def test_a_row_that_was_changed_is_refused(state):
    with sqlite3.connect(state) as data:
        data.execute("UPDATE job SET body = replace(body, 'planned', 'validated')")
    with pytest.raises(IntegrityError, match="row 1 of job was changed"):
        State(state)


def test_a_name_that_is_no_state_file_is_no_service(tmp_path):
    with pytest.raises(MissingInputError, match="there is no such state file"):
        Reindex(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("no database" * 100)
    with pytest.raises(IntegrityError, match="is damaged"):
        Reindex(tmp_path / "text.db")


def test_documents_of_a_toy_service_are_documents():
    assert documents_of(TEXTS)[3].metadata == {"number": 0}
