"""One writer a run folder, however its holder ends."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from embedlab.chain import Store
from embedlab.chain.lock import TOKEN, RunLock
from embedlab.errors import EmbedlabError, LockedError

HOLD = """
import sys, time
from pathlib import Path
from embedlab.chain.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
time.sleep(600)
"""

HOLD_AND_FORK = """
import os, sys, time
from pathlib import Path
from embedlab.chain.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
if not os.fork():
    # The child says that it runs: only then has it given back what it inherited of the lock.
    print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(store):
    """Another process that holds the lock; returns it with its token as ``token``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(store.folder)], stdout=subprocess.PIPE, text=True)
    process.token = process.stdout.readline().strip()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def killed(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_second_holder_is_told_who_holds_it(store, holder):
    with pytest.raises(LockedError, match=rf"is being written by process {holder.pid} on "):
        RunLock(store.folder).acquire()


def test_a_holder_in_the_same_process_counts_too(store):
    first, second = RunLock(store.folder), RunLock(store.folder)
    first.acquire()
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_the_lock_of_a_killed_holder_is_taken_over(store, holder):
    killed(holder)
    lock = RunLock(store.folder)
    token = lock.acquire()
    assert json.loads((store.folder / ".lock").read_text())["token"] == token != holder.token
    lock.release()


def test_a_child_that_a_killed_holder_left_behind_does_not_keep_the_lock(store):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_FORK, str(store.folder)], stdout=subprocess.PIPE, text=True
    )
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(LockedError, match=f"process {holder.pid}"):
            RunLock(store.folder).acquire()
        killed(holder)
        lock = RunLock(store.folder)
        lock.acquire()
        lock.release()
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


def test_another_thread_may_release_the_lock(store):
    lock = RunLock(store.folder)
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    following = RunLock(store.folder)
    following.acquire()
    following.release()


def test_one_change_waits_for_another(store):
    first, second, written = Store(store.folder), Store(store.folder), []

    def write():
        second.write("a.json", 2)
        written.append(2)

    with first.writing():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(0.2)
        assert written == []
    thread.join()
    assert written == [2]


def test_a_folder_that_cannot_be_written_is_told(store):
    (store.folder / ".lock").mkdir(parents=True)
    with pytest.raises(EmbedlabError, match=r"cannot write to .*: Is a directory"):
        RunLock(store.folder).acquire()


def test_nobody_else_writes_while_the_lock_is_held(store, holder):
    with pytest.raises(LockedError, match=f"process {holder.pid}"):
        store.write("a.json", 1)
    assert not (store.folder / "a.json").exists()


def test_a_notebook_without_a_runner_may_write_while_nobody_holds_the_lock(store):
    store.write("a.json", 1)
    assert (store.folder / "a.json").read_text() == "1"


def test_a_kernel_with_its_runners_token_may_write(store, holder, monkeypatch):
    monkeypatch.setenv(TOKEN, holder.token)
    store.write("a.json", 1)
    assert (store.folder / "a.json").read_text() == "1"


def test_a_kernel_whose_runner_was_killed_can_publish_nothing(store, holder, monkeypatch):
    monkeypatch.setenv(TOKEN, holder.token)
    killed(holder)
    with pytest.raises(LockedError, match="the run that started this kernel is gone; nothing was written"):
        store.write("a.json", 1)
    with pytest.raises(LockedError), store.folder_for("models/tuned", {}) as folder:
        (folder / "weights").write_text("late")
    assert not (store.folder / "a.json").exists()
    assert not (store.folder / "models/tuned").exists()


def test_a_kernel_left_behind_can_publish_nothing_under_the_next_runner(store, holder, monkeypatch):
    killed(holder)
    following = Store(store.folder)
    following.lock.acquire()
    monkeypatch.setenv(TOKEN, holder.token)
    with pytest.raises(LockedError, match=f"is being written by process {os.getpid()}"):
        store.write("a.json", 1)
    following.write("a.json", 2)
    following.lock.release()
    assert (store.folder / "a.json").read_text() == "2"
