"""Step 03: the base model that goes on."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import NUMBER, TEXT, Artifact, Table
from embedlab.models.identity import EmbeddingIdentity


@dataclass(frozen=True)
class Choice(Artifact, step="03", file="choice.json"):
    """The model that goes on.

    Attributes:
        model: its name: packaged, folder or hub id.
        identity: of its vectors.
        refused: why a candidate could not be tried, by name.
        cosine_to_fp32: lowest cosine between its vectors in this run's precision and in float32, over a few documents.
    """

    model: str
    identity: EmbeddingIdentity
    refused: dict[str, str]
    cosine_to_fp32: float


CANDIDATES = Table(
    "03",
    "candidates.parquet",
    "a candidate, on dev: its gain over today's model, what it costs and which gates it fails; numbers are missing "
    "where its status is not measured",
    {
        "model": TEXT,
        "status": TEXT,
        "delta": NUMBER,
        "ci_low": NUMBER,
        "ci_high": NUMBER,
        "query_ms": NUMBER,
        "bytes_per_document": NUMBER,
        "dimensions": NUMBER,
        "gates": TEXT,
        "cannot_tell": TEXT,
        "parameters": NUMBER,
        "memory_mb": NUMBER,
        "max_tokens": TEXT,
        "truncated": NUMBER,
        "runtime": TEXT,
        "languages": TEXT,
        "licence": TEXT,
        "tuned_delta": NUMBER,
        "tuned_low": NUMBER,
        "tuned_high": NUMBER,
        "tuned_status": TEXT,
    },
    "the contract's measure",
)
PER_QUERY = Table(
    "03",
    "per_query.parquet",
    "a dev query",
    {"query_id": TEXT},
    "the contract's measure of each candidate, under its name",
)
