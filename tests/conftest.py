"""What tests share: run folders under a temporary outputs folder, and small collections."""

import ast
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from chat_service import Service
from filelock import FileLock
from makers import (
    DECIDED,
    SERVICES,
    WEIGHTS,
    eval_set,
    good_run,
    opening,
    service_files,
    write_artifacts,
    write_decisions,
    write_sealed,
    write_service,
)
from toy_encoder import toy_service

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# As in the runner: threads that spin while they wait make tests slow beside any other program.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import embedlab
from embedlab.chain import STEPS, Contract, Lab, Store, get_step
from embedlab.chain.artifacts import define_problem
from embedlab.chain.artifacts.build_eval_set import EvalSet
from embedlab.chain.artifacts.evaluate import Opening
from embedlab.chain.cells import cell_parameters
from embedlab.chain.paths import REGISTRY
from embedlab.chain.registry import append, register
from embedlab.chain.seal import record
from embedlab.chain.steps import BY_NUMBER
from embedlab.cli import main
from embedlab.data import Collection, document_facts
from embedlab.evaluation import MISSED
from embedlab.files import sha256_file
from embedlab.models import MINILM
from embedlab.verdict import compute, update_verdict

JUDGMENTS = pd.DataFrame({"query_id": ["q1"], "doc_id": ["d1"], "relevance": [1]})

PROJECT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CRANFIELD = PROJECT.parent / "shared" / "fixtures" / "cranfield"

needs_cranfield = pytest.mark.skipif(
    not CRANFIELD.is_dir(), reason="the Cranfield collection is not beside the project"
)


MARKS = {"minilm": ["model"], "smoke": ["chain", "model"]}
"""What a test needs that takes these fixtures."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what needs a model or a chain by the fixtures that it takes; other tests carry their mark themselves.

    What looks at the smoke run goes first: one worker executes it while the other does the rest. What looks at the
    demo's collection stands together, so that one worker loads it.
    """

    for item in items:
        for fixture in MARKS.keys() & set(item.fixturenames):
            for mark in MARKS[fixture]:
                item.add_marker(mark)

    def place(item):
        taken = item.fixturenames
        return "smoke" not in taken, item.get_closest_marker("chain") is None, "attack" not in taken

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _no_model_without_its_mark(request, monkeypatch):
    """Fail where a test without the mark ``model`` loads one: so the mark can be relied on."""
    if request.node.get_closest_marker("model") is None:

        def refuse(files):
            pytest.fail(f"this test loads {files.name}: mark it with pytest.mark.model")

        monkeypatch.setattr("embedlab.models.encoder.load_sentence_transformer", refuse)


@pytest.fixture(autouse=True)
def _own_registry(tmp_path, monkeypatch):
    """Register openings of sealed tests beside the test's run folders, never in the project's own file."""
    monkeypatch.setenv("EMBEDLAB_REGISTRY", str(registry_of(tmp_path / "outputs")))


@pytest.fixture(scope="session")
def minilm():
    """The packaged base model, loaded once."""
    return embedlab.load_model(MINILM, "float32")


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """An empty outputs folder that every run of the test goes to."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    monkeypatch.setenv("EMBEDLAB_OUTPUTS", str(folder))
    return folder


@pytest.fixture
def store(outputs):
    """An empty run folder."""
    return Store(outputs / "trial")


@pytest.fixture
def registry(tmp_path):
    """The state of a service whose live release is the toy encoder's old one."""
    state = toy_service(tmp_path / "service")
    yield state
    state.close()


@pytest.fixture(scope="session")
def attack():
    """The whole demo collection, loaded once."""
    return embedlab.load_collection("attack")


def registry_of(outputs: Path) -> Path:
    """Return the registry of openings of the runs under an outputs folder."""
    return outputs / REGISTRY


def open_step(number: str, run: str = "trial", **values) -> Lab:
    """Open a step as its notebook does, every other parameter at the cell's default."""
    defaults = {name: p.default for name, p in cell_parameters(number).items()}
    return embedlab.start(number, {**defaults, "run": run, **values})


