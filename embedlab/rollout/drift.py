"""Drift: do queries and scores still look as they did, and what to do when they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.text import fold
from embedlab.evaluation.comparison import holm
from embedlab.evaluation.intervals import Floats, interval

SIGNALS = ("words", "unseen terms", "top score")

TERMS = 500
"""Most frequent terms that the term distribution keeps apart; the rest counts as one."""

PERMUTATIONS = 999


def psi(reference: Floats, current: Floats, bins: int = 10) -> float:
    """Return the population stability index of two samples, 0 when they fall alike.

    ``sum (c - r) ln(c / r)`` over the reference's quantile bins (Siddiqi 2006), half a count added
    to every bin. Credit scoring reads .1 as moderate and .25 as major, for large samples: without
    any drift its expectation is about ``(bins - 1) (1/n + 1/m)`` (Yurdakul 2018).
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, x, side="right"), minlength=len(edges) + 1) for x in (reference, current)
    ]
    r, c = ((n + 0.5) / (n.sum() + 0.5 * len(n)) for n in counts)
    return float(((c - r) * np.log(c / r)).sum())


def js_distance(first: Floats, second: Floats) -> float:
    """Return the Jensen-Shannon distance of two count vectors, 0 to 1 (Endres and Schindelin 2003)."""
    from scipy.spatial.distance import jensenshannon

    return float(np.nan_to_num(jensenshannon(first, second, base=2)))


def text_signals(texts: pd.Series, vocabulary: set[str]) -> pd.DataFrame:
    """Return ``words`` and ``unseen terms`` (share of words that no document has) by query id."""
    tokens = [fold(text).split() for text in texts]
    unseen = [sum(word not in vocabulary for word in words) / max(len(words), 1) for words in tokens]
    return pd.DataFrame({"words": [float(len(w)) for w in tokens], "unseen terms": unseen}, index=texts.index)


