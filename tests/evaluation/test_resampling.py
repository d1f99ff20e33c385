"""Resampled means and flipped signs, against scipy's."""

import numpy as np
import pytest
from paired_scores import spread
from scipy import stats

from embedlab.evaluation import randomization_p
from embedlab.evaluation.statistics.resampling import KEPT_UNITS, RESAMPLES, flipped_sums, resampled_sums


@pytest.mark.parametrize("units", [2, 40, 700, KEPT_UNITS + 1])
def test_the_resamples_are_those_of_scipys_bootstrap(units):
    sums, sizes = spread(units, 0.02), np.random.default_rng(1).integers(1, 9, units).astype(float)
    found = resampled_sums((sums, sizes), seed=3)
    theirs = stats.bootstrap(
        (sums, sizes),
        lambda a, b, axis=-1: np.stack([a.sum(axis=axis), b.sum(axis=axis)]),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=500,
        method="percentile",
        rng=np.random.default_rng(3),
    ).bootstrap_distribution
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-9)


def test_the_second_comparison_of_the_same_units_has_the_draws_of_the_first():
    first, second = spread(50, 0.02, 1), spread(50, 0.02, 2)
    alone = resampled_sums((second,), seed=5)
    resampled_sums((first,), seed=5)
    np.testing.assert_array_equal(resampled_sums((second,), seed=5), alone)
    assert not np.array_equal(resampled_sums((second,), seed=6), alone)


@pytest.mark.parametrize("units", [2, 13, 14, 300])
def test_the_p_value_is_that_of_scipys_permutation_test(units):
    difference = spread(units, 0.03, 4)
    theirs = stats.permutation_test(
        (difference,), lambda d, axis=-1: d.sum(axis=axis), permutation_type="samples", vectorized=True, rng=1
    ).pvalue
    exact = flipped_sums(difference, 0)[1]
    assert exact == (units <= 13)
    assert randomization_p(difference) == pytest.approx(theirs, abs=1e-12 if exact else 0.015)
