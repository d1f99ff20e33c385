"""A promotion moves index, encoder and stages together, to an index that can take the live one's place."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from conftest import literal_tail, run_python
from toy_encoder import DOCUMENTS, NEW, OLD, load_toy, toy_collection, toy_release

from embedlab.errors import EmbedlabError, IdentityError, IntegrityError, MissingInputError, ParameterError
from embedlab.retrieval import Settings
from embedlab.rollout import (
    Document,
    Release,
    Releases,
    State,
    create_collection,
    open_collection,
    promote,
    reader,
    roll_back,
    writer,
)
from embedlab.rollout.service import reader as service_reader
from embedlab.rollout.stores.base import CollectionInfo

FUSED = Settings(weight=0.3)
QUERY = "topic3 word21"


@pytest.fixture
def releases(registry):
    """The releases of a service in which ``old`` answers and ``new`` may."""
    toy_release(registry, "new", NEW)
    return Releases(registry)


@pytest.fixture
def asks(registry):
    """What asks the live release."""
    found = reader(registry.path, load_toy)
    yield found
    found.close()


@pytest.fixture
def door(registry):
    """The door for an application's writes."""
    found = writer(registry.path, load_toy)
    yield found
    found.close()


def put(state, release):
    """Write a release past the checks of :meth:`Releases.add`."""
    with state.db.transaction():
        Releases(state).put(release)


# --- a switch and the way back --------------------------------------------------------------------


def test_a_switch_names_index_and_encoder_and_a_rollback_brings_both_back(registry, releases):
    assert promote(registry, "new", "go").encoder == releases.live().encoder == NEW.identity.digest
    assert releases.live().index == "new"
    assert roll_back(registry, "back").encoder == releases.live().encoder == OLD.identity.digest
    assert releases.live().index == "old"


def test_queries_are_encoded_by_the_model_of_the_index_that_answers(registry, releases, asks):
    for name, encoder in (("old", OLD), ("new", NEW), ("old", OLD)):
        promote(registry, name, "to and fro")
        best = (encoder.encode(DOCUMENTS.tolist()) @ encoder.encode([QUERY])[0]).max()
        assert asks.search(QUERY, 1)[0].score == pytest.approx(best, abs=1e-6)


def test_the_first_release_has_nothing_to_go_back_to(registry):
    with pytest.raises(MissingInputError, match="nothing to roll back to: 'old' was the first"):
        roll_back(registry, "back")


def test_before_the_first_promotion_nothing_answers(tmp_path):
    toy_collection(tmp_path / "old", OLD).close()
    state = State(tmp_path / "service.db", create=True)
    Releases(state).add("old", str(tmp_path / "old"))
    with pytest.raises(MissingInputError, match=r"no release answers yet; promote one of \['old'\]"):
        Releases(state).live()
    state.close()


def test_a_mistyped_release_is_told_with_the_nearest(registry, releases):
    with pytest.raises(MissingInputError, match=r"no release 'nwe'.*'new'"):
        promote(registry, "nwe", "go")


def test_the_history_says_who_and_why(registry, releases):
    promote(registry, "new", "the evaluation asks for it", by="an operator")
    roll_back(registry, "too slow")
    entries = releases.history()
    assert [(e["number"], e["release"], e["why"]) for e in entries] == [
        (1, "old", "start"),
        (2, "new", "the evaluation asks for it"),
        (3, "old", "too slow"),
    ]
    assert entries[1]["by"] == "an operator"
    assert "(process " in entries[2]["by"]
    assert all(entry["at"].endswith(" UTC") for entry in entries)


# --- what cannot be promoted ----------------------------------------------------------------------


def test_an_index_is_never_overwritten(registry, releases):
    with pytest.raises(EmbedlabError, match="exists already; an index is never overwritten"):
        create_collection(str(registry.path.parent / "old"), CollectionInfo(NEW.identity, "new"))
    assert open_collection(str(registry.path.parent / "old")).info.identity == OLD.identity


def flip(path, entry):
    """Change a number of a document's vector past the store, which keeps its checksum."""
    with sqlite3.connect(path) as data:
        vectors = np.frombuffer(
            data.execute("SELECT vectors FROM entries WHERE doc_id = ?", [entry]).fetchone()[0], "<f4"
        )
        data.execute("UPDATE entries SET vectors = ? WHERE doc_id = ?", [(-vectors).tobytes(), entry])


def test_a_damaged_index_cannot_be_promoted(registry, releases):
    flip(registry.path.parent / "new" / "index.db", "d042")
    with pytest.raises(IntegrityError, match="'d042' is not what was written"):
        promote(registry, "new", "go")
    assert releases.live().name == "old"


def test_a_damaged_document_is_not_served_through_the_other_stages(registry, asks):
    toy_release(registry, "fused", OLD, settings=FUSED)
    promote(registry, "fused", "go")
    assert asks.search(QUERY)
    damaged = Path(registry.address("fused")) / "index.db"
    flip(damaged, "d042")
    with sqlite3.connect(damaged) as data:
        data.execute("UPDATE changes SET number = number + 1")
    with pytest.raises(IntegrityError, match="'d042' is not what was written"):
        asks.search(QUERY)


