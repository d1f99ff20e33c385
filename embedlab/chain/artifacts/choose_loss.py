"""Step 11: the loss that training uses."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import NUMBER, TEXT, Artifact, Table
from embedlab.chain.artifacts.training_store import removed_by


@dataclass(frozen=True)
class Loss(Artifact, step="11", file="loss.json"):
    """The loss that goes on (``loss``), the one that led the tournament, after so many steps each."""

    loss: str
    leader: str
    steps: int
    metric: str


REMOVED = removed_by("11")
TOURNAMENT = Table(
    "11",
    "tournament.parquet",
    "a loss against the base, on dev",
    {"loss": TEXT, "delta": NUMBER, "low": NUMBER, "high": NUMBER},
    "the contract's measure",
)