def write_beir(folder: Path, corpus, queries, qrels, zipped: bool = False, header: bool = True) -> Path:
    """Write a collection in BEIR's layout; ``qrels`` maps a file's stem to its rows."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    texts = {
        f"{n}.jsonl": "".join(json.dumps(r) + "\n" for r in rows)
        for n, rows in (("corpus", corpus), ("queries", queries))
    }
    for stem, rows in qrels.items():
        first = "query-id\tcorpus-id\tscore\n" if header else ""
        texts[f"qrels/{stem}.tsv"] = first + "".join("\t".join(map(str, row)) + "\n" for row in rows)
    for name, text in texts.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text, encoding="utf-8")
    return folder


ANIMALS = "otter badger heron lynx marten stoat weasel falcon osprey beaver salmon trout"
PLACES = "river forest meadow mountain harbour village desert island valley glacier canyon swamp"


def toy_rows(n: int = 40) -> tuple[list[dict], list[dict], list[tuple[str, str, int]]]:
    """Return documents, queries and judgments of a small collection: one query a document."""
    pairs = [(a, p) for p in PLACES.split() for a in ANIMALS.split()][:: max(1, 144 // n)][:n]
    corpus = [
        {"_id": f"d{i}", "title": f"{a} {p}", "text": f"Report {i * 7919}: the {a} was seen near the {p} at dusk."}
        for i, (a, p) in enumerate(pairs)
    ]
    queries = [{"_id": f"q{i}", "text": f"who spotted {i * 104729} {a} around {p}"} for i, (a, p) in enumerate(pairs)]
    return corpus, queries, [(f"q{i}", f"d{i}", 1) for i in range(len(pairs))]


@pytest.fixture
def toy(tmp_path):
    """A collection of 40 documents and queries as a BEIR folder."""
    corpus, queries, judgments = toy_rows()
    return write_beir(tmp_path / "toy", corpus, queries, {"test": judgments})


@pytest.fixture
def started(outputs, toy):
    """A run whose step 01 has written the toy collection; returns its store."""
    lab = open_step("01", source="beir", path=str(toy))
    write_collection(lab, embedlab.load_collection("beir", path=toy))
    lab.finish("written by a test")
    return lab.store


def write_collection(lab: Lab, collection: Collection) -> None:
    """Write what step 01 writes of a collection."""
    test = set(collection.queries.loc[collection.queries["part"] == "test", "query_id"])
    held = collection.qrels["query_id"].isin(test)
    lab.write(define_problem.Settings.of(lab.params, collection, "float32", "cpu"))
    lab.write(define_problem.CORPUS, collection.corpus)
    lab.write(define_problem.QUERIES, collection.queries)
    lab.write(define_problem.QRELS, collection.qrels[~held])
    lab.write(define_problem.QRELS_TEST, collection.qrels[held])
    lab.write(define_problem.FINDINGS, collection.findings)
    empty = pd.DataFrame(columns=list(define_problem.DOCUMENTATION.columns), dtype=object)
    lab.write(define_problem.DOCUMENTATION, empty)
    lab.write(define_problem.DOCUMENT_FACTS, document_facts(collection.corpus))
    followed = collection.part("dev").queries.head(3).assign(why=MISSED)
    lab.write(define_problem.FOLLOWED, followed[["query_id", "text", "why"]])
    lab.write(contract_of(lab))


def contract_of(lab: Lab, **changes) -> Contract:
    """Return the contract that the defaults of step 01 make, with some terms changed."""
    return Contract.of({**{n: p.default for n, p in cell_parameters("01").items()}, **changes}, "group")


def write_seal(store: Store) -> None:
    """Seal the test judgments as step 04 does."""
    lab = open_step("04", run=store.folder.name)
    lab.write(sealing(store))
    lab.finish("sealed by a test")


def register_opening(store: Store, found: Opening, run: str = "", seed: int = 0, **terms) -> None:
    """Register an opening as step 15 of a run does, under the contract of ``store`` with some terms changed."""
    agreed = replace(store.artifact(Contract), **terms)
    append(registry_of(store.folder.parent), run or store.folder.name, seed, agreed, found)


@pytest.fixture
def finish(outputs):
    """Write every step of a run that ships, see :func:`finished_run`."""
    return finished_run


def finished_run(*changed, run="trial", **shared) -> Path:
    """Write every step of a run that ships, with these artifacts in place of their kind; return its folder."""
    for step in STEPS:
        lab = open_step(step.number, run=run, **(shared if step.number == "01" else {}))
        if step.number == "01":
            lab.write(define_problem.QRELS_TEST, JUDGMENTS)
        for artifact in (a for a in good_run(*changed) if a.step == step.number):
            lab.write(sealing(lab.store) if artifact == eval_set() else artifact)
            if isinstance(artifact, Opening):
                register(lab, artifact)
        if step.number in SERVICES:
            with lab.folder(SERVICES[step.number]) as folder:
                write_into(folder, service_files())
        for name, decision in DECIDED.get(step.number, {}).items():
            lab.decide(name, decision)
        lab.finish("written by a test")
    update_verdict(lab)
    return lab.store.folder


def write_into(folder: Path, files: dict[str, Any]) -> None:
    """Write files under a folder: bytes as they are, anything else as JSON."""
    for name, value in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())


def sealing(store: Store) -> EvalSet:
    """Return step 04's artifact with the seal of the run's test judgments."""
    return eval_set(seal=sha256_file(store.path("01", define_problem.QRELS_TEST.file)))


@pytest.fixture
def make(store):
    """Write a run that ships with these artifacts in place of their kind, some kinds left out; return its verdict."""

    def write(*changed, without=(), openings=(WEIGHTS,)):
        sealed = eval_set(seal=write_sealed(store))
        record(store, get_step("05"), "key", "record the baseline", "opening", [])
        write_artifacts(store, good_run(sealed, *changed, without=without))
        for number in SERVICES:
            if store.entry(number):
                write_service(store, number, service_files())
        write_decisions(store)
        for number, weights in enumerate(openings):
            record(store, get_step("15"), f"key{number}", "score", "opening", [weights])
            register_opening(store, opening(weights=weights))
        return compute(store)

    return write


def run_python(code: str, *args: str, check: bool = True, **env: str) -> subprocess.CompletedProcess:
    """Run a piece of Python in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, *args],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=120,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def literal_tail(text: str):
    """Return the Python literal on the last line of a text."""
    return ast.literal_eval(text.strip().splitlines()[-1])


