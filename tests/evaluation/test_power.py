"""How many queries a claim takes, and how far training seeds move a mean."""

import numpy as np
import pytest
from paired_scores import spread
from scipy import stats

from embedlab.errors import DataError
from embedlab.evaluation import design_effect, detectable_gain, queries_needed, seed_spread, unit_error


def test_the_spread_over_seeds_stands_beside_the_spread_over_queries():
    chance = np.random.default_rng(0)
    query, seeds = chance.normal(0.5, 0.2, 400), np.array([-0.02, 0.0, 0.02])
    found = seed_spread(query + seeds[:, None])
    assert found.mean == pytest.approx(query.mean())
    assert found.seed_sd == pytest.approx(0.02)
    assert found.query_se == pytest.approx(query.std(ddof=1) / 20)
    repeats = np.repeat(query[:40], 10) + seeds[:, None]
    grouped = seed_spread(repeats, [str(i // 10) for i in range(400)])
    assert grouped.query_se == pytest.approx(query[:40].std(ddof=1) / np.sqrt(40), rel=0.03)


def test_the_interval_over_seeds_is_students_t_of_their_means():
    means = np.array([0.48, 0.5, 0.55, 0.51])
    found = seed_spread(means[:, None] + spread(20, 0))
    expected = stats.ttest_1samp(found.mean + means - means.mean(), 0).confidence_interval(0.95)
    assert found.over_seeds == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_spread():
    with pytest.raises(DataError, match=r"shape \(1, 5\): expected two seeds and two queries or more"):
        seed_spread(np.zeros((1, 5)))


def test_the_design_effect_is_one_for_independent_queries_and_large_for_repeats():
    base = spread(30, 0, 6)
    assert design_effect(base, [str(i) for i in range(30)]) == pytest.approx(1, abs=0.05)
    repeats = np.repeat(base, 10)
    assert design_effect(repeats, [str(i // 10) for i in range(300)]) == pytest.approx(10, rel=0.1)


def test_the_detectable_gain_is_found_four_times_in_five():
    chance = np.random.default_rng(0)
    n, sd = 200, 0.2
    error = unit_error(chance.normal(0, sd, 20_000), [str(i) for i in range(20_000)])
    gain = detectable_gain(error, n)
    assert gain == pytest.approx((1.96 + 0.84) * sd / np.sqrt(n), rel=0.03)
    samples = chance.normal(gain, sd, (2000, n))
    detected = samples.mean(axis=1) - 1.96 * samples.std(axis=1, ddof=1) / np.sqrt(n) > 0
    assert detected.mean() == pytest.approx(0.8, abs=0.04)


def test_queries_needed_inverts_the_detectable_gain():
    error = unit_error(spread(100, 0.03), [str(i) for i in range(100)])
    needed = queries_needed(error, 0.03)
    assert detectable_gain(error, needed) == pytest.approx(0.03, rel=0.01)
    assert queries_needed(error, 0.0) is None
    assert queries_needed(error, 1e-6) is None


def test_power_takes_the_confidence():
    difference = spread(100, 0.03)
    sd, error = difference.std(ddof=1), unit_error(difference, [str(i) for i in range(100)])
    assert error == pytest.approx(sd)
    # t(.95) and t(.80) of 99 degrees of freedom
    assert detectable_gain(error, 100, 0.01, confidence=0.9) == pytest.approx(
        0.01 + (1.6604 + 0.8453) * sd / 10, abs=1e-5
    )
    needed = queries_needed(error, 0.03, confidence=0.9)
    assert detectable_gain(error, needed, confidence=0.9) <= 0.03 < detectable_gain(error, needed - 1, confidence=0.9)
    assert needed < queries_needed(error, 0.03)
