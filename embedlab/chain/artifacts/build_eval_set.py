"""Step 04: the sealed test, its size, and the guard of the held-out queries."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts import define_problem
from embedlab.chain.artifacts.base import NUMBER, TEXT, TEXTS, Artifact, Table


@dataclass(frozen=True)
class QueryLog:
    """How the judged queries stand beside a log of real ones.

    Attributes:
        queries: in the log.
        auc: by part, how well a classifier tells it from the log (.5: not at all); None for too few.
        uncovered: share of the log that is of a kind nobody judged.
    """

    queries: int
    auc: dict[str, float | None]
    uncovered: float


@dataclass(frozen=True)
class EvalSet(Artifact, step="04", file="eval_set.json"):
    """The evaluation set.

    Attributes:
        seal: sha256 of the test judgments.
        sizes: by part ``queries, groups, relevant per query, judgments``.
        detectable_gain: the true gain that the test shows with 80 % power.
        chance_of_ship: at the expected gain, under the whole rule, of systems as unlike as the widest pair.
        design_effect: how many times groups raise the variance of a mean.
        queries_needed: for the gain hoped for; None over a million.
        unjudged: by system the share of the documents shown that nobody judged.
        unit: what the parts keep together.
        findings: number of findings about the collection.
        query_log: None where no log was given.
    """

    seal: str
    sizes: dict[str, dict[str, float]]
    detectable_gain: float
    chance_of_ship: float
    design_effect: float
    queries_needed: int | None
    unjudged: dict[str, float]
    unit: str
    findings: int
    query_log: QueryLog | None = None


FINDINGS = Table("04", "findings.parquet", "a finding about the collection", define_problem.FINDINGS.columns)
GUARD = Table(
    "04",
    "guard.parquet",
    "a held-out query (dev and test), its text folded, with the documents that answer it, without grades",
    {"query_id": TEXT, "text": TEXT, "group": TEXT, "part": TEXT, "known_ids": TEXTS},
)
LOG_WEIGHTS = Table(
    "04",
    "log_weights.parquet",
    "a held-out query and what it counts in the query log's mix (mean 1)",
    {"query_id": TEXT, "weight": NUMBER},
)
