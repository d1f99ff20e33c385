"""Step 15: what tuning changes on the sealed test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedlab.chain.artifacts.base import FLAG, INTEGER, NUMBER, TEXT, Artifact, Table
from embedlab.data.text import fold
from embedlab.evaluation.results import (
    AmongUnseen,
    Comparison,
    Concentration,
    Ends,
    Retained,
    SliceResult,
    Stakes,
    Strata,
)
from embedlab.files import sha256_json
from embedlab.retrieval.systems import System

if TYPE_CHECKING:
    from embedlab.data.collection import Collection

TEXT_HASH = 16
"""Hex digits kept of a text's sha256: 64 bits, enough to tell millions of texts apart."""


@dataclass(frozen=True)
class Evaluation(Artifact, step="15", file="evaluation.json"):
    """The evaluation on the sealed test; differences in the contract's measure.

    Attributes:
        production: what answers today, by its name.
        simpler: the best system without tuning, as step 05 chose it on dev.
        proposed: what would be rolled out, frozen before the test was opened.
        hash: of what is proposed.
        versus_production: the proposed system against production, at the contract's minimum gain.
        versus_simpler: the proposed system against the best without tuning, at what tuning must bring.
        simpler_gain: the best without tuning against production; None where it is production.
        strata: ``versus_production`` and ``versus_simpler`` by what documents were in training, and over their mix.
        stakes: of ``production`` and ``simpler``: what deciding about the gain over it is expected to cost.
        comparison: the tuned model alone against the base alone; it decides nothing.
        versus_hybrid: the tuned model alone against hybrid search with the base.
        hybrids: hybrid search with the tuned model against that with the base.
        pipelines: every stage, with the tuned model against with the base.
        unseen_only: within the classes of documents that were no positive of training.
        retention: on another domain; None where its package is not installed.
        slices: by slice, proposed against production.
        concentration: where the gain over production comes from.
        log_gain: proposed against production in the query log's mix; None without a log.
        unjudged: share of the documents shown that nobody judged, by system.
        bounds: the gain over production in the worst and in the best case of these.
        dev_gain: of the tuned model alone over the base alone, on dev.
        model: sha256 of the tuned weights.
        weights: share of the dense score in hybrid search, of ``base`` and ``tuned``.
        ci: the interval of ``comparison`` at the contract's confidence; None where that is 95 %.
    """

    production: str
    simpler: str
    proposed: System
    hash: str
    versus_production: Comparison
    versus_simpler: Comparison
    simpler_gain: Comparison | None
    strata: dict[str, Strata]
    stakes: dict[str, Stakes]
    comparison: Comparison
    versus_hybrid: Comparison
    hybrids: Comparison
    pipelines: Comparison
    unseen_only: AmongUnseen | None
    retention: Retained | None
    slices: list[SliceResult]
    concentration: Concentration
    log_gain: Comparison | None
    unjudged: dict[str, float]
    bounds: Ends
    dev_gain: float
    model: str
    weights: dict[str, float]
    ci: Ends | None = None


@dataclass(frozen=True)
class Difference:
    """A gain that an opening showed: its 95 % interval, and the one at the confidence that decides."""

    delta: float
    ci95: Ends
    ci: Ends


@dataclass(frozen=True)
class Opening(Artifact, step="15", file="opening.json"):
    """What was scored on the sealed test, on what, and what came of it: a line of the registry of openings.

    Attributes:
        weights: sha256 of the tuned weights.
        proposed: the contract's proposed system, as which they were scored.
        judgments: sha256 of the test's judgments: folded query texts, documents and grades.
        groups: a text for each group of the test: the hashes of its folded query texts, separated by blanks.
        settings: by name of a system a hash of its settings.
        differences: by name, in the contract's measure.
    """

    weights: str
    proposed: str
    judgments: str
    groups: list[str]
    settings: dict[str, str]
    differences: dict[str, Difference]

    @classmethod
    def of(
        cls,
        test: Collection,
        weights: str,
        proposed: str,
        settings: Mapping[str, Any],
        differences: Mapping[str, Comparison],
    ) -> Opening:
        """Return the opening of a test part; ``settings`` are plain JSON by name of a system.

        Hashes are of single texts and not of whole groups: which queries a group has in the test depends on the
        seed, and what a group is on how the parts were made.
        """
        folded = {query_id: fold(text) or text for query_id, text in test.query_texts().items()}
        texts: dict[str, set[str]] = {}
        for query_id, group in test.groups().items():
            texts.setdefault(group, set()).add(sha256_json(folded[query_id])[:TEXT_HASH])
        rows = zip(test.qrels["query_id"], test.qrels["doc_id"], test.qrels["relevance"], strict=True)
        judged = sorted((folded[query_id], str(doc_id), int(grade)) for query_id, doc_id, grade in rows)
        return cls(
            weights=weights,
            proposed=proposed,
            judgments=sha256_json(judged),
            groups=sorted(" ".join(sorted(group)) for group in texts.values()),
            settings={name: sha256_json(value) for name, value in settings.items()},
            differences={name: Difference(g.delta, g.ci95, g.ci) for name, g in differences.items()},
        )


@dataclass(frozen=True)
class Prices(Artifact, step="15", file="prices.json"):
    """What the way into production costs; prices in your currency.

    Attributes:
        production_documents: to re-embed; 0: those of the collection.
        monthly_queries: in production.
        monthly_labels: queries labelled a month to watch quality.
        old_index_days: how long the old index is kept beside the new one.
        machine_price: of an hour of the machine that encodes.
        storage_price: of a GB of index for a month.
        label_price: of one labelled query.
    """

    production_documents: int
    monthly_queries: int
    monthly_labels: int
    old_index_days: int
    machine_price: float
    storage_price: float
    label_price: float


PER_QUERY = Table(
    "15",
    "per_query.parquet",
    "a system's scores on a query of dev or test",
    {"query_id": TEXT, "part": TEXT, "system": TEXT, "group": TEXT},
    "a number a measure",
)
COMPARISON = Table(
    "15",
    "comparison.parquet",
    "a difference between two systems on the test; p is of no difference, and adjusted after Holm",
    {
        "difference": TEXT,
        "delta": NUMBER,
        "low": NUMBER,
        "high": NUMBER,
        "wins": INTEGER,
        "ties": INTEGER,
        "losses": INTEGER,
        "p": NUMBER,
        "p (Holm)": NUMBER,
    },
)
SLICES = Table(
    "15",
    "slices.parquet",
    "a slice of the test queries: proposed against production",
    {"slice": TEXT, "queries": INTEGER, "delta": NUMBER, "low": NUMBER, "high": NUMBER, "guardrail": FLAG},
    "p, p_holm and state of the guardrails",
)
CHOICES = Table(
    "15",
    "choices.parquet",
    "a setting of the tuned model's pipeline that was tried on dev",
    {"stage": TEXT, "setting": TEXT, "quality": NUMBER, "chosen": FLAG},
)
JUDGE_NEXT = Table(
    "15",
    "judge_next.parquet",
    "an unjudged document whose judgment would move the decision, by how much on its query, in random order",
    {"query_id": TEXT, "doc_id": TEXT, "moves": NUMBER, "query": TEXT, "document": TEXT},
)
RUNS = {"tuned": "tuned", "hybrid (tuned)": "tuned_hybrid", "pipeline (tuned)": "tuned_pipeline"}
"""By system the stem of its runs, as in step 05."""
