"""Step 17: the corpus in the new space."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import FLAG, NUMBER, TEXT, Artifact, Table
from embedlab.models.identity import EmbeddingIdentity


@dataclass(frozen=True)
class Reembedding(Artifact, step="17", file="reembedding.json"):
    """The test index.

    Attributes:
        identity: of its vectors.
        documents: number of them.
        vectors: number of theirs; more where documents are cut into passages.
        dimensions: of a vector.
        index_mb: size in megabytes.
        mb_per_million: size in megabytes of a million documents, in the kind of index that is proposed.
        price: of encoding these documents, at the notebook's price.
        neighbour_overlap: share of the nearest neighbours that base and tuned share.
        mean_cosine: of two random documents, by model.
        wrong_model_refused: whether the index refuses the base model's queries.
        same_space_as_base: whether the kept model is the base itself.
        passed: whether every check holds.
        reason: what failed.
    """

    identity: EmbeddingIdentity
    documents: int
    vectors: int
    dimensions: int
    index_mb: float
    mb_per_million: float
    price: float
    neighbour_overlap: float
    mean_cosine: dict[str, float]
    wrong_model_refused: bool
    same_space_as_base: bool
    passed: bool
    reason: str


VECTOR_CHECKS = Table(
    "17",
    "vector_checks.parquet",
    "a check of the vectors",
    {"check": TEXT, "found": NUMBER, "wanted": TEXT, "passed": FLAG},
)
INDEX = "indexes/tuned"
"""Folder of the test index, with the identity of its vectors."""
