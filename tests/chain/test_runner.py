"""The chain: skip, resume after a kill, one writer, clear errors; all on copies of one smoke run."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import nbformat
import pytest
from conftest import BIN, PROJECT, command, embedlab_here, surroundings

from embedlab.chain import STEPS
from embedlab.chain.lock import RunLock


def run(outputs: Path, *options: str) -> subprocess.CompletedProcess:
    return embedlab_here(outputs, "run", "params/smoke.yaml", *options)


def test_a_changed_parameter_runs_its_step_and_nothing_before(copied):
    done = run(copied.outputs, "--to", "07", "--set", "06.cutoffs=[1, 10]")
    assert done.returncode == 0, done.stderr
    assert "1 steps executed, 6 up to date" in done.stdout
    assert copied.manifest()["06"]["status"] == "done"


def test_steps_after_a_change_make_the_verdict_stale(copied):
    assert run(copied.outputs, "--only", "13", "--set", "13.validation_share=0.2").returncode == 0
    found = embedlab_here(copied.outputs, "check", str(copied.folder))
    assert found.returncode == 3
    assert "stale" in found.stderr
    page = (copied.folder / "report/index.html").read_text(encoding="utf-8")
    assert re.search(r"Out of date.*to be run again: steps 14, 15", page)


def test_step_14_trains_in_chunks_what_may_be_cut(copied):
    done = run(copied.outputs, "--only", "14", "--set", "14.chunk=4", "--set", "14.matryoshka_dims=[384, 64]")
    assert done.returncode == 0, done.stderr
    recipe = json.loads((copied.folder / "artifacts/14_train/training.json").read_text(encoding="utf-8"))["recipe"]
    assert (recipe["chunk"], recipe["matryoshka_dims"]) == (4, [384, 64])


def test_step_14_trains_several_seeds_and_takes_the_mean_of_their_weights(copied):
    done = run(copied.outputs, "--only", "14", "--set", "14.seeds=3", "--set", "14.average=true")
    assert done.returncode == 0, done.stderr
    found = json.loads((copied.folder / "artifacts/14_train/training.json").read_text(encoding="utf-8"))
    assert [run["seed"] for run in found["seeds"]] == [0, 1, 2]
    assert len({run["gain"] for run in found["seeds"]}) == 3
    assert found["averaged"]
    summary = json.loads((copied.folder / "artifacts/14_train/summary.json").read_text(encoding="utf-8"))
    assert "over 3 training seeds" in json.dumps(summary)


@pytest.mark.full
def test_what_another_run_tuned_teaches_steps_11_and_14(copied, tmp_path):
    teacher = shutil.copytree(copied.folder, tmp_path / "teacher") / "models" / "tuned"
    chosen = "--set", "11.losses=[mnr_kl]", "--set", f"11.teacher={teacher}"
    done = run(copied.outputs, "--from", "11", "--to", "14", *chosen)
    assert done.returncode == 0, done.stderr
    assert json.loads((copied.folder / "artifacts/11_choose_loss/loss.json").read_text())["teacher"] == str(teacher)
    found = json.loads((copied.folder / "artifacts/14_train/training.json").read_text(encoding="utf-8"))
    assert found["loss"] == found["recipe"]["loss"] == "mnr_kl"


@pytest.mark.full
def test_a_cross_encoder_teaches_steps_11_and_14(copied, tmp_path):
    from tiny_models import save_tiny
    from transformers import BertForSequenceClassification

    teacher = save_tiny(tmp_path / "cross", BertForSequenceClassification, num_labels=1)
    chosen = "--set", "11.losses=[margin_mse]", "--set", f"11.teacher={teacher}"
    done = run(copied.outputs, "--from", "11", "--to", "14", *chosen)
    assert done.returncode == 0, done.stderr
    found = json.loads((copied.folder / "artifacts/14_train/training.json").read_text(encoding="utf-8"))
    assert found["loss"] == found["recipe"]["loss"] == "margin_mse"


def test_a_model_is_not_trained_for_vectors_longer_than_its_own(copied):
    done = run(copied.outputs, "--only", "14", "--set", "14.matryoshka_dims=[512]")
    assert done.returncode != 0
    assert "matryoshka_dims must be at most 384" in done.stderr


@pytest.mark.parametrize("number", ["01", "04", "13"])
def test_a_changed_byte_of_an_artifact_is_noticed_and_repaired(copied, number):
    path = next(o["path"] for o in copied.manifest()[number]["outputs"] if o["path"].endswith("parquet"))
    before = copied.state()
    (copied.folder / path).write_bytes((copied.folder / path).read_bytes()[:-1] + b"\0")
    assert embedlab_here(copied.outputs, "check", str(copied.folder)).returncode == 3
    assert run(copied.outputs, "--to", number).returncode == 0
    assert copied.state()[path] == before[path]


def wait_for(condition, seconds: float = 120) -> None:
    """Wait until something is so; a test that waits longer than this has failed anyway."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def start_run(outputs: Path, *options: str) -> subprocess.Popen:
    env = {**os.environ, **surroundings(outputs)}
    words = [BIN / "embedlab", "run", "params/smoke.yaml", *options]
    return subprocess.Popen(words, cwd=PROJECT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_in_the_middle_it_continues_and_ends_with_the_same_result(copied):
    before, finished = copied.state(), copied.manifest()["12"]["finished_at"]
    process = start_run(copied.outputs, "--from", "14", "--to", "14", "--force")
    checkpoints = copied.folder / "scratch"
    wait_for(lambda: any(checkpoints.rglob("checkpoint-*/embedlab.json")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert copied.manifest()["14"]["status"] == "running"
    assert embedlab_here(copied.outputs, "check", str(copied.folder)).returncode == 3
    again = run(copied.outputs)
    assert again.returncode == 0, again.stdout + again.stderr
    assert copied.manifest()["12"]["finished_at"] == finished
    changed = {path for path, digest in copied.state().items() if before[path] != digest}
    assert changed == set()
    assert not list(copied.folder.rglob("*.tmp"))


@pytest.mark.full
@pytest.mark.parametrize("number", [step.number for step in STEPS])
def test_killed_during_any_step_it_repeats_that_step_alone_and_ends_with_the_same_result(copied, number):
    before, finished = copied.state(), {n: entry["finished_at"] for n, entry in copied.manifest().items()}
    process = start_run(copied.outputs, "--only", number, "--force")
    wait_for(lambda: copied.manifest()[number]["status"] == "running")
    time.sleep(0.2 * int(number) % 3)  # in the kernel's start for some steps, in the work for others
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = run(copied.outputs)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {n: e["finished_at"] for n, e in copied.manifest().items() if n != number} == {
        n: at for n, at in finished.items() if n != number
    }
    assert copied.state() == before
    assert not list(copied.folder.rglob("*.tmp"))


def test_a_second_runner_is_told_who_holds_the_folder(copied):
    lock = RunLock(copied.folder)
    lock.acquire()
    try:
        second = run(copied.outputs)
    finally:
        lock.release()
    assert second.returncode == 4
    assert f"process {os.getpid()}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_failing_step_names_step_cell_and_error_and_leaves_its_notebook(copied):
    failed = run(copied.outputs, "--only", "03", "--set", "03.choose=nonsense")
    assert failed.returncode == 4
    assert "step 03_choose_base_model stopped in code cell" in failed.stderr
    assert "choose='nonsense' is not among the loaded candidates" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert copied.manifest()["03"]["status"] == "failed"
    cells = nbformat.read(copied.notebook("03"), as_version=4).cells
    assert any(o.output_type == "error" for c in cells for o in c.get("outputs", []))


WRONG = [
    (["params/none.yaml"], "no such params file; found there: attack.yaml"),
    (["params/smoke.yaml", "--set", "14.lerning_rate=1"], "did you mean 'learning_rate'"),
    (["params/smoke.yaml", "--set", "14.steps=many"], "steps of step 14 must be int, found 'many' (str)"),
    (["params/smoke.yaml", "--set", "sed=1"], "did you mean 'seed'"),
    (["params/smoke.yaml", "--only", "99"], "steps are numbered 01 to 22"),
    (["params/smoke.yaml", "--from", "9", "--to", "3"], "no step between"),
    (["params/smoke.yaml", "--set", "run=a/b"], "run must be a plain name"),
    pytest.param(
        ["params/own_data.yaml", "--set", "path=/nowhere", "--set", "run=x", "--to", "1"],
        "there is no such file or folder: /nowhere",
        marks=pytest.mark.chain,
    ),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_wrong_command_says_what_and_where_without_a_traceback(tmp_path, words, message):
    found = command(tmp_path, "embedlab", "run", *words)
    assert found.returncode == 4
    assert message in found.stderr.replace("\n", " ")
    assert "Traceback" not in found.stderr + found.stdout


def test_an_unknown_command_is_bad_usage(tmp_path):
    found = command(tmp_path, "embedlab", "rnu")
    assert found.returncode == 4
    assert "Traceback" not in found.stderr


def test_an_unwritable_outputs_folder_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    found = command(tmp_path / "file", "embedlab", "run", "params/smoke.yaml")
    assert found.returncode == 4
    assert "cannot write to" in found.stderr
    assert "Traceback" not in found.stderr


def test_plain_papermill_takes_the_runs_parameters_and_leaves_it_valid(copied, tmp_path):
    before = copied.state()
    words = ["notebooks/06_select_metrics.ipynb", str(tmp_path / "out.ipynb"), "-p", "run", "smoke"]
    done = command(copied.outputs, "papermill", "--no-progress-bar", *words)
    assert done.returncode == 0, done.stderr
    assert copied.state() == before
    verdict = copied.verdict()["verdict"]
    code = {"SHIP": 0, "DO_NOT_SHIP": 1, "INCONCLUSIVE": 2}[verdict]
    assert embedlab_here(copied.outputs, "check", str(copied.folder)).returncode == code


def test_a_value_changed_in_a_notebook_marks_the_step_and_those_after_it_stale(copied, tmp_path):
    words = ["notebooks/13_split_data.ipynb", str(tmp_path / "out.ipynb"), "-p", "run", "smoke"]
    changed = ["-p", "validation_share", "0.3"]
    assert command(copied.outputs, "papermill", "--no-progress-bar", *words, *changed).returncode == 0
    found = embedlab_here(copied.outputs, "check", str(copied.folder))
    assert found.returncode == 3
    assert "step 13 is stale" in found.stderr


@pytest.mark.chain
def test_a_notebook_opened_before_its_inputs_names_the_step_to_run(tmp_path):
    words = ["notebooks/06_select_metrics.ipynb", str(tmp_path / "out.ipynb"), "-p", "run", "fresh"]
    found = command(tmp_path, "papermill", "--no-progress-bar", *words)
    assert found.returncode != 0
    assert "there is no run 'fresh'" in found.stderr
    assert "start it with step 01" in found.stderr


def test_check_says_no_verdict_where_there_is_none(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/manifest.json").write_text('{"steps": {}}')
    assert command(tmp_path, "embedlab", "check", str(tmp_path / "empty")).returncode == 3
    assert command(tmp_path, "embedlab", "check", str(tmp_path / "nothing")).returncode == 4


def test_a_verdict_edited_by_hand_is_not_believed(copied):
    path = copied.folder / "verdict.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"verdict": "SHIP", "blocked_by": [], "delta": 0.9}))
    found = embedlab_here(copied.outputs, "check", str(copied.folder))
    assert found.returncode == 3
    assert "not what the artifacts give" in found.stderr


def test_check_steps_and_help_load_neither_torch_nor_pandas_nor_faiss(smoke):
    code = (
        "import sys\nfrom embedlab.cli import main\nsys.argv = ['embedlab', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'pandas', 'faiss'} & set(sys.modules), 'heavy'"
    )
    for words in (["check", str(smoke.folder)], ["steps"], ["--help"]):
        done = command(smoke.outputs, "python", "-c", code, *words)
        assert done.returncode == 0, done.stderr
