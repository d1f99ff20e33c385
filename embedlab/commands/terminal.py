"""What every command says to a terminal, and what it may not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from embedlab.errors import ParameterError, nearest, shown
from embedlab.files import read_json

NO_VERDICT, BAD_INPUT, FINDINGS = 3, 4, 5
"""Exit codes: no verdict, or something damaged; bad input; findings."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def safe(value: object) -> str:
    """Return what a terminal may be told: no markup of ours, and no control characters of anybody's."""
    lines = str(value).split("\n")
    return escape("\n".join(shown(line, len(line)) for line in lines))


def say_json(value: Any) -> None:
    """Print a value as JSON, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def say_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows under their columns; the last one is folded where it is long."""
    names = list(columns)
    table = Table(*names[:-1], Column(names[-1], overflow="fold"), box=None, header_style="bold")
    for row in rows:
        table.add_row(*[safe(value) for value in row])
    out.print(table)


def say_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line."""
    for name, value in facts:
        out.print(safe(f"{name:<26}{value}"))


def say_checks(checks: Iterable[Any]) -> bool:
    """Print checks, what was found and what is wanted; return whether all hold."""
    passed = True
    for check in checks:
        passed &= check.passed
        mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
        out.print(f"{mark} {safe(check.check)}: {safe(f'{check.found:g}')}, wanted {safe(check.wanted)}")
    return passed


def read_settings(path: Path | None) -> dict[str, Any]:
    """Return the fields of a settings file, a JSON object; nothing without one.

    Raises:
        ParameterError: if it cannot be read, or has a field that no stage has.
    """
    if path is None:
        return {}
    from dataclasses import fields

    from embedlab.retrieval.systems import Settings

    found = read_json(path, dict, ParameterError, "give a JSON object of settings")
    known = [field.name for field in fields(Settings)]
    for name in found:
        if name not in known:
            raise ParameterError(f"{path}: no setting is called {shown(name)!r}{nearest(name, known)}")
    return found
