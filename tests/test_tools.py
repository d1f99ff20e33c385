"""The scripts in tools/: each finds what is planted in a tiny input, and stays silent without it."""

import json
import re
import runpy
import shutil
import sys

import pandas as pd
import pytest
from conftest import PROJECT

from embedlab.chain import STEPS


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a script as ``python tools/NAME`` does; return its exit status and what it printed."""

    def run(name, *arguments):
        script = str(PROJECT / "tools" / name)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        status = 0
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


# --- style.py -------------------------------------------------------------------------------

MODULE = '''"""A docstring
of two lines."""

# a comment
x = 1  # another


def f():
    """One more."""
    return x  #: a third, and "# none" in a text
'''
NODES = [
    "Module", "Expr", "Constant", "Assign", "Name", "Store", "Constant",
    "FunctionDef", "arguments", "Expr", "Constant", "Return", "Name", "Load",
]  # fmt: skip


def code(*lines, tags=()):
    return {"cell_type": "code", "source": [f"{line}\n" for line in lines], "metadata": {"tags": list(tags)}}


def markdown(text):
    return {"cell_type": "markdown", "source": [text], "metadata": {}}


def write_notebook(folder, *cells, name="some.ipynb"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"cells": list(cells), "nbformat": 4, "metadata": {}}))


@pytest.fixture
def figures(call, tmp_path):
    """Measure the folder of the test."""

    def measure():
        status, printed = call("style.py", f"some={tmp_path}", "--json")
        assert status == 0
        return json.loads(printed)["some"]["figures"]

    return measure


def test_nodes_are_counted_per_line_that_is_no_blank_comment_or_docstring(figures, tmp_path):
    (tmp_path / "module.py").write_text(MODULE)
    found = figures()
    assert found["modules"] == 1
    assert found["median lines"] == 10
    assert found["nodes a line"] == pytest.approx(len(NODES) / 3)
    assert found["comments %"] == pytest.approx(100 * 3 / 10)


def test_a_denser_module_has_more_nodes_a_line_and_is_listed_first(call, tmp_path):
    (tmp_path / "plain.py").write_text("a = 1\nb = 2\n")
    (tmp_path / "dense.py").write_text("a, b = (x if x else [y for y in z] for x in (1, 2))\n")
    _, printed = call("style.py", f"some={tmp_path}", "--worst", 1)
    assert "dense.py" in printed
    assert "plain.py" not in printed


def test_words_are_counted_without_fenced_code(figures, tmp_path):
    write_notebook(
        tmp_path, markdown("# Two words\n\n```python\nnot = these\n```\n- and [three more](a-link)"), code("1")
    )
    assert figures()["words a cell"] == 2 + 3


def test_a_cell_is_bare_unless_markdown_stands_directly_before_it(figures, tmp_path):
    write_notebook(tmp_path, code("first = 1"), code("bare = 1"), markdown("A sentence."), code("after_it = 1"))
    assert figures()["bare cells %"] == 50


@pytest.mark.parametrize("line", ["x", "f(x)", "print(x)\ny = x", "plots.lines(x)\ny = x", "import x"])
def test_a_cell_that_shows_something_is_not_silent(figures, tmp_path, line):
    write_notebook(tmp_path, code(*line.split("\n")))
    assert figures()["silent cells %"] == 0


@pytest.mark.parametrize("line", ["y = x", "def f(): ...", "with x: print(x)", "for x in y: print(x)", "f(x)\ny = x"])
def test_a_cell_that_shows_nothing_is_silent(figures, tmp_path, line):
    write_notebook(tmp_path, code(*line.split("\n")))
    assert figures()["silent cells %"] == 100


def test_the_size_of_cells_leaves_the_parameters_out(figures, tmp_path):
    write_notebook(tmp_path, code("run: str = 'attack'", "seed: int = 0", tags=["parameters"]), code("x"))
    assert figures()["nodes a cell"] == 4


def test_nested_conditions_are_counted(figures, tmp_path):
    write_notebook(tmp_path, code("a if b else c"), code("a if b else c if d else e if f else g"))
    assert figures()["nested conditions"] == 2


def test_what_is_no_python_is_skipped_and_said(figures, tmp_path):
    (tmp_path / "old.py").write_text("print 'two'\n")
    write_notebook(tmp_path, code("%matplotlib inline", "x"), code("!ls"), code("%%html", "<p>"))
    found = figures()
    assert found["files skipped"] == 1
    assert found["cells skipped"] == 1
    assert found["code cells"] == 1


def test_the_table_has_a_row_for_each_project(call, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text(MODULE)
    write_notebook(tmp_path / "notebooks", code("x"))
    status, printed = call("style.py", f"one={tmp_path / 'package'}", f"two={tmp_path / 'notebooks'}")
    assert status == 0
    assert [line.split()[0] for line in printed.splitlines()[1:]] == ["project", "one", "two"]


def test_a_folder_that_is_not_there_is_refused(call, tmp_path):
    status, printed = call("style.py", f"some={tmp_path / 'nowhere'}")
    assert status == 2
    assert "nowhere" in printed


# --- compare_runs.py ------------------------------------------------------------------------

VERDICT = {
    "verdict": "SHIP", "delta": 0.03, "ci95": [0.01, 0.05], "price": {"hours": 2.5}, "registry": {"line": 1},
    "slices": [{"slice": "negation", "delta": 0.1}, {"slice": "long query", "delta": 0.2}],
}  # fmt: skip
PER_QUERY = "artifacts/15_evaluate/per_query.parquet"
TRAINING = "artifacts/13_split_data/training.parquet"
CURVE = "artifacts/14_train/curve.parquet"


def training_rows():
    negatives = [{"id": "d2", "miner": "bm25", "score": 0.5}, {"id": "d3", "miner": "dense", "score": None}]
    row = {"query": "a text", "positive_ids": ["d1", "d4"], "known_ids": ["d1", "d4"], "negatives": negatives}
    row |= {"split": "train", "weight": 1.0}
    return pd.DataFrame([{"query_id": "q1"} | row, {"query_id": "q2"} | row])


def write_table(run, name, rows):
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(run / name)


@pytest.fixture
def runs(tmp_path):
    """Two folders of the same run."""
    before, after = tmp_path / "before", tmp_path / "after"
    scores = {
        "part": "test",
        "system": ["base", "base", "tuned"],
        "query_id": ["q1", "q2", "q1"],
        "AP": [0.1, 0.2, 0.3],
    }
    write_table(before, PER_QUERY, pd.DataFrame(scores))
    write_table(before, TRAINING, training_rows())
    write_table(before, CURVE, pd.DataFrame({"step": [1, 2], "loss": [0.9, 0.8]}))
    (before / "verdict.json").write_text(json.dumps(VERDICT))
    shutil.copytree(before, after)
    return before, after


def change_table(path, change):
    rows = pd.read_parquet(path)
    change(rows).to_parquet(path)


def change_verdict(run, **changes):
    (run / "verdict.json").write_text(json.dumps(VERDICT | changes))


def set_cell(column, value, row=0):
    def change(rows):
        rows[column] = [value if place == row else cell for place, cell in enumerate(rows[column])]
        return rows

    return change


def test_a_run_equals_its_copy(call, runs):
    status, printed = call("compare_runs.py", *runs)
    assert status == 0
    assert "The runs hold the same numbers." in printed


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"delta": 0.031}, "delta: 0.03 -> 0.031"),
        ({"delta": None}, "delta: 0.03 -> None"),
        ({"ci95": [0.01, 0.06]}, "ci95.1: 0.05 -> 0.06"),
        ({"ci95": [0.01]}, "ci95: 2 values -> 1 values"),
        ({"slices": [{"slice": "long query", "delta": 0.3}]}, "slices.long query.delta: 0.2 -> 0.3"),
    ],
)
def test_a_number_of_the_verdict_that_differs_is_found(call, runs, changes, told):
    change_verdict(runs[1], **changes)
    status, printed = call("compare_runs.py", *runs)
    assert status == 1
    assert told in printed


def test_price_place_in_the_registry_new_keys_and_another_order_of_slices_do_not_fail(call, runs):
    change_verdict(runs[1], registry={"line": 2})
    change_verdict(runs[1], price={"hours": 9}, unsettled=3, slices=VERDICT["slices"][::-1], verdict="INCONCLUSIVE")
    status, printed = call("compare_runs.py", *runs)
    assert status == 0
    assert "unsettled: only after" in printed
    assert "verdict: 'SHIP' -> 'INCONCLUSIVE'" in printed
    assert "hours" not in printed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_cell("AP", 0.25, row=1), "AP: 1 of 3 rows differ, first test / base / q2: 0.2 -> 0.25"),
        (lambda rows: rows.iloc[:-1], "1 of 3 rows only before, first test / tuned / q1"),
        (lambda rows: rows.drop(columns="AP"), "column AP: only before"),
        (set_cell("query_id", "q1", row=1), "after: 1 rows repeat the part, system, query_id of another"),
        (lambda rows: rows.drop(columns="part"), "after: no column ['part']"),
    ],
)
def test_scores_that_differ_are_found(call, runs, change, told):
    change_table(runs[1] / PER_QUERY, change)
    status, printed = call("compare_runs.py", *runs)
    assert status == 1
    assert told in printed


def test_slices_without_names_are_compared_by_place(call, runs):
    change_verdict(runs[1], slices=[{"delta": 0.4}, {"delta": 0.2}])
    status, printed = call("compare_runs.py", *runs)
    assert status == 1
    assert "slices.0.delta: 0.1 -> 0.4" in printed


def test_the_order_of_rows_does_not_matter(call, runs):
    for name in (PER_QUERY, TRAINING):
        change_table(runs[1] / name, lambda rows: rows[::-1])
    assert call("compare_runs.py", *runs)[0] == 0


def test_a_renamed_column_is_the_same_column(call, runs):
    change_table(runs[1] / TRAINING, lambda rows: rows.rename(columns={"query": "text", "split": "part"}))
    assert call("compare_runs.py", *runs)[0] == 0
    change_table(runs[1] / TRAINING, set_cell("text", "another text"))
    status, printed = call("compare_runs.py", *runs)
    assert status == 1
    assert "text: 1 of 2 rows differ, first row q1: 'a text' -> 'another text'" in printed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_cell("weight", 2.0), "weight: 1 of 2 rows differ, first row q1: 1.0 -> 2.0"),
        (set_cell("positive_ids", ["d1", "d5"]), "positive_ids: 1 of 2 rows differ, first row q1: 1: 'd4' -> 'd5'"),
        (set_cell("positive_ids", ["d4", "d1"]), "positive_ids: 1 of 2 rows differ, first row q1: the same in another"),
        (set_cell("known_ids", ["d1"]), "known_ids: 1 of 2 rows differ, first row q1: 1: only before"),
        (set_cell("negatives", []), "negatives: 1 of 2 rows differ"),
        (set_cell("negatives", [*training_rows()["negatives"][0][:1], {"id": "d3", "miner": "dense", "score": 0.5}]),
         "first row q1: 1.score: None -> 0.5"),
    ],
)  # fmt: skip
def test_training_rows_that_differ_are_found(call, runs, change, told):
    change_table(runs[1] / TRAINING, change)
    status, printed = call("compare_runs.py", *runs)
    assert status == 1
    assert told in printed


def test_a_difference_within_the_tolerance_is_none(call, runs):
    change_verdict(runs[1], delta=0.03 + 1e-9)
    change_table(runs[1] / PER_QUERY, set_cell("AP", 0.1 - 1e-9))
    assert call("compare_runs.py", *runs)[0] == 1
    assert call("compare_runs.py", *runs, "--tolerance", "1e-8")[0] == 0


def test_other_artifacts_are_told_without_failing(call, runs):
    change_table(runs[1] / CURVE, set_cell("loss", 0.7, row=1))
    (runs[1] / "artifacts" / "14_train" / "training.json").write_text("{}")
    status, printed = call("compare_runs.py", *runs)
    assert status == 0
    assert f"{CURVE}: loss: 1 of 2 rows differ, first row 1: 0.8 -> 0.7" in printed
    assert "artifacts/14_train/training.json: only after" in printed


@pytest.mark.parametrize("name", ["verdict.json", PER_QUERY, TRAINING])
def test_a_missing_file_is_a_difference(call, runs, name):
    (runs[1] / name).unlink()
    status, printed = call("compare_runs.py", *runs)
    assert status == 1
    assert "does not exist" in printed


def test_two_empty_verdicts_are_not_called_equal(call, runs):
    for run in runs:
        (run / "verdict.json").write_text("{}")
    status, printed = call("compare_runs.py", *runs)
    assert status == 1
    assert "there is no number to compare" in printed


# --- artifacts.py ---------------------------------------------------------------------------


def test_docs_artifacts_is_what_the_tool_prints(call):
    status, printed = call("artifacts.py")
    assert status == 0
    written = (PROJECT / "docs" / "artifacts.md").read_text(encoding="utf-8")
    assert written == printed, "run: .venv/bin/python tools/artifacts.py > docs/artifacts.md"


def test_the_page_has_every_file_that_a_step_writes_under_its_step(call):
    _, printed = call("artifacts.py")
    sections = dict(re.findall(r"^## (\d\d) [^\n]*\n(.*?)(?=^## |\Z)", printed, re.M | re.S))
    assert list(sections) == [step.number for step in STEPS]
    missing = [
        (step.number, file) for step in STEPS for file in step.writes if f"`{file}`" not in sections[step.number]
    ]
    assert missing == []


def test_every_link_of_the_page_leads_to_a_heading(call):
    _, printed = call("artifacts.py")
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in printed.splitlines() if line.startswith("#")}
    links = set(re.findall(r"\]\(#([^)]+)\)", printed))
    assert "comparison" in links
    assert links <= headings
