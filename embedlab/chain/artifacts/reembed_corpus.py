"""Step 17: the corpus in the new space."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import FLAG, INTEGER, NUMBER, TEXT, Artifact, Table
from embedlab.evaluation.results import Comparison
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
        shards: that the vectors were encoded in.
        neighbour_overlap: share of a document's ten nearest others that base and tuned have in common.
        cosine_to_base: mean cosine between base's and tuned's vectors of one document; None where their lengths differ.
        cosine_to_rotated: the same between the base's vectors and those same ones rotated: what it says of a space.
        mixed: half the documents by the base, asked by the tuned model, against all of them by the tuned, on dev; None
            where the lengths differ.
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
    shards: int
    neighbour_overlap: float
    cosine_to_base: float | None
    cosine_to_rotated: float
    mixed: Comparison | None
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
MIXING = Table(
    "17",
    "mixing.parquet",
    "an index that holds vectors of two spaces, on dev, and what it loses against one of a single space",
    {
        "index": TEXT,
        "against": TEXT,
        "score": NUMBER,
        "delta": NUMBER,
        "low": NUMBER,
        "high": NUMBER,
        "wins": INTEGER,
        "ties": INTEGER,
        "losses": INTEGER,
    },
)
INDEX = "indexes/tuned"
"""Folder of the test index, with the identity of its vectors."""
