"""The canonical training store, which steps 07, 08, 09, 12 and 13 hand on, and what leaves it."""

from __future__ import annotations

from embedlab.chain.artifacts.base import NEGATIVES, NUMBER, TEXT, TEXTS, Table
from embedlab.trainset.schema import STORE_COLUMNS

KINDS = {"positive_ids": TEXTS, "known_ids": TEXTS, "negatives": NEGATIVES, "weight": NUMBER}
"""Of those columns that hold no text."""

ROWS = {name: KINDS.get(name, TEXT) for name in STORE_COLUMNS}
"""A training query: what it is trained to find, what else is known to answer it, and its negatives."""


def rows_of(step: str, file: str, says: str) -> Table:
    """Return the training store as a step writes it."""
    return Table(step, file, says, ROWS, rows=True)


def removed_by(step: str) -> Table:
    """Return the list of what a step takes out of the training store, with the reason for each."""
    columns = {"query_id": TEXT, "text": TEXT, "reason": TEXT, "other": TEXT, "evidence": TEXT}
    return Table(step, "removed.parquet", "something that left the training store, and why", columns)
