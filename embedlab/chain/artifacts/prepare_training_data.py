"""Step 07: training rows from every source."""

from __future__ import annotations

from embedlab.chain.artifacts.base import INTEGER, NUMBER, TEXT, Table
from embedlab.chain.artifacts.training_store import removed_by, rows_of

ROWS = rows_of("07", "rows.parquet", "a training query of any source, not yet audited")
REMOVED = removed_by("07")
COVERAGE = Table(
    "07",
    "coverage.parquet",
    "a source: its rows, the documents it covers, and how natural it sounds (AUC .5: like real queries)",
    {"source": TEXT, "rows": INTEGER, "queries": INTEGER, "documents": INTEGER, "AUC against real": NUMBER},
    "further counts",
)
MIXES = Table(
    "07",
    "mixes.parquet",
    "a number of documentation texts, and what they change on dev at equal steps",
    {"texts": INTEGER, "delta": NUMBER, "low": NUMBER, "high": NUMBER},
    "the contract's measure",
)
