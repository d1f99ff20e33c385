"""The package's own rules: floors, size, laziness, lint."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, literal_tail, run_python

PACKAGE = PROJECT / "embedlab"

FLOORS = {
    "errors": 1, "steps": 1, "text": 1, "progress": 1,
    "paths": 2, "params": 2, "keys": 2, "freshness": 2, "lock": 2, "store": 2, "seal": 2, "endpoint": 2, "schema": 2,
    "collection": 3, "sources": 3, "splits": 3, "temporal": 3, "lab": 3, "trec": 3, "metrics": 3, "stats": 3,
    "intervals": 3, "power": 3,
    "contract": 3, "slices": 3, "hardware": 3, "validate": 3, "sizing": 3, "querylog": 3,
    "models": 4, "retrieval": 4,
    "miners": 5, "known_answers": 5, "negatives": 5, "hidden_positives": 5, "pairs": 5, "cleaning": 5, "label_audit": 5,
    "formats": 5, "training": 5, "index": 5, "pipeline": 5,
    "rag": 5, "leaks": 5, "retention": 5,
    "rollout": 6,
    "evidence": 7,
    "plots": 8, "judging": 8, "review": 8, "review_queue": 8, "report": 8,
    "runner": 9, "kernels": 9, "cli": 9,
}  # fmt: skip
ROOMY = ("rollout", "sources")
HEAVY = ("torch", "sentence_transformers", "transformers", "faiss", "scipy", "IPython", "matplotlib", "papermill")


def modules() -> dict[str, Path]:
    """Return the file of every module by its dotted name without the package's own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    found.pop("__init__")
    return found


MODULES = modules()


def room(name: str) -> str:
    return name.split(".")[0]


def imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports anywhere, for types alone left out."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            full = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name.removeprefix("embedlab.") in MODULES else node.module for name in full.values()}
    inner = {name.removeprefix("embedlab.") for name in found if name.startswith("embedlab.")}
    return inner & set(MODULES)


def test_every_module_has_a_floor():
    unknown = {room(name) for name in MODULES} - set(FLOORS)
    assert not unknown, f"say on which floor these stand, in FLOORS: {sorted(unknown)}"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_its_floor_or_below(name):
    above = {other for other in imports(MODULES[name]) if FLOORS[room(other)] > FLOORS[room(name)]}
    assert not above, f"{name} (floor {FLOORS[room(name)]}) imports {sorted(above)} from above"


def test_no_modules_import_one_another_in_a_circle():
    needs = {name: imports(path) - {name} for name, path in MODULES.items()}
    assert any(needs.values())
    while free := {name for name, others in needs.items() if not others}:
        needs = {name: others - free for name, others in needs.items() if name not in free}
    on_circle = {n: o for n, o in needs.items() if any(n in needs.get(other, ()) for other in o)} or needs
    assert not needs, f"a circle among {on_circle}"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_at_most_about_250_lines(name):
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= 280, f"{MODULES[name].name} has {lines} lines; split it"


def test_the_core_stays_under_about_8100_lines():
    """Without ``rollout`` and ``sources``: a reader of one more kind of file makes nothing else harder to follow."""
    core = [path.read_text(encoding="utf-8") for name, path in MODULES.items() if room(name) not in ROOMY]
    assert sum(bool(line.strip()) for text in core for line in text.splitlines()) < 8100, "blank lines left out"


def test_import_embedlab_loads_neither_torch_nor_pandas():
    code = "import sys, embedlab; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(literal_tail(run_python(code).stdout))
    assert not loaded & {*HEAVY, "pandas", "numpy", "ruamel", "typer", "rich"}


def test_public_names_are_there_when_asked_for():
    code = "import embedlab; print([getattr(embedlab, n).__name__ for n in embedlab.__all__])"
    assert literal_tail(run_python(code).stdout) == [
        "EmbedlabError", "compare", "load_collection", "load_model", "mine_negatives", "start"
    ]  # fmt: skip


def test_importing_every_module_does_no_work_and_loads_nothing_heavy():
    code = f"""
import importlib, sys
done = []
def hook(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes or event in ("subprocess.Popen", "socket.connect", "os.mkdir", "os.remove", "os.rename"):
        done.append((event, str(args[:2])))
sys.addaudithook(hook)
for name in {sorted(MODULES)!r}:
    importlib.import_module("embedlab." + name)
print((done, sorted({{m.split(".")[0] for m in sys.modules}} & set({HEAVY!r}))))
"""
    result = run_python(code)
    done, heavy = literal_tail(result.stdout)
    assert done == []
    assert heavy == []
    assert len(result.stdout.splitlines()) == 1, "importing prints"


def test_the_package_swallows_no_exception_unseen():
    """A broad handler must raise again: the hub's client alone needs one."""
    broad = 0
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception"):
                broad += 1
                assert any(isinstance(n, ast.Raise) for n in ast.walk(node)), f"{name}:{node.lineno}"
    assert broad == 1


LINTED = ["embedlab", "tests", "notebooks", "benchmarks"]


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", *LINTED], ["ruff", "format", "--check", *LINTED], ["mypy"]],
    ids=["ruff check", "ruff format", "mypy strict"],
)
def test_lint_is_clean(command):
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
