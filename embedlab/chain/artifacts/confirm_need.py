"""Step 02: what simpler remedies change."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import NUMBER, TEXT, Artifact, Table


@dataclass(frozen=True)
class Need(Artifact, step="02", file="need.json"):
    """What the best simpler remedy brings on dev, in the contract's measure.

    Attributes:
        best_rung: its name.
        best_rung_gain: over the base.
        passages_gain: of passages alone, over the base.
        fixed_by_none: failing queries that no remedy fixes.
    """

    best_rung: str
    best_rung_gain: float
    passages_gain: float
    fixed_by_none: int


RUNGS = Table(
    "02",
    "rungs.parquet",
    "a simpler remedy against the base, on dev",
    {"rung": TEXT, "delta": NUMBER, "low": NUMBER, "high": NUMBER, "wins": NUMBER, "losses": NUMBER},
    "the contract's measure",
)
PER_QUERY = Table(
    "02",
    "per_query.parquet",
    "a dev query",
    {"query_id": TEXT},
    "the contract's measure of each remedy, under its name",
)
