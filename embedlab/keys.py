"""Step keys: a hash of everything that a step's results depend on."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from embedlab.params import FILES
from embedlab.paths import notebook_path
from embedlab.steps import Step

PACKAGE = Path(__file__).resolve().parent


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Return the sha256 of a value's canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def step_key(step: Step, params: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Return the key of a step: code, parameters, reachable package source, input hashes, the user's files.

    Args:
        step: the step.
        params: every parameter of its cell with its value; ``run`` does not count.
        inputs: path to sha256 of every artifact of the steps that it reads.
    """
    code = notebook_code(notebook_path(step))
    return sha256_json(
        {
            "notebook": code,
            "params": {k: v for k, v in params.items() if k != "run"},
            "package": source_hash(frozenset(_imported(code))),
            "inputs": dict(inputs),
            "files": {name: content_hash(Path(params[name])) for name in FILES.get(step.number, ()) if params[name]},
        }
    )


def content_hash(path: Path) -> str | None:
    """Return one hash of a file, or of all files below a folder with their names; None where there is neither."""
    if path.is_file():
        return sha256_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
    return sha256_json({str(file.relative_to(path)): sha256_file(file) for file in files}) if files else None


def notebook_code(path: Path) -> str:
    """Return the code cells of a notebook as one text; injected parameters are left out."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    keep = [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and "injected-parameters" not in cell.get("metadata", {}).get("tags", [])
    ]
    return "\n\n".join(keep)


def _imported(code: str) -> set[str]:
    """Return the embedlab modules that a piece of Python imports, lazily or not."""
    from embedlab import PUBLIC

    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith("embedlab"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("embedlab"):
            base = node.module or ""
            found.add(base)
            for alias in node.names:
                found.add(PUBLIC.get(alias.name, f"{base}.{alias.name}"))
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "embedlab"
            and node.attr in PUBLIC
        ):
            found.add(PUBLIC[node.attr])
    return found


def module_file(name: str) -> Path | None:
    """Return the file of a dotted embedlab module, or None where there is none."""
    base = PACKAGE.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Return the embedlab modules that a source file imports."""
    return frozenset(_imported(path.read_text(encoding="utf-8")))


@cache
def source_hash(modules: frozenset[str]) -> str:
    """Return one hash over the source of all modules reachable from these."""
    files = {path: sha256_file(path) for path in reachable(modules)}
    return sha256_json({str(p.relative_to(PACKAGE)): h for p, h in files.items()})


def reachable(modules: Iterable[str]) -> list[Path]:
    """Return the package's files that these modules lead to, themselves included, sorted."""
    waiting, seen = list(modules), set()
    while waiting:
        name = waiting.pop()
        path = module_file(name) if name != "embedlab" else None  # it only forwards names
        if path is not None and path not in seen:
            seen.add(path)
            waiting.extend(imports_of(path))
    return sorted(seen)
