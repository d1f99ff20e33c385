"""A gain among documents that training knew and among those that it did not, and in a mix of the two."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.collection import Collection
from embedlab.errors import ParameterError
from embedlab.evaluation.comparison import compare_scores
from embedlab.evaluation.results import (
    IN_TRAINING,
    NOT_IN_TRAINING,
    AtShare,
    Comparison,
    Strata,
    Stratum,
    too_few,
)
from embedlab.evaluation.statistics.intervals import (
    Bootstrap,
    Estimate,
    Groups,
    by_group,
    estimates,
    labels_of,
    widest,
    worth_of,
)
from embedlab.evaluation.statistics.resampling import Floats, resampled_sums

Flags = NDArray[np.bool_]

SHARES = tuple(step / 10 for step in range(11))
"""Shares of new documents at which the gain is drawn."""


def about_new(test: Collection, positives: Ids[str]) -> pd.Series:
    """Return by query id whether a query is about documents that were no positive of a training row.

    Its best-graded documents decide: it is about known documents where one of them was a positive. A document with
    the text of a positive counts as one, for a text is all that a model sees. Queries without a relevant document
    are left out.

    Args:
        test: the opened test part.
        positives: ids of the documents that were a positive of a training row.
    """
    documents = test.document_texts()
    known = set(documents.index[documents.isin(documents[documents.index.isin(list(positives))])])
    relevant = test.qrels[test.qrels["relevance"] >= 1]
    best = relevant[relevant["relevance"] == relevant.groupby("query_id")["relevance"].transform("max")]
    found = ~best["doc_id"].isin(known).groupby(best["query_id"]).any()
    return found.reindex(test.queries["query_id"]).dropna().astype(bool).rename_axis("query_id")


def mix_weights(new: pd.Series, share: float) -> pd.Series:
    """Return weights of mean 1 by query id that bring queries about new documents to this share.

    Args:
        new: whether a query is about new documents, by query id; see :func:`about_new`.
        share: 0 to 1; below 0: the share that the queries have, so that all weigh 1.

    Raises:
        ParameterError: if the share is above 1, or there is no query of a kind that shall have a share.
    """
    _check_share(share)
    if share < 0:
        return pd.Series(1.0, index=new.index)
    lacks = lacking(new, share)
    if lacks:
        raise ParameterError(lacks)
    own = float(new.mean())
    weights = pd.Series(0.0, index=new.index)
    if share > 0:
        weights[new] = share / own
    if share < 1:
        weights[~new] = (1 - share) / (1 - own)
    return weights


def _check_share(share: float) -> None:
    if not share <= 1:
        raise ParameterError(f"the share of new documents must lie between 0 and 1, found {share}")


def lacking(new: pd.Series, share: float) -> str:
    """Return why queries cannot be brought to a share, blank where they can."""
    for name, wanted, there in ((NOT_IN_TRAINING, share > 0, new.any()), (IN_TRAINING, share < 1, (~new).any())):
        if wanted and not there:
            return f"a share of {share:g} of new documents is claimed, but no test query is about {name}"
    return ""


def strata(
    baseline: pd.Series,
    candidate: pd.Series,
    new: pd.Series,
    groups: Groups,
    share: float = -1.0,
    metric: str = "nDCG@10",
    seed: int = 0,
    confidence: float = 0.95,
) -> Strata:
    """Compare two systems in both strata, in the mix that decides, and over every share of new documents.

    In a mix each query weighs so much that queries about new documents have their share, see :func:`mix_weights`;
    at the share that the test has, gain and interval are those of :func:`~embedlab.evaluation.compare_scores`, at 0
    and 1 those of a stratum alone. Between them intervals come from the same resamples.

    Args:
        baseline: scores of the system to beat, by query id.
        candidate: scores of the other.
        new: whether a query is about new documents, by query id; queries that it lacks are left out.
        groups: group by query id, or several such groupings by name.
        share: of new documents in the mix that decides; below 0: the share that the test has.
        metric: what the scores are.
        seed: of the resampling.
        confidence: of the intervals that decide.

    Raises:
        ParameterError: if the share is above 1.
        DataError: if the systems were not scored on the same queries, or no query is in a stratum.
    """
    _check_share(share)
    new = new.reindex(baseline.index).dropna().astype(bool)
    one, two = baseline[new.index], candidate[new.index]

    def compared(weights: pd.Series) -> Comparison:
        return compare_scores(
            one, two, metric, groups=groups, seed=seed, confidence=confidence, weights=weights.astype(float)
        )

    of_kind = {}
    for name, members in ((IN_TRAINING, ~new), (NOT_IN_TRAINING, new)):
        found = compared(members) if members.any() else None
        of_kind[name] = _stratum(name, found)
    lacks = lacking(new, share) if share >= 0 else ""
    mixed = None if lacks else compared(mix_weights(new, share))
    known_ones, new_ones = of_kind[IN_TRAINING], of_kind[NOT_IN_TRAINING]
    line: list[AtShare] = []
    if not lacks and known_ones.ci and new_ones.ci and known_ones.delta is not None and new_ones.delta is not None:
        columns = _columns((two - one).to_numpy(dtype=float), new.to_numpy())
        line = _line(columns, labels_of(new.index, groups), seed, confidence)
        # A stratum alone is not resampled with the other.
        first = AtShare(0.0, known_ones.delta, *known_ones.ci)
        last = AtShare(1.0, new_ones.delta, *new_ones.ci)
        line = [first, *line, last]
    return Strata(
        metric=metric,
        known=known_ones,
        new=new_ones,
        test_share=float(new.mean()),
        share=float(new.mean()) if share < 0 else share,
        delta=None if mixed is None else mixed.delta,
        ci95=None if mixed is None else mixed.ci95,
        ci=None if mixed is None else mixed.ci,
        confidence=confidence,
        worth=0.0 if mixed is None or mixed.worth is None else mixed.worth,
        unsettled=lacks,
        over_share=line,
    )


def _stratum(name: str, found: Comparison | None) -> Stratum:
    if found is None:
        return Stratum(name, 0, 0, baseline=None, candidate=None, delta=None, ci95=None, ci=None, few="no query")
    return Stratum(
        name=name,
        queries=found.n_queries,
        groups=found.n_groups,
        baseline=found.baseline,
        candidate=found.candidate,
        delta=found.delta,
        ci95=found.ci95,
        ci=found.ci,
        few=too_few(found.n_queries, found.n_groups, found.wins + found.losses, found.min_gain),
    )


def _columns(difference: Floats, new: Flags) -> Floats:
    """Return differences and numbers of queries, of the known and then of the new, ``[4, n]``."""
    known = ~new
    return np.stack([difference * known, known, difference * new, new]).astype(float)


def _line(columns: Floats, labels: Mapping[str, list[str]], seed: int, confidence: float) -> list[AtShare]:
    """Return the gain at every share between 0 and 1, all from the same resamples of queries and of groups."""
    n_known, n_new = columns[1].sum(), columns[3].sum()
    units = [columns]
    for own in labels.values():
        if len(set(own)) < len(own):
            units.append(np.stack([by_group(column, own)[0] for column in columns]))
    drawn = [resampled_sums(list(of_unit), seed) for of_unit in units]
    found = []
    for share in SHARES[1:-1]:
        # What a query of either kind weighs, so that the new ones have their share of all weight.
        factor = np.array([(1 - share) / n_known, share / n_new])
        worth = worth_of(columns[1] * factor[0] + columns[3] * factor[1]) / (n_known + n_new)
        known: list[Estimate] = []
        for of_unit, resampled in zip(units, drawn, strict=True):
            means = Bootstrap((factor @ resampled[::2]) / (factor @ resampled[1::2]))
            known += estimates(factor @ of_unit[::2], factor @ of_unit[1::2], seed, worth, means)
        delta = (1 - share) * columns[0].sum() / n_known + share * columns[2].sum() / n_new
        found.append(AtShare(share, float(delta), *widest(known, confidence)))
    return found
