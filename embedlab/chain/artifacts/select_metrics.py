"""Step 06: what the measures say here."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import TEXT, Artifact, Table


@dataclass(frozen=True)
class Metrics(Artifact, step="06", file="metrics.json"):
    """The measures that decide.

    Attributes:
        primary: the contract's.
        guard: recall at what is shown.
        graded: whether relevant documents have several grades.
        several_relevant: share of the dev queries with several relevant documents.
    """

    primary: str
    guard: str
    graded: bool
    several_relevant: float


VALUES = Table(
    "06", "values.parquet", "a measure", {"measure": TEXT}, "its mean on dev of each system, under the system's name"
)
AGREEMENT = Table(
    "06", "agreement.parquet", "a measure", {"measure": TEXT}, "Kendall's tau with each other measure, under its name"
)
