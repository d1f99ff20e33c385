"""How far two rankings of the same query agree."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from embedlab.data.trec import trec_order

PERSISTENCE = 0.9
"""RBO's p: the first 10 ranks carry 86 % of the weight."""


def rbo(first: Sequence[str], second: Sequence[str], p: float = PERSISTENCE) -> float:
    """Return the extrapolated rank-biased overlap of two rankings, 0 to 1 (1 = the same ranking).

    Equation 32 of Webber, Moffat and Zobel, "A Similarity Measure for Indefinite Rankings",
    TOIS 28(4), 2010; the lists may differ in length. Two empty lists agree fully.

    Args:
        first: document ids, best first, none twice.
        second: likewise.
        p: persistence: how far down a reader looks, above 0 and below 1.
    """
    short, long = sorted((list(first), list(second)), key=len)
    if not short:
        return 1.0 if not long else 0.0
    s, n = len(short), len(long)
    agree, total = 0, 0.0
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    at_s = 0
    for depth in range(1, n + 1):
        new = set(short[depth - 1 : depth])
        seen_short |= new
        seen_long.add(long[depth - 1])
        agree = len(seen_short & seen_long)
        at_s = agree if depth <= s else at_s
        beyond = at_s * (depth - s) / s if depth > s else 0.0
        total += (agree + beyond) / depth * p**depth
    return (1 - p) / p * total + ((agree - at_s) / n + at_s / s) * p**n


def agreement(before: pd.DataFrame, after: pd.DataFrame, k: int = 10, p: float = PERSISTENCE) -> pd.DataFrame:
    """Return ``overlap`` (share of the top ``k`` in both) and ``rbo`` by query id, for two runs."""
    first, second = _ranked(before), _ranked(after)
    rows = {}
    for query_id in sorted(first.keys() | second.keys()):
        one, two = first.get(query_id, []), second.get(query_id, [])
        longest = max(len(one[:k]), len(two[:k]), 1)
        shared = set(one[:k]) & set(two[:k])
        rows[query_id] = {"overlap": len(shared) / longest, "rbo": rbo(one, two, p)}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["overlap", "rbo"]).rename_axis("query_id")


def _ranked(run: pd.DataFrame) -> dict[str, list[str]]:
    """Return the documents of each query, best first."""
    return {str(query_id): ids.tolist() for query_id, ids in trec_order(run).groupby("query_id")["doc_id"]}
