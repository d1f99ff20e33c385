"""A step's key: what changes it, and what leaves it alone."""

import shutil
from dataclasses import replace

import pytest
from conftest import PROJECT, literal_tail, open_step, run_python

from embedlab.chain import STEPS, get_step, load_params
from embedlab.chain.keys import imported, key_of, made_of, notebook_code, reachable, why_stale
from embedlab.chain.paths import notebook_path

NUMBERS = [step.number for step in STEPS]
VERDICT = [number for number in NUMBERS if number >= "15"]
"""Steps whose notebook computes the verdict, which rests on artifacts of nearly all others."""


def users_of(slug):
    """The steps whose results depend on the definitions of a step's artifacts."""
    file = f"{slug}.py"
    found = {step.number: reachable(imported(notebook_code(notebook_path(step)))) for step in STEPS}
    return [n for n, paths in found.items() if any(p.name == file and p.parent.name == "artifacts" for p in paths)]


def test_the_step_key_follows_parameters_and_inputs(started):
    first = open_step("02").key
    assert open_step("02").key == first
    assert open_step("01", seed=1).key != open_step("01", seed=2).key
    entry = started.entry("01")["outputs"]
    entry[0]["sha256"] = "0" * 64
    started.update("01", outputs=entry)
    assert open_step("02").key != first


