"""Hybrid search: two runs fused by rank or by score."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from embedlab.data.trec import trec_order
from embedlab.retrieval.base import DEPTH, top_k

RRF_K = 60

WEIGHTS = tuple(round(0.1 * i, 1) for i in range(11))


def fuse_ranks(*runs: pd.DataFrame, k: int = DEPTH) -> pd.DataFrame:
    """Fuse runs by reciprocal rank, ``sum 1 / (60 + rank)`` (Cormack et al. 2009)."""
    parts = []
    for run in runs:
        ordered = trec_order(run)
        rank = ordered.groupby("query_id").cumcount() + 1
        parts.append(ordered.assign(score=1.0 / (RRF_K + rank)))
    joined = pd.concat(parts).groupby(["query_id", "doc_id"])["score"].sum().reset_index()
    return top_k(joined, k)


def fuse_scores(dense: pd.DataFrame, lexical: pd.DataFrame, weight: float, k: int = DEPTH) -> pd.DataFrame:
    """Fuse two runs by ``weight · dense + (1 - weight) · lexical``.

    Scores are first scaled to 0..1 for each query; a document missing from a run has 0 there.
    """
    scaled = [_scale(dense).assign(w=weight), _scale(lexical).assign(w=1 - weight)]
    joined = pd.concat(scaled)
    joined["score"] = joined["score"] * joined["w"]
    return top_k(joined.groupby(["query_id", "doc_id"])["score"].sum().reset_index(), k)


def _scale(run: pd.DataFrame) -> pd.DataFrame:
    groups = run.groupby("query_id")["score"]
    low, high = groups.transform("min"), groups.transform("max")
    return run.assign(score=((run["score"] - low) / (high - low).where(high > low, 1.0)).where(high > low, 1.0))


def best_weight(
    dense: pd.DataFrame, lexical: pd.DataFrame, quality: Callable[[pd.DataFrame], float]
) -> tuple[float, dict[float, float]]:
    """Return the weight of the best fused run, and the quality at every weight tried (0, .1, … 1).

    Choose it on dev, never on the test. The lowest weight wins among equals.
    """
    values = {w: quality(fuse_scores(dense, lexical, w)) for w in WEIGHTS}
    return max(values, key=lambda w: values[w]), values
