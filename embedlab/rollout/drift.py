"""Drift: do queries and scores still look as they did, and what to do when they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.text import fold
from embedlab.evaluation.comparison import holm
from embedlab.evaluation.statistics.resampling import Floats

TERMS_SIGNAL = "terms"
"""The distribution of terms: a signal of the whole period, without a value for each query or a PSI."""

TERMS = 500
"""Most frequent terms that the term distribution keeps apart; the rest counts as one."""

PERMUTATIONS = 999
"""Random divisions beside the real one; the smallest p-value is 1/1000."""

CALIBRATION_PERMUTATIONS = 199
"""As many in each round of :func:`false_alarms`, where a single period is compared."""

PERMUTATIONS_A_TEST = 40
"""Random divisions for each test made together, at least, so that the smallest p-value passes Holm at .05."""

DRIFT_COLUMNS = ["period", "signal", "queries", "reference_mean", "mean", "psi", "statistic", "expected", "p"]


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


def js_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Return the Jensen-Shannon distance of count vectors row by row, 0 to 1 (Endres and Schindelin 2003).

    Args:
        first: counts, ``[n, terms]`` or ``[terms]``.
        second: counts that they are compared with, likewise.
    """
    from scipy.spatial.distance import jensenshannon

    # A vector without a single count has no shares: scipy says NaN, and here that is no distance.
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = jensenshannon(first, second, base=2, axis=-1)
    return np.nan_to_num(np.asarray(distance, dtype=np.float64))


