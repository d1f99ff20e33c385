"""The canonical training store: one row a query, from raw rows to audited positives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from embedlab.collection import Collection
from embedlab.schema import COLUMNS
from embedlab.sources.examples import Example, merged
from embedlab.sources.raw import Finding
from embedlab.text import near_duplicates, stable_hash

JUDGED, JUDGED_NEGATIVE = "judged query", "judged"
REMOVED = ["query_id", "query", "reason", "other", "evidence"]


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
    others = pd.DataFrame({"query_id": sorted(set(weights) - set(judged["query_id"])), "query": ""}, dtype=str)
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
    frame = pd.DataFrame({"query_id": list(ids), "query": list(texts)}, dtype=str)
    frame["positive_ids"] = pd.Series(list(positives), dtype=object)
    frame["known_ids"] = pd.Series(list(known), dtype=object)
    frame["negatives"] = pd.Series([[] for _ in range(len(frame))], dtype=object)
    kinds = [source] * len(frame) if isinstance(source, str) else list(source)
    for name, values in (("source", kinds), ("provenance", list(provenance)), ("group", list(groups))):
        frame[name] = pd.Series(values, dtype=str)
    return frame.assign(split=pd.Series([""] * len(frame), dtype=str), weight=1.0)[COLUMNS]


def removal(rows: pd.DataFrame, reason: str, other: Iterable[str], evidence: Iterable[str]) -> pd.DataFrame:
    """Return rows that leave the store, with the reason, the other row involved and the evidence."""
    found = {"query_id": rows["query_id"], "query": rows["query"], "reason": reason}
    return pd.DataFrame({**found, "other": list(other), "evidence": list(evidence)}, columns=REMOVED).astype(str)


def removals(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return all removals in one table, empty with its columns where there are none."""
    return pd.concat([pd.DataFrame(columns=REMOVED, dtype=str), *parts], ignore_index=True).astype(str)


def near_held_out(rows: pd.DataFrame, guard: pd.DataFrame) -> dict[str, str]:
    """Return query id to held-out query id for rows that nearly repeat a held-out query."""
    texts, count = [*guard["text"], *rows["query"]], len(guard)
    found: dict[str, str] = {}
    for clique in near_duplicates(texts):
        held = [i for i in clique if i < count]
        for position in (i - count for i in clique if i >= count and held):
            found[str(rows["query_id"].iloc[position])] = str(guard["query_id"].iloc[held[0]])
    return found


def held_documents(guard: pd.DataFrame, relatives: Mapping[str, str]) -> set[str]:
    """Return the documents of held-out queries and all their relatives."""
    direct = {d for ids in guard["doc_ids"] for d in ids}
    families = {relatives[d] for d in direct if d in relatives}
    return direct | {d for d, family in relatives.items() if family in families}


def about_held_out(rows: pd.DataFrame, held: set[str]) -> pd.Series:
    """Return whether a row answers with a held-out document, lower grades included."""
    both = zip(rows["positive_ids"], rows["known_ids"], strict=True)
    return pd.Series([bool(held & {*p, *k}) for p, k in both], index=rows.index, dtype=bool)


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


def beyond_both(rows: pd.DataFrame, runs: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return ``query_id, query, doc_id`` of positives that no run found at its depth."""
    pairs = rows[["query_id", "query", "positive_ids"]].explode("positive_ids")
    pairs = pairs.rename(columns={"positive_ids": "doc_id"})
    found = {key for run in runs for key in zip(run["query_id"], run["doc_id"], strict=True)}
    missed = [key not in found for key in zip(pairs["query_id"], pairs["doc_id"], strict=True)]
    return pairs[missed].reset_index(drop=True)


def unusable_positives(rows: pd.DataFrame, documents: Mapping[str, str]) -> pd.DataFrame:
    """Return ``query_id, doc_id, reason, evidence`` of positives that are no document, or a blank one."""
    pairs = rows[["query_id", "positive_ids"]].explode("positive_ids").rename(columns={"positive_ids": "doc_id"})
    texts = pairs["doc_id"].map(lambda d: documents.get(d))
    found = pairs[texts.isna() | (texts.fillna("").str.strip() == "")]
    evidence = ["blank" if d in documents else "unknown" for d in found["doc_id"]]
    return found.assign(reason="no usable document", evidence=evidence).reset_index(drop=True)


def drop_positives(rows: pd.DataFrame, unwanted: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take positives out of their rows; a row that has no other leaves.

    Args:
        rows: the store.
        unwanted: ``query_id, doc_id, reason, evidence``.

    Returns:
        the rows that stay, and a removal for each positive that was taken out, ``other`` its document.
    """
    out = set(zip(unwanted["query_id"], unwanted["doc_id"], strict=True))
    both = zip(rows["query_id"], rows["positive_ids"], strict=True)
    left = pd.Series([[d for d in ids if (q, d) not in out] for q, ids in both], index=rows.index, dtype=object)
    texts = dict(zip(rows["query_id"], rows["query"], strict=True))
    named = unwanted.assign(query=unwanted["query_id"].map(texts))
    removed = [removal(part, str(why), part["doc_id"], part["evidence"]) for why, part in named.groupby("reason")]
    return rows.assign(positive_ids=left)[left.map(len) > 0].reset_index(drop=True), removals(removed)
