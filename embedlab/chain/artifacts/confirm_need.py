"""Step 02: why queries fail, what simpler remedies change, and what is recommended."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import NUMBER, TEXT, TEXTS, Artifact, Table
from embedlab.evaluation.results import GainOver


@dataclass(frozen=True)
class Need(Artifact, step="02", file="recommendation.json"):
    """What the dev queries recommend, in the contract's measure.

    Attributes:
        advice: ``simpler, do not fine-tune``, ``fine-tune``, ``both`` or ``cannot tell``.
        sentence: the advice with the gains that it rests on.
        simpler: the remedy that fixes most failing queries net of those that it breaks; blank where none does.
        kind: its kind, such as ``hybrid`` or ``chunking``.
        simpler_gain: of it over today.
        best_stack: of the best stack of remedies over today.
        tuning_gain: of the cheap probe over today; None where it was not measured.
        on_top: what tuning adds to the simpler remedy; None likewise.
        passages_gain: of the best passages alone, over today; None where none was measured.
        not_measured: remedies that could not be run here, each with why.
        failing: dev queries without a relevant document among those shown.
        causes: how many of them by cause.
        today: mean over the dev queries today.
        ceiling: the same if a perfect reranker ordered the first hundred documents of today's search.
    """

    advice: str
    sentence: str
    simpler: str
    kind: str
    simpler_gain: GainOver | None
    best_stack: GainOver | None
    tuning_gain: GainOver | None
    on_top: GainOver | None
    passages_gain: float | None
    not_measured: dict[str, str]
    failing: int
    causes: dict[str, int]
    today: float
    ceiling: float


LADDER = Table(
    "02",
    "ladder.parquet",
    "a remedy against today's search, on dev: its gain, and how many failing queries it fixes and others it breaks",
    {
        "rung": TEXT,
        "kind": TEXT,
        "score": NUMBER,
        "delta": NUMBER,
        "ci_low": NUMBER,
        "ci_high": NUMBER,
        "fixed": NUMBER,
        "broken": NUMBER,
        "net": NUMBER,
        "added_ms": NUMBER,
        "added_bytes": NUMBER,
        "status": TEXT,
    },
)
ATTRIBUTION = Table(
    "02",
    "attribution.parquet",
    "a failing dev query: its one cause, the remedies that fix it (the cheapest first), and what shows it",
    {"query_id": TEXT, "cause": TEXT, "fixed_by": TEXTS, "evidence": TEXT},
)
PER_QUERY = Table(
    "02",
    "per_query.parquet",
    "a dev query",
    {"query_id": TEXT},
    "the contract's measure today and of each remedy, under its name",
)
MILLISECONDS, SECONDS = "milliseconds", "seconds to embed a document"
"""Decisions of this step: what a query takes in each rung, and what embedding a document takes where it is anew."""
