"""Measure how dense Python code and notebooks are, the same way for any project.

    .venv/bin/python tools/style.py embedlab=embedlab notebooks=notebooks
    .venv/bin/python tools/style.py here=. there=FOLDER --worst 5
    .venv/bin/python tools/style.py embedlab=embedlab --json

FOLDER is a package, a folder of notebooks, or both: everything below it counts, tests too, so name the
package itself to leave its tests out. Hidden folders and those in ``LEFT_OUT`` are not entered.

Modules (``.py``):

- *nodes a line*: what ``ast.walk`` yields, over all modules, divided by the lines that are neither blank,
  nor only a comment, nor part of a docstring. A docstring is what Python keeps as ``__doc__``; a text
  below an attribute is code.
- *comments*: lines with a comment, alone or behind code, as a percentage of all lines, blank ones too.
- *median lines*: of a module, all its lines.

Notebooks (``.ipynb``). A code cell counts where a statement is left once IPython's lines (``%``, ``!``) are
dropped; a cell that papermill injected does not count. Stored outputs are never looked at, so a stripped
and an executed notebook give the same figures.

- *words a cell*: what stands between blanks in markdown cells and holds a letter, fenced code left out,
  divided by the number of code cells. A link or an embedded picture is one word.
- *bare cells*: percentage of code cells that no markdown cell directly precedes. The first code cell of a
  notebook is left out: it stands below the title everywhere.
- *nodes a cell*: the median, the parameters cell left out: its annotated defaults are a form, not a thought.
- *silent cells*: percentage of code cells that show nothing: the last statement is no expression, and none of
  ``SHOWING`` is called as a statement outside loops and conditions. A cell that ends in an import has nothing
  to show and is not counted as silent.
- *nested conditions*: conditional expressions that lie inside another one.
"""

import argparse
import ast
import io
import json
import os
import re
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

LEFT_OUT = {"__pycache__", "build", "dist", "node_modules", "outputs", "site-packages", "venv"}

SHOWING = {"print", "display", "plots", "plt"}
"""Functions, and modules whose functions, show something when they are called as a statement."""

FENCED = re.compile(r"^ *(```|~~~).*?^ *\1", re.DOTALL | re.MULTILINE)
UNREADABLE = (SyntaxError, ValueError, KeyError, tokenize.TokenError)


@dataclass
class Module:
    """One ``.py`` file."""

    path: str
    nodes: int
    code_lines: int
    comment_lines: int
    lines: int

    @property
    def density(self) -> float:
        return self.nodes / max(self.code_lines, 1)


@dataclass
class Cell:
    """One code cell of a notebook."""

    nodes: int
    nested: int
    first: bool
    parameters: bool
    after_prose: bool
    shows: bool


@dataclass
class Notebook:
    """One ``.ipynb`` file; ``skipped`` code cells are no Python."""

    path: str
    words: int
    cells: list[Cell]
    skipped: int


@dataclass
class Project:
    """What was read below one folder; ``skipped`` files could not be read."""

    modules: list[Module]
    notebooks: list[Notebook]
    skipped: int


# --- modules --------------------------------------------------------------------------------


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines that docstrings stand on."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            found.update(range(text.lineno, text.end_lineno + 1))
    return found


def comments(source: str) -> tuple[set[int], set[int]]:
    """Return the numbers of the lines with a comment, and of those with nothing else."""
    anywhere, alone = set(), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            anywhere.add(token.start[0])
            if token.line.lstrip().startswith("#"):
                alone.add(token.start[0])
    return anywhere, alone


def count_nodes(tree: ast.AST) -> int:
    return sum(1 for _ in ast.walk(tree))


def measure_module(path: Path, name: str) -> Module:
    """Measure one file of Python."""
    with tokenize.open(path) as file:
        source = file.read()
    tree = ast.parse(source)
    lines = io.StringIO(source).readlines()
    commented, only_comment = comments(source)
    blank = {number for number, line in enumerate(lines, 1) if not line.strip()}
    no_code = blank | only_comment | docstring_lines(tree)
    return Module(name, count_nodes(tree), len(lines) - len(no_code), len(commented), len(lines))


