"""Fusion gives what ranx gives, an independent library of fusion."""

import numpy as np
import pandas as pd
import pytest

from embedlab.retrieval import fuse_ranks, fuse_weighted

ranx = pytest.importorskip("ranx", reason="ranx is not installed; make test-full installs it")

pytestmark = pytest.mark.full


def run_of(seed, queries=20, documents=30):
    """Return a run over a part of the documents, each query's another one, without equal scores."""
    rng = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        for doc in rng.choice(60, documents, replace=False):
            rows.append((f"q{query}", f"d{doc}", float(rng.random())))
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])


def as_ranx(run):
    return ranx.Run(
        {query: dict(zip(rows["doc_id"], rows["score"], strict=True)) for query, rows in run.groupby("query_id")}
    )


def as_dict(run):
    return {query: dict(zip(rows["doc_id"], rows["score"], strict=True)) for query, rows in run.groupby("query_id")}


def same(found, wanted):
    assert set(found) == set(wanted)
    for query, scores in wanted.items():
        assert found[query] == pytest.approx(dict(scores), abs=1e-6)


def test_reciprocal_rank_fusion_gives_what_ranx_gives():
    runs = [run_of(seed) for seed in range(3)]
    fused = ranx.fuse([as_ranx(run) for run in runs], method="rrf", params={"k": 60})
    same(as_dict(fuse_ranks(*runs, k=100)), fused.to_dict())


def test_weighted_fusion_of_scaled_scores_gives_what_ranx_gives():
    runs, weights = [run_of(seed) for seed in range(3)], (0.5, 0.3, 0.2)
    fused = ranx.fuse([as_ranx(run) for run in runs], norm="min-max", method="wsum", params={"weights": weights})
    same(as_dict(fuse_weighted(runs, weights, 100)), fused.to_dict())
