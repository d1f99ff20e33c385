"""A copy of a service answers as the service does, and equal services give equal files."""

import pytest
from toy_encoder import DOCUMENTS, NEW, OLD, documents_of, load_toy, toy_release, toy_service

from embedlab.errors import EmbedlabError, IntegrityError
from embedlab.rollout import (
    Document,
    Options,
    Reindex,
    Releases,
    State,
    copy_service,
    open_collection,
    plan,
    promote,
    reader,
    roll_back,
    writer,
)

QUERY = "topic3 word21"


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def reindexed(folder, batch_size, busy=False):
    """Return the state file of a service that was re-indexed; a busy one has written and taken back meanwhile."""
    path = toy_service(folder).path
    if busy:
        door = writer(path, load_toy)
        door.upsert([Document("d001", "", "for a while"), Document("extra", "", "for a while")])
        door.delete(["d050", "extra"])
        door.upsert(documents_of(DOCUMENTS))
        door.close()
    options = Options(batch_size=batch_size)
    plan(path, str(folder / "old"), str(folder / "new"), "new", options, load=load_toy, documents_per_second=1.0)
    machine = Reindex(path, load_toy)
    machine.start()
    machine.validate()
    machine.cutover()
    machine.close()
    return path


def test_equal_services_give_equal_files_whatever_way_they_came_to_what_they_hold(tmp_path):
    copy_service(reindexed(tmp_path / "one", 7), tmp_path / "first")
    copy_service(reindexed(tmp_path / "two", 32, busy=True), tmp_path / "second")
    assert files(tmp_path / "first") == files(tmp_path / "second")
    assert sorted(files(tmp_path / "first")) == [
        "aliases.json", "new/identity.json", "new/index.db", "old/identity.json", "old/index.db", "service.db"
    ]  # fmt: skip


def test_a_copy_answers_as_the_service_does_and_knows_the_way_back(registry, tmp_path):
    toy_release(registry, "new", NEW)
    promote(registry, "new", "go")
    copy_service(registry.path, tmp_path / "copy")
    asked = [reader(path, load_toy) for path in (registry.path, tmp_path / "copy" / "service.db")]
    assert asked[0].search(QUERY) == asked[1].search(QUERY)
    copied = State(tmp_path / "copy" / "service.db")
    assert [(e["release"], e["why"]) for e in Releases(copied).history()] == [("old", "start"), ("new", "go")]
    assert roll_back(copied, "back").encoder == OLD.identity.digest
    assert Releases(registry).live().name == "new"


def test_reading_a_copy_that_nobody_writes_to_leaves_no_file_beside_it(registry, tmp_path):
    copy_service(registry.path, tmp_path / "copy")
    before = files(tmp_path / "copy")
    state = State(tmp_path / "copy" / "service.db", frozen=True)
    assert Releases(state).live().name == "old"
    assert files(tmp_path / "copy") == before
    state.close()


def test_a_folder_with_a_service_is_not_overwritten(registry, tmp_path):
    with pytest.raises(EmbedlabError, match="holds a service already"):
        copy_service(registry.path, registry.path.parent)


def test_an_index_that_lacks_writes_is_not_copied(registry, tmp_path):
    with registry.db.transaction():
        registry.append("writes", {"document": None}, doc_id="d001")
    with pytest.raises(EmbedlabError, match="lacks writes"):
        copy_service(registry.path, tmp_path / "copy")


def test_an_index_elsewhere_is_not_copied(tmp_path):
    state = toy_service(tmp_path / "service", address=tmp_path / "elsewhere" / "old")
    with pytest.raises(EmbedlabError, match="does not lie in"):
        copy_service(state.path, tmp_path / "copy")


def test_a_damaged_document_is_not_copied(registry, tmp_path):
    collection = open_collection(str(registry.path.parent / "old"))
    with collection._data.transaction():
        collection._data.write("UPDATE entries SET text = 'another' WHERE doc_id = 'd007'")
    with pytest.raises(IntegrityError, match="'d007' is not what was written"):
        copy_service(registry.path, tmp_path / "copy")