def term_counts(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return how often each text has each frequent term, ``[texts, TERMS + 1]``; the last column is the rest."""
    tokens = [fold(text).split() for text in texts]
    ranked = sorted(Counter(word for words in tokens for word in words).items(), key=lambda item: (-item[1], item[0]))
    column = {word: position for position, (word, _) in enumerate(ranked[:TERMS])}
    counts = np.zeros((len(tokens), len(column) + 1), dtype=np.float32)
    for row, words in enumerate(tokens):
        for word in words:
            counts[row, column.get(word, len(column))] += 1
    return counts


def term_drift(counts: NDArray[np.float32], is_current: NDArray[np.bool_], seed: int) -> tuple[float, float]:
    """Return the Jensen-Shannon distance of two groups of texts and its permutation p-value.

    The distance of two small samples is large without any drift; shuffling who belongs to which
    group tells how large.
    """
    rng = np.random.default_rng(seed)
    labels = np.stack([is_current, *(rng.permutation(is_current) for _ in range(PERMUTATIONS))]).astype(np.float32)
    current = labels @ counts
    reference = counts.sum(axis=0) - current
    distances = np.array([js_distance(r, c) for r, c in zip(reference, current, strict=True)])
    return float(distances[0]), float((distances >= distances[0] - 1e-12).mean())


def periods_of(queries: pd.DataFrame, reference_share: float) -> tuple[pd.Series, str]:
    """Return each query's year by query id, the earliest years as one reference period.

    Args:
        queries: ``query_id`` and ``created`` (ISO dates).
        reference_share: the earliest years that together hold at least this share of the queries.

    Returns:
        the periods and the reference's name, such as ``2017-2019``.
    """
    years = pd.Series(queries["created"].str[:4].to_numpy(), index=queries["query_id"]).dropna()
    growing = years.value_counts(normalize=True).sort_index().cumsum()
    until = growing.index[int(np.searchsorted(growing.to_numpy(), reference_share - 1e-9))]
    first = growing.index[0]
    name = f"{first}-{until}" if first != until else str(first)
    return years.where(years > until, name), name


def drift_table(
    signals: pd.DataFrame, texts: pd.Series, periods: pd.Series, reference: str, min_queries: int, seed: int
) -> pd.DataFrame:
    """Compare every later period with the reference, signal by signal.

    Numeric signals by the two-sample Kolmogorov-Smirnov test, terms by a permutation test; Holm
    over all of them, so that the chance of any false alarm is that of one test.

    Args:
        signals: one column a signal, by query id.
        texts: query texts by query id.
        periods: period by query id.
        reference: the name of the reference period.
        min_queries: smaller periods are left out.
        seed: of the permutations.

    Returns:
        ``period, signal, queries, reference_mean, mean, psi, statistic, p, p_holm``; ``statistic``
        is KS's D or the Jensen-Shannon distance; what does not apply is NaN.
    """
    sizes = periods.value_counts().sort_index()
    later = [p for p, n in sizes.items() if p != reference and n >= min_queries]
    if sizes.get(reference, 0) < min_queries:
        later = []
    known = periods.index[periods == reference]
    rows = []
    for period in later:
        ids = periods.index[periods == period]
        rows += [_numeric(signals.loc[known, s], signals.loc[ids, s], str(period)) for s in signals.columns]
        counts = term_counts([*texts.loc[known], *texts.loc[ids]])
        distance, p = term_drift(counts, np.arange(len(counts)) >= len(known), seed)
        rows.append({"period": str(period), "signal": "terms", "queries": len(ids), "statistic": distance, "p": p})
    columns = ["period", "signal", "queries", "reference_mean", "mean", "psi", "statistic", "p"]
    table = pd.DataFrame(rows, columns=columns)
    adjusted = holm({str(i): float(p) for i, p in table["p"].items()})
    table["p_holm"] = [adjusted[str(i)] for i in table.index]
    return table.astype({"p_holm": float})


def _numeric(reference: pd.Series, current: pd.Series, period: str) -> dict[str, object]:
    from scipy import stats

    one, two = reference.to_numpy(dtype=float), current.to_numpy(dtype=float)
    test = stats.ks_2samp(one, two)
    return {
        "period": period,
        "signal": str(reference.name),
        "queries": len(two),
        "reference_mean": float(one.mean()),
        "mean": float(two.mean()),
        "psi": psi(one, two),
        "statistic": float(test.statistic),
        "p": float(test.pvalue),
    }


def false_alarms(
    signals: pd.DataFrame, size: int, alpha: float, psi_limit: float, rounds: int = 200, seed: int = 0
) -> dict[str, float]:
    """Return how often each rule alarms where nothing drifted: random halves of one period.

    Args:
        signals: of the reference period.
        size: queries that a later period has.
        alpha: level of the test, Holm over the signals.
        psi_limit: the rule of thumb that the index alone is compared with.
        rounds: random divisions.
        seed: of the divisions.
    """
    from scipy import stats

    rng, by_test, by_psi = np.random.default_rng(seed), 0, 0
    values = signals.to_numpy(dtype=float)
    size = max(1, min(size, len(values) // 2))
    for _ in range(rounds):
        order = rng.permutation(len(values))
        one, two = values[order[size:]], values[order[:size]]
        p = holm({str(i): float(stats.ks_2samp(one[:, i], two[:, i]).pvalue) for i in range(values.shape[1])})
        by_test += min(p.values()) < alpha
        by_psi += max(psi(one[:, i], two[:, i]) for i in range(values.shape[1])) >= psi_limit
    return {"test": by_test / rounds, "psi alone": by_psi / rounds, "rounds": float(rounds), "size": float(size)}


def mean_difference(
    current: pd.Series, reference: pd.Series, groups: Mapping[str, str], seed: int
) -> tuple[float, float, float]:
    """Return the difference of two means with its 95 % interval: other queries, so unpaired.

    The two bootstrap intervals are combined by MOVER (Zou and Donner 2008).
    """
    means = [float(x.mean()) for x in (current, reference)]
    ends = [interval(x.to_numpy(dtype=float), [groups[str(q)] for q in x.index], seed) for x in (current, reference)]
    (low1, high1), (low2, high2) = ends
    delta = means[0] - means[1]
    down = float(np.hypot(means[0] - low1, high2 - means[1]))
    up = float(np.hypot(high1 - means[0], means[1] - low2))
    return delta, delta - down, delta + up


def label_priority(top_score: pd.Series, disagreement: pd.Series) -> pd.Series:
    """Return how much a label is worth by query id, 0 to 1: the mean of two ranks.

    A low top score says that the model found nothing close; BM25 and the model naming different
    documents says that one of them is wrong.
    """
    doubt = (-top_score).rank(pct=True)
    return ((doubt + disagreement.rank(pct=True)) / 2).rename("priority")
