"""Step 05: what must be beaten."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import FLAG, NUMBER, TEXT, Artifact, Table
from embedlab.retrieval.systems import Stages, System


@dataclass(frozen=True)
class Baseline(Artifact, step="05", file="baseline.json"):
    """What must be beaten, frozen before the test is opened and before anything is trained.

    Attributes:
        metric: the contract's.
        weight: share of the base's score in hybrid search, chosen on dev.
        production: what answers today.
        simpler: the best system without tuning, chosen on dev.
        hashes: of both, by what they are.
        stages: what may be tried when the stages of a pipeline are chosen; the tuned model gets the same choice.
        dev: mean by system.
        test: mean by system.
    """

    metric: str
    weight: float
    production: System
    simpler: System
    hashes: dict[str, str]
    stages: Stages
    dev: dict[str, float]
    test: dict[str, float]


PER_QUERY = Table(
    "05",
    "per_query.parquet",
    "a system's scores on a query of dev or test",
    {"part": TEXT, "system": TEXT, "query_id": TEXT, "group": TEXT},
    "a number a measure",
)
CHOICES = Table(
    "05",
    "choices.parquet",
    "a setting of the base's pipeline that was tried on dev",
    {"stage": TEXT, "setting": TEXT, "quality": NUMBER, "chosen": FLAG},
)
RUNS = {"base": "base", "BM25": "bm25", "hybrid (base)": "hybrid", "pipeline (base)": "pipeline"}
"""By system the stem of its runs: ``base_dev.run``, ``base_test.run`` and so on, in TREC's format."""

PRODUCTION = "production"
"""Stem of the runs of what answers today, also where it is one of the systems above."""
