"""Step 01: the collection as this run sees it, its settings, and the queries that fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedlab.chain.artifacts.base import INTEGER, NUMBER, TEXT, TEXTS, Artifact, Table
from embedlab.files import sha256_json

if TYPE_CHECKING:
    from embedlab.data.collection import Collection


@dataclass(frozen=True)
class Settings(Artifact, step="01", file="settings.json"):
    """What all later steps share.

    Attributes:
        source: where the collection comes from.
        base_model: today's model: a packaged name, a folder or a hub id.
        seed: decides the parts and everything random.
        strict: whether any judgment that points nowhere stops the run.
        dev_from: first day of dev, blank where parts are by group.
        test_from: first day of test, likewise.
        unit: ``group`` or ``query``: what the parts keep together.
        parted_by: who made the parts: ``embedlab``, ``collection`` or ``date``.
        notice: the copyright notice to print where the data is shown.
        queries: number of queries by part.
        documents: number of documents.
        content: sha256 of corpus, queries and judgments.
        precision: ``float32``, ``bfloat16`` or ``float16``: what this run encodes in.
        device: ``cpu``, ``cuda`` or ``mps``: what encodes and trains.
    """

    source: str
    base_model: str
    seed: int
    strict: bool
    dev_from: str
    test_from: str
    unit: str
    parted_by: str
    notice: str
    queries: dict[str, int]
    documents: int
    content: str
    precision: str
    device: str

    @classmethod
    def of(cls, params: Mapping[str, Any], collection: Collection, precision: str, device: str) -> Settings:
        """Return the settings of step 01's parameters and of what was loaded."""
        shared = ("source", "base_model", "seed", "strict", "dev_from", "test_from")
        frames = (collection.corpus, collection.queries, collection.qrels)
        return cls(
            **{name: params[name] for name in shared},
            unit=collection.unit,
            parted_by=collection.parted_by,
            notice=collection.notice,
            queries={str(k): int(n) for k, n in collection.queries["part"].value_counts().items()},
            documents=len(collection.corpus),
            content=sha256_json([frame.to_csv(index=False) for frame in frames]),
            precision=precision,
            device=device,
        )


CORPUS = Table(
    "01", "corpus.parquet", "a document", {"doc_id": TEXT, "title": TEXT, "text": TEXT}, "metadata of the collection"
)
QUERIES = Table(
    "01",
    "queries.parquet",
    "a judged query",
    {"query_id": TEXT, "text": TEXT, "part": TEXT, "group": TEXT},
    "metadata of the collection",
)
QRELS = Table(
    "01",
    "qrels.parquet",
    "a judgment of train or dev; relevance 0 is judged irrelevant",
    {"query_id": TEXT, "doc_id": TEXT, "relevance": INTEGER},
)
QRELS_TEST = Table("01", "qrels_test.parquet", "a judgment of the sealed test", QRELS.columns)
FINDINGS = Table(
    "01",
    "findings.parquet",
    "something noticed on loading",
    {"kind": TEXT, "level": TEXT, "where": TEXT, "id": TEXT, "detail": TEXT},
)
DOCUMENTATION = Table(
    "01",
    "documentation.parquet",
    "a text about documents that is no query",
    {"text": TEXT, "doc_ids": TEXTS, "kind": TEXT, "provenance": TEXT},
)
DOCUMENT_FACTS = Table(
    "01",
    "document_facts.parquet",
    "a document: the name of its relatives (blank where it has none), and its near-duplicates",
    {"doc_id": TEXT, "relatives": TEXT, "near_duplicates": TEXTS},
)
FOLLOWED = Table(
    "01",
    "followed.parquet",
    "one of the three dev queries that every notebook follows: answered, missed, ambiguous",
    {"query_id": TEXT, "text": TEXT, "why": TEXT},
)
FAILURES = Table(
    "01",
    "failures.parquet",
    "a dev query without a relevant document among those shown; rank is that of the first relevant one",
    {"query_id": TEXT, "text": TEXT, "should find": TEXT, "rank": NUMBER},
    "a yes or no a slice",
)