def test_an_index_of_another_model_than_its_release_says_cannot_be_promoted(registry, releases):
    put(registry, Release("mixed", "new", OLD.identity.digest, "old", "new", Settings()))
    with pytest.raises(IdentityError, match="vectors of two models must not be mixed"):
        promote(registry, "mixed", "go")
    assert releases.live().name == "old"


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (DOCUMENTS.drop("d050"), "differ at document 'd050'"),
        (DOCUMENTS[:-1], "holds 99 documents, .* 100"),
        (DOCUMENTS.where(DOCUMENTS.index != "d007", "another text"), "differ at document 'd007'"),
    ],
    ids=["one missing", "the last one missing", "another text"],
)
def test_an_index_with_other_documents_cannot_be_promoted(registry, texts, told):
    toy_release(registry, "new", NEW, texts)
    with pytest.raises(EmbedlabError, match=told):
        promote(registry, "new", "go")
    assert Releases(registry).live().name == "old"


def test_an_index_that_is_gone_cannot_be_promoted(registry, releases):
    (registry.path.parent / "new" / "identity.json").unlink()
    with pytest.raises(MissingInputError, match="holds no index"):
        promote(registry, "new", "go")
    assert releases.live().name == "old"


def test_an_index_is_named_from_the_working_directory_and_kept_from_the_state_files_folder(registry, monkeypatch):
    toy_collection(registry.path.parent / "new", NEW).close()
    monkeypatch.chdir(registry.path.parent.parent)
    assert Releases(registry).add("new", "service/new").index == "new"
    assert promote(registry, "new", "go").index == "new"


# --- stages ---------------------------------------------------------------------------------------


def test_other_stages_are_another_release_of_the_same_index(registry, releases, asks):
    plain = asks.search_release(releases.get("new"), QUERY)
    releases.add("fused", str(registry.path.parent / "new"), FUSED)
    assert promote(registry, "fused", "go").settings == releases.live().settings == FUSED
    assert asks.search(QUERY) != plain
    promote(registry, "new", "dense alone")
    assert asks.search(QUERY) == plain


def test_a_release_never_changes(registry, releases):
    address = str(registry.path.parent / "new")
    assert releases.add("new", address) == releases.get("new")
    with pytest.raises(EmbedlabError, match="exists already and is another one"):
        releases.add("new", address, FUSED)


def test_stages_that_need_another_index_are_refused(registry, releases):
    with pytest.raises(ParameterError, match="was built with chunk 'none'; the release asks for 'all'"):
        releases.add("passages", str(registry.path.parent / "new"), Settings(chunk="all"))


# --- writes ---------------------------------------------------------------------------------------

FRESH = Document("fresh", "", "topic3 word21 written after the promotion")


def test_writes_after_a_promotion_reach_the_index_before_it_so_a_rollback_loses_nothing(registry, releases, asks, door):
    promote(registry, "new", "go")
    door.upsert([FRESH])
    door.delete(["d003"])
    roll_back(registry, "back")
    old = open_collection(str(registry.path.parent / "old"))
    assert "d003" not in old.get(["d003"])
    assert old.get(["fresh"])["fresh"].document == FRESH
    assert old.get(["fresh"])["fresh"].space == OLD.identity.digest
    assert asks.search(FRESH.text, 1)[0].doc_id == "fresh"
    old.close()


def test_what_is_written_while_an_index_is_read_for_its_stages_is_read_too(registry, asks, door, monkeypatch):
    toy_release(registry, "fused", OLD, settings=FUSED)
    promote(registry, "fused", "go")
    read, due = service_reader.pipeline_over, [FRESH]

    def meanwhile(*given):
        found = read(*given)
        if due:
            door.upsert([due.pop()])
        return found

    monkeypatch.setattr(service_reader, "pipeline_over", meanwhile)
    assert "fresh" in [hit.doc_id for hit in asks.search(FRESH.text)]


def test_an_index_that_lacks_a_write_cannot_be_promoted(registry, releases, door):
    promote(registry, "new", "go")
    (registry.path.parent / "old").rename(registry.path.parent / "elsewhere")
    written = door.upsert([FRESH])
    assert list(written.behind) == [str(registry.path.parent / "old")]
    (registry.path.parent / "elsewhere").rename(registry.path.parent / "old")
    with pytest.raises(EmbedlabError, match="lacks the last 1 writes"):
        roll_back(registry, "back")
    door.delete([])
    assert roll_back(registry, "back").name == "old"


# --- removed, and read ----------------------------------------------------------------------------


def test_the_release_that_answers_is_not_removed_and_a_removed_one_is_not_gone_back_to(registry, releases):
    promote(registry, "new", "go")
    with registry.db.transaction(), pytest.raises(EmbedlabError, match="answers now"):
        releases.remove("new")
    with registry.db.transaction():
        releases.remove("old")
    assert releases.names() == ["new"]
    assert releases.previous() is None
    assert [entry["release"] for entry in releases.history()] == ["old", "new"]


def test_a_release_that_was_changed_in_the_state_file_is_noticed(registry):
    registry.close()
    with sqlite3.connect(registry.path) as data:
        data.execute("""UPDATE releases SET body = replace(body, '"weight": 1.0', '"weight": 0.5')""")
    with pytest.raises(IntegrityError, match=r"row 'old' of releases was changed; put its copy back"):
        State(registry.path)


def test_releases_are_read_without_numpy_pandas_torch_or_faiss(registry):
    registry.close()
    code = """
import sys
from pathlib import Path
from embedlab.rollout.service.releases import Releases
from embedlab.rollout.service.state import State
from embedlab.rollout.stores.base import CollectionInfo
live = Releases(State(Path(sys.argv[1]), frozen=True)).live()
stamp = Path(sys.argv[1]).parent / live.index / "identity.json"
info = CollectionInfo.from_json(stamp.read_text(), "it")
print((info.identity.digest == live.encoder, sorted({"numpy", "pandas", "torch", "faiss"} & set(sys.modules))))
"""
    assert literal_tail(run_python(code, str(registry.path)).stdout) == (True, [])
