"""The canonical training store: one row a query, from raw rows to audited positives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Ids
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.raw import Finding
from embedlab.data.text import stable_hash
from embedlab.trainset.schema import STORE_COLUMNS
from embedlab.trainset.sources.examples import Example, merged

JUDGED, JUDGED_NEGATIVE = "judged query", "judged"

DTYPES: dict[str, Any] = {"positive_ids": object, "known_ids": object, "negatives": object, "weight": float}
"""Of the columns that hold no text: lists, and a number."""

REMOVED = ["query_id", "text", "reason", "other", "evidence"]


def judged_rows(collection: Collection) -> pd.DataFrame:
    """Return a row for each judged query: positives have its highest grade, judged negatives grade 0."""
    relevant = collection.qrels[collection.qrels["relevance"] >= 1]
    highest = relevant.groupby("query_id")["relevance"].transform("max")
    best = relevant[relevant["relevance"] == highest]
    positives = best.groupby("query_id")["doc_id"].agg(sorted)
    # Lower grades answer in part: too little for a positive, too much for a negative.
    known = relevant.groupby("query_id")["doc_id"].agg(sorted)
    wrong = _judged_negatives(collection.qrels)
    queries = collection.queries[collection.queries["query_id"].isin(positives.index)]
    return _store(
        query_id=queries["query_id"],
        text=queries["text"],
        positive_ids=queries["query_id"].map(positives),
        known_ids=queries["query_id"].map(known),
        negatives=[wrong.get(query_id, []) for query_id in queries["query_id"]],
        source=[JUDGED] * len(queries),
        provenance="judgments of " + queries["query_id"],
        group=queries["group"],
    )


def _judged_negatives(qrels: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return by query id what was judged irrelevant, as negatives of the store."""
    found: dict[str, list[dict[str, Any]]] = {}
    irrelevant = qrels.loc[qrels["relevance"] < 1, ["query_id", "doc_id", "relevance"]]
    for query_id, doc_id, grade in irrelevant.itertuples(index=False):
        found.setdefault(query_id, []).append({"id": doc_id, "miner": JUDGED_NEGATIVE, "score": float(grade)})
    return found


def group_of_documents(judged: pd.DataFrame, relatives: Mapping[str, str]) -> dict[str, str]:
    """Return the group that each document stands in: that of its queries, or of its relatives' queries."""
    pairs = judged.explode("positive_ids").drop_duplicates("positive_ids")
    of_queries = dict(zip(pairs["positive_ids"], pairs["group"], strict=True))
    of_families = {relatives[d]: group for d, group in of_queries.items() if d in relatives}
    of_relatives = {d: of_families[family] for d, family in relatives.items() if family in of_families}
    # A document's own queries count before those of its relatives.
    return of_relatives | of_queries


