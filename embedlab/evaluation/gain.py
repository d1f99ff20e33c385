"""Where a gain comes from: one slice, one group, or documents that were merely pushed down."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Mapping

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.evaluation.comparison import SAME, compare_scores
from embedlab.evaluation.intervals import interval
from embedlab.evaluation.metrics import scores_of
from embedlab.evaluation.results import MIN_GROUPS, AmongUnseen, Concentration, Ends, LeftOut, Moved
from embedlab.models.cache import Vectors
from embedlab.retrieval.base import Encodes
from embedlab.retrieval.dense import Dense

LARGEST_SLICE = 0.5
"""A slice with more than this share of the queries is no part of them, and is not left out."""


def concentration(
    difference: pd.Series,
    groups: Mapping[str, str],
    members: pd.DataFrame,
    min_gain: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> Concentration:
    """Say who gains, and what is left of the gain without its best slice and its best group.

    Args:
        difference: paired differences by query id.
        groups: group by query id.
        members: one boolean column a slice, indexed by query id.
        min_gain: the contract's.
        confidence: of the intervals.
        seed: of the resampling.

    Returns:
        who gains and loses, and the gain that is left; see :class:`Concentration`.
    """

    def gain_of(rest: pd.Series) -> tuple[float, Ends]:
        labels = [groups[q] for q in rest.index]
        return float(rest.mean()), interval(rest.to_numpy(dtype=float), labels, seed, confidence)

    def without(parts: Mapping[str, set[str]]) -> LeftOut | None:
        name = _best(parts, difference)
        if name is None:
            return None
        rest = difference.drop(list(parts[name]))
        return LeftOut(name, *gain_of(rest))

    best_slice = without(_small_slices(members, difference))
    best_group = without(_by_group(groups, difference))
    _, (low, _) = gain_of(difference)
    left = [part for part in (best_slice, best_group) if part is not None]
    # A gain is narrow only where it is one: what falls short with all queries is not the part's doing.
    carries = low >= min_gain
    narrow = [part.name for part in left if carries and part.ci[0] < min_gain]
    return Concentration(
        improved=float((difference > SAME).mean()),
        hurt=float((difference < -SAME).mean()),
        without_best_slice=best_slice,
        without_best_group=best_group,
        narrow=tuple(narrow),
    )


def _small_slices(members: pd.DataFrame, difference: pd.Series) -> dict[str, set[str]]:
    """Return the compared queries of each slice that is a part of them, and not most of them."""
    most = LARGEST_SLICE * len(difference)
    compared = set(difference.index)
    slices: dict[str, set[str]] = {}
    for name in members:
        ids = compared.intersection(members.index[members[name]])
        if 0 < len(ids) <= most:
            slices[str(name)] = ids
    return slices


def _by_group(groups: Mapping[str, str], difference: pd.Series) -> dict[str, set[str]]:
    """Return the compared queries of each group; none where all are of one group."""
    found: dict[str, set[str]] = {}
    for query_id in difference.index:
        found.setdefault(f"group {groups[query_id]}", set()).add(query_id)
    return found if len(found) > 1 else {}


def _best(parts: Mapping[str, set[str]], difference: pd.Series) -> str | None:
    """Return the part without which the mean is lowest, by name where several are."""
    rests: dict[str, float] = {}
    for name, ids in sorted(parts.items()):  # `min` takes the first of equals: the first by name
        rests[name] = float(difference.drop(list(ids)).mean())
    return min(rests, key=lambda name: rests[name], default=None)


def among_unseen(
    base: Encodes,
    tuned: Encodes,
    test: Collection,
    seen: Ids[str],
    metric: str,
    groups: Mapping[str, str],
    seed: int = 0,
) -> AmongUnseen | None:
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
        both scores, the gain and how far documents moved; see :class:`AmongUnseen`. None where fewer than
        ten queries have a relevant document there: cannot tell.
    """
    documents = test.document_texts()
    is_seen = documents.index.isin(list(seen))
    unseen = documents[~is_seen]
    is_relevant = test.qrels["relevance"] > 0
    within = test.qrels[is_relevant & test.qrels["doc_id"].isin(unseen.index)]
    if within["query_id"].nunique() < MIN_GROUPS:
        return None
    asked = test.query_texts()[sorted(within["query_id"].unique())]
    runs = {"base": Dense(base, unseen).search(asked), "tuned": Dense(tuned, unseen).search(asked)}
    scores = scores_of(within, runs, metric)
    found = compare_scores(scores["base"], scores["tuned"], metric, groups=groups, seed=seed)
    change = _mean_scores(tuned, test) - _mean_scores(base, test)
    moved = _moved(change[is_seen], change[~is_seen])
    return AmongUnseen(found.baseline, found.candidate, found.delta, found.ci95, len(unseen), len(asked), moved)


def _moved(seen: Vectors, unseen: Vectors) -> Moved:
    """Return how far the mean scores of seen and unseen documents moved, and how far apart."""
    far = float(unseen.mean())
    if not len(seen):
        return Moved(None, far, None)
    near = float(seen.mean())
    return Moved(near, far, far - near)


def _mean_scores(model: Encodes, test: Collection) -> Vectors:
    """Return each document's score averaged over the test queries."""
    # The mean of the products is the product with the mean: one vector instead of all queries.
    queries = model.encode(test.query_texts().tolist(), "query").mean(axis=0)
    return model.encode(test.document_texts().tolist(), "document") @ queries