# --- notebooks ------------------------------------------------------------------------------


def count_words(markdown: str) -> int:
    """Return the number of words outside fenced code."""
    words = FENCED.sub("", markdown).split()
    return sum(any(character.isalpha() for character in word) for word in words)


def parse_cell(source: str) -> ast.Module:
    """Return the syntax of a cell, its IPython lines dropped if it is no Python as it stands."""
    try:
        return ast.parse(source)
    except SyntaxError:
        lines = source.splitlines()
        return ast.parse("\n".join(line for line in lines if not line.lstrip().startswith(("%", "!"))))


def is_showing_call(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    return ast.unparse(statement.value.func).split(".")[0] in SHOWING


def shows_something(tree: ast.Module) -> bool:
    """Say whether a cell ends in an expression or an import, or calls something that shows."""
    if isinstance(tree.body[-1], ast.Expr | ast.Import | ast.ImportFrom):
        return True
    return any(is_showing_call(statement) for statement in tree.body)


def count_nested_conditions(tree: ast.Module) -> int:
    nested = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            nested |= {id(inner) for inner in ast.walk(node) if isinstance(inner, ast.IfExp) and inner is not node}
    return len(nested)


def tags(cell: dict[str, Any]) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def measure_notebook(path: Path, name: str) -> Notebook:
    """Measure one notebook of format 4."""
    stored = json.loads(path.read_text(encoding="utf-8"))["cells"]
    stored = [cell for cell in stored if "injected-parameters" not in tags(cell)]
    found = Notebook(name, words=0, cells=[], skipped=0)
    kind_before = ""
    for cell in stored:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            found.words += count_words(source)
        elif cell["cell_type"] == "code":
            add_code_cell(found, source, "parameters" in tags(cell), kind_before == "markdown")
        kind_before = cell["cell_type"]
    return found


def add_code_cell(notebook: Notebook, source: str, parameters: bool, after_prose: bool) -> None:
    """Measure one code cell and add it to its notebook, unless nothing is left of it."""
    try:
        tree = parse_cell(source)
    except (SyntaxError, ValueError):
        notebook.skipped += 1
        return
    if tree.body:
        cell = Cell(
            nodes=count_nodes(tree),
            nested=count_nested_conditions(tree),
            first=not notebook.cells,
            parameters=parameters,
            after_prose=after_prose,
            shows=shows_something(tree),
        )
        notebook.cells.append(cell)


# --- a project ------------------------------------------------------------------------------


def files(folder: Path) -> Iterator[Path]:
    """Yield the modules and notebooks below a folder, sorted by name."""
    for parent, children, names in os.walk(folder):
        children[:] = sorted(child for child in children if child not in LEFT_OUT and not child.startswith("."))
        yield from (Path(parent) / name for name in sorted(names) if name.endswith((".py", ".ipynb")))


def measure(folder: Path) -> Project:
    """Measure every module and notebook below a folder."""
    found = Project([], [], skipped=0)
    for path in files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            if path.suffix == ".py":
                found.modules.append(measure_module(path, name))
            else:
                found.notebooks.append(measure_notebook(path, name))
        except UNREADABLE:
            found.skipped += 1
    return found


def percent(flags: list[bool]) -> float | None:
    return 100 * sum(flags) / len(flags) if flags else None


def module_figures(modules: list[Module]) -> dict[str, Any]:
    """Return the figures of some modules taken together."""
    if not modules:
        return {"modules": 0}
    return {
        "modules": len(modules),
        "median lines": median(m.lines for m in modules),
        "nodes a line": sum(m.nodes for m in modules) / max(sum(m.code_lines for m in modules), 1),
        "comments %": 100 * sum(m.comment_lines for m in modules) / max(sum(m.lines for m in modules), 1),
    }


def notebook_figures(notebooks: list[Notebook]) -> dict[str, Any]:
    """Return the figures of some notebooks taken together."""
    cells = [cell for notebook in notebooks for cell in notebook.cells]
    if not cells:
        return {"notebooks": len(notebooks), "code cells": 0}
    sizes = [cell.nodes for cell in cells if not cell.parameters]
    return {
        "notebooks": len(notebooks),
        "code cells": len(cells),
        "words a cell": sum(n.words for n in notebooks) / len(cells),
        "bare cells %": percent([not cell.after_prose for cell in cells if not cell.first]),
        "nodes a cell": median(sizes) if sizes else None,
        "silent cells %": percent([not cell.shows for cell in cells]),
        "nested conditions": sum(cell.nested for cell in cells),
    }


def skipped_figures(project: Project) -> dict[str, int]:
    return {"files skipped": project.skipped, "cells skipped": sum(n.skipped for n in project.notebooks)}


def summary(project: Project) -> dict[str, Any]:
    """Return one row of the table."""
    return module_figures(project.modules) | notebook_figures(project.notebooks) | skipped_figures(project)


def densest(project: Project, count: int) -> dict[str, list[dict[str, Any]]]:
    """Return the modules with most nodes a line and the notebooks with most nodes a cell, each with its figures."""
    modules = [{"module": m.path} | module_figures([m]) for m in project.modules]
    notebooks = [{"notebook": n.path} | notebook_figures([n]) for n in project.notebooks]
    modules.sort(key=lambda row: -row["nodes a line"])
    notebooks.sort(key=lambda row: -(row.get("nodes a cell") or 0))
    for row in modules:
        del row["modules"]
    for row in notebooks:
        del row["notebooks"]
    return {"modules": modules[:count], "notebooks": notebooks[:count]}


# --- what is printed ------------------------------------------------------------------------

COLUMNS = {
    "modules": 0,
    "median lines": 0,
    "nodes a line": 1,
    "comments %": 1,
    "notebooks": 0,
    "code cells": 0,
    "words a cell": 1,
    "bare cells %": 0,
    "nodes a cell": 0,
    "silent cells %": 0,
    "nested conditions": 0,
    "files skipped": 0,
    "cells skipped": 0,
}
"""The columns of a table in their order, and the decimals of each."""


def text_of(row: dict[str, Any], column: str) -> str:
    """Return what stands in a row's column, ``-`` where it has none."""
    value = row.get(column)
    if value is None:
        return "-"
    return f"{value:.{COLUMNS[column]}f}"


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as aligned text below a heading of two lines; their first key is the row's name."""
    name = next(iter(rows[0]))
    columns = [column for column in COLUMNS if any(column in row for row in rows)]
    upper, lower = [""], [name]
    for column in columns:
        first, _, rest = column.partition(" ")
        upper.append(first if rest else "")
        lower.append(rest or first)
    lines = [upper, lower]
    for row in rows:
        lines.append([row[name]] + [text_of(row, column) for column in columns])
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns) + 1)]
    return "\n".join(aligned(line, widths) for line in lines)