def documentation_rows(documentation: pd.DataFrame, group_of: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each documentation text, in the group of the first document it describes."""
    return _store(
        query_id=[f"doc-{i:05d}" for i in range(len(documentation))],
        text=documentation["text"],
        positive_ids=documentation["doc_ids"].map(list),
        known_ids=documentation["doc_ids"].map(list),
        source=documentation["kind"],
        provenance=documentation["provenance"],
        group=[_group_of_first(ids, group_of) for ids in documentation["doc_ids"]],
    )


def example_rows(examples: Iterable[Example], group_of: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each query of a source, in the group of the first document it names.

    Examples of one kind with the same text become one row. The id depends on kind and text alone.
    """
    found = merged(examples)
    return _store(
        query_id=[f"{e.kind.replace(' ', '-')}-{stable_hash(e.kind, e.query):016x}" for e in found],
        text=[e.query for e in found],
        positive_ids=[e.positives for e in found],
        known_ids=[sorted({*e.positives, *e.known}) for e in found],
        negatives=[e.negatives for e in found],
        source=[e.kind for e in found],
        provenance=[e.where for e in found],
        group=[_group_of_first(e.positives, group_of) for e in found],
        weight=[e.weight for e in found],
    )


def _group_of_first(ids: Sequence[str], group_of: Mapping[str, str]) -> str:
    return group_of.get(ids[0], f"document {ids[0]}")


def _store(**columns: Iterable[Any]) -> pd.DataFrame:
    """Return rows of the store in its order and types; what is not given is empty, and every weight 1."""
    given = {name: list(values) for name, values in columns.items()}
    count = len(given["query_id"])
    given.setdefault("negatives", [[] for _ in range(count)])
    given.setdefault("part", [""] * count)
    given.setdefault("weight", [1.0] * count)
    # Types are set even where there are no rows, which would have none of their own.
    store = {}
    for name in STORE_COLUMNS:
        store[name] = pd.Series(given[name], dtype=DTYPES.get(name, str))
    return pd.DataFrame(store)


def with_reviews(judged: pd.DataFrame, weights: Mapping[str, float], where: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return judged rows in which reviewed queries have their weight, and the reviewed queries that are no rows.

    Args:
        judged: rows of the train part.
        weights: weight by query id, as ``curated.reviewed`` reads them.
        where: the file, for provenance.
    """
    seen = judged["query_id"].isin(set(weights))
    weight = judged["query_id"].map(weights).fillna(judged["weight"])
    rows = judged.assign(weight=weight.astype(float))
    rows["provenance"] = rows["provenance"].where(~seen, rows["provenance"] + f", reviewed in {where}")
    missing = sorted(set(weights) - set(judged["query_id"]))
    others = pd.DataFrame({"query_id": missing, "text": ""}, dtype=str)
    why = ["not in the train part: it stays for evaluation, or is unknown"] * len(others)
    return rows, removal(others, "reviewed, but no training query", [where] * len(others), why)


def unusable(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return rows of a source's file that cannot be used as removals: place, reason and what is wrong."""
    rows = [(f.where, "", f.kind, f.id, f"{f.where}: {f.detail}") for f in findings]
    return pd.DataFrame(rows, columns=REMOVED, dtype=str)


def query_texts(rows: pd.DataFrame) -> pd.Series:
    """Return the text of each row's query by query id: what a retriever searches for."""
    return pd.Series(rows["text"].to_numpy(), index=rows["query_id"].to_numpy())


def removal(rows: pd.DataFrame, reason: str, other: Iterable[str] | str, evidence: Iterable[str] | str) -> pd.DataFrame:
    """Return rows that leave the store, with the reason, the other row involved and the evidence.

    Args:
        rows: ``query_id, text`` of those that leave.
        reason: in a few words, the same for all.
        other: ids of the row or documents involved, one a row; one text stands for all.
        evidence: likewise.
    """
    found = rows[["query_id", "text"]].assign(reason=reason)
    for name, told in (("other", other), ("evidence", evidence)):
        found[name] = told if isinstance(told, str) else list(told)
    return found[REMOVED].astype(str)


def removals(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return all removals in one table, empty with its columns where there are none."""
    nothing = pd.DataFrame(columns=REMOVED, dtype=str)  # `concat` refuses an empty list
    return pd.concat([nothing, *parts], ignore_index=True).astype(str)


def by_reason(removed: pd.DataFrame) -> pd.DataFrame:
    """Return how many were removed for each reason, the most frequent first, and one of them to look at.

    Args:
        removed: what :func:`removals` returns.

    Returns:
        ``reason`` (index), ``removed``, and of the first of them ``for example`` (its text) and ``evidence``.
    """
    of_each = removed.groupby("reason")
    found = of_each.agg(removed=("reason", "size"), example=("text", "first"), evidence=("evidence", "first"))
    return found.rename(columns={"example": "for example"}).sort_values("removed", ascending=False, kind="stable")


class RemovalList:
    """What left the store so far, in the order in which it left."""

    def __init__(self) -> None:
        self._parts: list[pd.DataFrame] = []

    def add(self, removed: pd.DataFrame) -> None:
        """Add what is listed already; see :func:`removal`."""
        self._parts.append(removed)

    def without(
        self,
        rows: pd.DataFrame,
        out: pd.Series,
        reason: str,
        evidence: pd.Series | str,
        other: pd.Series | str | None = None,
    ) -> pd.DataFrame:
        """Return the rows that stay, after listing those that leave.

        Args:
            rows: of the store.
            out: for each row whether it leaves.
            reason: in a few words, the same for all.
            evidence: for each row, or one text for all.
            other: likewise what else is involved; None for the row's positives.
        """
        gone = rows[out]
        if other is None:
            other = rows["positive_ids"].map(", ".join)
        told = [text if isinstance(text, str) else text[out] for text in (other, evidence)]
        self.add(removal(gone, reason, told[0], told[1]))
        return rows[~out]

    def count(self, reason: str) -> int:
        """Return how many left for this reason."""
        return int((self.table()["reason"] == reason).sum())

    def table(self) -> pd.DataFrame:
        """Return all of them as :func:`removals` does."""
        return removals(self._parts)


def lists_without(rows: pd.DataFrame, column: str, pairs: Ids[tuple[str, str]]) -> pd.Series:
    """Return a column of document ids without these pairs of query id and document id."""
    left = []
    for query_id, ids in zip(rows["query_id"], rows[column], strict=True):
        left.append([doc_id for doc_id in ids if (query_id, doc_id) not in pairs])
    return pd.Series(left, index=rows.index, dtype=object)


def cap_per_document(rows: pd.DataFrame, cap: int, seed: int) -> set[str]:
    """Return ids of rows to keep so that no document has more than ``cap``; which depends on the seed."""
    counts: Counter[str] = Counter()
    keep = set()
    # Rows come in an order drawn by the seed, so that no source fills a document because it stands first.
    drawn = [stable_hash("rows", seed, q) for q in rows["query_id"]]
    order = rows.assign(order=drawn).sort_values("order")
    for query_id, positives in zip(order["query_id"], order["positive_ids"], strict=True):
        if all(counts[d] < cap for d in positives):
            counts.update(positives)
            keep.add(str(query_id))
    return keep
