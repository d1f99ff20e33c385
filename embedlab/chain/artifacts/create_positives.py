"""Step 08: audited positives, and the queue of doubtful ones."""

from __future__ import annotations

from embedlab.chain.artifacts.base import FLAG, NUMBER, TEXT, Table
from embedlab.chain.artifacts.training_store import removed_by, rows_of

POSITIVES = rows_of("08", "positives.parquet", "a training query with audited positives")
REMOVED = removed_by("08")
REVIEW_QUEUE = Table(
    "08",
    "review_queue.parquet",
    "a doubtful positive: the share of documents above it, the first of them, whether it waits for a person, and "
    "what was decided",
    {
        "query_id": TEXT,
        "text": TEXT,
        "doc_id": TEXT,
        "above": NUMBER,
        "rival": TEXT,
        "waits": FLAG,
        "document": TEXT,
        "source": TEXT,
        "decision": TEXT,
    },
)
