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
    agree, at_s = 0, 0
    total = 0.0
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    for depth in range(1, n + 1):
        beyond = 0.0
        seen_long.add(long[depth - 1])
        if depth <= s:
            seen_short.add(short[depth - 1])
        agree = len(seen_short & seen_long)
        if depth <= s:
            at_s = agree
        else:
            # What the short list would have named below its end is supposed to agree as often as before.
            beyond = at_s * (depth - s) / s
        total += (agree + beyond) / depth * p**depth
    # Below the long list's end, too, both are supposed to go on agreeing as they did.
    agreement_at_end = (agree - at_s) / n + at_s / s
    return (1 - p) / p * total + agreement_at_end * p**n


def agreement(before: pd.DataFrame, after: pd.DataFrame, k: int = 10, p: float = PERSISTENCE) -> pd.DataFrame:
    """Return ``overlap`` (share of the top ``k`` in both) and ``rbo`` by query id, for two runs."""
    first, second = _ranked(before), _ranked(after)
    rows = {}
    for query_id in sorted(first.keys() | second.keys()):
        one, two = first.get(query_id, []), second.get(query_id, [])
        top_one, top_two = one[:k], two[:k]
        shared = set(top_one) & set(top_two)
        # A run may hold fewer than k documents of a query, or none; two such lists can still be the same.
        longest = max(len(top_one), len(top_two), 1)
        rows[query_id] = {"overlap": len(shared) / longest, "rbo": rbo(one, two, p)}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["overlap", "rbo"])
    return table.rename_axis("query_id")


def _ranked(run: pd.DataFrame) -> dict[str, list[str]]:
    """Return the documents of each query, best first."""
    by_query = trec_order(run).groupby("query_id")["doc_id"]
    return {str(query_id): ids.tolist() for query_id, ids in by_query}


def first_results(run: pd.DataFrame, query_ids: Sequence[str], k: int) -> pd.Series:
    """Return the ids of the first ``k`` documents of each query, best first; none where the run has none."""
    top = trec_order(run).groupby("query_id").head(k)
    shown = top.groupby("query_id")["doc_id"].agg(tuple).to_dict()
    return pd.Series({query_id: shown.get(query_id, ()) for query_id in query_ids}, dtype=object)
