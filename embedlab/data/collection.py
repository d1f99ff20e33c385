"""A test collection: corpus, queries and graded judgments, in BEIR's terms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pandas as pd

PARTS = ("train", "dev", "test")

FINDING_COLUMNS = ["kind", "level", "where", "id", "detail"]


@dataclass
class Collection:
    """Corpus, queries and judgments.

    Attributes:
        corpus: ``doc_id, title, text`` and metadata columns, one row a document.
        queries: ``query_id, text, part, group`` and metadata columns, one row a query.
        qrels: ``query_id, doc_id, relevance`` (graded integers, 0 = judged irrelevant).
        unit: ``group`` or ``query``: what was kept together when parts were made.
        documentation: ``text, doc_ids, kind, provenance``: further training texts that are
            no queries, each about the documents named.
        findings: what was noticed on loading, in the columns of :class:`Finding`.
        notice: the copyright notice to print where the data is shown.
        parted_by: who made the parts: ``embedlab``, ``collection`` (its own) or ``date``.
    """

    corpus: pd.DataFrame
    queries: pd.DataFrame
    qrels: pd.DataFrame
    unit: str = "group"
    documentation: pd.DataFrame | None = None
    findings: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=FINDING_COLUMNS))
    notice: str = ""
    parted_by: str = "embedlab"

    def part(self, *names: str) -> Collection:
        """Return the same corpus with the queries and judgments of these parts only."""
        queries = self.queries[self.queries["part"].isin(names)].reset_index(drop=True)
        keep = self.qrels["query_id"].isin(queries["query_id"])
        qrels = self.qrels[keep].reset_index(drop=True)
        return replace(self, queries=queries, qrels=qrels)

    def document_texts(self) -> pd.Series:
        """Return what a retriever sees of each document: title and text, by document id."""
        joined = (self.corpus["title"] + " " + self.corpus["text"]).str.strip()
        # As a plain array, for pandas would look the ids up among the row numbers of a Series.
        return pd.Series(joined.to_numpy(), index=self.corpus["doc_id"].to_numpy())

    def query_texts(self) -> pd.Series:
        """Return the query texts by query id."""
        return pd.Series(self.queries["text"].to_numpy(), index=self.queries["query_id"].to_numpy())

    def relevant(self) -> dict[str, set[str]]:
        """Return the ids of relevant documents (relevance 1 or more) by query id."""
        rows = self.qrels[self.qrels["relevance"] >= 1]
        found: dict[str, set[str]] = {}
        for query_id, doc_ids in rows.groupby("query_id")["doc_id"]:
            found[str(query_id)] = set(doc_ids)
        return found

    def relevant_pairs(self) -> set[tuple[str, str]]:
        """Return every query id with each of its relevant documents' ids."""
        rows = self.qrels[self.qrels["relevance"] >= 1]
        return set(zip(rows["query_id"], rows["doc_id"], strict=True))

    def groups(self) -> dict[str, str]:
        """Return the group of each query by its id: what is not independent of one another."""
        return dict(zip(self.queries["query_id"], self.queries["group"], strict=True))

    def metadata_fields(self) -> list[str]:
        """Return the fields that documents and queries share: those a filter could use."""
        # Texts and ids say nothing a filter could share; the others say how the parts were made.
        known = {"doc_id", "query_id", "title", "text", "part", "group", "created", "family"}
        shared = set(self.queries.columns) - known
        return [column for column in self.corpus.columns if column in shared]
