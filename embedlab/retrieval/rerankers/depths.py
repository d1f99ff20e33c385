"""How deep to rerank: what each depth gains, and what a perfect order could."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from embedlab.data.trec import trec_order
from embedlab.errors import ParameterError
from embedlab.retrieval.base import Reranker, top_k
from embedlab.retrieval.rerankers.late import rerank


def rerank_depths(
    queries: pd.Series,
    run: pd.DataFrame,
    reranker: Reranker,
    depths: Sequence[int],
    weights: Sequence[float],
    quality: Callable[[pd.DataFrame], float],
) -> pd.DataFrame:
    """Return what reranking to each depth with each weight is worth; every pair is scored once.

    Args:
        queries: texts by query id.
        run: the first stage, at least as deep as the deepest.
        reranker: scores pairs anew; a pair's score must not depend on the other pairs.
        depths: documents of each query that are reranked.
        weights: shares of the new score, as for :func:`rerank`.
        quality: of a run; the more the better.

    Returns:
        ``depth, weight, quality, pairs``: one row for each depth and weight, in the order given; ``pairs`` is how
        many the reranker must score for this depth, to which its time is in proportion.

    Raises:
        ParameterError: if there is no depth or no weight, or a depth is not 1 or more.
    """
    if not depths or not weights or min(depths) < 1:
        raise ParameterError(
            f"depths must be whole numbers of 1 or more and weights some numbers, found {list(depths)} and "
            f"{list(weights)}"
        )
    fresh = reranker.scores(queries, top_k(run, max(depths)))
    rows = []
    for depth in depths:
        pairs = len(top_k(run, depth))
        for weight in weights:
            rows.append((depth, weight, quality(rerank(run, fresh, weight, depth)), pairs))
    return pd.DataFrame(rows, columns=["depth", "weight", "quality", "pairs"])


def oracle_rerank(run: pd.DataFrame, qrels: pd.DataFrame, depth: int) -> pd.DataFrame:
    """Return the run with the relevant documents of each query's first ``depth`` in front: no reranker can do better.

    Args:
        run: the first stage.
        qrels: ``query_id, doc_id, relevance``; higher grades come first, equal ones in the order of the run.
        depth: documents of each query that may be put in a new order; the others keep theirs below.
    """
    ordered = trec_order(run)
    grades = ordered.merge(qrels[["query_id", "doc_id", "relevance"]], on=["query_id", "doc_id"], how="left")
    # A merge from the left keeps the order of the run.
    rank = ordered.groupby("query_id").cumcount() + 1
    grade = grades["relevance"].fillna(0).clip(lower=0).where(rank <= depth, -1)
    best = ordered.assign(grade=grade, rank=rank).sort_values(
        ["query_id", "grade", "rank"], ascending=[True, False, True], kind="stable"
    )
    place = best.groupby("query_id").cumcount() + 1
    return trec_order(best.assign(score=-place.astype(float))[["query_id", "doc_id", "score"]])
