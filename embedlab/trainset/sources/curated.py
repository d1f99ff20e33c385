"""Examples that people chose: a table of their own, and queries judged in the qualitative review."""

from __future__ import annotations

import json
from pathlib import Path

from embedlab.errors import DataError
from embedlab.trainset.sources.examples import Example, Harvest, Reading, usable
from embedlab.trainset.sources.table import Table, split_ids

REQUIRED, OPTIONAL = ("query", "positive_ids"), ("negative_ids",)

REVIEWS = "reviews/judgments.json"
"""What the qualitative review saves in a run folder."""

WORSE = 2.0
"""Weight of a query for which a person found what was proposed worse."""


def read(table: Table, reading: Reading) -> Harvest:
    """Read ``query, positive_ids, negative_ids``; several ids are separated by ``|``."""
    examples = []
    for frame in table.chunks(reading.chunk):
        for query, positives, wrong, row in frame[[*REQUIRED, *OPTIONAL, "row"]].itertuples(index=False):
            found = usable(table, int(row), query, split_ids(positives), reading.documents)
            if not found:
                continue
            bad = usable(table, int(row), query, split_ids(wrong), reading.documents) if wrong else []
            negatives: list[dict[str, object]] = [{"id": d, "miner": "curated", "score": 0.0} for d in bad]
            examples.append(Example(query, found, f"{table.path}:{row}", "curated", negatives=negatives))
    return Harvest(examples)


def reviewed(path: Path) -> dict[str, float]:
    """Return the weight of each query judged in a run's ``reviews/judgments.json``.

    The file holds, for each pair of runs that was compared, ``better``, ``same`` or ``worse`` by
    query id; who was once worse off counts more.

    Raises:
        DataError: if the file is missing or has another form.
    """
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"))
        choices = [(str(q), str(c)) for judged in pairs.values() for q, c in judged.items()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; judge queries in notebook 16 first") from None
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: expected judgments as notebook 16 saves them: {error}") from None
    weights: dict[str, float] = {}
    for query_id, choice in choices:
        weights[query_id] = max(weights.get(query_id, 1.0), WORSE if choice == "worse" else 1.0)
    return weights
