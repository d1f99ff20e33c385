"""What the state file, its clock and its database promise, taken alone."""

import multiprocessing

import pytest
from service_life import load
from toy_encoder import OLD, toy_collection, toy_service

from embedlab.errors import IntegrityError, LockedError, StoreError
from embedlab.locks import take
from embedlab.rollout import Releases, State, open_collection
from embedlab.rollout.service.clock import Moment, elapsed
from embedlab.rollout.stores.database import Database

TABLE = "CREATE TABLE rows (key INTEGER PRIMARY KEY, body TEXT)"


@pytest.fixture
def data(tmp_path):
    return Database(tmp_path / "some.db", TABLE)


def test_a_transaction_is_whole_or_nothing(data):
    def interrupted():
        with data.transaction():
            data.write("INSERT INTO rows VALUES (1, 'half')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert data.rows("SELECT * FROM rows") == []
    with data.transaction():
        data.write("INSERT INTO rows VALUES (1, 'whole')")
    assert data.row("SELECT body FROM rows")["body"] == "whole"


def test_a_snapshot_does_not_see_what_comes_after_it(data):
    other = Database(data.path)
    with data.transaction():
        data.write("INSERT INTO rows VALUES (1, 'before')")
    with other.snapshot():
        assert len(other.rows("SELECT * FROM rows")) == 1
        with data.transaction():
            data.write("INSERT INTO rows VALUES (2, 'after')")
        assert len(other.rows("SELECT * FROM rows")) == 1
    assert len(other.rows("SELECT * FROM rows")) == 2


def test_a_statement_that_cannot_be_done_changes_nothing(data):
    with pytest.raises(StoreError, match=r"some\.db: no such table"), data.transaction():
        data.write("INSERT INTO elsewhere VALUES (1)")
    assert data.rows("SELECT * FROM rows") == []


def test_a_copy_is_as_of_its_moment(data, tmp_path):
    with data.transaction():
        data.write("INSERT INTO rows VALUES (1, 'kept')")
    data.copy_to(tmp_path / "copy.db")
    with data.transaction():
        data.write("DELETE FROM rows")
    assert Database(tmp_path / "copy.db").row("SELECT body FROM rows")["body"] == "kept"


def test_a_service_that_is_moved_finds_its_indexes(tmp_path):
    folder = tmp_path / "before"
    folder.mkdir()
    toy_service(folder).close()
    folder.rename(tmp_path / "after")
    state = State(tmp_path / "after" / "service.db")
    release = Releases(state).live()
    assert release.index == "old"
    assert open_collection(state.address(release.index)).count() == 100


def test_an_index_elsewhere_is_known_by_its_whole_address(tmp_path):
    toy_collection(tmp_path / "elsewhere", OLD).close()
    (tmp_path / "service").mkdir()
    state = State(tmp_path / "service" / "s.db", create=True)
    assert Releases(state).add("there", str(tmp_path / "elsewhere")).index == str(tmp_path / "elsewhere")
    assert state.stored_address("http://127.0.0.1:19530#docs") == "http://127.0.0.1:19530#docs"
    assert state.address("vectors.db#docs") == f"{tmp_path}/service/vectors.db#docs"


def hold(path, ready, done):
    held = take(path, "it")
    ready.set()
    done.wait(30)
    held.release()


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    ready, done = multiprocessing.get_context("spawn").Event(), multiprocessing.get_context("spawn").Event()
    holder = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path / "a.lock", ready, done))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(LockedError, match=rf"it is being written by process {holder.pid} on "):
        take(tmp_path / "a.lock", "it")
    holder.kill()
    holder.join()
    take(tmp_path / "a.lock", "it").release()


@pytest.mark.parametrize(
    ("since", "until", "seconds"),
    [
        (Moment(100, 10, "a"), Moment(160, 70, "a"), 60),
        (Moment(100, 10, "a"), Moment(9000, 70, "a"), 60),  # set forward
        (Moment(100, 10, "a"), Moment(5, 70, "a"), 0),  # set back
        (Moment(100, 10, "a"), Moment(160, 1, "b"), 60),  # restarted
        (Moment(100, 10, ""), Moment(160, 70, ""), 60),  # a system that does not say
    ],
)
def test_time_that_has_surely_passed(since, until, seconds):
    assert elapsed(since, until) == seconds


def test_a_missing_entry_of_the_history_is_noticed(tmp_path):
    state = toy_service(tmp_path)
    with state.db.transaction():
        state.db.write("UPDATE history SET seal = 'x'")
    with pytest.raises(IntegrityError, match="row 1 of history was changed"):
        Releases(state).live()
    assert load("old") is OLD
