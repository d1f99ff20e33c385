"""What a finished run promised of the system that it proposed: its stages, and how well canary queries are answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedlab.errors import IdentityError, MissingInputError

if TYPE_CHECKING:
    import pandas as pd

    from embedlab.retrieval.systems import Settings, System
    from embedlab.rollout.service.job import Canaries


def promised(run: Path, model: str) -> tuple[Canaries, Settings]:
    """Return the dev queries of a run with the interval of the proposed system's mean on them, and its stages.

    Args:
        run: a run folder in which step 15 is done.
        model: what is to be re-indexed with.

    Raises:
        MissingInputError: if step 15 is not done, or proposes a system that searches no vectors.
        IdentityError: if the model has other weights than those that were evaluated.
    """
    import numpy as np

    from embedlab.chain.artifacts.define_problem import QRELS, QUERIES
    from embedlab.chain.artifacts.evaluate import PER_QUERY, Evaluation
    from embedlab.chain.contract import Contract
    from embedlab.chain.store import Store
    from embedlab.evaluation.statistics.intervals import interval
    from embedlab.models.files.resolve import resolve
    from embedlab.rollout.service.job import Canaries
    from embedlab.verdict.facts import Facts

    store = Store(run)
    found, contract = Facts(store).read(Evaluation), Facts(store).read(Contract)
    if found is None or contract is None:
        raise MissingInputError(f"{run}: step 15 is not done, so nothing is promised; run it first")
    proposed, metric = found.proposed, contract.primary_metric
    weights = resolve(model).weights
    if proposed.settings is None or not proposed.model:
        raise MissingInputError(f"{run}: step 15 proposes {proposed.name}, which searches no vectors of a model")
    if weights != proposed.weights:
        raise IdentityError(
            f"{run} evaluated weights {proposed.weights[:12]}, {model} has {weights[:12]}; give the run's models/tuned"
        )
    scores = store.read("15", PER_QUERY.file)
    scores = scores[(scores["part"] == "dev") & (scores["system"] == proposed.name)]
    low, high = interval(scores[metric].to_numpy(dtype=np.float64), scores["group"].astype(str).tolist())
    queries, qrels = store.read("01", QUERIES.file), store.read("01", QRELS.file)
    texts = dict(zip(queries["query_id"], queries["text"], strict=True))
    asked = {query_id: texts[query_id] for query_id in scores["query_id"]}
    known: dict[str, dict[str, int]] = {query_id: {} for query_id in asked}
    for query_id, doc_id, relevance in zip(qrels["query_id"], qrels["doc_id"], qrels["relevance"], strict=True):
        if query_id in known:
            known[query_id][doc_id] = int(relevance)
    return Canaries(metric, asked, known, float(low), float(high), _filtered_by(proposed, queries)), proposed.settings


def _filtered_by(proposed: System, queries: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return the value of each query in the field that the proposed system filters by; nothing where it does not."""
    name = proposed.settings.filter_field if proposed.settings else ""
    if not name:
        return {}
    values = queries.dropna(subset=[name])
    return {query_id: {name: value} for query_id, value in zip(values["query_id"], values[name], strict=True)}
