"""What answers today and what would be rolled out, built from what steps 05 and 15 froze."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from embedlab.chain.artifacts.define_problem import QUERIES
from embedlab.chain.contract import PRODUCTION
from embedlab.chain.lab import Lab
from embedlab.chain.models import lab_model, tuned_model
from embedlab.errors import IdentityError
from embedlab.files import sha256_file
from embedlab.retrieval.systems import BM25_ALONE, ENGINE, LEXICAL, Stages, System, systems_of

if TYPE_CHECKING:
    import pandas as pd

    from embedlab.data.collection import Collection
    from embedlab.models.encoder import Encoder
    from embedlab.retrieval.bm25 import BM25
    from embedlab.retrieval.engine import Engine
    from embedlab.retrieval.pipeline import Pipeline
    from embedlab.retrieval.tuning import Quality


def production_system(
    lab: Lab, dev: Collection, lexical: BM25, of_base: Mapping[str, System], quality: Quality, stages: Stages
) -> System:
    """Return what answers today by the contract, its settings chosen on dev where it has any.

    Its model is the one that the user has today, also where step 03 chose another base.

    Args:
        lab: of a step that reads the contract and the base.
        dev: documents, and the dev queries with their judgments.
        lexical: BM25 over the same documents.
        of_base: by kind the systems of the base that step 03 chose.
        quality: the measure to raise, of a run.
        stages: what may be tried.
    """
    from embedlab.retrieval.hybrid import best_weight
    from embedlab.retrieval.tuning import tune_stages

    kind = lab.contract.production
    if kind == LEXICAL:
        return BM25_ALONE
    if kind not in PRODUCTION:
        return System("the engine", ENGINE, "", sha256_file(Path(kind)), None)
    today = lab_model(lab, lab.settings.base_model)
    if today.identity.weights == of_base[kind].weights:
        return of_base[kind]
    fields = dev.metadata_fields()
    pipeline, _ = tune_stages(today, dev.corpus, lexical, dev.queries, fields, quality, stages)
    weight, _ = best_weight(*pipeline.using(filter_field="").candidates(dev.queries), quality)
    return systems_of("today", today.identity.weights, weight, pipeline.settings)[kind]


def engine_of(lab: Lab, corpus: pd.DataFrame) -> Engine:
    """Return the engine that the contract's run file stands for; see :class:`embedlab.retrieval.engine.Engine`."""
    from embedlab.retrieval.engine import Engine

    queries = lab.read(QUERIES)
    held_out = queries[queries["part"] != "train"]
    return Engine(Path(lab.contract.production), held_out["query_id"], corpus["doc_id"], lab.contract.shown)


def build_system(lab: Lab, system: System, corpus: pd.DataFrame, lexical: BM25) -> Pipeline:
    """Return a frozen system, ready to search.

    Raises:
        IdentityError: if its model has other weights than when it was frozen.
        ValueError: if it is known by its rankings alone; see :func:`stand_in`.
    """
    from embedlab.retrieval.pipeline import Pipeline

    if system.settings is None:
        raise ValueError(f"{system.name} has no settings to build it from")
    return Pipeline.build(encoder_of(lab, system), corpus, system.settings, lexical)


def searchable(lab: Lab, system: System, corpus: pd.DataFrame, lexical: BM25) -> Pipeline | Engine:
    """Return a system ready to search whole parts: an engine by its rankings, any other built anew."""
    if system.kind == ENGINE:
        return engine_of(lab, corpus)
    return build_system(lab, system, corpus, lexical)


def encoder_of(lab: Lab, system: System) -> Encoder:
    """Return the model of a system, the base where it has none; raises as :func:`build_system` does."""
    if system.model == "tuned":
        encoder = tuned_model(lab)
    elif system.model == "today":
        encoder = lab_model(lab, lab.settings.base_model)
    else:
        encoder = lab_model(lab)
    if system.model and encoder.identity.weights != system.weights:
        raise IdentityError(
            f"{system.name} was frozen with the weights {system.weights[:12]}, its model has "
            f"{encoder.identity.weights[:12]} now; run step 05 and those after it again"
        )
    return encoder


def stand_in(system: System, proposed: System, base: Encoder) -> System:
    """Return what stands for a system where something has to be built: itself, unless it is an engine.

    For an engine, which is known by its rankings alone, stands the base model in the proposed stages.
    """
    if system.kind != ENGINE:
        return system
    return replace(proposed, name="the base in the proposed stages", model="base", weights=base.identity.weights)
