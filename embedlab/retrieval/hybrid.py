"""Hybrid search: two runs fused by rank or by score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from embedlab.data.trec import trec_order
from embedlab.retrieval.base import DEPTH, top_k

# The value of the paper; the larger it is, the less the first ranks stand out.
RRF_K = 60

# Rounded, for 0.1 * 3 is not 0.3 in floating point, and a weight is shown and looked up.
WEIGHTS = tuple(round(0.1 * i, 1) for i in range(11))


def fuse_ranks(*runs: pd.DataFrame, k: int = DEPTH) -> pd.DataFrame:
    """Fuse runs by reciprocal rank, ``sum 1 / (60 + rank)`` (Cormack et al. 2009)."""
    parts = []
    for run in runs:
        ordered = trec_order(run)
        rank = ordered.groupby("query_id").cumcount() + 1
        parts.append(ordered.assign(score=1.0 / (RRF_K + rank)))
    return _summed(parts, k)


def fuse_scores(dense: pd.DataFrame, lexical: pd.DataFrame, weight: float, k: int = DEPTH) -> pd.DataFrame:
    """Fuse two runs by ``weight · dense + (1 - weight) · lexical``.

    Scores are first scaled to 0..1 for each query; a document missing from a run has 0 there.
    """
    return fuse_weighted([dense, lexical], [weight, 1 - weight], k)


def fuse_weighted(runs: Sequence[pd.DataFrame], weights: Sequence[float], k: int = DEPTH) -> pd.DataFrame:
    """Fuse runs by the weighted sum of their scores, scaled as by :func:`fuse_scores`."""
    parts = []
    for run, share in zip(runs, weights, strict=True):
        scaled = _scale(run)
        parts.append(scaled.assign(score=scaled["score"] * share))
    return _summed(parts, k)


def _summed(parts: Sequence[pd.DataFrame], k: int) -> pd.DataFrame:
    """Return the best ``k`` documents of each query by the sum of their scores in several runs."""
    total = pd.concat(parts).groupby(["query_id", "doc_id"])["score"].sum()
    return top_k(total.reset_index(), k)


def _scale(run: pd.DataFrame) -> pd.DataFrame:
    """Return a run with the scores of each query scaled to 0..1; where all are equal they become 1."""
    scores = run.groupby("query_id")["score"]
    low, high = scores.transform("min"), scores.transform("max")
    differ = high > low
    # A span of 0 would divide 0 by 0.
    span = (high - low).where(differ, 1.0)
    scaled = (run["score"] - low) / span
    return run.assign(score=scaled.where(differ, 1.0))


def best_weight(
    dense: pd.DataFrame, lexical: pd.DataFrame, quality: Callable[[pd.DataFrame], float]
) -> tuple[float, dict[float, float]]:
    """Return the weight of the best fused run, and the quality at every weight tried (0, .1, … 1).

    Choose it on dev, never on the test. The lowest weight wins among equals.
    """
    values = {}
    for weight in WEIGHTS:
        values[weight] = quality(fuse_scores(dense, lexical, weight))
    # `max` takes the earliest among equals, and the weights ascend.
    best = max(WEIGHTS, key=lambda weight: values[weight])
    return best, values
