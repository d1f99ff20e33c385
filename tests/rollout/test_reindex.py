"""Re-indexing goes on after kill -9, and goes live only when every check holds."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import PROJECT
from toy_encoder import DOCUMENTS, NEW, ToyEncoder

from embedlab.errors import EmbedlabError, IntegrityError
from embedlab.retrieval import load_index
from embedlab.rollout import Check, Reindex, make_plan


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


def test_a_failed_check_leaves_the_alias_where_it_is(registry, tmp_path):
    work = Reindex(tmp_path / "work", registry, NEW, DOCUMENTS, 50)
    work.run()
    work.build()
    with pytest.raises(EmbedlabError, match="quality; the live index stays"):
        work.cut_over([Check("ids", 1, "1", True), Check("quality", 0.1, "at least 0.5", False)], "go")
    assert registry.live().index == "old"
    assert work.cut_over([Check("ids", 1, "1", True)], "go").index == registry.live().index == work.name
