"""A threshold for "no answer": what it keeps, what it refuses, and how precise what it answers is."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from embedlab.errors import DataError, ParameterError
from embedlab.evaluation import coverage_curve, no_answer, unanswerable_half, without_answers

IDS = [f"q{at}" for at in range(6)]
SCORES = pd.Series([0.9, 0.8, 0.7, 0.7, 0.5, np.nan], index=IDS)
RIGHT = pd.Series([True, True, False, True, False, False], index=IDS)


def test_the_curve_says_what_each_threshold_answers_and_how_precisely():
    curve = coverage_curve(SCORES, RIGHT)
    assert curve["threshold"].tolist() == [0.5, 0.7, 0.8, 0.9]
    assert curve["coverage"].tolist() == pytest.approx([5 / 6, 4 / 6, 2 / 6, 1 / 6])
    assert curve["precision"].tolist() == pytest.approx([3 / 5, 3 / 4, 1, 1])


def test_queries_without_any_result_are_never_answered():
    assert coverage_curve(SCORES[-1:], RIGHT[-1:]).empty


def test_scores_and_flags_of_other_queries_are_refused():
    with pytest.raises(DataError, match="scores of 6 queries, and 5"):
        coverage_curve(SCORES, RIGHT[:5])
    with pytest.raises(DataError):
        no_answer(SCORES[:0], RIGHT[:0], 0.9)


def test_the_threshold_keeps_the_share_asked_for_and_the_area_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    ids = [f"q{at}" for at in range(400)]
    answerable = pd.Series(rng.random(400) < 0.5, index=ids)
    scores = pd.Series(rng.normal(size=400).round(1) + answerable * 1.5, index=ids)
    found = no_answer(scores, answerable, 0.98)
    assert found.auc == pytest.approx(roc_auc_score(answerable, scores))
    assert found.kept == pytest.approx((scores[answerable] >= found.threshold).mean())
    assert found.kept >= 0.98
    higher = scores[answerable].sort_values().iloc[int(0.03 * answerable.sum())]
    assert (scores[answerable] >= higher).mean() < 0.98 or higher <= found.threshold + 0.001
    assert found.refused == pytest.approx((scores[~answerable] < found.threshold).mean())


def test_a_score_that_tells_nothing_has_an_area_of_one_half():
    same = pd.Series(0.5, index=IDS)
    assert no_answer(same, RIGHT, 0.9).auc == 0.5


def test_with_one_kind_of_queries_there_is_no_area():
    assert no_answer(SCORES, RIGHT | True, 0.5).auc is None
    assert no_answer(SCORES, RIGHT & False, 0.5).threshold is None


@pytest.mark.parametrize("keep", [0, -0.1, 1.1])
def test_a_share_that_is_none_is_refused(keep):
    with pytest.raises(ParameterError, match="above 0 and at most 1"):
        no_answer(SCORES, RIGHT, keep)


def test_half_of_the_queries_lose_their_relevant_documents_and_nothing_else():
    run = pd.DataFrame([(q, d, 1.0) for q in IDS for d in "abc"], columns=["query_id", "doc_id", "score"])
    qrels = pd.DataFrame(
        [(q, d, int(d == "a")) for q in IDS for d in "ab"], columns=["query_id", "doc_id", "relevance"]
    )
    drawn = unanswerable_half(IDS, seed=1)
    assert len(drawn) == 3
    assert drawn == unanswerable_half(reversed(IDS), seed=1) != unanswerable_half(IDS, seed=2)
    left = without_answers(run, qrels, drawn).groupby("query_id")["doc_id"].agg("".join)
    assert left.to_dict() == {q: "bc" if q in drawn else "abc" for q in IDS}
