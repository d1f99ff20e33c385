"""Drift: do queries and scores still look as they did, and what to do when they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.text import fold
from embedlab.evaluation.comparison import holm
from embedlab.evaluation.intervals import Floats

TERMS_SIGNAL = "terms"
"""The distribution of terms: a signal of the whole period, without a value for each query or a PSI."""

TERMS = 500
"""Most frequent terms that the term distribution keeps apart; the rest counts as one."""

PERMUTATIONS = 999
"""Random divisions beside the real one; the smallest p-value is 1/1000."""

DRIFT_COLUMNS = ["period", "signal", "queries", "reference_mean", "mean", "psi", "statistic", "p"]


def psi(reference: Floats, current: Floats, bins: int = 10) -> float:
    """Return the population stability index of two samples, 0 when they fall alike.

    ``sum (c - r) ln(c / r)`` over the reference's quantile bins (Siddiqi 2006), half a count added
    to every bin. Credit scoring reads .1 as moderate and .25 as major, for large samples: without
    any drift its expectation is about ``(bins - 1) (1/n + 1/m)`` (Yurdakul 2018).
    """
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    # A signal of few different values has the same quantile several times; between two equal edges lies nothing.
    edges = np.unique(np.quantile(reference, inner))
    r, c = _shares(reference, edges), _shares(current, edges)
    of_bins = (c - r) * np.log(c / r)
    return float(of_bins.sum())


def _shares(sample: Floats, edges: Floats) -> Floats:
    """Return the share of a sample in each bin; half a count more in each, so that none is empty."""
    bin_of_each = np.searchsorted(edges, sample, side="right")  # a value on an edge falls in the bin above it
    counts = np.bincount(bin_of_each, minlength=len(edges) + 1)
    filled = counts + 0.5
    return np.asarray(filled / filled.sum(), dtype=np.float64)


def js_distance(first: Floats, second: Floats) -> float:
    """Return the Jensen-Shannon distance of two count vectors, 0 to 1 (Endres and Schindelin 2003)."""
    from scipy.spatial.distance import jensenshannon

    distance = jensenshannon(first, second, base=2)
    # A vector without a single count has no shares: scipy says NaN, and here that is no distance.
    return float(np.nan_to_num(distance))


def text_signals(texts: pd.Series, vocabulary: set[str]) -> pd.DataFrame:
    """Return ``words`` and ``unseen terms`` (share of words that no document has) by query id.

    Args:
        texts: query texts by query id.
        vocabulary: the words of all documents, folded.
    """
    lengths, unseen = [], []
    for text in texts:
        words = fold(text).split()
        unknown = sum(word not in vocabulary for word in words)
        lengths.append(float(len(words)))
        unseen.append(unknown / max(len(words), 1))
    return pd.DataFrame({"words": lengths, "unseen terms": unseen}, index=texts.index)


def term_counts(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return how often each text has each frequent term, ``[texts, TERMS + 1]``; the last column is the rest."""
    tokens = [fold(text).split() for text in texts]
    frequency = Counter(word for words in tokens for word in words)
    # Equally frequent words stand by name, so that the order of the texts does not choose among them.
    ranked = sorted(frequency, key=lambda word: (-frequency[word], word))
    column = {word: position for position, word in enumerate(ranked[:TERMS])}
    rest = len(column)
    counts = np.zeros((len(tokens), rest + 1), dtype=np.float32)
    for row, words in enumerate(tokens):
        for word in words:
            counts[row, column.get(word, rest)] += 1
    return counts


