"""Re-indexing survives kills, the alias moves index and encoder together, the watch rolls back."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from toy_encoder import DOCUMENTS, ToyEncoder

from embedlab.errors import EmbedlabError, IdentityError, IntegrityError, MissingInputError
from embedlab.retrieval import build_index, load_index
from embedlab.rollout import (
    STAGES,
    Check,
    Limits,
    Registry,
    Reindex,
    copy_registry,
    goes_to_candidate,
    make_plan,
    roll_out,
    validate,
    vector_checks,
)
from embedlab.rollout.canary import watch

OLD, NEW = ToyEncoder("old"), ToyEncoder("new", seed=1)
ENCODERS = {e.identity.digest: e for e in (OLD, NEW)}


def index_of(encoder):
    return build_index(encoder.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist(), encoder.identity)


@pytest.fixture
def registry(tmp_path):
    found = Registry(tmp_path / "service")
    found.add("old", index_of(OLD))
    found.switch("old", "start")
    return found


# --- registry ---------------------------------------------------------------------------------


def test_a_switch_names_index_and_encoder_and_a_rollback_brings_both_back(registry):
    registry.add("new", index_of(NEW))
    assert registry.switch("new", "go").encoder == NEW.identity.digest
    assert registry.open(registry.live(), ENCODERS).encoder is NEW
    assert registry.rollback("back").index == "old"
    assert registry.open(registry.live(), ENCODERS).encoder is OLD
    assert [e["index"] for e in registry.history()] == ["old", "new", "old"]


def test_the_first_release_has_nothing_to_go_back_to(registry):
    with pytest.raises(MissingInputError, match="first"):
        registry.rollback("back")


def test_an_index_is_never_overwritten(registry):
    before = (registry.folder / "old" / "index.faiss").read_bytes()
    with pytest.raises(EmbedlabError, match="exists already"):
        registry.add("old", index_of(NEW))
    assert (registry.folder / "old" / "index.faiss").read_bytes() == before


def test_a_release_without_its_encoder_does_not_open(registry):
    with pytest.raises(IdentityError, match="needs the queries of old"):
        registry.open(registry.live(), {NEW.identity.digest: NEW})


def test_a_damaged_index_cannot_go_live(registry):
    registry.add("new", index_of(NEW))
    (registry.folder / "new" / "index.faiss").write_bytes(b"broken")
    with pytest.raises(IntegrityError):
        registry.switch("new", "go")
    assert registry.live().index == "old"


def test_a_copy_moves_its_own_alias_only(registry, tmp_path):
    registry.add("new", index_of(NEW))
    copy = copy_registry(registry.folder, tmp_path / "copy")
    copy.switch("new", "go")
    assert (registry.live().index, copy.live().index) == ("old", "new")


# --- re-indexing ------------------------------------------------------------------------------


def test_a_plan_counts_batches_and_bytes():
    plan = make_plan(1000, NEW.identity, 64)
    assert (plan.batches, plan.vector_bytes, plan.extra_bytes) == (16, 256_000, 512_000)
    assert plan.hours(100) == pytest.approx(10 / 3600)


def test_a_stopped_reindexing_goes_on_without_doing_a_batch_twice(registry, tmp_path):
    encoder = ToyEncoder("new", seed=1)
    assert Reindex(tmp_path / "work", registry, encoder, DOCUMENTS, 16).run(stop_after=3) == 3
    again = Reindex(tmp_path / "work", registry, encoder, DOCUMENTS, 16)
    assert again.run() == 7
    assert encoder.texts == len(DOCUMENTS)
    release = again.build()
    loaded = load_index(registry.folder / release.index, encoder.identity)
    np.testing.assert_array_equal(loaded.vectors(), encoder.encode_uncached(DOCUMENTS.tolist()))
    assert registry.live().index == "old"


def test_a_damaged_batch_and_a_torn_journal_line_are_done_again(registry, tmp_path):
    work = Reindex(tmp_path / "work", registry, NEW, DOCUMENTS, 16)
    work.run()
    (tmp_path / "work" / "batch-000002.npy").write_bytes(b"broken")
    journal = tmp_path / "work" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])
    assert set(work.finished()) == {0, 1, 3, 4, 5}
    with pytest.raises(IntegrityError, match="2 of 7 batches are missing, the first: 2"):
        work.build()
    assert work.run() == 7
    assert len(work.finished()) == 7


def test_a_journal_of_another_plan_is_not_continued(registry, tmp_path):
    Reindex(tmp_path / "work", registry, NEW, DOCUMENTS, 16).run(stop_after=1)
    with pytest.raises(EmbedlabError, match="another re-indexing"):
        Reindex(tmp_path / "work", registry, NEW, DOCUMENTS, 32)


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from toy_encoder import DOCUMENTS, ToyEncoder
from embedlab.rollout import Registry, Reindex
folder = Path(sys.argv[2])
Reindex(folder / "work", Registry(folder / "service"), ToyEncoder("new", seed=1, pause=0.05), DOCUMENTS, 4).run()
"""


