"""Step 03: the base model that goes on."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import FLAG, NUMBER, TEXT, Artifact, Table
from embedlab.models.identity import EmbeddingIdentity


@dataclass(frozen=True)
class Choice(Artifact, step="03", file="choice.json"):
    """The model that goes on.

    Attributes:
        model: its name: packaged, folder or hub id.
        identity: of its vectors.
        refused: why a candidate could not be tried, by name.
        cosine_to_fp32: lowest cosine between this run's precision and float32, over a few documents.
    """

    model: str
    identity: EmbeddingIdentity
    refused: dict[str, str]
    cosine_to_fp32: float


CANDIDATES = Table(
    "03",
    "candidates.parquet",
    "a candidate, on dev",
    {
        "model": TEXT,
        "low": NUMBER,
        "high": NUMBER,
        "parameters (million)": NUMBER,
        "dimensions": NUMBER,
        "max tokens": TEXT,
        "documents truncated": NUMBER,
        "index per million (MB)": NUMBER,
        "licence": TEXT,
        "within budgets": FLAG,
    },
    "the contract's measure",
)
