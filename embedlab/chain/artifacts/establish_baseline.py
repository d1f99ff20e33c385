"""Step 05: what must be beaten."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import TEXT, Artifact, Table


@dataclass(frozen=True)
class Baseline(Artifact, step="05", file="baseline.json"):
    """Scores before training, frozen.

    Attributes:
        metric: the contract's.
        weight: share of the base's score in hybrid search, chosen on dev.
        simpler: the best system without tuning, chosen on dev before the test is opened.
        dev: mean by system.
        test: mean by system.
    """

    metric: str
    weight: float
    simpler: str
    dev: dict[str, float]
    test: dict[str, float]


PER_QUERY = Table(
    "05",
    "per_query.parquet",
    "a system's scores on a query of dev or test",
    {"part": TEXT, "system": TEXT, "query_id": TEXT, "group": TEXT},
    "a number a measure",
)
RUNS = {"base": "base", "BM25": "bm25", "hybrid (base)": "hybrid"}
"""By system the stem of its runs: ``base_dev.run``, ``base_test.run`` and so on, in TREC's format."""
