"""Where a gain comes from: one slice, one group, or documents that were merely pushed down."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Mapping
from typing import Any

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.evaluation.comparison import MIN_GROUPS, compare_scores
from embedlab.evaluation.intervals import interval
from embedlab.evaluation.metrics import per_query
from embedlab.retrieval.dense import Dense, Encodes

LARGEST_SLICE = 0.5
"""A slice with more than this share of the queries is no part of them, and is not left out."""


def concentration(
    difference: pd.Series,
    groups: Mapping[str, str],
    members: pd.DataFrame,
    min_gain: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Say who gains, and what is left of the gain without its best slice and its best group.

    Args:
        difference: paired differences by query id.
        groups: group by query id.
        members: one boolean column a slice, indexed by query id.
        min_gain: the contract's.
        confidence: of the intervals.
        seed: of the resampling.

    Returns:
        shares ``improved`` and ``hurt``; ``without_best_slice`` and ``without_best_group`` with
        ``name, delta, ci`` (None where there is nothing to leave out); ``narrow``: the names whose
        leaving takes the interval's lower end below the minimum gain, none where it lay there before.
    """

    def ends(rest: pd.Series) -> tuple[float, float]:
        return interval(rest.to_numpy(dtype=float), [groups[q] for q in rest.index], seed, confidence)

    most = LARGEST_SLICE * len(difference)
    slices = {str(name): set(members.index[members[name]]) & set(difference.index) for name in members}
    by_group: dict[str, set[str]] = {}
    for query_id in difference.index:
        by_group.setdefault(f"group {groups[query_id]}", set()).add(query_id)
    left = {
        "without_best_slice": _best({name: ids for name, ids in slices.items() if 0 < len(ids) <= most}, difference),
        "without_best_group": _best(by_group if len(by_group) > 1 else {}, difference),
    }
    found: dict[str, Any] = {"improved": float((difference > 1e-9).mean()), "hurt": float((difference < -1e-9).mean())}
    for key, best in left.items():
        rest = difference.drop(list(best[1])) if best else difference
        found[key] = {"name": best[0], "delta": float(rest.mean()), "ci": list(ends(rest))} if best else None
    sure = ends(difference)[0] >= min_gain
    found["narrow"] = [found[k]["name"] for k in left if sure and found[k] and found[k]["ci"][0] < min_gain]
    return found


def _best(parts: Mapping[str, set[str]], difference: pd.Series) -> tuple[str, set[str]] | None:
    """Return the part without which the mean is lowest, by name where several are."""
    rests = {name: float(difference.drop(list(ids)).mean()) for name, ids in sorted(parts.items())}
    name = min(rests, key=lambda key: rests[key], default=None)
    return (name, parts[name]) if name is not None else None


def among_unseen(
    base: Encodes,
    tuned: Encodes,
    test: Collection,
    seen: Ids[str],
    metric: str,
    groups: Mapping[str, str],
    seed: int = 0,
) -> dict[str, Any] | None:
    """Compare two models among the documents that are no positive of training.

    A model can look better by merely pushing training documents down; here that gains nothing.

    Args:
        base: the model to beat.
        tuned: the other.
        test: the opened test part.
        seen: ids of the documents that training had as positives.
        metric: an ir-measures name.
        groups: group by query id.
        seed: of the resampling.

    Returns:
        both scores, the gain with its 95 % interval, and ``moved``: by how much the mean score of
        a document changed, seen and unseen, and how far they moved ``apart``. None where fewer than
        ten queries have a relevant document there: cannot tell.
    """
    documents = test.document_texts()
    is_seen = documents.index.isin(list(seen))
    unseen = documents[~is_seen]
    within = test.qrels[test.qrels["doc_id"].isin(unseen.index) & (test.qrels["relevance"] > 0)]
    if within["query_id"].nunique() < MIN_GROUPS:
        return None
    asked = test.query_texts()[sorted(within["query_id"].unique())]
    runs = [Dense(model, unseen).search(asked) for model in (base, tuned)]
    scores = [per_query(within, found, [metric])[metric] for found in runs]
    check = compare_scores(scores[0], scores[1], metric, groups=groups, seed=seed)
    changed = _mean_scores(tuned, test) - _mean_scores(base, test)
    far, near = float(changed[~is_seen].mean()), float(changed[is_seen].mean()) if is_seen.any() else None
    return {
        "baseline": check.baseline,
        "tuned": check.candidate,
        "delta": check.delta,
        "ci95": list(check.ci95),
        "documents": len(unseen),
        "queries": len(asked),
        "moved": {"seen": near, "unseen": far, "apart": far - near if near is not None else None},
    }


def _mean_scores(model: Encodes, test: Collection) -> Any:
    """Return each document's score averaged over the test queries."""
    queries = model.encode(test.query_texts().tolist(), "query").mean(axis=0)
    return model.encode(test.document_texts().tolist(), "document") @ queries
