"""Quality by period: which queries belong to which, how later scores differ, and whether that calls for retraining."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from embedlab.data.text import stable_hash
from embedlab.errors import DataError
from embedlab.evaluation.statistics.intervals import interval


def periods_of(queries: pd.DataFrame, reference_share: float) -> tuple[pd.Series, str]:
    """Return each query's year by query id, the earliest years as one reference period.

    Args:
        queries: ``query_id`` and ``created`` (ISO dates).
        reference_share: the earliest years that together hold at least this share of the queries.

    Returns:
        the periods and the reference's name, such as ``2017-2019``.
    """
    year_of_each = queries["created"].str[:4].to_numpy()
    years = pd.Series(year_of_each, index=queries["query_id"]).dropna()
    share_of_year = years.value_counts(normalize=True).sort_index()
    share_until = share_of_year.cumsum()
    # Sums of shares are not exact: without the allowance .1 + .7 would miss .8, and a year too many be taken.
    wanted = reference_share - 1e-9
    enough = int(np.searchsorted(share_until.to_numpy(), wanted))
    first = share_until.index[0]
    until = share_until.index[enough]
    name = f"{first}-{until}" if first != until else str(first)
    return years.where(years > until, name), name


def mean_difference(
    current: pd.Series, reference: pd.Series, groups: Mapping[str, str], seed: int
) -> tuple[float, float, float]:
    """Return the difference of two means with its 95 % interval: other queries, so unpaired.

    The two bootstrap intervals are combined by MOVER (Zou and Donner 2008).

    Args:
        current: scores by query id.
        reference: scores of the queries that it is compared with.
        groups: group by query id.
        seed: of the bootstrap.
    """
    now, now_low, now_high = _mean_interval(current, groups, seed)
    then, then_low, then_high = _mean_interval(reference, groups, seed)
    delta = now - then
    # The difference is lowest where this mean is low and the reference's is high, so opposite ends meet.
    down = float(np.hypot(now - now_low, then_high - then))
    up = float(np.hypot(now_high - now, then - then_low))
    return delta, delta - down, delta + up


def _mean_interval(scores: pd.Series, groups: Mapping[str, str], seed: int) -> tuple[float, float, float]:
    """Return the mean of scores and its bootstrap interval over groups."""
    group_of_each = [groups[str(query_id)] for query_id in scores.index]
    low, high = interval(scores.to_numpy(dtype=float), group_of_each, seed)
    return float(scores.mean()), low, high


def period_changes(
    scores: pd.Series, periods: pd.Series, reference: str, groups: Mapping[str, str], min_queries: int, seed: int
) -> pd.DataFrame:
    """Return each later period's mean score and its change against the reference, with its 95 % interval.

    Args:
        scores: by query id, named after their measure; queries without one are left out.
        periods: period by query id.
        reference: the name of the reference period; with fewer than two scores nothing is compared.
        groups: group by query id.
        min_queries: periods with fewer scores are left out.
        seed: of the bootstrap.

    Returns:
        ``period, queries``, a column named as the scores are, ``change, low, high``.
    """
    measure = str(scores.name)
    by_period: dict[str, pd.Series] = {}
    for name, members in periods.groupby(periods):
        by_period[str(name)] = scores.reindex(members.index).dropna()
    before = by_period.pop(reference, pd.Series(dtype=float))
    rows = []
    for name, after in by_period.items():
        # A reference of a single score has no spread to compare with.
        if len(before) < 2 or len(after) < min_queries:
            continue
        change, low, high = mean_difference(after, before, groups, seed)
        rows.append((name, len(after), after.mean(), change, low, high))
    return pd.DataFrame(rows, columns=["period", "queries", measure, "change", "low", "high"])


def as_many_documents(doc_ids: Sequence[str], keep: Collection[str], count: int) -> list[str]:
    """Return a sample of ``count`` documents: those to keep, and others by a hash of their ids.

    More documents push right ones down for any model, so that times are compared over equally many.

    Raises:
        DataError: if there are fewer than ``count`` documents, or more are to be kept.
    """
    if not len(keep) <= count <= len(doc_ids):
        raise DataError(f"a sample of {count} documents that keeps {len(keep)} cannot be drawn from {len(doc_ids)}")
    kept = set(keep)
    first_kept = sorted(doc_ids, key=lambda doc_id: (doc_id not in kept, stable_hash(doc_id)))
    return first_kept[:count]


def gain_change(
    then: pd.DataFrame, now: pd.DataFrame, groups: Mapping[str, str], seed: int
) -> tuple[float, float, float]:
    """Return how the tuned model's gain over the base changed on the same queries, with its 95 % interval.

    Paired per query: ``(tuned now - base now) - (tuned then - base then)``, so that what makes a query
    harder for both models cancels.

    Args:
        then: ``base`` and ``tuned`` scores by query id, over the documents of then.
        now: the same queries, over equally many documents of today.
        groups: group by query id.
        seed: of the bootstrap.

    Raises:
        DataError: if the two hold other queries.
    """
    if not then.index.equals(now.index):
        raise DataError(f"{len(then)} queries then and {len(now)} now: not the same queries")
    change = (now["tuned"] - now["base"]) - (then["tuned"] - then["base"])
    labels = [groups[str(query_id)] for query_id in change.index]
    low, high = interval(change.to_numpy(dtype=float), labels, seed)
    return float(change.mean()), low, high


def calls_for_retraining(change: float, high: float, max_drop: float) -> bool:
    """Return whether a gain has fallen by ``max_drop`` at least, and surely: its interval ends below zero."""
    return change <= -max_drop and high < 0
