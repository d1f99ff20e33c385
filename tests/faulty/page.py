"""The page in the docs that the table makes; it prints itself."""

from __future__ import annotations

import sys

from faulty.table import FACES

LEADS_TO = {"error": "error", "finding": "finding", "accepted": "taken"}

HEAD = """\
# What faulty input leads to

An **error** stops before anything is written and ends with exit code 4 (a damaged run: 3). A **finding** is listed by
`embedlab validate`, which then ends with 5; a run goes on with it. What is **taken** is legal, however odd it looks.
Every row is a test; this page is printed by `cd tests && ../.venv/bin/python -m faulty.page`.
"""


def page() -> str:
    """Return the page as Markdown: a table a face, a row an input."""
    parts = [HEAD]
    for face in FACES:
        lines = [f"## {face.FACE}", "", "| where | what | leads to | says |", "|---|---|---|---|"]
        for row in face.ROWS:
            said = f"“{_cell(row.says)}”" if row.says else ""
            lines.append(f"| {_cell(row.where)} | {_cell(row.what)} | {LEADS_TO[row.expected]} | {said} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    """Return a text that a cell of a table may hold."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(page())