def term_drift(counts: NDArray[np.float32], is_current: NDArray[np.bool_], seed: int) -> tuple[float, float]:
    """Return the Jensen-Shannon distance of two groups of texts and its permutation p-value.

    The distance of two small samples is large without any drift; shuffling who belongs to which
    group tells how large.

    Args:
        counts: of terms, ``[texts, terms]``.
        is_current: for each text, whether it belongs to the current group.
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    divisions = [is_current]  # the real one counts among the random ones, so that p is never 0
    for _ in range(PERMUTATIONS):
        divisions.append(rng.permutation(is_current))
    # One product sums the terms of all divisions; whole numbers of this size are exact in float32.
    belongs = np.stack(divisions).astype(np.float32)
    current = belongs @ counts
    reference = counts.sum(axis=0) - current
    distances = np.array([js_distance(r, c) for r, c in zip(reference, current, strict=True)])
    found = distances[0]
    # The same division drawn again has the same sums in another order, which differ in the last digit.
    at_least = distances >= found - 1e-12
    return float(found), float(at_least.mean())


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
    past = periods.index[periods == reference]
    rows: list[dict[str, object]] = []
    for period in _later_periods(periods, reference, min_queries):
        present = periods.index[periods == period]
        about = {"period": str(period), "queries": len(present)}
        for signal in signals.columns:
            before, after = signals.loc[past, signal], signals.loc[present, signal]
            rows.append({**about, "signal": str(signal), **_numeric(before, after)})
        counts = term_counts([*texts.loc[past], *texts.loc[present]])
        is_current = np.arange(len(counts)) >= len(past)
        distance, p = term_drift(counts, is_current, seed)
        rows.append({**about, "signal": TERMS_SIGNAL, "statistic": distance, "p": p})
    table = pd.DataFrame(rows, columns=DRIFT_COLUMNS)
    # Holm takes tests by name, and signals have the same names in every period: each goes by its row.
    p_by_row = {str(row): float(p) for row, p in table["p"].items()}
    adjusted = holm(p_by_row)
    table["p_holm"] = [adjusted[str(row)] for row in table.index]
    return table.astype({"p_holm": float})  # without a row it would be a column of objects


def _later_periods(periods: pd.Series, reference: str, min_queries: int) -> list[object]:
    """Return the other periods that are large enough, in order; none where the reference itself is too small."""
    sizes = periods.value_counts().sort_index()
    if sizes.get(reference, 0) < min_queries:
        return []
    large = sizes.index[sizes >= min_queries]
    return [period for period in large if period != reference]


def _numeric(reference: pd.Series, current: pd.Series) -> dict[str, float]:
    """Return how far a numeric signal moved: both means, PSI, and the Kolmogorov-Smirnov test."""
    from scipy import stats

    before, after = reference.to_numpy(dtype=float), current.to_numpy(dtype=float)
    test = stats.ks_2samp(before, after)
    return {
        "reference_mean": float(before.mean()),
        "mean": float(after.mean()),
        "psi": psi(before, after),
        "statistic": float(test.statistic),
        "p": float(test.pvalue),
    }


def drift_alarms(table: pd.DataFrame, alpha: float, psi_limit: float) -> pd.Series:
    """Return for each row of :func:`drift_table` whether it is an alarm: significant, and a large shift.

    The tests take queries as independent of one another; queries written in one go are not, so PSI
    has to agree. Terms have no PSI: there the test alone decides.

    Args:
        table: as :func:`drift_table` returns it.
        alpha: chance of any false alarm among all tests.
        psi_limit: population stability index from which a shift is large.
    """
    large = (table["psi"] >= psi_limit) | (table["signal"] == TERMS_SIGNAL)
    return (table["p_holm"] < alpha) & large


def false_alarms(
    signals: pd.DataFrame, size: int, alpha: float, psi_limit: float, rounds: int = 200, seed: int = 0
) -> dict[str, float]:
    """Return how often each rule alarms where nothing drifted: random divisions of one period.

    Args:
        signals: of the reference period.
        size: queries that a later period has; at most half of the reference is taken.
        alpha: level of the test, Holm over the signals.
        psi_limit: the rule of thumb that the index alone is compared with.
        rounds: random divisions.
        seed: of the divisions.

    Returns:
        shares of the rounds, ``test`` and ``psi alone``, and beside them ``rounds`` and ``size``.
    """
    rng = np.random.default_rng(seed)
    values = signals.to_numpy(dtype=float)
    # At most half, so that what is left as the reference is never the smaller side.
    size = max(1, min(size, len(values) // 2))
    by_test, by_psi = 0, 0
    for _ in range(rounds):
        order = rng.permutation(len(values))
        present, past = values[order[:size]], values[order[size:]]
        signal_pairs = list(zip(past.T, present.T, strict=True))
        largest_psi = max(psi(before, after) for before, after in signal_pairs)
        by_test += _lowest_p(signal_pairs) < alpha
        by_psi += largest_psi >= psi_limit
    return {"test": by_test / rounds, "psi alone": by_psi / rounds, "rounds": float(rounds), "size": float(size)}


def _lowest_p(signal_pairs: Sequence[tuple[Floats, Floats]]) -> float:
    """Return the lowest p-value of the Kolmogorov-Smirnov tests, Holm over the signals."""
    from scipy import stats

    p_values: dict[str, float] = {}
    for number, (before, after) in enumerate(signal_pairs):
        p_values[str(number)] = float(stats.ks_2samp(before, after).pvalue)
    return min(holm(p_values).values())


def label_priority(top_score: pd.Series, disagreement: pd.Series) -> pd.Series:
    """Return how much a label is worth by query id, 0 to 1: the mean of two ranks.

    A low top score says that the model found nothing close; BM25 and the model naming different
    documents says that one of them is wrong.

    Args:
        top_score: of the best document, by query id.
        disagreement: share of the documents shown by one and not by the other, by query id.
    """
    # Scores and shares have scales of their own; ranks put them on one, so that both weigh the same.
    doubt = (-top_score).rank(pct=True)
    conflict = disagreement.rank(pct=True)
    return ((doubt + conflict) / 2).rename("priority")
