"""Print docs/artifacts.md: what each step hands on, from the table of steps and the definitions of its artifacts.

    .venv/bin/python tools/artifacts.py > docs/artifacts.md

A test compares the page with what this prints.
"""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from embedlab.chain import STEPS, Contract, Step
from embedlab.chain.artifacts.base import Artifact, Summary, Table, kinds_of, tables_of
from embedlab.chain.artifacts.training_store import ROWS

WORDS = {str: "text", int: "integer", float: "number", bool: "yes or no", Any: "anything"}

OTHER = {
    ".run": "rankings in TREC's format",
    ".parquet": "examples of a training format, in the columns that sentence-transformers takes",
    ".txt": "an example to look at",
}
"""What a file without a definition is, by its suffix."""

INTRODUCTION = """\
# What each step hands on

Printed by `tools/artifacts.py` from `embedlab/chain/steps.py` and `embedlab/chain/artifacts/`; edit those.

A step writes into `outputs/<run>/artifacts/<its name>/`, its models and indexes into `outputs/<run>/` itself. JSON
files hold the fields listed here, parquet files the columns, each with its kind. Notebooks read both by definition:
`lab.read(establish_baseline.Baseline)`, `lab.read(establish_baseline.PER_QUERY)`. Where a step measures quality, its
files also carry the contract, as `contract` (its hash) and `terms` (its fields): a JSON file beside its own fields, a
table in its metadata.

Every step ends by writing `summary.json`: `conclusion` (text) and `figures` (the step's key figures by name). Measured
times stand beside the artifacts, in `timings.json` and, where something was decided by them, in `decisions.json`.
"""

STORE = """\
## The training store

Steps 07, 08, 09, 12 and 13 hand on the same columns, one row a query; a step may add columns of its own. A negative is
`{id, miner, score}`.
"""

PARTS = """\
## Values inside artifacts

What a field holds that is more than a text or a number.
"""


# --- docstrings and types in words --------------------------------------------------------------


def first_sentence(text: str) -> str:
    """Return a docstring's first paragraph up to its first full stop, on one line."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", paragraph)[0].replace("``", "`")


def plain(sentence: str) -> str:
    """Return a sentence as an entry of a table or a list."""
    return sentence.strip().removesuffix(".").replace("``", "`")


def meanings(kind: type) -> dict[str, str]:
    """Return what a docstring's Attributes section says of each field."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.split("\n\n")[0].splitlines():
        if line.startswith("     ") and name:
            found[name] += f" {line.strip()}"
        else:
            name, _, said = line.strip().partition(": ")
            found[name] = said
    return {name: plain(said) for name, said in found.items()}


def in_words(kind: Any) -> str:
    """Return a field's type in words, with a link where it is a dataclass."""
    if kind in WORDS:
        return WORDS[kind]
    if is_dataclass(kind):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    inner = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        (found,) = [in_words(part) for part in inner if part is not NoneType]
        return f"{found}, or none"
    if get_origin(kind) is dict:
        return f"{in_words(inner[1])} by name".replace("by name by name", "by two names")
    if inner == (float, float):
        return "two numbers"
    return "list of texts" if inner[0] is str else f"list of {in_words(inner[0])}"


def inner_kinds(kind: Any) -> Iterator[type]:
    """Return the dataclasses that a type holds, those inside them included."""
    if is_dataclass(kind):
        yield kind
        for held in get_type_hints(kind).values():
            yield from inner_kinds(held)
    for part in get_args(kind):
        yield from inner_kinds(part)


def constants(slug: str) -> dict[str, str]:
    """Return the texts that a step's module names, such as the path of a folder, with what is said below each."""
    body = ast.parse(inspect.getsource(import_module(f"embedlab.chain.artifacts.{slug}"))).body
    found = {}
    for statement, below in pairwise(body):
        if isinstance(statement, ast.Assign) and isinstance(below, ast.Expr):
            name = ast.unparse(statement.value)
            if name.startswith("'"):
                found[ast.literal_eval(name)] = plain(first_sentence(ast.literal_eval(below.value)))
    return found


# --- the page -----------------------------------------------------------------------------------


def fields_of(kind: type) -> str:
    """Return a table of a dataclass's fields; with what each means where the docstring says so."""
    types, said = get_type_hints(kind), meanings(kind)
    head = ["field", "type", "meaning"] if said else ["field", "type"]
    rows = [head, ["---"] * len(head)]
    for field in fields(kind):
        row = [f"`{field.name}`", in_words(types[field.name]), said.get(field.name, "")]
        rows.append(row[: len(head)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def json_section(kind: type[Artifact]) -> str:
    return f"### `{kind.file}`\n\n{first_sentence(kind.__doc__ or '')}\n\n{fields_of(kind)}"


def table_section(table: Table) -> str:
    if table.rows:
        columns = "Columns: those of the [training store](#the-training-store)."
    else:
        columns = f"Columns: {', '.join(f'`{name}` ({kind})' for name, kind in table.columns.items())}."
    further = f" Further columns: {table.further}." if table.further else ""
    return f"### `{table.file}`\n\nOne row: {table.says}.\n\n{columns}{further}"


def other_files(step: Step, defined: Iterable[str]) -> str:
    """Return a list of what else a step writes: files without a definition, and folders of the run."""
    named = constants(step.slug)
    said: dict[str, list[str]] = {}
    for file in step.writes:
        if file not in defined:
            said.setdefault(named.pop(file, "") or OTHER[file[file.rindex(".") :]], []).append(f"`{file}`")
    for folder, meaning in named.items():
        said[meaning] = [f"`{folder}/`"]
    lines = [f"- {', '.join(places)}: {meaning}" for meaning, places in said.items()]
    return "\n".join(["Besides:", "", *lines]) if lines else ""


def step_section(step: Step) -> str:
    sections = {kind.file: json_section(kind) for kind in kinds_of(step.slug)}
    sections |= {table.file: table_section(table) for table in tables_of(step.slug)}
    if step.number == Contract.step:
        sections[Contract.file] = json_section(Contract)
    ordered = [sections[file] for file in step.writes if file in sections]
    reads = f"Reads what {', '.join(step.reads)} wrote; writes" if step.reads else "Writes"
    head = f"## {step.number} {step.title}\n\n*{step.question}* {reads} into `{step.name}/`."
    return "\n\n".join(part for part in [head, *ordered, other_files(step, sections)] if part)


def store_section() -> str:
    rows = [f"| `{name}` | {kind} |" for name, kind in ROWS.items()]
    return "\n".join([STORE, "| column | kind |", "| --- | --- |", *rows])


def parts_section() -> str:
    kinds = [Contract, *(kind for step in STEPS for kind in kinds_of(step.slug))]
    inside = {held for kind in kinds for held in inner_kinds(kind) if not issubclass(held, Artifact)}
    ordered = sorted(inside, key=lambda kind: kind.__name__)
    sections = [f"### {kind.__name__}\n\n{first_sentence(kind.__doc__ or '')}\n\n{fields_of(kind)}" for kind in ordered]
    return "\n\n".join([PARTS.rstrip(), *sections])


def page() -> str:
    """Return the page as Markdown."""
    assert [field.name for field in fields(Summary)] == ["conclusion", "figures"], "the introduction says so"
    sections = [INTRODUCTION.rstrip(), *(step_section(step) for step in STEPS), store_section(), parts_section()]
    return "\n\n".join(sections)


if __name__ == "__main__":
    print(page())
