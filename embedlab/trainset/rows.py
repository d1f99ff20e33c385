"""The canonical training store: one row a query, from raw rows to audited positives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.raw import Finding
from embedlab.data.text import stable_hash
from embedlab.trainset.schema import COLUMNS
from embedlab.trainset.sources.examples import Example, merged

JUDGED, JUDGED_NEGATIVE = "judged query", "judged"

REMOVED = ["query_id", "text", "reason", "other", "evidence"]


def judged_rows(collection: Collection) -> pd.DataFrame:
    """Return a row for each judged query: positives have its highest grade, judged negatives grade 0."""
    zero = collection.qrels[collection.qrels["relevance"] < 1]
    wrong: dict[str, list[dict[str, Any]]] = {}
    for query_id, doc_id, grade in zero[["query_id", "doc_id", "relevance"]].itertuples(index=False):
        wrong.setdefault(query_id, []).append({"id": doc_id, "miner": JUDGED_NEGATIVE, "score": float(grade)})
    qrels = collection.qrels[collection.qrels["relevance"] >= 1]
    top = qrels[qrels["relevance"] == qrels.groupby("query_id")["relevance"].transform("max")]
    positives = top.groupby("query_id")["doc_id"].agg(sorted)
    known = qrels.groupby("query_id")["doc_id"].agg(sorted)
    queries = collection.queries[collection.queries["query_id"].isin(positives.index)]
    rows = _store(
        queries["query_id"],
        queries["text"],
        queries["query_id"].map(positives),
        queries["query_id"].map(known),
        JUDGED,
        "judgments of " + queries["query_id"],
        queries["group"],
    )
    rows["negatives"] = pd.Series([wrong.get(q, []) for q in rows["query_id"]], dtype=object)
    return rows


def group_of_documents(judged: pd.DataFrame, relatives: Mapping[str, str]) -> dict[str, str]:
    """Return the group that each document stands in: that of its queries, or of its relatives' queries."""
    pairs = judged.explode("positive_ids").drop_duplicates("positive_ids")
    found = dict(zip(pairs["positive_ids"], pairs["group"], strict=True))
    families = {relatives[d]: group for d, group in found.items() if d in relatives}
    return {d: families[family] for d, family in relatives.items() if family in families} | found


def documentation_rows(documentation: pd.DataFrame, group_of: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each documentation text, in the group of the first document it describes."""
    return _store(
        [f"doc-{i:05d}" for i in range(len(documentation))],
        documentation["text"],
        documentation["doc_ids"].map(list),
        documentation["doc_ids"].map(list),
        documentation["kind"],
        documentation["provenance"],
        [group_of.get(ids[0], f"document {ids[0]}") for ids in documentation["doc_ids"]],
    )


def example_rows(examples: Iterable[Example], group_of: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each query of a source, in the group of the first document it names.

    Examples of one kind with the same text become one row. The id depends on kind and text alone.
    """
    found = merged(examples)
    rows = _store(
        [f"{e.kind.replace(' ', '-')}-{stable_hash(e.kind, e.query):016x}" for e in found],
        [e.query for e in found],
        [e.positives for e in found],
        [sorted({*e.positives, *e.known}) for e in found],
        [e.kind for e in found],
        [e.where for e in found],
        [group_of.get(e.positives[0], f"document {e.positives[0]}") for e in found],
    )
    rows["negatives"] = pd.Series([e.negatives for e in found], dtype=object)
    return rows.assign(weight=[e.weight for e in found])


def with_reviews(judged: pd.DataFrame, weights: Mapping[str, float], where: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return judged rows in which reviewed queries have their weight, and the reviewed queries that are no rows.

    Args:
        judged: rows of the train part.
        weights: weight by query id, as ``curated.reviewed`` reads them.
        where: the file, for provenance.
    """
    seen = judged["query_id"].isin(set(weights))
    rows = judged.assign(weight=judged["query_id"].map(weights).fillna(judged["weight"]).astype(float))
    rows["provenance"] = rows["provenance"].where(~seen, rows["provenance"] + f", reviewed in {where}")
    others = pd.DataFrame({"query_id": sorted(set(weights) - set(judged["query_id"])), "text": ""}, dtype=str)
    why = ["not in the train part: it stays for evaluation, or is unknown"] * len(others)
    return rows, removal(others, "reviewed, but no training query", [where] * len(others), why)


def unusable(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return rows of a source's file that cannot be used as removals: place, reason and what is wrong."""
    rows = [(f.where, "", f.kind, f.id, f"{f.where}: {f.detail}") for f in findings]
    return pd.DataFrame(rows, columns=REMOVED, dtype=str)


def _store(
    ids: Iterable[str],
    texts: Iterable[str],
    positives: Iterable[list[str]],
    known: Iterable[list[str]],
    source: str | Iterable[str],
    provenance: Iterable[str],
    groups: Iterable[str],
) -> pd.DataFrame:
    frame = pd.DataFrame({"query_id": list(ids), "text": list(texts)}, dtype=str)
    frame["positive_ids"] = pd.Series(list(positives), dtype=object)
    frame["known_ids"] = pd.Series(list(known), dtype=object)
    frame["negatives"] = pd.Series([[] for _ in range(len(frame))], dtype=object)
    kinds = [source] * len(frame) if isinstance(source, str) else list(source)
    for name, values in (("source", kinds), ("provenance", list(provenance)), ("group", list(groups))):
        frame[name] = pd.Series(values, dtype=str)
    return frame.assign(part=pd.Series([""] * len(frame), dtype=str), weight=1.0)[COLUMNS]


def removal(rows: pd.DataFrame, reason: str, other: Iterable[str], evidence: Iterable[str]) -> pd.DataFrame:
    """Return rows that leave the store, with the reason, the other row involved and the evidence."""
    found = {"query_id": rows["query_id"], "text": rows["text"], "reason": reason}
    return pd.DataFrame({**found, "other": list(other), "evidence": list(evidence)}, columns=REMOVED).astype(str)


def removals(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return all removals in one table, empty with its columns where there are none."""
    return pd.concat([pd.DataFrame(columns=REMOVED, dtype=str), *parts], ignore_index=True).astype(str)


def cap_per_document(rows: pd.DataFrame, cap: int, seed: int) -> set[str]:
    """Return ids of rows to keep so that no document has more than ``cap``; which depends on the seed."""
    counts: Counter[str] = Counter()
    keep = set()
    order = rows.assign(order=[stable_hash("rows", seed, q) for q in rows["query_id"]]).sort_values("order")
    for query_id, positives in zip(order["query_id"], order["positive_ids"], strict=True):
        if all(counts[d] < cap for d in positives):
            counts.update(positives)
            keep.add(str(query_id))
    return keep
