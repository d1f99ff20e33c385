"""``kill -9`` at any point: the same command goes on; nothing is lost or twice, no deleted document is back."""

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


def killed_at_every_commit(folder, step, after, until="draining"):
    """Restart the operator until it comes through, killed one commit later each time; return how often it was."""
    kills, number = 0, 1
    while True:
        operator = spawn("operate", folder / "service.db", until, number, "after" if after else "before")
        if ended(operator) == 0:
            return kills
        kills += 1
        number += step


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_before_or_after_commits_loses_nothing(tmp_path, after):
    """About 10 s: every fifth commit of a whole re-indexing, each met from a fresh start of what is left."""
    planned_service(tmp_path)
    assert killed_at_every_commit(tmp_path, step=5, after=after) >= 3
    survived(tmp_path, [])
    assert Releases(State(tmp_path / "service.db")).live().name == "new"


@pytest.mark.full
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_commit_loses_nothing(tmp_path, after):
    """About 2 minutes: at least 15 kills each, one commit later each time, so that every transition is met."""
    planned_service(tmp_path, batch_size=16)
    assert killed_at_every_commit(tmp_path, step=1, after=after) >= 8
    survived(tmp_path, [])
    assert killed_at_every_commit(tmp_path, step=1, after=after, until="finished") >= 2
    state = State(tmp_path / "service.db")
    assert (Releases(state).live().name, Releases(state).names()) == ("new", ["new"])
    assert not (tmp_path / "old").exists()


def busy_life(folder, seed, most=100, old=None, new=None, server=None):
    """Re-index while an application writes and one reads, and kill whoever is at work until it is done.

    Returns how many kills of an operator met it at work.
    """
    rng = random.Random(seed)
    # As slow as this, some eight kills meet the backfill, and the rest the steps after it.
    state = planned_service(folder, old, new, batch_size=4, documents_per_second=60)
    reading = spawn("read", state, folder / "answers.jsonl")
    diaries = [folder / "diary0.jsonl"]
    writing = spawn("write", state, diaries[0], 0)
    kills = 0
    operator = spawn("operate", state, "draining")
    while True:
        time.sleep(0.9 + rng.random())
        if operator.poll() is not None or kills == most:
            assert ended(operator, 300) == 0
            break
        kill(operator)
        kills += 1
        if kills % 3 == 0:
            kill(writing)
            # One writer at a time, and a diary each: it knows the order of its own writes alone.
            diaries.append(folder / f"diary{len(diaries)}.jsonl")
            writing = spawn("write", state, diaries[-1], len(diaries))
        if server is not None and kills % 4 == 0:
            server.kill()
            server.start()
        operator = spawn("operate", state, "draining")
    kill(writing)
    kill(reading)
    survived(folder, diaries, old, new)
    assert require_good_answers(folder / "answers.jsonl") > 20
    return kills


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
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_change_of_state_or_store_loses_nothing_over_milvus(tmp_path, milvus, after, monkeypatch):
    """About 3 minutes: a kill before or after each commit of the state file and each change of a collection."""
    monkeypatch.setenv("MILVUS_POINTS", "1")
    places = {"old": f"{milvus.uri}#old", "new": f"{milvus.uri}#new"}
    planned_service(tmp_path, **places, batch_size=32)
    assert killed_at_every_commit(tmp_path, step=1, after=after) >= 8
    survived(tmp_path, [], **places)


def test_a_killed_operators_lock_is_taken_over(tmp_path):
    planned_service(tmp_path)
    operator = spawn("operate", tmp_path / "service.db", "backfilled")
    while not (tmp_path / "new").exists():
        time.sleep(0.02)
    kill(operator)
    assert Reindex(tmp_path / "service.db", load).start().state == "backfilled"
