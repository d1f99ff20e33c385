"""The drift monitors: quiet without drift, loud with a planted one."""

import numpy as np
import pandas as pd
import pytest

from embedlab.rollout import (
    drift_alarms,
    drift_table,
    false_alarms,
    label_priority,
    mean_difference,
    period_changes,
    periods_of,
    psi,
    text_signals,
)


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


def test_an_alarm_needs_significance_and_a_large_shift_but_terms_have_no_shift():
    table = pd.DataFrame(
        {
            "signal": ["words", "words", "words", "terms", "terms"],
            "psi": [0.3, 0.3, 0.1, np.nan, np.nan],
            "p_holm": [0.01, 0.2, 0.01, 0.01, 0.2],
        }
    )
    assert drift_alarms(table, alpha=0.05, psi_limit=0.25).tolist() == [True, False, False, True, False]


def test_each_later_period_is_compared_with_the_reference():
    ids = [f"q{i:03d}" for i in range(100)]
    periods = pd.Series(["past"] * 40 + ["fallen"] * 40 + ["small"] * 20, index=ids)
    noise = np.random.default_rng(0).normal(0, 0.05, 100)
    scores = pd.Series([0.8] * 40 + [0.5] * 40 + [0.5] * 20, index=ids, name="nDCG@10") + noise
    groups = {q: q for q in ids}
    table = period_changes(scores, periods, "past", groups, min_queries=30, seed=0)
    assert table.columns.tolist() == ["period", "queries", "nDCG@10", "change", "low", "high"]
    (row,) = table.itertuples()
    assert (row.period, row.queries) == ("fallen", 40)
    assert row.change == pytest.approx(-0.3, abs=0.03)
    assert row.low < row.change < row.high < 0
    alone = period_changes(scores.drop(ids[1:40]), periods, "past", groups, min_queries=30, seed=0)
    assert alone.empty


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
