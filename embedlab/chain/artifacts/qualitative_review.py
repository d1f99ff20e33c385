"""Step 16: what people see side by side."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import NUMBER, TEXT, Artifact, Table


@dataclass(frozen=True)
class Changes(Artifact, step="16", file="changes.json"):
    """Counts on the test.

    Attributes:
        gained: relevant documents that enter what is shown.
        lost: those that leave it.
        judged: queries that a person judged who saw which side is which; they prove nothing.
        judged_better: of these, what is proposed is better.
        judged_worse: what is proposed is worse.
        blind: queries of a random sample that a person judged without knowing the sides.
        blind_better: of these, what is proposed is better.
        blind_worse: what is proposed is worse.
        improved: queries whose score rises.
        regressed: whose score falls.
    """

    gained: int
    lost: int
    judged: int
    judged_better: int
    judged_worse: int
    blind: int
    blind_better: int
    blind_worse: int
    improved: int
    regressed: int


REVIEW = Table(
    "16",
    "review.parquet",
    "a query worth a look, with what both models show",
    {
        "query_id": TEXT,
        "kind": TEXT,
        "text": TEXT,
        "should find": TEXT,
        "today": NUMBER,
        "proposed": NUMBER,
        "today shows": TEXT,
        "proposed shows": TEXT,
        "slices": TEXT,
    },
)
PAGE = "review.html"
"""The same as a page that opens from disk."""
