"""``embedlab check`` on a finished run whose steps a test has written: how it exits, and what it loads."""

import json

import pytest
from conftest import command, embedlab_here, open_step
from makers import comparison, end_to_end, evaluation, training

from embedlab.training import MinedUse
from embedlab.verdict import read_verdict


def check(folder):
    return embedlab_here(folder.parent, "check", str(folder))


ENDS = [
    ("SHIP", 0, ()),
    ("DO_NOT_SHIP", 1, (end_to_end(passed=False, reason="no gain"),)),
    ("INCONCLUSIVE", 2, (evaluation(versus_production=comparison(verdict="INCONCLUSIVE", ci95=(0.0, 0.2))),)),
]


@pytest.mark.parametrize(("verdict", "code", "changed"), ENDS, ids=[verdict for verdict, _, _ in ENDS])
def test_a_finished_run_exits_by_its_verdict(finish, verdict, code, changed):
    folder = finish(*changed)
    assert read_verdict(folder)["verdict"] == verdict
    done = check(folder)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith(verdict.replace("_", " "))


LOADS = """
import sys
from embedlab.cli import main
sys.argv = ["embedlab", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    code = ended.code
heavy = sorted({"torch", "pandas", "faiss", "numpy", "scipy", "pyarrow", "sentence_transformers"} & set(sys.modules))
print("\\n", code, heavy)
"""


@pytest.mark.parametrize("name", ["check", "steps"])
def test_looking_at_a_finished_run_loads_no_pandas_torch_or_faiss(finish, name):
    folder = finish()
    done = command(folder.parent, "python", "-c", LOADS, name, str(folder))
    assert done.stdout.splitlines()[-1] == " 0 []", done.stdout + done.stderr


def test_a_changed_byte_of_an_artifact_is_no_verdict(finish):
    folder = finish()
    path = folder / "artifacts/14_train/training.json"
    path.write_text(path.read_text().replace('"kept": "tuned"', '"kept": "tunes"'))
    done = check(folder)
    assert done.returncode == 3
    assert "training.json is not what step 14 wrote" in done.stderr.replace("\n", " ")


def test_a_verdict_edited_by_hand_is_not_believed(finish):
    folder = finish(training(mined=MinedUse(3600, 0, 1200, 0)))
    path = folder / "verdict.json"
    verdict = json.loads(path.read_text())
    (item,) = [i for i in verdict["checklist"] if i["id"] == "hard_negatives_included"]
    item["passed"] = True
    path.write_text(json.dumps(verdict))
    done = check(folder)
    assert done.returncode == 3
    assert "not what the artifacts give" in done.stderr.replace("\n", " ")


def test_a_step_that_ran_anew_makes_those_that_read_it_stale(finish):
    folder = finish()
    lab = open_step("13")
    lab.finish("written anew, without its artifacts")
    done = check(folder)
    assert done.returncode == 3
    assert "step 14 is stale" in done.stderr.replace("\n", " ")
