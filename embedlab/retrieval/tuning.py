"""The settings of a pipeline, chosen stage by stage on dev queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from embedlab.models.encoder import Encoder
from embedlab.retrieval.bm25 import BM25
from embedlab.retrieval.hybrid import best_weight, fuse_scores
from embedlab.retrieval.pipeline import Pipeline
from embedlab.retrieval.rerankers.late import has_token_vectors, rerank
from embedlab.retrieval.systems import Settings, Stages

NO_FILTER = "none"

RERANK_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8)

Quality = Callable[[pd.DataFrame], float]
"""The measure of a run, such as its mean nDCG@10 on dev."""


def tune_stages(
    encoder: Encoder,
    corpus: pd.DataFrame,
    lexical: BM25,
    queries: pd.DataFrame,
    fields: list[str],
    quality: Quality,
    stages: Stages,
) -> tuple[Pipeline, pd.DataFrame]:
    """Choose every stage of a pipeline for one model, on dev queries: passages first, then as :func:`tune` does.

    Args:
        encoder: the model.
        corpus: ``doc_id, title, text`` and the fields.
        lexical: the lexical side over the same documents.
        queries: dev queries with their metadata.
        fields: metadata fields that a filter could use.
        quality: the measure to raise, of a run.
        stages: what may be tried.

    Returns:
        the pipeline with the chosen settings, and ``stage, setting, quality, chosen``.

    Raises:
        ParameterError: if chunking or index kind is unknown.
    """
    built, tried = {}, {}
    for chunk in dict.fromkeys(["none", stages.chunk]):
        built[chunk] = Pipeline.build(encoder, corpus, stages.settings(chunk), lexical)
        tried[chunk] = quality(built[chunk].candidates(queries)[0])
    chunk = _best(tried, stages.least_gain)
    pipeline, table = tune(built[chunk], queries, fields, quality, stages.least_gain)
    return pipeline, pd.concat([_stage("passages", tried, chunk), table], ignore_index=True)


def tune(
    pipeline: Pipeline, queries: pd.DataFrame, fields: list[str], quality: Quality, least_gain: float = 0.0
) -> tuple[Pipeline, pd.DataFrame]:
    """Choose filter, fusion weight and rerank weight one after another, on dev queries.

    A later or larger setting is taken only where it is better than the one before it.

    Args:
        pipeline: with its index built.
        queries: dev queries with their metadata.
        fields: metadata fields that a filter could use.
        quality: the measure to raise, of a run.
        least_gain: what the rerank, which costs time at every query, must add to be taken.

    Returns:
        the pipeline with the chosen settings, and ``stage, setting, quality, chosen``.
    """
    vectors = pipeline.encoder.encode(queries["text"].tolist(), "query")
    filters = {}
    for field in ["", *fields]:
        dense, _ = pipeline.using(filter_field=field).candidates(queries, vectors)
        filters[field] = quality(dense)
    pipeline = pipeline.using(filter_field=_best(filters))
    stages = [_stage("filter", filters, pipeline.settings.filter_field)]

    dense, lexical = pipeline.candidates(queries, vectors)
    weight, weights = best_weight(dense, lexical, quality)
    pipeline = pipeline.using(weight=weight)
    stages.append(_stage("dense weight", weights, weight))

    if has_token_vectors(pipeline.encoder):
        run = fuse_scores(dense, lexical, weight)
        # The late scores are the costly part and do not depend on the weight.
        late = pipeline.late(queries, run)
        reranks = {}
        for share in RERANK_WEIGHTS:
            reranks[share] = quality(rerank(run, late, share))
        pipeline = pipeline.using(rerank_weight=_best(reranks, least_gain))
        stages.append(_stage("rerank weight", reranks, pipeline.settings.rerank_weight))
    return pipeline, pd.concat(stages, ignore_index=True)


def chosen_settings(choices: pd.DataFrame, stages: Stages) -> Settings:
    """Return the settings that a table of :func:`tune_stages` says were chosen.

    Args:
        choices: ``stage, setting, chosen``.
        stages: what was tried.
    """
    chosen = choices[choices["chosen"]].set_index("stage")["setting"]
    field = str(chosen["filter"])
    return replace(
        stages.settings(str(chosen["passages"])),
        filter_field="" if field == NO_FILTER else field,
        weight=float(chosen["dense weight"]),
        # A model without token vectors was not tried as a reranker.
        rerank_weight=float(chosen.get("rerank weight", 0.0)),
    )


def _best(tried: Mapping[Any, float], least_gain: float = 0.0) -> Any:
    """Return the best setting of a stage; the first one unless the best gains at least so much over it."""
    first = next(iter(tried))
    # Among equals `max` takes the earliest: no filter, the smaller weight.
    best = max(tried, key=lambda setting: tried[setting])
    return best if tried[best] - tried[first] >= least_gain else first


def _stage(name: str, tried: Mapping[Any, float], chosen: Any) -> pd.DataFrame:
    """Return what was tried at one stage: ``stage, setting, quality, chosen``."""
    rows = []
    for setting, quality in tried.items():
        # No filter is the empty name of a field, which a table could not show.
        shown = str(setting) or NO_FILTER
        rows.append((name, shown, quality, setting == chosen))
    return pd.DataFrame(rows, columns=["stage", "setting", "quality", "chosen"])


def choose_threshold(cosines: pd.Series, relevant: pd.Series, keep: float) -> float:
    """Return the highest threshold that still shows a share ``keep`` of the relevant results.

    Args:
        cosines: of the results shown, on dev.
        relevant: whether each is relevant.
        keep: share of the relevant results that must stay, such as .98.
    """
    # No cosine is below -1: without a relevant result to go by, everything is shown.
    if not relevant.any():
        return -1.0
    # A value between two cosines, numpy's default, could lie above one that must stay.
    lowest_kept = np.quantile(cosines[relevant], 1 - keep, method="lower")
    # Rounded down for the same reason.
    return float(np.floor(lowest_kept * 1000) / 1000)
