"""Ray writes the same shards as one process does, goes on after any kill, and says plainly what a worker lacks."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import PROJECT, literal_tail, run_python
from toy_encoder import DOCUMENTS

from embedlab.errors import EmbedlabError, ParameterError, StoreError
from embedlab.models import MINILM, WORDLLAMA
from embedlab.retrieval import Settings
from embedlab.rollout.encode import distributed, ray_session
from embedlab.rollout.encode.distributed import TRIES, ShardEncoder, Work, encode_corpus
from embedlab.rollout.encode.shards import Shards
from embedlab.rollout.stores.base import Document

WHOLE = Settings()
CUT = Settings(chunk="all", passage_words=3, passage_overlap=1)
CORPUS = [Document(doc_id, f"Title of {doc_id}", text, {"n": 1}) for doc_id, text in DOCUMENTS.items()]


def encode(folder, documents=CORPUS, model=WORDLLAMA, settings=CUT, **more):
    return encode_corpus(documents, model, folder, settings, **{"shard_size": 8, "precision": "float32", **more})


def files(folder):
    """Return the bytes of every file of finished work by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


# --- without Ray ----------------------------------------------------------------------------------


def test_without_ray_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EmbedlabError, match=r"pip install 'embedlab\[ray\]'"):
        encode(tmp_path / "shards", actors=1)
    assert not (tmp_path / "shards").exists()


def test_the_module_is_imported_without_ray():
    code = "import sys, embedlab.rollout.encode.distributed; print('ray' in sys.modules)"
    assert literal_tail(run_python(code).stdout) is False


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"actors": -1}, "actors are 0 or more and threads 1 or more, found -1 and 1"),
        ({"actors": 1, "threads": 0}, "found 1 and 0"),
        ({"address": "ray://127.0.0.1:1"}, "ray://127.0.0.1:1 is asked for no actors"),
    ],
)
def test_what_does_not_go_together_is_told_before_anything_is_written(tmp_path, given, told):
    with pytest.raises(ParameterError, match=told):
        encode(tmp_path / "shards", **given)
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "somewhere", "localhost:many", "a:99999999"])
def test_a_cluster_that_is_not_there_is_told_at_once(tmp_path, address):
    with pytest.raises(StoreError, match=f"no Ray cluster answers at {address} .*named HOST:PORT"):
        encode(tmp_path / "shards", actors=1, address=address)
    assert not (tmp_path / "shards").exists()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Shards that one process made, without Ray."""
    folder = tmp_path_factory.mktemp("alone")
    encode(folder)
    return folder


@pytest.mark.model
def test_without_actors_it_is_this_process_that_encodes(alone):
    shards = Shards(alone)
    assert shards.check() == {}
    assert list(shards.find(CORPUS)) == [document.doc_id for document in CORPUS]


@pytest.mark.model
def test_work_goes_on_in_the_precision_that_it_was_begun_in(tmp_path, alone, monkeypatch):
    shutil.copytree(alone, tmp_path / "shards")
    asked = []
    load = distributed.load_model
    monkeypatch.setattr(
        distributed, "load_model", lambda name, precision: asked.append(precision) or load(name, precision)
    )
    encode(tmp_path / "shards", precision="auto")
    assert asked == ["float32"]


@pytest.fixture
def begun(tmp_path):
    """A folder whose work has begun: the plan, and the documents of every shard for the actors."""
    folder = tmp_path / "begun"
    encoder = distributed.load_model(WORDLLAMA, "float32")
    plan = distributed.make_plan(CORPUS, encoder.identity, encoder.name, CUT, 8)
    with contextlib.suppress(KeyboardInterrupt), distributed.Writing.begin(folder, plan) as writing:
        distributed._stage(CORPUS, writing)
        raise KeyboardInterrupt
    return folder


def work(folder, **changes):
    return replace(Work(WORDLLAMA, "float32", folder, CUT, 1, 1), **changes)


def asked(actor, number=3):
    """Return what an actor answers: checksum and fault."""
    found = actor({"number": [number]})
    assert found["number"] == [number]
    return found["sha256"][0], found["fault"][0]


@pytest.mark.model
def test_an_actor_writes_the_shard_that_one_process_would(begun, alone):
    digest, fault = asked(ShardEncoder(work(begun)))
    assert (digest, fault) == (Shards(alone).finished[3], "")
    name = "shard-000003.parquet"
    assert (begun / name).read_bytes() == (alone / name).read_bytes()


def test_an_actor_that_does_not_see_the_folder_says_so(tmp_path):
    _, fault = asked(ShardEncoder(work(tmp_path / "elsewhere")))
    assert fault.startswith(f"{socket.gethostname()}: {tmp_path / 'elsewhere'} is not there: every machine must see it")


def test_an_actor_with_another_model_says_so(begun):
    _, fault = asked(ShardEncoder(work(begun, model=MINILM)))
    assert "all-MiniLM-L6-v2 has other files here" in fault
    assert not (begun / "shard-000003.parquet").exists()


def test_an_actor_with_other_documents_says_so(begun):
    staged = begun / "documents" / "documents-000003.jsonl"
    staged.write_text(staged.read_text().replace("topic", "tropic"))
    _, fault = asked(ShardEncoder(work(begun)))
    assert "the documents changed after they were counted" in fault


def test_a_shard_that_kills_its_worker_comes_to_an_end(begun, monkeypatch):
    def die(*_):
        raise SystemExit

    monkeypatch.setattr(distributed, "encode_shard", die)
    for _ in range(TRIES):
        with pytest.raises(SystemExit):
            asked(ShardEncoder(work(begun)))
    _, fault = asked(ShardEncoder(work(begun)))
    assert f"died {TRIES} times, perhaps for want of memory" in fault


# --- with Ray -------------------------------------------------------------------------------------

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'embedlab[ray]'"
)


def with_ray(test):
    """Mark a test that starts Ray: 20 to 40 s each, most of it Ray's own start."""
    for mark in (pytest.mark.full, pytest.mark.model, needs_ray):
        test = mark(test)
    return test


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@with_ray
@pytest.mark.parametrize("actors", [1, 2])
def test_actors_write_what_one_process_writes(tmp_path, alone, home, actors):
    shards = encode(tmp_path / "shards", actors=actors)
    assert shards.check() == {}
    assert files(tmp_path / "shards") == files(alone)
    assert list(home.iterdir()) == []


