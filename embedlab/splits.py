"""Which part a query belongs to: a pure function of content and seed, over groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from embedlab.text import Groups, near_duplicates, stable_hash

TEST_SHARE, DEV_SHARE = 0.24, 0.12
"""Shares of the groups that go to test and dev."""

LARGE_GROUP = 0.1
"""A group with more than this share of all queries goes to training."""

GLUED = 0.5
"""Where one group holds more than this share of all queries, the unit is the query."""


@dataclass(frozen=True)
class Grouping:
    """The group of every query and what a group is here.

    ``unit`` is ``group`` (queries that share documents, families or near-duplicates stay
    together) or ``query`` (a query with its near-duplicates: new queries over known documents).
    """

    group: pd.Series
    unit: str
    largest_share: float


def group_queries(corpus: pd.DataFrame, queries: pd.DataFrame, qrels: pd.DataFrame) -> Grouping:
    """Group queries that share a relevant document, a family, or a near-duplicate of either.

    Args:
        corpus: ``doc_id, title, text`` and, where documents form families, ``family``.
        queries: ``query_id, text``.
        qrels: ``query_id, doc_id, relevance``; relevance of 1 or more counts.
    """
    near = _near_queries(queries)
    groups = Groups()
    for family in near:
        groups.join(family)
    relevant = qrels[qrels["relevance"] >= 1]
    for query_id, doc_id in zip(relevant["query_id"], relevant["doc_id"], strict=True):
        groups.join([("q", query_id), ("d", doc_id)])
    bodies = (corpus["title"] + " " + corpus["text"]).tolist()
    doc_ids = corpus["doc_id"].tolist()
    for clique in near_duplicates(bodies):
        groups.join(("d", doc_ids[i]) for i in clique)
    if "family" in corpus:
        for doc_id, family_name in zip(doc_ids, corpus["family"], strict=True):
            groups.join([("d", doc_id), ("f", family_name)])
    named = _name(queries, groups)
    largest = max(Counter(named).values(), default=0) / max(len(named), 1)
    if largest <= GLUED:
        return Grouping(named, "group", largest)
    return Grouping(query_groups(queries, near), "query", largest)


def query_groups(queries: pd.DataFrame, near: list[list[tuple[str, str]]] | None = None) -> pd.Series:
    """Group queries with their near-duplicates alone; a Series over query ids."""
    groups = Groups()
    for members in near if near is not None else _near_queries(queries):
        groups.join(members)
    return _name(queries, groups)


def _near_queries(queries: pd.DataFrame) -> list[list[tuple[str, str]]]:
    ids = queries["query_id"].tolist()
    return [[("q", ids[i]) for i in clique] for clique in near_duplicates(queries["text"].tolist())]


def _name(queries: pd.DataFrame, groups: Groups) -> pd.Series:
    """Name each group after its smallest query id, so that the name depends on content alone."""
    roots = {q: groups.find(("q", q)) for q in queries["query_id"]}
    names: dict[object, str] = {}
    for query_id in sorted(roots):
        names.setdefault(roots[query_id], query_id)
    return pd.Series({q: names[root] for q, root in roots.items()}, dtype=str)


def assign_parts(group: pd.Series, seed: int, shares: dict[str, float] | None = None) -> pd.Series:
    """Return the part of every query: ``test``, ``dev`` or ``train``.

    Groups are put in an order that depends on their name and the seed alone; the first
    24 % are test, the next 12 % dev. Groups with over a tenth of the queries are training.

    Args:
        group: group name by query id.
        seed: chooses the order.
        shares: part to share of the groups, in order; the rest is ``train``.
    """
    shares = {"test": TEST_SHARE, "dev": DEV_SHARE} if shares is None else shares
    sizes = Counter(group)
    names = [n for n in sizes if sizes[n] <= max(1.0, LARGE_GROUP * len(group))]
    names.sort(key=lambda name: stable_hash(seed, name))
    part_of: dict[str, str] = {}
    start = 0
    for part, share in shares.items():
        stop = start + -(-int(share * len(names) * 1000) // 1000)
        part_of |= dict.fromkeys(names[start:stop], part)
        start = stop
    return group.map(lambda name: part_of.get(name, "train"))


def cap_per_document(queries: pd.DataFrame, qrels: pd.DataFrame, cap: int, seed: int) -> set[str]:
    """Return the ids of queries to keep so that no document has more than ``cap`` of them.

    A query counts for its documents of highest grade; which are kept depends on id and seed.
    """
    best = qrels.groupby("query_id")["relevance"].transform("max")
    top = qrels[(qrels["relevance"] == best) & qrels["query_id"].isin(queries["query_id"])]
    documents = top.groupby("query_id")["doc_id"].agg(list).to_dict()
    counts: Counter[str] = Counter()
    keep = set()
    for query_id in sorted(queries["query_id"], key=lambda q: stable_hash("cap", seed, q)):
        if all(counts[d] < cap for d in documents.get(query_id, [])):
            counts.update(documents.get(query_id, []))
            keep.add(query_id)
    return keep
