"""Which part a query belongs to: a pure function of its group's name and the seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from embedlab.data.text import stable_hash

TEST_SHARE, DEV_SHARE = 0.24, 0.12
"""Shares of the groups that go to test and dev."""

FEWEST_QUERIES, FEWEST_GROUPS = 30, 10
"""Of the test, where they can be had: no verdict of fewer can be SHIP."""

MOST_TEST = 0.5
"""Largest share of the groups that goes to the test to reach them."""

LARGE_GROUP = 0.1
"""A group with more than this share of all queries goes to training."""


def assign_parts(group: pd.Series, seed: int, shares: dict[str, float] | None = None) -> pd.Series:
    """Return the part of every query: ``test``, ``dev`` or ``train``.

    Groups are put in an order that depends on their name and the seed alone; the first
    24 % are test (more where there are few, see :func:`test_share`), the next 12 % dev. Groups with over a tenth of
    the queries are training.

    Args:
        group: group name by query id.
        seed: chooses the order.
        shares: part to share of the groups, in order; the rest is ``train``.
    """
    sizes = Counter(group)
    # Among fewer than ten queries a tenth is less than one, and a group of one query is never large.
    largest = max(1.0, LARGE_GROUP * len(group))
    names = [name for name in sizes if sizes[name] <= largest]
    names.sort(key=lambda name: stable_hash(seed, name))
    if shares is None:
        shares = {"test": test_share([sizes[name] for name in names]), "dev": DEV_SHARE}
    part_of: dict[str, str] = {}
    start = 0
    for part, share in shares.items():
        # Rounded up, so that few groups still give each part one. Whole thousandths first, so that a
        # product such as 0.07 * 100, which floats make a hair more than 7, does not become 8.
        thousandths = int(share * len(names) * 1000)
        stop = start + -(-thousandths // 1000)
        part_of |= dict.fromkeys(names[start:stop], part)
        start = stop
    return group.map(lambda name: part_of.get(name, "train"))


def test_share(sizes: Sequence[int]) -> float:
    """Return the share of the groups that goes to the test.

    24 %, and more where that would be under ten groups or, at their mean size, under thirty queries, of which no
    verdict can be SHIP: as many as it takes. Where half of all would not do, nothing is won, and 24 % stay.

    Args:
        sizes: queries of each group.
    """
    if not sizes:
        return TEST_SHARE
    mean = sum(sizes) / len(sizes)
    needed = max(FEWEST_GROUPS, math.ceil(FEWEST_QUERIES / mean)) / len(sizes)
    return max(TEST_SHARE, needed) if needed <= MOST_TEST else TEST_SHARE


def cap_per_document(queries: pd.DataFrame, qrels: pd.DataFrame, cap: int, seed: int) -> set[str]:
    """Return the ids of queries to keep so that no document has more than ``cap`` of them.

    A query counts for its documents of highest grade; which are kept depends on id and seed.
    """
    best = qrels.groupby("query_id")["relevance"].transform("max")
    is_best = qrels["relevance"] == best
    is_asked = qrels["query_id"].isin(queries["query_id"])
    top = qrels[is_best & is_asked]
    documents = top.groupby("query_id")["doc_id"].agg(list).to_dict()
    counts: Counter[str] = Counter()
    keep = set()
    order = sorted(queries["query_id"], key=lambda query_id: stable_hash("cap", seed, query_id))
    for query_id in order:
        # A query without a judgment has no document to crowd, so it is kept.
        answers = documents.get(query_id, [])
        if all(counts[doc_id] < cap for doc_id in answers):
            counts.update(answers)
            keep.add(query_id)
    return keep
