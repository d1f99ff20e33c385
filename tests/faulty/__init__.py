"""What embedlab makes of faulty, odd and hostile input: a table, a row each, asked through its public faces."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from rich.console import Console

from embedlab.cli import main
from embedlab.errors import EmbedlabError

Kind = Literal["error", "finding", "accepted"]
"""A named error that stops; a finding that is listed and goes on; or nothing to say against it."""


@dataclass(frozen=True)
class Row:
    """One input.

    Attributes:
        where: the file, field or parameter that is odd.
        what: what is odd about it, in words.
        expected: what it leads to.
        says: a part of the message, so that the right thing is named; blank where nothing is said.
        given: the input as its face wants it.
        full: whether it is asked in ``make test-full`` alone, because it takes seconds.
        model: whether a model is loaded for it.
    """

    where: str
    what: str
    expected: Kind
    says: str
    given: Any
    full: bool = False
    model: bool = False


@dataclass(frozen=True)
class Outcome:
    """What an input led to, and all that was printed or raised."""

    kind: Kind
    message: str


KIND_OF_CODE: dict[int, Kind] = {0: "accepted", 1: "accepted", 2: "accepted", 3: "error", 4: "error", 5: "finding"}
"""By the exit codes of the command line."""


def command(*words: object) -> Outcome:
    """Call ``embedlab`` with these words in this process; a traceback would come through as what it is."""
    printed = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["embedlab", *map(str, words)]),
        # However narrow the terminal is, a table's cell stays on one line.
        mock.patch("embedlab.cli.out", Console(highlight=False, soft_wrap=True, width=1000)),
        redirect_stdout(printed),
        redirect_stderr(printed),
    ):
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    return Outcome(KIND_OF_CODE[code], printed.getvalue())


def called(act: Callable[[], object]) -> Outcome:
    """Call a function of the library; only an error of embedlab's own counts as a named one."""
    try:
        act()
    except EmbedlabError as error:
        return Outcome("error", str(error))
    return Outcome("accepted", "")


LOCKS = (".lock", ".publish")


def contents(folder: Path) -> dict[str, bytes]:
    """Return what every file under a folder holds, to see that nothing was written; locks alone come and go."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if not path.name.endswith(LOCKS)}
