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
        corpus: ``doc_id, title, text`` and metadata columns (texts, or missing), one row a document.
        queries: ``query_id, text, part, group`` and metadata columns (likewise), one row a query.
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
        """Return the group of each query by its id: what is not independent of one another.

        Of several :meth:`groupings` it is the coarsest, the one with the fewest groups. The queries' column ``group``
        says what had to stay in one part, which is less where parts are by date.
        """
        return min(self.groupings().values(), key=lambda group_of: len(set(group_of.values())))

    def groupings(self) -> dict[str, dict[str, str]]:
        """Return by name every way in which queries come together, each the group by query id.

        Parts that are not by date have one way: ``group``. Where parts are by date, queries on either side share
        documents, so what came together is what was asked on the same day, of the same ``source`` where queries name
        one (``day``, or ``day and source``), and what asks for the same ``document``.
        """
        if self.parted_by != "date":
            return {"group": dict(zip(self.queries["query_id"], self.queries["group"], strict=True))}
        ids, day = self.queries["query_id"], self.queries["created"].astype(str).str[:10]
        together, name = day, "day"
        if "source" in self.queries:
            together, name = day + " " + self.queries["source"].fillna("").astype(str), "day and source"
        return {name: dict(zip(ids, together, strict=True)), "document": self._most_asked_documents()}

    def _most_asked_documents(self) -> dict[str, str]:
        """Return for each query the one of its best-graded documents that most queries have, by id among equals."""
        relevant = self.qrels[self.qrels["relevance"] >= 1]
        best = relevant[relevant["relevance"] == relevant.groupby("query_id")["relevance"].transform("max")]
        asked = best.assign(times=best.groupby("doc_id")["query_id"].transform("size"))
        asked = asked.sort_values(["times", "doc_id"], ascending=[False, True]).drop_duplicates("query_id")
        found = dict(zip(asked["query_id"], asked["doc_id"], strict=True))
        # A query without a relevant document comes with no other.
        return {query_id: found.get(query_id, f"query {query_id}") for query_id in self.queries["query_id"]}

    def document_fields(self) -> list[str]:
        """Return the fields that documents have and queries lack: a filter has to read their values off the query."""
        known = {"doc_id", "title", "text", "created", "family"}
        return [column for column in self.corpus.columns if column not in known and column not in self.queries.columns]

    def metadata_fields(self) -> list[str]:
        """Return the fields that documents and queries share: those a filter could use."""
        # Texts and ids say nothing a filter could share; the others say how the parts were made.
        known = {"doc_id", "query_id", "title", "text", "part", "group", "created", "family", "source"}
        shared = set(self.queries.columns) - known
        return [column for column in self.corpus.columns if column in shared]
