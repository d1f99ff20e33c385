"""The whole chain at small size, and its executed notebooks run again with all outputs compared."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import PROJECT, Smoke, command, embedlab_here, once, registry_of

from embedlab.chain import STEPS, Store, seal
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.kernels import PROVISIONER, IpcKernelManager
from embedlab.chain.registry import read
from embedlab.data import Collection
from embedlab.models import load_model
from embedlab.models.cache import VectorCache
from embedlab.verdict.seal import verify

STORES = {
    "07": "rows.parquet",
    "08": "positives.parquet",
    "09": "training.parquet",
    "12": "clean.parquet",
    "13": "training.parquet",
}
SANITIZE = PROJECT / "tests/nbval_sanitize.cfg"
NUMBERS = (
    "baseline tuned delta ci95 p_value min_gain n_queries n_groups queries_needed retention_delta retention unseen_only"
)
SYSTEMS = "production proposed simpler versus_production versus_simpler versus_hybrid tuning_gain strata not_measured"
BESIDE = f"{SYSTEMS} claim kept concentration price dev_looks registry waived recommend probability regret"
KEYS = (
    f"verdict stage primary_metric contract {BESIDE} {NUMBERS} slices blocked_by unsettled checklist mistakes".split()
)


def nbval(outputs: Path, *notebooks: Path) -> subprocess.CompletedProcess:
    """Execute notebooks again in strict mode, figures included, and compare every output with the stored one."""
    options = ["-p", "nbval_strict", "--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(SANITIZE)]
    quiet = ["-p", "no:cacheprovider", "-q", "--color=no", "-c", os.devnull, "--rootdir", str(outputs)]
    words = ("python", "-m", "pytest", *options, *quiet, *map(str, notebooks))
    return command(outputs, *words, JUPYTER_DEFAULT_PROVISIONER_NAME=PROVISIONER)


@dataclass(frozen=True)
class Again:
    """A copy of the smoke run after all its notebooks were executed once more, and what nbval said of that."""

    run: Smoke
    returncode: int
    printed: str


@pytest.fixture(scope="session")
def again(smoke, shared) -> Again:
    """All executed notebooks, executed once more and compared, in a copy of the run."""
    run = Smoke(shared / "again", smoke.printed)

    def execute() -> list[int | str]:
        smoke.copy(run.outputs)
        found = nbval(run.outputs, run.folder / "notebooks")
        return [found.returncode, found.stdout]

    return Again(run, *once(shared, "again", execute))


def test_the_chain_prints_a_line_a_step_the_verdict_and_the_reports_path(smoke):
    for step in STEPS:
        assert re.search(rf"{step.number} {step.title} +[\d.]+ s", smoke.printed), step.number
    assert re.search(r"ship|inconclusive", smoke.printed, re.I)
    assert str(smoke.folder / "report/index.html") in smoke.printed
    assert (smoke.folder / "report/index.html").exists()


def test_steps_07_to_13_list_the_rows_that_they_removed(smoke):
    from embedlab.trainset.rows import REMOVED

    store = Store(smoke.folder)
    removed = {f"{n:02d}": store.read(f"{n:02d}", "removed.parquet") for n in range(7, 14)}
    assert {number: list(table.columns) for number, table in removed.items()} == dict.fromkeys(removed, REMOVED)
    rows = {number: store.read(number, name) for number, name in STORES.items()}
    lost = 0
    for before, after in pairwise(STORES):
        left = set(rows[before]["query_id"]) - set(rows[after]["query_id"])
        lost += len(left)
        assert left <= set(removed[after]["query_id"]), f"step {after} loses rows silently"
    assert lost > 0


def test_every_step_is_recorded_with_key_times_and_hashed_outputs(smoke):
    manifest = smoke.manifest()
    assert list(manifest) == [step.number for step in STEPS]
    on_disk = smoke.state()
    for step in STEPS:
        entry = manifest[step.number]
        assert entry["status"] == "done"
        assert entry["key"]
        assert entry["seconds"] > 0
        assert entry["finished_at"]
        assert entry["outputs"]
        assert {o["path"]: on_disk[o["path"]] for o in entry["outputs"]} == {
            o["path"]: o["sha256"] for o in entry["outputs"]
        }
        written = {Path(path).name for path in on_disk if f"artifacts/{step.name}/" in path}
        assert {*step.writes, "summary.json"} == written


@pytest.mark.model
def test_what_step_14_keeps_of_the_tuned_models_vectors_is_what_the_saved_model_gives(smoke):
    store, finished = Store(smoke.folder), datetime.fromisoformat(smoke.manifest()["14"]["finished_at"])
    assert store.read("14", "training.json")["kept"] == "tuned"
    precision = store.read("01", "settings.json")["precision"]
    saved = load_model(str(smoke.folder / "models/tuned"), precision)
    folder = VectorCache(smoke.folder / "vectors", saved.identity.digest).folder
    ended = finished.timestamp() + 1  # recorded to the second; no notebook starts within another one
    early = [np.load(file) for file in folder.iterdir() if file.stat().st_mtime < ended]
    known = {key.tobytes(): vector for file in early for key, vector in zip(file["keys"], file["vectors"], strict=True)}
    collection = Collection(*(store.read("01", f"{name}.parquet") for name in ("corpus", "queries", "qrels")))
    texts = collection.document_texts().tolist()
    kept = np.stack([known[VectorCache.key(text, saved.prompt("document"))] for text in texts])
    assert (kept * saved.encode(texts)).sum(axis=1).min() > 0.9999


def test_the_verdict_has_every_key_and_is_final(smoke):
    verdict = smoke.verdict()
    assert sorted(verdict) == sorted(KEYS)
    assert verdict["verdict"] in ("SHIP", "DO_NOT_SHIP", "INCONCLUSIVE")
    assert verdict["stage"] == "final"
    assert verdict["ci95"][0] <= verdict["delta"] <= verdict["ci95"][1]
    assert len(verdict["checklist"]) == 10
    assert len(verdict["mistakes"]) == 8


def test_check_exits_by_the_verdict(smoke):
    code = {"SHIP": 0, "DO_NOT_SHIP": 1, "INCONCLUSIVE": 2}[smoke.verdict()["verdict"]]
    assert command(smoke.outputs, "embedlab", "check", str(smoke.folder)).returncode == code


def test_conclusions_are_made_from_the_run(smoke):
    for step in STEPS:
        summary = json.loads((smoke.folder / "artifacts" / step.name / "summary.json").read_text())
        assert re.search(r"\d", summary["conclusion"]), f"{step.name}: {summary['conclusion']}"


def test_every_page_of_the_report_carries_the_contract(smoke):
    agreed = smoke.verdict()["contract"]
    pages = list((smoke.folder / "report").rglob("*.html"))
    assert len(pages) == len(STEPS) + 2
    assert [page.name for page in pages if agreed not in page.read_text(encoding="utf-8")] == []


def test_nothing_temporary_is_left_in_the_run_folder(smoke):
    assert [p for p in smoke.folder.rglob("*") if p.name.endswith((".tmp", ".old"))] == []


def test_executed_notebooks_show_no_error_output(smoke):
    for step in STEPS:
        found = nbformat.read(smoke.notebook(step.number), as_version=4).cells
        kinds = {o.output_type for cell in found for o in cell.get("outputs", [])}
        assert kinds, f"{step.name} shows nothing"
        assert "error" not in kinds


def test_every_executed_notebook_gives_the_same_outputs_again(again):
    assert again.returncode == 0, again.printed[-20_000:]
    assert re.search(r"\d+ passed", again.printed)


def test_executing_again_leaves_the_run_folder_as_it_was(smoke, again):
    assert again.run.state() == smoke.state()
    assert again.run.verdict() == smoke.verdict()
    assert {e["status"] for e in again.run.manifest().values()} == {"done"}


def test_executing_again_is_no_second_opening_of_the_test(smoke, again):
    store = Store(again.run.folder)
    assert seal.ledger(store) == seal.ledger(Store(smoke.folder))
    assert registry_of(again.run.outputs).read_bytes() == registry_of(smoke.outputs).read_bytes()
    (line,) = read(registry_of(again.run.outputs))
    assert (line.run, line.opening.weights) == ("smoke", store.artifact(Evaluation).model)
    assert again.run.verdict()["registry"]["opening"] == 1
    assert verify(store) is None


def test_the_same_command_again_does_nothing_and_says_so(again, tmp_path):
    copied = again.run.copy(tmp_path / "outputs")
    before = {number: entry["finished_at"] for number, entry in copied.manifest().items()}
    repeated = embedlab_here(copied.outputs, "run", "params/smoke.yaml")
    assert repeated.returncode == 0, repeated.stderr
    assert "Nothing to do: all 22 steps are up to date" in repeated.stdout
    assert {number: entry["finished_at"] for number, entry in copied.manifest().items()} == before
    assert {entry["status"] for entry in copied.manifest().values()} == {"skipped"}


# --- a check that cannot fail is a defect: plant a fault and see it caught ----------------------


def change_number(text: str) -> str:
    """Return the text with the last digit in it changed."""
    position = max(i for i, c in enumerate(text) if c.isdigit())
    return text[:position] + str((int(text[position]) + 1) % 10) + text[position + 1 :]


def tampered(source: Path, target: Path, mime: str) -> Path:
    """Copy an executed notebook with one output changed: a table's number, a sentence's or a figure."""
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if mime not in data or "nbval-ignore-output" in cell.metadata.get("tags", []) or "▕" in str(data):
                continue
            if mime == "image/png":
                data[mime] = data[mime][:2000] + ("A" if data[mime][2000] != "A" else "B") + data[mime][2001:]
            elif any(c.isdigit() for c in data[mime]):
                data[mime] = change_number(data[mime])
            else:
                continue
            nbformat.write(notebook, target)
            return target
    raise AssertionError(f"{source.name} has no output of type {mime}")


@pytest.mark.parametrize("mime", ["text/html", "text/markdown", "image/png"])
def test_a_changed_output_of_an_executed_notebook_is_caught(copied, tmp_path, mime):
    found = nbval(copied.outputs, tampered(copied.notebook("06"), tmp_path / "06.ipynb", mime))
    assert found.returncode == 1
    assert "Cell outputs differ" in found.stdout
    assert " 1 failed" in f" {found.stdout.strip().splitlines()[-1]}"


def test_what_is_sanitized_is_progress_and_paths_alone():
    from nbval.plugin import get_sanitize_patterns

    patterns = get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8"))

    def clean(text: str) -> str:
        for pattern, by in patterns:
            text = re.sub(pattern, by, text)
        return text

    assert clean("Encoding ▕████░░▏ 12 of 1,800") == clean("Encoding ▕░░░░░░▏ 0 of 1,800")
    assert clean("Encoding ▕████░░▏ 12 of 1,800") != clean("Encoding ▕████░░▏ 12 of 1,900")
    assert clean("/home/a/b/c.py:7: warning") == clean("/tmp/x/y/z.py:7: warning")
    for kept in ("nDCG@10 0.446 → 0.603", "p < 0.01, 12 of 40", "T1059/001", "and/or", "50 % of 3/4"):
        assert clean(kept) == kept


def test_a_notebook_runs_in_plain_papermill(copied, tmp_path):
    target = tmp_path / "out.ipynb"
    words = ("--no-progress-bar", "notebooks/06_select_metrics.ipynb", str(target), "-p", "run", "smoke")
    done = command(copied.outputs, "papermill", *words)
    assert done.returncode == 0, done.stderr
    assert nbformat.read(target, as_version=4).cells[-1].outputs


def test_an_interrupted_run_continues_where_it_stopped(smoke, copied):
    Store(copied.folder).update("22", status="running")
    continued = embedlab_here(copied.outputs, "run", "params/smoke.yaml")
    assert continued.returncode == 0, continued.stderr
    assert "1 steps executed, 21 up to date" in continued.stdout
    assert copied.verdict()["delta"] == smoke.verdict()["delta"]


def test_two_chains_at_once_do_not_share_their_kernels_sockets():
    first, second = IpcKernelManager().ip, IpcKernelManager().ip
    assert first != second
    assert Path(first).is_absolute()
    assert len(first) < 100, "a socket's path holds 107 bytes at most"