def test_kill_9_in_the_middle_leaves_the_live_index_and_a_journal_to_go_on_from(registry, tmp_path):
    """About 5 s: one worker is killed after some batches, this process finishes."""
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(PROJECT / "tests"), str(tmp_path)])
    journal, deadline = tmp_path / "work" / "journal.jsonl", time.monotonic() + 60
    while time.monotonic() < deadline and (not journal.exists() or journal.read_text().count("\n") < 4):
        assert worker.poll() is None, "the worker ended by itself"
        time.sleep(0.02)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    encoder = ToyEncoder("new", seed=1)
    work = Reindex(tmp_path / "work", registry, encoder, DOCUMENTS, 4)
    survived = len(work.finished())
    assert 3 <= survived < 25
    assert work.run() == 25
    assert encoder.texts == len(DOCUMENTS) - 4 * survived
    assert registry.live().index == "old"
    np.testing.assert_array_equal(
        load_index(registry.folder / work.build().index, encoder.identity).vectors(),
        encoder.encode_uncached(DOCUMENTS.tolist()),
    )


def validated(index, encoder, floor=0.0):
    queries = pd.Series({"q": "topic3 word21"})
    return {c.check.split(" of ")[0]: c for c in validate(index, encoder, DOCUMENTS, queries, lambda run: 0.5, floor)}


def test_a_sound_candidate_passes_every_check():
    checks = validated(index_of(NEW), NEW)
    assert {"vectors", "quality on dev"} <= set(checks)
    assert [name for name, check in checks.items() if not check.passed] == []


def test_a_loss_of_quality_fails():
    assert not validated(index_of(NEW), NEW, floor=0.6)["quality on dev"].passed


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (lambda v, ids: (v[:-1], ids[:-1]), "vectors"),
        (lambda v, ids: (v, [*ids[:-1], "unknown"]), "ids missing"),
        (lambda v, ids: (np.where(np.arange(len(v))[:, None] == 5, np.nan, v), ids), "vectors with NaN"),
        (lambda v, ids: (v * 1.5, ids), "largest distance"),
        (lambda v, ids: (np.roll(v, 1, axis=0), ids), "lowest cosine"),
    ],
    ids=["missing", "unknown", "nan", "norm", "shuffled"],
)
def test_a_fault_in_the_vectors_is_noticed(fault, check):
    vectors, ids = fault(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist())
    failed = [c.check for c in vector_checks(vectors, ids, DOCUMENTS, NEW, sample=100) if not c.passed]
    assert any(name.startswith(check) for name in failed)


def test_a_failed_check_leaves_the_alias_where_it_is(registry, tmp_path):
    work = Reindex(tmp_path / "work", registry, NEW, DOCUMENTS, 50)
    work.run()
    work.build()
    with pytest.raises(EmbedlabError, match="quality; the live index stays"):
        work.cut_over([Check("ids", 1, "1", True), Check("quality", 0.1, "at least 0.5", False)], "go")
    assert registry.live().index == "old"
    assert work.cut_over([Check("ids", 1, "1", True)], "go").index == registry.live().index == work.name


# --- gradual traffic --------------------------------------------------------------------------


def traffic(loss=0.0, n=1000, **columns):
    live = np.random.default_rng(0).uniform(0.3, 0.9, n)
    noise = np.random.default_rng(1).normal(0, 0.1, n)
    frame = {"live": live, "candidate": live + noise - loss, "failed": False, "live_empty": False, "empty": False}
    return pd.DataFrame(frame | columns, index=[f"q{i}" for i in range(n)])


def test_the_split_is_sticky_and_keeps_its_share():
    keys = [f"user{i}" for i in range(5000)]
    inside = [{k for k in keys if goes_to_candidate(k, percent, "x")} for percent in STAGES]
    assert all(a <= b for a, b in pairwise(inside))
    assert [len(s) / 50 for s in inside] == pytest.approx(list(STAGES), abs=1.5)


def test_a_good_candidate_goes_live_after_every_stage(registry):
    registry.add("new", index_of(NEW))
    stages = roll_out(registry, "new", traffic(loss=-0.1), Limits())
    assert [s.percent for s in stages] == list(STAGES)
    assert registry.live().index == "new"


@pytest.mark.parametrize(
    ("scores", "alarm"),
    [
        (traffic(loss=0.4), "quality"),
        (traffic(failed=True), "errors"),
        (traffic(empty=True), "empty results"),
    ],
)
def test_a_broken_candidate_is_rolled_back_at_the_first_share(registry, scores, alarm):
    registry.add("new", index_of(NEW))
    stages = roll_out(registry, "new", scores, Limits())
    assert (stages[-1].percent, stages[-1].alarm) == (1, alarm)
    assert registry.live().index == "old"


def test_a_slow_candidate_that_is_fully_live_is_rolled_back(registry):
    registry.add("new", index_of(NEW))
    stages = roll_out(registry, "new", traffic(loss=-0.1), Limits(), within_latency={100: False})
    assert stages[-1].alarm == "latency"
    assert registry.live().index == "old"
    assert [e["index"] for e in registry.history()] == ["old", "new", "old"]


def test_too_few_queries_decide_nothing():
    stage = watch(traffic(loss=0.4, n=100), 1, Limits())
    assert stage.queries < 5
    assert stage.upper is None
    assert stage.alarm == ""


def test_equal_candidates_are_seldom_pulled_back():
    """200 rollouts of a candidate that is as good as the live one; at most 5 % may ring, plus noise."""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scores = traffic(n=600, candidate=0.5 + rng.normal(0, 0.2, 600), live=0.5)
        alarms += any(watch(scores, p, Limits(), salt=str(seed)).alarm for p in STAGES)
    assert alarms <= 17
