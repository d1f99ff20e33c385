"""The 22 notebooks keep the form that readers and tools rely on."""

import ast
import json
import statistics

import pytest
from conftest import PROJECT

from embedlab.chain import STEPS
from embedlab.chain.cells import cell_parameters
from embedlab.chain.params import SHARED
from embedlab.chain.paths import notebook_path

ALLOWED_TAGS = {"parameters", "nbval-ignore-output"}
each_step = pytest.mark.parametrize("step", STEPS, ids=lambda s: s.number)


def cells(step, kind=None):
    path = notebook_path(step)
    assert path.exists(), f"{path.name} is missing"
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    wanted = [c | {"source": "".join(c["source"])} for c in found if kind in (None, c["cell_type"])]
    assert wanted, f"{path.name} has no {kind or 'cell'}"
    return wanted


def code_lengths(step):
    """Return the lines of each code cell but those of imports and parameters: lists, which ask for no thought.

    Blank lines, and comment lines of their own, make none longer.
    """
    thought = [
        c
        for c in cells(step, "code")
        if not imports_alone(c["source"]) and "parameters" not in c["metadata"].get("tags", [])
    ]
    return [len(code_lines(c["source"])) for c in thought]


def imports_alone(source):
    return all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.parse(source).body)


def code_lines(source):
    lines = [line.strip() for line in source.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def tagged(step, tag):
    return [c for c in cells(step, "code") if tag in c["metadata"].get("tags", [])]


def test_there_are_22_notebooks_and_no_others():
    found = sorted(p.stem for p in (PROJECT / "notebooks").glob("*.ipynb"))
    assert found == [step.name for step in STEPS]


@each_step
def test_the_header_says_question_reads_and_writes(step):
    header = " ".join(cells(step)[0]["source"].split())
    assert cells(step)[0]["cell_type"] == "markdown"
    assert header.startswith(f"# {step.number} · ")
    assert f"**The question.** {step.question}" in header
    _, reads = header.split("- **Reads:**")
    reads, writes = reads.split("- **Writes:**")
    assert "- **Takes:**" in writes
    assert step.reads or step.number == "01"
    assert step.writes
    for number in step.reads:
        assert number in reads, f"step {number} is read, but the header does not say so"
    for name in step.writes:
        assert name in writes.split("- **Takes:**")[0], f"{name} is written, but the header does not say so"


@each_step
def test_one_parameters_cell_of_annotated_commented_literals(step):
    assert len(tagged(step, "parameters")) == 1
    parameters = cell_parameters(step.number).values()
    assert parameters
    for parameter in parameters:
        assert parameter.annotation in {"int", "float", "str", "bool", "list[str]", "list[int]", "list[float]"}
        assert parameter.comment, f"{parameter.name} has no comment"


@each_step
def test_shared_parameters_stand_in_step_01_alone(step):
    names = list(cell_parameters(step.number))
    assert names[0] == "run"
    shared = {name for name in names if name in SHARED}
    assert shared == (set(SHARED) if step.number == "01" else {"run"})


def test_cells_are_short():
    lengths = sorted(length for step in STEPS for length in code_lengths(step))
    assert statistics.median(lengths) <= 5
    assert sum(n <= 15 for n in lengths) >= 0.9 * len(lengths)


@each_step
def test_no_cell_is_long_and_most_are_short(step):
    lengths = code_lengths(step)
    assert max(lengths) <= 30
    assert statistics.median(lengths) <= 8


@each_step
def test_no_outputs_are_stored(step):
    for cell in cells(step, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@each_step
def test_at_most_one_code_cell_in_ten_is_ignored_by_nbval(step):
    code = cells(step, "code")
    used = {tag for c in cells(step) for tag in c["metadata"].get("tags", [])}
    assert used <= ALLOWED_TAGS
    assert len(tagged(step, "nbval-ignore-output")) <= len(code) / 10
    assert not [c["source"] for c in code if "NBVAL" in c["source"]]


def names(node):
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def calls(node, method):
    """The calls of ``lab.method`` in a piece of code."""
    found = (n for n in ast.walk(node) if isinstance(n, ast.Call))
    return [call for call in found if ast.unparse(call.func) == f"lab.{method}"]


def shows_times(source):
    """Whether a cell ends by showing what ``lab.timings`` holds, or a value of its own that it records as a time."""
    tree = ast.parse(source)
    shown = tree.body[-1]
    if not isinstance(shown, ast.Expr):
        return False
    own, times = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = set().union(*map(names, node.targets))
            own |= targets
            times |= targets if calls(node.value, "timings") else set()
    for call in calls(tree, "record_timings"):
        times |= names(call) & own
    return bool(calls(shown, "timings") or names(shown) & times)


def test_a_cell_that_is_ignored_shows_measured_times():
    ignored = [(step.number, c["source"]) for step in STEPS for c in tagged(step, "nbval-ignore-output")]
    assert ignored
    assert [(number, source) for number, source in ignored if not shows_times(source)] == []


@pytest.mark.parametrize(
    "source",
    [
        'estimate = pd.Series({"seconds": 3})\nestimate',
        "lab.record_timings(calibrate().as_dict())\nfound.head()",
        'speed = lab.timings("17")["sample_seconds"]\nlab.write("plan.json", speed)\nplans',
        "lab.record_timings({name: latency(name) for name in services})\npd.Series(services)",
        'times = lab.timings("14")',
    ],
    ids=["words alone", "recorded, not shown", "read, not shown", "only its names", "nothing shown"],
)
def test_a_cell_that_shows_no_measured_times_is_noticed(source):
    assert not shows_times(source)


@each_step
def test_it_starts_the_lab_with_its_number_and_ends_with_what_was_learned(step):
    code = cells(step, "code")
    assert any(f'embedlab.start("{step.number}", globals())' in c["source"] for c in code)
    assert cells(step)[-1]["cell_type"] == "code"
    closing = [c["source"] for c in code[-3:] if "lab.finish(" in c["source"]]
    assert closing, "lab.finish stands in one of the last cells; after it only the verdict is computed again"


@each_step
def test_no_path_tricks_shell_lines_or_input(step):
    for cell in cells(step, "code"):
        source = cell["source"]
        assert "sys.path" not in source
        assert not [line for line in source.splitlines() if line.lstrip().startswith(("!", "%"))]
        names = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
        assert not names & {"input", "open"}
        strings = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
        assert not [s for s in strings if isinstance(s, str) and s.startswith(("/", "~"))]


@each_step
def test_cell_ids_are_unique(step):
    ids = [c["id"] for c in cells(step)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("step", [s for s in STEPS if s.number >= "15"], ids=lambda s: s.number)
def test_every_step_from_15_on_computes_the_verdict_again(step):
    assert any("update_verdict(lab)" in c["source"] for c in cells(step, "code")[-3:])
