"""What a filter does to judged queries, before any search."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from embedlab.retrieval.filtering.filters import NONE, Filter, relevant_documents


@dataclass(frozen=True)
class FilterReport:
    """What a filter does to judged queries, before any search.

    Attributes:
        n_queries: with a relevant document.
        touched: share of them that the filter asks something of.
        ruined: share of the touched ones that can find no relevant document any more; 0 where none is touched.
        hurt: share of the touched ones that can find fewer of them, the ruined ones included.
        left: mean share of the corpus that touched queries may find; 1 where none is touched.
    """

    n_queries: int
    touched: float
    ruined: float
    hurt: float
    left: float


def filter_effects(where: Filter, qrels: pd.DataFrame, corpus: pd.DataFrame) -> pd.DataFrame:
    """Return what a filter leaves of the corpus and of each query's relevant documents, a row a judged query.

    Args:
        where: the filter.
        qrels: ``query_id, doc_id, relevance``; queries without a relevant document have no row.
        corpus: ``doc_id``.

    Returns:
        ``query_id, wanted`` (the values asked for, sorted and joined; blank: not filtered), ``left`` (share of the
        corpus), ``relevant`` and ``relevant_left`` (documents).
    """
    relevant = relevant_documents(qrels)
    left: dict[str, float] = {}
    query_ids = list(relevant)
    for positions, may in where.divided(query_ids, corpus["doc_id"].tolist()):
        left.update(dict.fromkeys((query_ids[position] for position in positions), float(may.mean())))
    rows = []
    for query_id, doc_ids in relevant.items():
        wanted = where.wanted.get(query_id)
        held = [where.values.get(doc_id, NONE) for doc_id in doc_ids]
        kept = sum(wanted is None or not wanted.isdisjoint(values) for values in held)
        rows.append((query_id, ", ".join(sorted(wanted or NONE)), left[query_id], len(doc_ids), kept))
    return pd.DataFrame(rows, columns=["query_id", "wanted", "left", "relevant", "relevant_left"])


def filter_report(where: Filter, qrels: pd.DataFrame, corpus: pd.DataFrame) -> FilterReport:
    """Return how many queries a filter touches, how many of these it ruins, and what it leaves; arguments as above."""
    effects = filter_effects(where, qrels, corpus)
    touched = effects[effects["query_id"].isin(list(where.wanted))]
    if touched.empty:
        return FilterReport(len(effects), touched=0.0, ruined=0.0, hurt=0.0, left=1.0)
    return FilterReport(
        n_queries=len(effects),
        touched=len(touched) / len(effects),
        ruined=float((touched["relevant_left"] == 0).mean()),
        hurt=float((touched["relevant_left"] < touched["relevant"]).mean()),
        left=float(touched["left"].mean()),
    )