def frame_of_run(rows: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Return a dict of dicts as a run."""
    flat = [(q, d, s) for q, docs in rows.items() for d, s in docs.items()]
    return pd.DataFrame(flat, columns=["query_id", "doc_id", "score"])


def step_files(number: str) -> str:
    """Return the artifact folder of a step, relative to the run folder."""
    return f"artifacts/{BY_NUMBER[number].name}"


@pytest.fixture
def serve(monkeypatch):
    """Start a chat completion service that plays these faults; see chat_service."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = []

    def start(*faults):
        running.append(Service(faults))
        threading.Thread(target=running[-1].serve_forever, args=(0.02,), daemon=True).start()
        return running[-1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


# --- the finished smoke run that several modules look at --------------------------------------


def surroundings(outputs: Path) -> dict[str, str]:
    """Return what a command needs in its environment to find the project and the run folders under ``outputs``."""
    return {
        "EMBEDLAB_OUTPUTS": str(outputs),
        "EMBEDLAB_REGISTRY": str(registry_of(outputs)),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "tests")]),
    }


def command(outputs: Path, *words: str, **more: str) -> subprocess.CompletedProcess:
    """Run a program of the environment with the run folders under ``outputs`` and ``more`` in its environment."""
    env = {**os.environ, **more, **surroundings(outputs)}
    return subprocess.run([BIN / words[0], *words[1:]], cwd=PROJECT, env=env, capture_output=True, text=True)


def embedlab_here(outputs: Path, *words: str) -> subprocess.CompletedProcess:
    """Run the command line in this process, whose kernels' server is warm: a process of its own imports for seconds."""
    printed, said = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as here, redirect_stdout(printed), redirect_stderr(said):
        here.chdir(PROJECT)
        for name, value in surroundings(outputs).items():
            here.setenv(name, value)
        here.setattr(sys, "argv", ["embedlab", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return subprocess.CompletedProcess(words, ended.value.code or 0, printed.getvalue(), said.getvalue())


class Smoke:
    """A finished smoke run: its outputs folder, its run folder and what the command printed."""

    def __init__(self, outputs: Path, printed: str) -> None:
        self.outputs = outputs
        self.folder = outputs / "smoke"
        self.printed = printed

    def copy(self, outputs: Path) -> "Smoke":
        """Copy the run and its registry to another outputs folder, without the checkpoints of training."""
        shutil.copytree(self.folder, outputs / "smoke", ignore=shutil.ignore_patterns("scratch"))
        shutil.copy(registry_of(self.outputs), registry_of(outputs))
        return Smoke(outputs, self.printed)

    def notebook(self, number: str) -> Path:
        step = next(s for s in STEPS if s.number == number)
        return self.folder / "notebooks" / f"{step.name}.ipynb"

    def state(self) -> dict[str, str]:
        """Return the hash of every recorded output, as it is on disk now."""
        recorded = [o["path"] for e in self.manifest().values() for o in e["outputs"]]
        return {path: hashlib.sha256((self.folder / path).read_bytes()).hexdigest() for path in recorded}

    def manifest(self) -> dict[str, dict]:
        return json.loads((self.folder / "manifest.json").read_text())["steps"]

    def verdict(self) -> dict:
        return json.loads((self.folder / "verdict.json").read_text())


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder of this test session, the same for all of its workers."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def once(folder: Path, name: str, make: Callable[[], Any]) -> Any:
    """Return what ``make`` gives, as plain JSON, made by the first worker that asks; others wait for it."""
    file = folder / f"{name}.json"
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            file.write_text(json.dumps(make()))
    return json.loads(file.read_text())


@pytest.fixture(scope="session")
def smoke(shared) -> Smoke:
    """The smoke run, executed once a session. Tests read it; those that write take ``copied``."""

    def execute() -> list[str | int]:
        done = command(shared / "chain", "embedlab", "run", "params/smoke.yaml")
        return [done.returncode, done.stdout, done.stderr]

    code, printed, said = once(shared, "chain", execute)
    assert code == 0, printed + said
    return Smoke(shared / "chain", printed)


@pytest.fixture
def copied(smoke, tmp_path) -> Smoke:
    """A copy of the finished smoke run in an outputs folder of its own, without what training continues from."""
    return smoke.copy(tmp_path / "outputs")