@with_ray
def test_actors_write_the_vectors_of_a_transformer_bit_by_bit(tmp_path, home):
    """The threads of both are the same: one. Which texts stand in a batch is, too."""
    import torch

    documents, settings = CORPUS[:40], Settings(chunk="long", passage_words=4, passage_overlap=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        encode(tmp_path / "alone", documents, MINILM, settings)
    finally:
        torch.set_num_threads(threads)
    encode(tmp_path / "shards", documents, MINILM, settings, actors=2)
    assert files(tmp_path / "shards") == files(tmp_path / "alone")


@with_ray
def test_ray_listens_on_this_machine_alone(tmp_path, home):
    """In a process of its own: a Ray that was imported before keeps the addresses that it chose then."""
    code = """
import sys
from pathlib import Path
import psutil
sys.path[:0] = sys.argv[2:]
import test_distributed
from embedlab.rollout.encode import distributed
results, found = distributed._results, set()
def looked_at(*arguments):
    for result in results(*arguments):
        for process in psutil.Process().children(recursive=True):
            found.update((c.status, c.laddr.ip.removeprefix("::ffff:")) for c in process.net_connections("inet"))
        yield result
distributed._results = looked_at
test_distributed.encode(Path(sys.argv[1]), actors=1)
print(sorted({one[1] for one in found if one[0] == "LISTEN"}))
"""
    paths = [PROJECT / "tests", PROJECT / "tests" / "rollout"]
    done = run_python(code, str(tmp_path / "shards"), *map(str, paths))
    assert set(literal_tail(done.stdout)) <= {"127.0.0.1", "::1"}
    assert literal_tail(done.stdout)


@with_ray
def test_a_worker_that_is_killed_is_replaced(tmp_path, alone, home, monkeypatch):
    results, killed = distributed._results, []

    def killing(*arguments):
        for result in results(*arguments):
            if not killed:
                for process in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::MapWorker"):
                            process.kill()
                            killed.append(process.pid)
            yield result

    monkeypatch.setattr(distributed, "_results", killing)
    encode(tmp_path / "shards", actors=1)
    assert killed
    assert files(tmp_path / "shards") == files(alone)


@with_ray
def test_what_a_worker_lacks_is_told_without_a_traceback_of_ray(tmp_path, home, monkeypatch):
    monkeypatch.setattr(distributed, "Work", lambda model, *rest: Work(MINILM, *rest))
    with pytest.raises(EmbedlabError, match="all-MiniLM-L6-v2 has other files here") as told:
        encode(tmp_path / "shards", actors=1)
    assert "Traceback" not in str(told.value)


DRIVER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import test_distributed
test_distributed.encode(Path(sys.argv[1]), actors=2, shard_size=2)
"""


@with_ray
def test_a_killed_driver_is_gone_on_from(tmp_path, home):
    """About 60 s: Ray starts twice."""
    folder = tmp_path / "shards"
    paths = [str(PROJECT / "tests"), str(PROJECT / "tests" / "rollout")]
    driver = subprocess.Popen([sys.executable, "-B", "-c", DRIVER, str(folder), *paths])
    journal, deadline = folder / "journal.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and (not journal.exists() or journal.read_text().count("shard") < 4):
        assert driver.poll() is None, "the driver ended by itself"
        time.sleep(0.01)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    finished = Shards(folder).finished
    assert 4 <= len(finished) < 50
    kept = {number: (folder / f"shard-{number:06d}.parquet").stat().st_mtime_ns for number in finished}
    encode(folder, actors=2, shard_size=2)
    assert kept == {number: (folder / f"shard-{number:06d}.parquet").stat().st_mtime_ns for number in finished}
    encode(tmp_path / "alone", shard_size=2)
    assert files(folder) == files(tmp_path / "alone")


@pytest.fixture
def cluster(home, tmp_path):
    """A cluster of one machine, for its own group of processes: the addresses inside and for clients."""
    pytest.importorskip("grpc", reason="Ray's client is not installed: pip install 'embedlab[ray]'")
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    options = ["--head", "--block", "--include-dashboard=false", "--num-cpus=2", "--object-store-memory=100000000"]
    places = [f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}"]
    env = os.environ | ray_session.QUIET | ray_session.LOOPBACK | {"RAY_AUTH_MODE": "disabled"}
    program = Path(sys.executable).parent / "ray"
    with (tmp_path / "head.log").open("w") as log:
        head = subprocess.Popen([program, "start", *options, *places], env=env, start_new_session=True, stdout=log)
        try:
            for port in ports:
                wait_for(port, head)
            greet(f"ray://127.0.0.1:{ports[1]}", env)
            yield {"inside": f"127.0.0.1:{ports[0]}", "outside": f"ray://127.0.0.1:{ports[1]}"}
        finally:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()


def wait_for(port, process):
    """Wait until something listens on a port of this machine."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the cluster ended by itself"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    pytest.fail(f"nothing listens on {port}")


def greet(address, env):
    """Connect and leave again: a head that has just started sometimes loses its very first client."""
    code = "import ray, sys; ray.init(sys.argv[1]); ray.get(ray.remote(lambda: 1).options(num_cpus=0).remote())"
    for _ in range(3):
        if run_python(code, address, check=False, **env).returncode == 0:
            return
    pytest.fail(f"{address} answers no client")


@with_ray
@pytest.mark.parametrize("place", ["inside", "outside"])
def test_a_cluster_writes_what_one_process_writes(tmp_path, alone, cluster, place):
    """About 60 s each, in a process of its own: Ray's addresses are chosen when it is imported."""
    code = """
import json, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import test_distributed
test_distributed.encode(Path(sys.argv[1]), actors=2, address=sys.argv[2])
print(json.dumps(test_distributed.Shards(Path(sys.argv[1])).check()))
"""
    paths = [str(PROJECT / "tests"), str(PROJECT / "tests" / "rollout")]
    env = {"RAY_AUTH_MODE": "disabled", **ray_session.LOOPBACK}
    done = run_python(code, str(tmp_path / "shards"), cluster[place], *paths, **env)
    assert json.loads(done.stdout.splitlines()[-1]) == {}
    assert files(tmp_path / "shards") == files(alone)
