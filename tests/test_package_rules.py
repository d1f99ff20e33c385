"""The package's own rules: floors, size, laziness, lint."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, literal_tail, run_python

PACKAGE = PROJECT / "embedlab"

LIBRARY = ("data", "models", "retrieval", "evaluation", "trainset", "training", "rollout")
WORKBENCH = ("chain", "verdict", "report", "commands", "cli")
MOST_MODULES = 16
HEAVY = ("torch", "sentence_transformers", "transformers", "faiss", "scipy", "IPython", "matplotlib", "papermill")
OF_TORCH = {"training.loop"}  # subclasses of the library's own classes: what uses it imports it where it does


def modules() -> dict[str, Path]:
    """Return the file of every module by its dotted name without the package's own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    found.pop("__init__")
    return found


MODULES = modules()


def public_names(room: str) -> list[str]:
    """Return the names on the face of a room, as its stub lists them."""
    stub = ast.parse((PACKAGE / room / "__init__.pyi").read_text(encoding="utf-8"))
    return [alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_imports_point_one_way_and_in_no_circle():
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize("room", [r for r in (*LIBRARY, *WORKBENCH) if r != "cli"])
def test_a_room_holds_about_ten_modules_and_says_what_it_is_for(room):
    inside = [name for name in MODULES if name.startswith(f"{room}.") and name.count(".") == 1]
    own = [name for name in inside if MODULES[name].name != "__init__.py"]  # a folder inside is a list: one kind each
    assert 3 <= len(own) <= MOST_MODULES, f"{room} has {len(own)} modules: {own}"
    face = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    assert len((ast.get_docstring(face) or "").split()) > 5


@pytest.mark.parametrize("name", MODULES)
def test_no_module_only_hands_on_the_names_of_others(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    is_face = MODULES[name].name == "__init__.py"
    assert is_face or any(not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)) for node in tree.body), name
    again = [a.asname for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names if a.asname == a.name]
    assert not again, f"{name} hands on {again}: import them from where they are defined"


@pytest.mark.parametrize("room", LIBRARY)
def test_the_library_is_used_without_the_workbench(room):
    modules = [name for name in MODULES if name.split(".")[0] == room]
    code = f"""
import importlib, sys
for name in {modules!r}:
    importlib.import_module("embedlab." + name)
face = importlib.import_module("embedlab.{room}")
missing = [n for n in {public_names(room)!r} if not hasattr(face, n)]
inside = [m.split(".") for m in sys.modules if m.startswith("embedlab.")]
workbench = sorted(".".join(parts) for parts in inside if parts[1] in {WORKBENCH!r})
print((len(face.__all__), missing, workbench))
"""
    count, missing, workbench = literal_tail(run_python(code).stdout)
    assert count == len(public_names(room)) > 0
    assert missing == []
    assert workbench == []


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
for name in {sorted(set(MODULES) - OF_TORCH)!r}:
    importlib.import_module("embedlab." + name)
print((done, sorted({{m.split(".")[0] for m in sys.modules}} & set({HEAVY!r}))))
"""
    result = run_python(code)
    done, heavy = literal_tail(result.stdout)
    assert done == []
    assert heavy == []
    assert len(result.stdout.splitlines()) == 1, "importing prints"


def test_the_package_swallows_no_exception_unseen():
    """A broad handler must raise again: the hub's client, what loads a model, and a step that stops need one."""
    broad = 0
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            ):
                broad += 1
                assert any(isinstance(n, ast.Raise) for n in ast.walk(node)), f"{name}:{node.lineno}"
    assert broad == 3


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
