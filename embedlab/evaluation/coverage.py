"""When to say that there is no answer: what a threshold on the best score keeps and what it refuses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from embedlab.data.text import stable_hash
from embedlab.errors import DataError, ParameterError
from embedlab.evaluation.results import NoAnswer


def unanswerable_half(query_ids: Iterable[str], seed: int = 0) -> set[str]:
    """Return half of the queries, the same ones for the same ids and seed: those whose answers are to be taken away."""
    drawn = sorted(query_ids, key=lambda query_id: stable_hash(seed, "no answer", query_id))
    return set(drawn[: len(drawn) // 2])


def without_answers(run: pd.DataFrame, qrels: pd.DataFrame, query_ids: set[str]) -> pd.DataFrame:
    """Return a run from which the relevant documents of some queries are gone, as if the corpus had never held them.

    Args:
        run: ``query_id, doc_id, score``, deeper than what will be shown.
        qrels: ``query_id, doc_id, relevance``; 1 and more is relevant.
        query_ids: the queries that lose them.
    """
    relevant = qrels[(qrels["relevance"] >= 1) & qrels["query_id"].isin(query_ids)]
    gone = pd.MultiIndex.from_frame(relevant[["query_id", "doc_id"]])
    found = pd.MultiIndex.from_frame(run[["query_id", "doc_id"]])
    return run[~found.isin(gone)].reset_index(drop=True)


def coverage_curve(scores: pd.Series, right: pd.Series) -> pd.DataFrame:
    """Return what each threshold answers: ``threshold, coverage, precision``, from answering all to the best alone.

    Coverage is the share of all queries that are answered, precision the share of those answered whose answer is
    right (El-Yaniv and Wiener 2010, where it is called selective risk).

    Args:
        scores: best score by query; missing (NaN) where nothing was found, which no threshold answers.
        right: by query whether what would be shown is right; of a query without an answer it never is.

    Raises:
        DataError: if the two are of different queries, or of none.
    """
    _check_queries(scores, right)
    answered = scores.dropna().sort_values(ascending=False, kind="stable")
    hits = right[answered.index].astype(float).cumsum().to_numpy()
    count = np.arange(1, len(answered) + 1)
    # Queries of one score are answered together or not at all: only the last of them is a point.
    is_last = np.append(np.diff(answered.to_numpy()) != 0, True)[: len(answered)]
    curve = pd.DataFrame(
        {"threshold": answered.to_numpy(), "coverage": count / len(scores), "precision": hits / np.maximum(count, 1)}
    )
    return curve[is_last].iloc[::-1].reset_index(drop=True)


def no_answer(scores: pd.Series, is_answerable: pd.Series, keep: float) -> NoAnswer:
    """Return the threshold that answers a share of the queries that have an answer, and what it refuses of the others.

    Args:
        scores: best score by query; missing where nothing was found.
        is_answerable: by query whether there is an answer.
        keep: share of the answerable queries that must be answered, such as .98.

    Raises:
        DataError: if the two are of different queries, or of none.
        ParameterError: if the share is not above 0 and at most 1.
    """
    _check_queries(scores, is_answerable)
    if not 0 < keep <= 1:
        raise ParameterError(f"keep must be above 0 and at most 1, found {keep}")
    found = scores.fillna(-np.inf)
    wanted, others = found[is_answerable], found[~is_answerable]
    counts = {"answerable": len(wanted), "unanswerable": len(others)}
    if wanted.empty:
        return NoAnswer(None, None, None, None, **counts)
    # A value between two scores, numpy's default, could lie above one that must stay; rounded down for the same reason.
    lowest = float(np.quantile(wanted, 1 - keep, method="lower"))
    threshold = float(np.floor(lowest * 1000) / 1000)
    kept = float((wanted >= threshold).mean())
    if others.empty:
        return NoAnswer(threshold, None, kept, None, **counts)
    return NoAnswer(threshold, _auc(wanted, others), kept, float((others < threshold).mean()), **counts)


def _auc(higher: pd.Series, lower: pd.Series) -> float:
    from scipy.stats import mannwhitneyu

    # The statistic counts the pairs in the right order, ties one half; it takes minus infinity, too.
    return float(mannwhitneyu(higher, lower).statistic / (len(higher) * len(lower)))


def _check_queries(scores: pd.Series, flags: pd.Series) -> None:
    if scores.empty or not scores.index.equals(flags.index):
        raise DataError(f"scores of {len(scores)} queries, and {len(flags)} to say which are right: not the same ones")
