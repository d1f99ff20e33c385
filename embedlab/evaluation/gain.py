"""Where a gain comes from: one slice, one group, or documents that were merely pushed down."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.evaluation.comparison import SAME, compare_scores
from embedlab.evaluation.metrics import scores_of
from embedlab.evaluation.results import (
    BROKEN,
    HELD,
    MIN_GROUPS,
    MIN_QUERIES,
    NEGATIVES,
    NEVER_USED,
    POSITIVES,
    UNSETTLED,
    AmongUnseen,
    Comparison,
    Concentration,
    DocumentClass,
    Ends,
    LeftOut,
)
from embedlab.evaluation.statistics.intervals import Groups, interval, labels_of
from embedlab.retrieval.base import Encodes
from embedlab.retrieval.dense import Dense

LARGEST_SLICE = 0.5
"""A slice with more than this share of the queries is no part of them, and is not left out."""

ROUNDING = 1e-6
"""Mean scores this close, in cosine, differ by the rounding of 32 bits alone."""


def concentration(
    difference: pd.Series,
    groups: Groups,
    members: pd.DataFrame,
    min_gain: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> Concentration:
    """Say who gains, and what is left of the gain without its best slice and its best group.

    Args:
        difference: paired differences by query id.
        groups: group by query id, or several such groupings by name.
        members: one boolean column a slice, indexed by query id.
        min_gain: the contract's.
        confidence: of the intervals.
        seed: of the resampling.

    Returns:
        who gains and loses, and the gain that is left; see :class:`Concentration`.
    """

    def gain_of(rest: pd.Series) -> tuple[float, Ends]:
        labels = labels_of(rest.index, groups)
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


def _by_group(groups: Groups, difference: pd.Series) -> dict[str, set[str]]:
    """Return the compared queries of each group of each grouping; none of one that holds all queries."""
    found: dict[str, set[str]] = {}
    for grouping, labels in labels_of(difference.index, groups).items():
        for query_id, label in zip(difference.index, labels, strict=True):
            found.setdefault(f"{grouping} {label}", set()).add(query_id)
    return {name: ids for name, ids in found.items() if len(ids) < len(difference)}


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
    positives: Ids[str],
    negatives: Ids[str],
    metric: str,
    groups: Groups,
    seed: int = 0,
) -> AmongUnseen:
    """Compare two models within each class of documents that were no positive of training.

    A model can look better by merely raising one class of documents against another. Each class is searched by
    itself, where that gains nothing; a query is asked in every class that holds a relevant document of it, judged
    by those there, and its scores are averaged over these classes.

    Args:
        base: the model to beat.
        tuned: the other.
        test: the opened test part.
        positives: ids of the documents that training had as positives.
        negatives: ids of those that it had as negatives; one that was both is a positive.
        metric: an ir-measures name.
        groups: group by query id, or several such groupings by name.
        seed: of the resampling.

    Returns:
        the state, the pooled scores and gain, and every class; see :class:`AmongUnseen`.
    """
    documents = test.document_texts()
    relevant = test.qrels[test.qrels["relevance"] > 0]
    change = _mean_scores(tuned, test) - _mean_scores(base, test)
    classes: list[DocumentClass] = []
    searched: list[pd.DataFrame] = []
    for name, ids in _classes(documents, positives, negatives).items():
        within = relevant[relevant["doc_id"].isin(ids)]
        found = _without_search(name, change[ids], within["query_id"].nunique())
        if name != POSITIVES and found.queries >= MIN_QUERIES:
            asked = test.query_texts()[sorted(within["query_id"].unique())]
            models = {"base": base, "tuned": tuned}
            runs = {key: Dense(model, documents[ids]).search(asked) for key, model in models.items()}
            scores = scores_of(within, runs, metric)
            searched.append(scores)
            found = _with_scores(found, scores)
        classes.append(found)
    if not searched:
        return _not_judged(classes)
    pooled = pd.concat(searched).groupby(level=0).mean()
    return _judged(classes, compare_scores(pooled["base"], pooled["tuned"], metric, groups=groups, seed=seed))


def _classes(documents: pd.Series, positives: Ids[str], negatives: Ids[str]) -> dict[str, pd.Index]:
    """Return the ids of each class; every document is in one of them, with all that have its text."""
    # By text, which is all that a model sees: what happens to a document in training happens to its copies.
    is_positive = documents.isin(documents[documents.index.isin(list(positives))])
    is_negative = documents.isin(documents[documents.index.isin(list(negatives))]) & ~is_positive
    return {
        POSITIVES: documents.index[is_positive],
        NEGATIVES: documents.index[is_negative],
        NEVER_USED: documents.index[~is_positive & ~is_negative],
    }


def _without_search(name: str, change: pd.Series, queries: int) -> DocumentClass:
    moved = float(change.mean()) if len(change) else None
    return DocumentClass(name, len(change), queries, baseline=None, tuned=None, delta=None, moved=moved)


def _with_scores(found: DocumentClass, scores: pd.DataFrame) -> DocumentClass:
    baseline, tuned = float(scores["base"].mean()), float(scores["tuned"].mean())
    return replace(found, baseline=baseline, tuned=tuned, delta=tuned - baseline)


def _not_judged(classes: list[DocumentClass]) -> AmongUnseen:
    left_out = _too_small(classes)
    if left_out:
        state, settled_by = UNSETTLED, f"{MIN_QUERIES} judged test queries about one class"
        reason = f"no class of documents that were no positive can be searched by itself: {left_out}"
    else:
        state, settled_by = HELD, ""
        reason = "every document was a positive of training, so that there is no class to raise against another"
    return AmongUnseen(
        state=state,
        reason=reason,
        settled_by=settled_by,
        baseline=None,
        tuned=None,
        delta=None,
        ci95=None,
        queries=0,
        groups=0,
        apart=_apart(classes),
        classes=classes,
    )


def _judged(classes: list[DocumentClass], found: Comparison) -> AmongUnseen:
    apart = _apart(classes)
    state, so, settled_by = _state(found, apart)
    left_out = _too_small(classes)
    return AmongUnseen(
        state=state,
        reason=f"{so}; left out: {left_out}" if left_out else so,
        settled_by=settled_by,
        baseline=found.baseline,
        tuned=found.candidate,
        delta=found.delta,
        ci95=found.ci95,
        queries=found.n_queries,
        groups=found.n_groups,
        apart=apart,
        classes=classes,
    )


def _state(found: Comparison, apart: float) -> tuple[str, str, str]:
    """Return the state, what is so, and what would settle it."""
    low, high = found.ci95
    gain = f"{found.metric} changes by {found} within classes on {found.n_queries:,} queries"
    # No change within a class is all that raising whole classes leaves: it is no good sign unless none was raised.
    if found.wins == found.losses == 0:
        if apart <= ROUNDING:
            return HELD, gain, ""
        so = f"nothing is gained or lost within a class, while the classes' mean scores moved {apart:.3f} apart"
        return UNSETTLED, so, "a gain within a class"
    if high < 0:
        return BROKEN, gain, ""
    if found.n_groups < MIN_GROUPS:
        return UNSETTLED, f"{gain}, in {found.n_groups} groups", f"queries of {MIN_GROUPS} groups"
    if low >= 0:
        return HELD, gain, ""
    needed = f"about {found.queries_needed:,}" if found.queries_needed else "over a million"
    return UNSETTLED, gain, f"{needed} such queries, were the change seen the true one"


def _too_small(classes: list[DocumentClass]) -> str:
    """Return the classes that have too few queries, with their number."""
    small = [c for c in classes if c.name != POSITIVES and c.documents and c.delta is None]
    return ", ".join(f"{c.name} ({c.queries} queries, {MIN_QUERIES} are needed)" for c in small)


def _apart(classes: list[DocumentClass]) -> float:
    """Return how far the mean scores of the classes moved from one another."""
    moved = [c.moved for c in classes if c.moved is not None]
    return max(moved) - min(moved)


def _mean_scores(model: Encodes, test: Collection) -> pd.Series:
    """Return each document's score averaged over the test queries, by document id."""
    # The mean of the products is the product with the mean: one vector instead of all queries.
    queries = model.encode(test.query_texts().tolist(), "query").mean(axis=0)
    documents = test.document_texts()
    return pd.Series(model.encode(documents.tolist(), "document") @ queries, index=documents.index)
