"""The canonical training store, which steps 07, 08, 09, 12 and 13 hand on, and what leaves it."""

from __future__ import annotations

from embedlab.chain.artifacts.base import NEGATIVES, NUMBER, TEXT, TEXTS, Table

ROWS = {
    "query_id": TEXT,
    "text": TEXT,
    "positive_ids": TEXTS,
    "known_ids": TEXTS,
    "negatives": NEGATIVES,
    "source": TEXT,
    "provenance": TEXT,
    "group": TEXT,
    "part": TEXT,
    "weight": NUMBER,
}
"""A training query: what it is trained to find, what else is known to answer it, and its negatives."""


def rows_of(step: str, file: str, says: str) -> Table:
    """Return the training store as a step writes it."""
    return Table(step, file, says, ROWS, rows=True)


def removed_by(step: str) -> Table:
    """Return the list of what a step takes out of the training store, with the reason for each."""
    columns = {"query_id": TEXT, "text": TEXT, "reason": TEXT, "other": TEXT, "evidence": TEXT}
    return Table(step, "removed.parquet", "something that left the training store, and why", columns)
