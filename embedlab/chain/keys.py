"""Step keys: a hash of all that a step's results depend on, and whether a result still has the key it would get."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from embedlab.chain.params import RunParams, load_params
from embedlab.chain.paths import notebook_path
from embedlab.chain.steps import STEPS, Step
from embedlab.chain.store import FINISHED, Store, plain
from embedlab.errors import IntegrityError, ParameterError
from embedlab.files import content_hash, sha256_file, sha256_json

PACKAGE = Path(__file__).resolve().parent.parent
SHOWN_CHANGES = 4
"""Of what makes a step stale so much is named."""

TABLE = PACKAGE / "chain" / "steps.py"
"""The table of the steps: of it a key holds the step's own row, not the source."""


def made_of(step: Step, params: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    """Return all that a step's results depend on, as plain JSON.

    Args:
        step: the step.
        params: every parameter of its cell with its value; ``run`` does not count.
        inputs: path to sha256 of every artifact of the steps that it reads.

    Returns:
        ``notebook`` (hash of its code), ``params`` and ``row`` (of the table of steps) by name, ``package`` (hash
        by source file that the notebook can reach), ``inputs`` (hash by path), ``files`` (hash of each file of
        the user's by parameter).
    """
    code = notebook_code(notebook_path(step))
    parts = {
        "notebook": sha256_json(code),
        "params": {k: v for k, v in params.items() if k != "run"},
        "row": asdict(step),
        "package": source_hashes(imported(code)),
        "inputs": dict(inputs),
        "files": {name: content_hash(Path(params[name])) for name in step.files if params[name]},
    }
    return dict(plain(parts))


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the key of a step: a hash of all that its results depend on; see :func:`made_of`."""
    return sha256_json(parts)


def notebook_code(path: Path) -> str:
    """Return the code cells of a notebook as one text; injected parameters are left out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    keep = [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and "injected-parameters" not in cell.get("metadata", {}).get("tags", [])
    ]
    return "\n\n".join(keep)


# --- which source a result depends on ---------------------------------------------------------


@cache
def source_hashes(modules: frozenset[str]) -> dict[str, str]:
    """Return the hash of the source of all modules reachable from these, by file."""
    return {str(path.relative_to(PACKAGE)): sha256_file(path) for path in reachable(modules)}


def reachable(modules: Iterable[str]) -> list[Path]:
    """Return the package's files that these modules lead to, themselves included, sorted."""
    waiting, seen = list(modules), set()
    while waiting:
        path = _file_of(waiting.pop())
        if path is not None and path not in seen:
            seen.add(path)
            waiting.extend(_imports_of(path))
    return sorted(seen - {TABLE})


@cache
def _imports_of(path: Path) -> frozenset[str]:
    return imported(path.read_text(encoding="utf-8"))


@cache
def imported(code: str) -> frozenset[str]:
    """Return the modules of embedlab that a piece of Python uses, lazily imported ones too.

    A name taken from a room's face stands for the module that defines it, not for the whole room: so
    an edit in a room leaves the steps alone that do not use what was edited.
    """
    tree = ast.parse(code)
    bound = _bound(tree)
    names = dict(bound)
    found = {name for _, name in bound}
    found |= {_reached(node, names) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return frozenset(name for name in found if _file_of(name) is not None)


def _bound(tree: ast.AST) -> list[tuple[str, str]]:
    """Return what imports bind: the local name, and the package or module of embedlab that it leads to."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_own(alias.name):
                    found.append((alias.asname or alias.name, alias.name))
                    found.append(("embedlab", "embedlab"))  # import embedlab.files binds the package
        elif isinstance(node, ast.ImportFrom) and _is_own(node.module or ""):
            for alias in node.names:
                found.append((alias.asname or alias.name, _defining(str(node.module), alias.name)))
    return found


def _reached(node: ast.expr, names: Mapping[str, str]) -> str:
    """Return the package or module that a chain of attributes stands for; blank where it starts elsewhere."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if not isinstance(node, ast.Attribute):
        return ""
    package = _reached(node.value, names)
    if not package or not _is_package(package):
        return ""
    return _defining(package, node.attr)


def _is_own(module: str) -> bool:
    return module.split(".")[0] == "embedlab"


def _defining(package: str, name: str) -> str:
    """Return the module that defines a name taken from a package or module."""
    face = _face(package)
    if name in face:
        module = face[name]
        return _defining(module, name) if _is_package(module) else module
    inside = f"{package}.{name}"
    return inside if _file_of(inside) is not None or _is_package(inside) else package


@cache
def _face(package: str) -> dict[str, str]:
    """Return the names that a package hands on, each with the module it comes from, as its stub lists them."""
    stub = _folder(package) / "__init__.pyi"
    if not stub.is_file():
        return {}
    found: dict[str, str] = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.name] = f"{package}.{node.module}" if node.module else f"{package}.{alias.name}"
    return found


def _folder(name: str) -> Path:
    return PACKAGE.joinpath(*name.split(".")[1:])


def _is_package(name: str) -> bool:
    return (_folder(name) / "__init__.py").is_file()


def _file_of(name: str) -> Path | None:
    """Return the file of a module; None for a package, which only hands names on."""
    path = _folder(name).with_suffix(".py")
    return path if name != "embedlab" and path.is_file() else None


# --- is a result still what it would be now? ----------------------------------------------------


def why_stale(store: Store, step: Step, params: RunParams) -> str | None:
    """Return why a step would have to run again, or None where it is up to date."""
    outdated = why_outdated(store, step, params)
    if outdated is not None:
        return outdated
    try:
        store.check_outputs(step)
    except IntegrityError as error:
        return str(error)
    return None


def why_outdated(store: Store, step: Step, params: RunParams) -> str | None:
    """Return why a step would have to run again, whatever became of its outputs since; else as :func:`why_stale`."""
    entry = store.entry(step.number)
    status = entry.get("status", "not run")
    if status not in FINISHED:
        return f"step {step.number} is {status}"
    now = made_of(step, params.for_step(step.number), store.inputs(step))
    if entry.get("key") == key_of(now):
        return None
    changes = changed_since(entry.get("made_of", {}), now)
    return f"step {step.number} is stale: {'; '.join(changes[:SHOWN_CHANGES])} changed since it ran"


def params_of(store: Store) -> RunParams:
    """Return the parameters of a run, as its folder keeps them; none where it keeps none.

    Raises:
        IntegrityError: if its ``params.yaml`` is damaged; names the fault.
    """
    file = store.folder / "params.yaml"
    if not os.path.lexists(file):
        return RunParams()
    try:
        return load_params(file)
    except ParameterError as error:
        raise IntegrityError(
            f"the run's own parameters are damaged: {error}; put a copy back, or write them anew: "
            f"embedlab run params/<your>.yaml --set run={store.folder.name}"
        ) from None


def changed_since(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two states of :func:`made_of`, in words."""
    found = []
    if before.get("notebook") != now["notebook"]:
        found.append("its notebook")
    for part, word in (("params", "parameter"), ("row", "its row in the table of steps,"), ("package", "embedlab/")):
        names = _differing(before.get(part, {}), now[part])
        found += [f"{word}{name}" if word.endswith("/") else f"{word} {name}" for name in names]
    found += [f"what {name} holds" for name in _differing(before.get("files", {}), now["files"])]
    found += _differing(before.get("inputs", {}), now["inputs"])
    return found or ["what it is made of"]


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def is_current(store: Store, step: Step, params: RunParams) -> bool:
    """Return whether a step is finished, its key unchanged and its outputs as they were written."""
    return why_stale(store, step, params) is None


def stale_steps(store: Store) -> list[str]:
    """Return the finished steps whose results no longer follow from the run's parameters, code and inputs."""
    params = params_of(store)
    finished = [s for s in STEPS if store.entry(s.number).get("status") in FINISHED]
    return [step.number for step in finished if not is_current(store, step, params)]