def ks_distance(values: Floats, is_current: NDArray[np.bool_]) -> Floats:
    """Return the Kolmogorov-Smirnov distance of two samples for each division of the values.

    Args:
        values: of all queries, ``[n]``.
        is_current: divisions, ``[divisions, n]``: whether a value belongs to the current sample.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    # Between two equal values a distribution function has no step.
    step_ends = np.append(ordered[1:] != ordered[:-1], True)
    current = np.cumsum(is_current[:, order], axis=1)[:, step_ends]
    both = np.arange(1, len(values) + 1)[step_ends]
    current_size = current[:, -1:]
    reference_size = len(values) - current_size
    apart = current / np.maximum(current_size, 1) - (both - current) / np.maximum(reference_size, 1)
    return np.asarray(np.abs(apart).max(axis=1), dtype=np.float64)


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


def block_divisions(
    is_current: NDArray[np.bool_], blocks: pd.Series, permutations: int, seed: int
) -> NDArray[np.bool_]:
    """Return the real division of the queries and random ones that leave blocks whole, ``[permutations + 1, n]``.

    Whole blocks change sides, as many as stand on each side now (block permutation, Good 2005), because
    queries of a block are not independent. A block that stands on both sides counts as two.

    Args:
        is_current: for each query, whether it belongs to the current period, ``[n]``.
        blocks: the block of each query, in the same order.
        permutations: random divisions.
        seed: of the permutations.
    """
    code, _ = pd.factorize(blocks.astype(str))
    block_and_side = 2 * code + is_current
    piece_of_each = np.unique(block_and_side, return_inverse=True)[1]
    side_of_piece = np.zeros(piece_of_each.max() + 1, dtype=bool)
    side_of_piece[piece_of_each] = is_current
    rng = np.random.default_rng(seed)
    sides = [side_of_piece]  # the real one counts among the random ones, so that p is never 0
    for _ in range(permutations):
        sides.append(rng.permutation(side_of_piece))
    return np.stack(sides)[:, piece_of_each]


def term_distances(counts: NDArray[np.float32], is_current: NDArray[np.bool_]) -> Floats:
    """Return the Jensen-Shannon distance of the two sides' terms for each division.

    Args:
        counts: of terms, ``[n, terms]``.
        is_current: divisions, ``[divisions, n]``.
    """
    # One product sums the terms of all divisions; whole numbers of this size are exact in float32.
    current = is_current.astype(np.float32) @ counts
    reference = counts.sum(axis=0) - current
    return js_distance(reference, current)


def _permutation_test(distances: Sequence[Floats]) -> dict[str, float]:
    """Return the real distance, what no drift lets expect, and the p-value.

    Args:
        distances: for each kind of block those of all divisions, the real one first. Of expectations
            and p-values that of the kind for which it is largest counts.
    """
    p_values, expected = [], []
    for of_kind in distances:
        # The same division drawn again has the same sums in another order, which differ in the last digit.
        at_least = of_kind >= of_kind[0] - 1e-9
        p_values.append(float(at_least.mean()))
        expected.append(float(of_kind.mean()))
    return {"statistic": float(distances[0][0]), "expected": max(expected), "p": max(p_values)}


def drift_table(
    signals: pd.DataFrame,
    texts: pd.Series,
    periods: pd.Series,
    blocks: pd.DataFrame,
    reference: str,
    min_queries: int,
    seed: int,
    permutations: int = PERMUTATIONS,
) -> pd.DataFrame:
    """Compare every later period with the reference, signal by signal.

    Numeric signals by the Kolmogorov-Smirnov distance, terms by the Jensen-Shannon distance, each with
    the p-value of a permutation of whole blocks; of several kinds of block the largest p-value counts.
    Holm over all of them, so that the chance of any false alarm is that of one test.

    Args:
        signals: one column a signal, by query id.
        texts: query texts by query id.
        periods: period by query id.
        blocks: by query id, a column a kind of block: what of a query's circumstances others share, such
            as its ``group`` and its ``day``.
        reference: the name of the reference period.
        min_queries: smaller periods are left out.
        seed: of the permutations.
        permutations: random divisions beside the real one; more are made where many tests need smaller p-values.

    Returns:
        ``period, signal, queries, reference_mean, mean, psi, statistic, expected, p, p_holm``;
        ``statistic`` is the distance and ``expected`` its mean where nothing drifted; what does not
        apply is NaN.
    """
    past = periods.index[periods == reference]
    later = _later_periods(periods, reference, min_queries)
    permutations = max(permutations, PERMUTATIONS_A_TEST * len(later) * (len(signals.columns) + 1))
    rows: list[dict[str, object]] = []
    for period in later:
        present = periods.index[periods == period]
        both = past.append(present)
        is_current = np.arange(len(both)) >= len(past)
        divisions = []
        for kind in blocks.columns:
            of_each = blocks[kind].loc[both]
            divisions.append(block_divisions(is_current, of_each, permutations, seed))
        about = {"period": str(period), "queries": len(present)}
        for signal in signals.columns:
            values = signals[signal].loc[both].to_numpy(dtype=float)
            moved = _moved(values[~is_current], values[is_current])
            test = _permutation_test([ks_distance(values, division) for division in divisions])
            rows.append({**about, "signal": str(signal), **moved, **test})
        counts = term_counts(texts.loc[both].tolist())
        test = _permutation_test([term_distances(counts, division) for division in divisions])
        rows.append({**about, "signal": TERMS_SIGNAL, **test})
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


def _moved(reference: Floats, current: Floats) -> dict[str, float]:
    """Return how far a numeric signal moved: both means and the population stability index."""
    return {
        "reference_mean": float(reference.mean()),
        "mean": float(current.mean()),
        "psi": psi(reference, current),
    }


def drift_alarms(table: pd.DataFrame, alpha: float, psi_limit: float, terms_limit: float) -> pd.Series:
    """Return for each row of :func:`drift_table` whether it is an alarm: significant, and a large shift.

    Args:
        table: as :func:`drift_table` returns it.
        alpha: chance of any false alarm among all tests.
        psi_limit: population stability index from which a numeric signal's shift is large.
        terms_limit: Jensen-Shannon distance beyond the expected one from which that of terms is large.
    """
    beyond = table["statistic"] - table["expected"]
    of_terms = table["signal"] == TERMS_SIGNAL
    large = (table["psi"] >= psi_limit) | (of_terms & (beyond >= terms_limit))
    return (table["p_holm"] < alpha) & large


def divide(blocks: pd.Series, size: int, seed: int) -> pd.Series:
    """Return whether each query is on the current side of a random division that leaves blocks whole, by query id.

    Blocks are drawn until they hold ``size`` queries; one block at least stays on the other side.

    Args:
        blocks: the block of each query, two or more.
        size: queries.
        seed: of the draw.
    """
    sizes = blocks.value_counts().sort_index()
    drawn = sizes.sample(frac=1.0, random_state=seed)
    enough = int(np.searchsorted(drawn.cumsum().to_numpy(), size)) + 1
    chosen = drawn.index[: min(enough, len(drawn) - 1)]
    return blocks.isin(chosen)


def false_alarms(
    signals: pd.DataFrame,
    texts: pd.Series,
    blocks: pd.DataFrame,
    size: int,
    alpha: float,
    psi_limit: float,
    terms_limit: float,
    rounds: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how often the whole rule alarms where nothing drifted: random divisions of one period.

    Each division runs :func:`drift_table` and :func:`drift_alarms`, with fewer permutations. Whole blocks
    of one kind are divided: single queries would be more alike on both sides than two periods ever are.

    Args:
        signals: of the reference period, by query id.
        texts: of its queries, by query id.
        blocks: of its queries, a column a kind, see :func:`drift_table`.
        size: queries that a later period has; at most half of the reference is taken.
        alpha: level of the rule.
        psi_limit: of the rule; the index alone is shown beside it.
        terms_limit: of the rule.
        rounds: random divisions for each kind of block.
        seed: of the divisions.

    Returns:
        by the kind of block that was divided (the index) the shares of the rounds, ``rule`` and
        ``psi alone``, beside ``rounds`` and ``size``; a kind with a single block is left out.
    """
    # At most half, so that what is left as the reference is seldom the smaller side.
    size = max(1, min(size, len(signals) // 2))
    rows = {}
    for kind in blocks.columns[blocks.nunique() > 1]:
        by_rule, by_psi = 0, 0
        for number in range(rounds):
            current = divide(blocks[kind], size, seed + number)
            periods = current.map({True: "current", False: "reference"})
            table = drift_table(
                signals, texts, periods, blocks, "reference", 1, seed + number, permutations=CALIBRATION_PERMUTATIONS
            )
            by_rule += bool(drift_alarms(table, alpha, psi_limit, terms_limit).any())
            by_psi += bool((table["psi"] >= psi_limit).any())
        rows[kind] = (by_rule / rounds, by_psi / rounds, rounds, size)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["rule", "psi alone", "rounds", "size"])


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