def test_the_step_key_follows_what_the_users_files_hold(started, toy, tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("otter river\n")
    before = open_step("01", source="beir", path=str(toy)).key, open_step("04", query_log=str(log)).key
    (toy / "queries.jsonl").write_text((toy / "queries.jsonl").read_text().replace("spotted", "saw"))
    log.write_text("badger forest\n")
    after = open_step("01", source="beir", path=str(toy)).key, open_step("04", query_log=str(log)).key
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert open_step("04", query_log=str(log)).key == after[1]


@pytest.mark.parametrize(
    "change",
    [{"question": "?"}, {"reads": ()}, {"writes": ()}, {"test": "score"}, {"proves": {"no_hard_negatives": "x.json"}}],
    ids=lambda change: next(iter(change)),
)
def test_the_step_key_follows_the_steps_own_row(started, change):
    lab = open_step("06")
    assert key_of(made_of(replace(lab.step, **change), lab.params, {})) != key_of(made_of(lab.step, lab.params, {}))


KEYS = """
from embedlab.chain import STEPS
from embedlab.chain.keys import key_of, made_of
from embedlab.chain.params import RunParams
print({step.number: key_of(made_of(step, RunParams().for_step(step.number), {})) for step in STEPS})
"""


@pytest.fixture
def changed_by(tmp_path):
    """Return the steps whose key an edit of the package's source changes."""
    for name in ("embedlab", "notebooks"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))

    def keys():
        return literal_tail(run_python(KEYS, PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1").stdout)

    def edit(path, old, new):
        before, file = keys(), tmp_path / "embedlab" / path
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
        after = keys()
        assert list(before) == NUMBERS
        return [number for number in NUMBERS if before[number] != after[number]]

    return edit


def test_an_edit_of_one_row_changes_no_other_steps_key(changed_by):
    assert changed_by("chain/steps.py", '"What must be beaten?"', '"What is to be beaten?"') == ["05"]


def test_an_edit_of_an_artifacts_module_changes_the_keys_of_the_steps_that_use_it(changed_by):
    found = changed_by("chain/artifacts/choose_loss.py", '"""Step 11: the loss', '"""Step 11: this loss')
    assert found == ["11", "14"]


def test_an_edit_of_what_all_steps_use_changes_every_key(changed_by):
    assert changed_by("chain/lab.py", '"""What ``embedlab.start`` returns', '"""What embedlab.start returns') == NUMBERS


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.number)
def test_a_steps_artifacts_are_used_by_itself_its_readers_and_the_verdict_alone(step):
    readers = [other.number for other in STEPS if step.number in other.reads]
    found = users_of(step.slug)
    assert step.number in found
    assert [number for number in found if number not in (step.number, *readers, *VERDICT)] == []


# --- why a step is stale -------------------------------------------------------------------------


def why(store, number):
    return why_stale(store, get_step(number), load_params(store.folder / "params.yaml"))


CHANGES = {
    "its notebook": lambda made: {"notebook": "another"},
    "parameter cutoffs": lambda made: {"params": made["params"] | {"cutoffs": [1]}},
    "its row in the table of steps, question": lambda made: {"row": made["row"] | {"question": "?"}},
    "embedlab/chain/lab.py": lambda made: {"package": made["package"] | {"chain/lab.py": "another"}},
    "artifacts/01_define_problem/corpus.parquet": lambda made: {
        "inputs": made["inputs"] | {"artifacts/01_define_problem/corpus.parquet": "another"}
    },
}


@pytest.mark.parametrize("said", CHANGES)
def test_a_stale_step_says_what_changed_since_it_ran(started, said):
    lab = open_step("06")
    lab.finish("written by a test")
    assert why(started, "06") is None
    before = dict(lab.made_of) | CHANGES[said](lab.made_of)
    started.update("06", key=key_of(before), made_of=before)
    assert why(started, "06") == f"step 06 is stale: {said} changed since it ran"


def test_a_step_whose_file_of_the_users_changed_says_so(started, toy):
    (toy / "queries.jsonl").write_text((toy / "queries.jsonl").read_text().replace("spotted", "saw"))
    assert why(started, "01") == "step 01 is stale: what path holds changed since it ran"


def test_a_step_that_never_ran_says_so(started):
    assert why(started, "06") == "step 06 is not run"


# --- which module a name stands for -------------------------------------------------------------

COMPARE, DENSE, EVALUATE = (
    "embedlab.evaluation.comparison",
    "embedlab.retrieval.dense",
    "embedlab.chain.artifacts.evaluate",
)

TAKEN = [
    ("from embedlab.evaluation import compare", {COMPARE}),
    ("from embedlab.evaluation import compare as found", {COMPARE}),
    ("from embedlab import compare", {COMPARE}),
    ("import embedlab\nembedlab.compare", {COMPARE}),
    ("import embedlab as e\ne.compare", {COMPARE}),
    ("import embedlab\nembedlab.evaluation.compare", {COMPARE}),
    ("from embedlab import retrieval\nretrieval.Dense", {DENSE}),
    ("from embedlab import retrieval as r\nr.Dense", {DENSE}),
    ("import embedlab.retrieval\nembedlab.retrieval.Dense", {DENSE}),
    ("import embedlab.retrieval as r\nr.Dense", {DENSE}),
    ("from embedlab.retrieval.dense import Dense", {DENSE}),
    ("from embedlab.retrieval import dense\ndense.Dense", {DENSE}),
    ("from embedlab.report import plots\nplots.lines", {"embedlab.report.plots"}),
    ("from embedlab.chain.artifacts import evaluate\nevaluate.PER_QUERY", {EVALUATE}),
    ("from embedlab.chain.artifacts.evaluate import PER_QUERY", {EVALUATE}),
    ("def f():\n    from embedlab.files import sha256_json", {"embedlab.files"}),
    (
        "def f():\n    from embedlab.chain import probe\ndef g():\n    from embedlab.training import probe",
        {"embedlab.chain.probes", "embedlab.training.probes"},
    ),
    ("import pandas\npandas.compare", set()),
    ("import embedlab", set()),
]


@pytest.mark.parametrize(("code", "modules"), TAKEN, ids=[code.replace("\n", "; ") for code, _ in TAKEN])
def test_a_name_taken_from_a_face_stands_for_the_module_that_defines_it(code, modules):
    assert imported(code) == modules


def test_modules_reached_through_others_count_and_the_table_of_steps_does_not():
    found = {f"{path.parent.name}/{path.name}" for path in reachable(["embedlab.chain.lab"])}
    assert {"chain/lab.py", "chain/store.py", "chain/lock.py", "artifacts/base.py"} <= found
    assert "chain/steps.py" not in found