def aligned(line: list[str], widths: list[int]) -> str:
    """Return one line: the name to the left, figures to the right."""
    texts = [line[0].ljust(widths[0])]
    for text, width in zip(line[1:], widths[1:], strict=True):
        texts.append(text.rjust(width))
    return "  ".join(texts)


def parse_arguments() -> argparse.Namespace:
    """Return the arguments; ``projects`` is the folder of each name."""
    parser = argparse.ArgumentParser(description="Measure how dense Python code and notebooks are.")
    parser.add_argument("projects", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="list the N densest modules and notebooks")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    folders = {}
    for project in arguments.projects:
        name, _, folder = project.partition("=")
        if not name or not folder or not Path(folder).is_dir():
            parser.error(f"{project!r} is not NAME=FOLDER with a folder that exists")
        folders[name] = Path(folder)
    arguments.projects = folders
    return arguments


def main() -> None:
    """Print one table with a row for each project, and the densest files where asked for."""
    arguments = parse_arguments()
    warnings.simplefilter("ignore")  # what Python warns of while it parses is the project's own matter
    found = {}
    for name, folder in arguments.projects.items():
        project = measure(folder)
        found[name] = {"figures": summary(project), "densest": densest(project, arguments.worst)}
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    print(table([{"project": name} | project["figures"] for name, project in found.items()]))
    for name, project in found.items():
        for kind, rows in project["densest"].items():
            if rows:
                print(f"\n{name}: densest {kind}\n{table(rows)}")


if __name__ == "__main__":
    main()
