"""Rank-biased overlap, the shadow gate, and the drift monitors."""

import numpy as np
import pandas as pd
import pytest

from embedlab.evaluation import agreement, compare_scores, rbo
from embedlab.rollout import (
    drift_table,
    false_alarms,
    gate,
    label_priority,
    latencies,
    latest,
    mean_difference,
    periods_of,
    text_signals,
    within_budget,
)
from embedlab.rollout.drift import psi


def _rbo_by_definition(first, second, p, depth=4000):
    """Extrapolate agreement at the last common depth to infinity: equal lengths only (Webber's eq. 23 and 30)."""
    n = len(first)
    agree = [len(set(first[:d]) & set(second[:d])) / d for d in range(1, n + 1)]
    agree += [agree[-1]] * (depth - n)
    return (1 - p) * sum(a * p**d for d, a in enumerate(agree))


@pytest.mark.parametrize("seed", range(5))
def test_rbo_is_the_weighted_agreement_at_every_depth(seed):
    rng = np.random.default_rng(seed)
    first, second = (list(map(str, rng.permutation(30)[:20])) for _ in range(2))
    assert rbo(first, second, 0.9) == pytest.approx(_rbo_by_definition(first, second, 0.9), abs=1e-9)


def test_rbo_of_equal_disjoint_and_empty_rankings():
    assert rbo(list("abc"), list("abc")) == pytest.approx(1)
    assert rbo(list("abc"), list("xyz")) == 0
    assert rbo([], []) == 1
    assert rbo([], ["a"]) == 0


def test_rbo_does_not_punish_a_shorter_list_that_agrees():
    assert rbo(list("abcd"), list("ab")) == pytest.approx(1)
    assert rbo(list("abcd"), list("ab")) == rbo(list("ab"), list("abcd"))


def test_agreement_counts_the_documents_that_both_show():
    before = pd.DataFrame({"query_id": ["q"] * 4, "doc_id": list("abcd"), "score": [4.0, 3, 2, 1]})
    after = pd.DataFrame({"query_id": ["q"] * 4, "doc_id": list("abxy"), "score": [4.0, 3, 2, 1]})
    assert agreement(before, after, k=4).loc["q", "overlap"] == 0.5


def test_without_dates_all_queries_are_replayed_in_id_order():
    queries = pd.DataFrame({"query_id": ["q3", "q1", "q2"]})
    found, dated = latest(queries, 2)
    assert (found["query_id"].tolist(), dated) == (["q1", "q2", "q3"], False)
    found, dated = latest(queries.assign(created=["2020", "2022", "2021"]), 2)
    assert (found["query_id"].tolist(), dated) == (["q2", "q1"], True)


def _comparison(delta):
    ids = [f"q{i}" for i in range(40)]
    base = pd.Series(np.linspace(0.3, 0.7, 40), index=ids)
    return compare_scores(base, base + delta)


def test_the_gate_fails_on_worse_answers_missing_answers_and_slow_answers():
    assert gate(_comparison(0.1), 0, True, 100)[0]
    assert not gate(_comparison(-0.1), 0, True, 100)[0]
    assert not gate(_comparison(0.1), 1, True, 100)[0]
    passed, reason = gate(_comparison(0.1), 0, False, 100)
    assert not passed
    assert "100 ms" in reason


def test_a_slow_machine_is_not_held_against_the_candidate():
    def times(base, tuned, worst):
        return pd.DataFrame({"base": [base, worst], "tuned": [tuned, worst]}, index=["p50", "p95"])

    assert within_budget(times(20, 80, 99), 100) is True
    assert within_budget(times(20, 80, 130), 100) is False
    assert within_budget(times(120, 130, 140), 100) is None
    assert within_budget(times(20, 21, 900), 100) is None
    assert gate(_comparison(0.1), 0, None, 100)[0]


def test_psi_is_near_zero_without_drift_and_large_with():
    rng = np.random.default_rng(0)
    same = psi(rng.normal(size=5000), rng.normal(size=5000))
    moved = psi(rng.normal(size=5000), rng.normal(1.0, 1.0, size=5000))
    assert same < 0.01
    assert moved == pytest.approx(1.0, abs=0.25)  # the divergence of two unit normals one apart is 1, in few bins less


def _texts(words, count):
    rng = np.random.default_rng(len(words))
    return [" ".join(rng.choice(words, 8)) for _ in range(count)]


def test_drift_alarms_on_a_planted_change_and_not_without():
    old, new = _texts([f"a{i}" for i in range(30)], 120), _texts([f"b{i}" for i in range(40)], 60)
    ids = [f"q{i:03d}" for i in range(180)]
    periods = pd.Series(["past"] * 80 + ["same"] * 40 + ["new"] * 60, index=ids)
    texts = pd.Series([*old, *new], index=ids)
    signals = text_signals(texts, {f"a{i}" for i in range(30)})
    table = drift_table(signals, texts, periods, "past", 20, seed=0).set_index(["period", "signal"])
    assert table.loc[("new", "unseen terms"), "p_holm"] < 0.01
    assert table.loc[("new", "terms"), "p_holm"] < 0.05
    assert table.loc[("same", "unseen terms"), "p_holm"] > 0.05
    assert table.loc[("same", "terms"), "p_holm"] > 0.05


def test_periods_below_the_minimum_are_left_out():
    ids = [f"q{i}" for i in range(30)]
    periods = pd.Series(["past"] * 25 + ["new"] * 5, index=ids)
    texts = pd.Series(["one two"] * 30, index=ids)
    assert drift_table(text_signals(texts, set()), texts, periods, "past", 20, 0).empty


def test_the_false_alarm_rate_of_the_test_is_near_its_level():
    rng = np.random.default_rng(1)
    signals = pd.DataFrame({"x": rng.normal(size=400), "y": rng.normal(size=400)})
    rates = false_alarms(signals, 40, 0.05, 0.25, rounds=300)
    assert rates["test"] <= 0.1
    assert rates["psi alone"] > rates["test"]  # ten bins of forty queries swing without any drift


def test_the_reference_is_the_earliest_years_that_hold_the_share():
    queries = pd.DataFrame({"query_id": list("abcdefgh"), "created": ["2017"] + ["2018"] * 2 + ["2019"] * 5})
    periods, name = periods_of(queries, 0.25)
    assert name == "2017-2018"
    assert sorted(set(periods)) == ["2017-2018", "2019"]


def test_an_unpaired_difference_covers_the_true_one():
    rng = np.random.default_rng(2)
    one, two = (pd.Series(rng.normal(m, 1, 300), index=[f"{m}{i}" for i in range(300)]) for m in (0.5, 0.0))
    groups = {q: q for q in [*one.index, *two.index]}
    delta, low, high = mean_difference(one, two, groups, 0)
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(2 / 300), rel=0.15)
    assert low < delta < high


def test_low_scores_and_disagreement_come_first_in_the_list_to_label():
    priority = label_priority(
        pd.Series([0.9, 0.1], index=["sure", "lost"]), pd.Series([0.0, 1.0], index=["sure", "lost"])
    )
    assert priority.idxmax() == "lost"


def test_both_pipelines_are_timed_and_neither_always_goes_first():
    asked = []

    class Spy:
        def __init__(self, name):
            self.name = name

        def answer(self, text):
            asked.append((self.name, text))

    times = latencies({"base": Spy("base"), "tuned": Spy("tuned")}, ["one", "two"])
    assert times.shape == (2, 2)
    assert list(times.columns) == ["base", "tuned"]
    assert (times >= 0).all().all()
    assert {name for name, _ in asked[::2]} == {"base", "tuned"}
