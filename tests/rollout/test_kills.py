"""``kill -9`` at any point: the same command goes on; nothing is lost or twice, no deleted document is back."""

import contextlib
import random
import time

import pytest
from milvus_server import MilvusServer
from service_life import (
    NEW,
    OLD,
    ended,
    expected,
    kill,
    load,
    planned_service,
    require_as_expected,
    require_good_answers,
    spawn,
)

from embedlab.rollout import Reindex, Releases, State, writer

pytestmark = pytest.mark.chain


def survived(folder, diaries, old=None, new=None):
    """Bring both indexes up to date and check them against the diaries and one another."""
    door = writer(folder / "service.db", load)
    door.catch_up()
    door.close()
    wanted = expected(diaries)
    mine = require_as_expected(old or folder / "old", OLD, wanted)
    theirs = require_as_expected(new or folder / "new", NEW, wanted)
    assert mine == theirs


def killed_at(folder, number, after, until="draining", old=None, new=None):
    """Kill an operator at its so-many-th commit and let another one go on; return whether it came to that commit."""
    folder.mkdir()
    state = planned_service(folder, old, new, batch_size=64)
    operator = spawn("operate", state, until, number, "after" if after else "before")
    was_killed = ended(operator) != 0
    if was_killed:
        assert ended(spawn("operate", state, until)) == 0
    return was_killed


AFTER = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


@AFTER
@pytest.mark.parametrize("number", [1, 4, 9, 12])
def test_a_kill_at_a_commit_loses_nothing(tmp_path, number, after):
    """About 20 s in all: the new index is made, a batch is stored and noted, it is validated, it is cut over."""
    assert killed_at(tmp_path / "life", number, after)
    survived(tmp_path / "life", [])
    assert Releases(State(tmp_path / "life" / "service.db")).live().name == "new"


@pytest.mark.full
@AFTER
def test_a_kill_at_any_commit_loses_nothing(tmp_path, after):
    """About 2 minutes: a life for every commit of state and index, from the plan to the drain."""
    number = 1
    while killed_at(tmp_path / str(number), number, after):
        survived(tmp_path / str(number), [])
        number += 1
    assert number > 12


@pytest.mark.full
@AFTER
def test_a_kill_at_any_commit_of_the_end_leaves_one_index_that_answers(tmp_path, after):
    """About 1 minute: the last commits of lives that end with the deletion of the old index."""
    number = 12
    while killed_at(tmp_path / str(number), number, after, until="finished"):
        folder = tmp_path / str(number)
        state = State(folder / "service.db")
        assert (Releases(state).live().name, Releases(state).names()) == ("new", ["new"])
        assert not (folder / "old").exists()
        require_as_expected(folder / "new", NEW, expected([]))
        number += 1
    assert number > 15


def busy_life(folder, seed, most=100, old=None, new=None, server=None):
    """Re-index while an application writes and one reads, and kill whoever is at work until it is done.

    Returns how many kills of an operator met it at work.
    """
    rng = random.Random(seed)
    # As slow as this, some eight kills meet the backfill, and the rest the steps after it.
    state = planned_service(folder, old, new, batch_size=4, documents_per_second=60)
    with contextlib.ExitStack() as processes:
        kills, diaries = _killed_until_done(state, rng, most, server, processes)
    survived(folder, diaries, old, new)
    assert require_good_answers(folder / "answers.jsonl") > 20
    return kills


def _killed_until_done(state, rng, most, server, processes):
    """Let operator, writer and reader live and die until the work is done; return the kills, and the diaries."""

    def started(*words):
        process = spawn(*words)
        processes.callback(kill, process)
        return process

    folder = state.parent
    started("read", state, folder / "answers.jsonl")
    diaries = [folder / "diary0.jsonl"]
    writing = started("write", state, diaries[0], 0)
    kills = 0
    operator = started("operate", state, "draining")
    while True:
        time.sleep(0.9 + rng.random())
        if operator.poll() is not None or kills == most:
            assert ended(operator, 300) == 0
            return kills, diaries
        kill(operator)
        kills += 1
        if kills % 3 == 0:
            kill(writing)
            # One writer at a time, and a diary each: it knows the order of its own writes alone.
            diaries.append(folder / f"diary{len(diaries)}.jsonl")
            writing = started("write", state, diaries[-1], len(diaries))
        if server is not None and kills % 4 == 0:
            server.kill()
            server.start()
        operator = started("operate", state, "draining")


def test_a_busy_service_outlives_a_few_kills(tmp_path):
    """About 15 s."""
    assert busy_life(tmp_path, seed=0, most=4) >= 2


@pytest.mark.full
def test_a_busy_service_outlives_many_kills_over_faiss(tmp_path):
    """About 3 minutes: at least 30 kills of the operator at work, at random moments, and of the writers."""
    kills, seed = 0, 1
    while kills < 30:
        folder = tmp_path / str(seed)
        folder.mkdir()
        kills += busy_life(folder, seed)
        seed += 1


@pytest.fixture
def milvus(tmp_path):
    """A Milvus server of its own, which can be killed."""
    pytest.importorskip("milvus_lite", reason="Milvus is not installed: pip install -e '.[milvus]'")
    with MilvusServer(tmp_path / "milvus", memory=8 * 2**20) as server:
        yield server


@pytest.mark.full
def test_a_busy_service_outlives_many_kills_over_milvus(tmp_path, milvus):
    """About 5 minutes: as over FAISS, and the store itself is killed and comes back every fourth time."""
    kills, seed = 0, 1
    while kills < 30:
        folder = tmp_path / str(seed)
        folder.mkdir()
        places = {"old": f"{milvus.uri}#old{seed}", "new": f"{milvus.uri}#new{seed}"}
        kills += busy_life(folder, seed, server=milvus, **places)
        seed += 1


@pytest.mark.full
@AFTER
def test_a_kill_at_any_change_of_state_or_store_loses_nothing_over_milvus(tmp_path, milvus, after, monkeypatch):
    """About 3 minutes: a life for every commit of the state file and every change of a collection."""
    monkeypatch.setenv("MILVUS_POINTS", "1")
    number = 1
    while True:
        folder = tmp_path / str(number)
        places = {"old": f"{milvus.uri}#old{number}", "new": f"{milvus.uri}#new{number}"}
        if not killed_at(folder, number, after, **places):
            break
        survived(folder, [], **places)
        number += 1
    assert number > 12


def test_a_killed_operators_lock_is_taken_over(tmp_path):
    planned_service(tmp_path)
    operator = spawn("operate", tmp_path / "service.db", "backfilled")
    while not (tmp_path / "new").exists():
        time.sleep(0.02)
    kill(operator)
    assert Reindex(tmp_path / "service.db", load).start().state == "backfilled"
