"""The probability and the expected regret of a decision, against their definition."""

import numpy as np
import pytest
from makers import comparison
from scipy import stats

from embedlab.evaluation import stakes


@pytest.mark.parametrize(("delta", "low", "high", "groups"), [(0.03, -0.01, 0.07, 40), (0.0, -0.05, 0.05, 12)])
def test_they_are_what_their_definition_says(delta, low, high, groups):
    found = stakes(comparison(delta=delta, ci95=(low, high), n_groups=groups, min_gain=0.02))
    freedom = groups - 1
    spread = stats.t(freedom, loc=delta, scale=(high - low) / 2 / stats.t.ppf(0.975, freedom))
    gain = np.linspace(-3, 3, 2_000_001)
    weight = spread.pdf(gain) * (gain[1] - gain[0])
    assert found.probability == pytest.approx(float(weight[gain > 0.02].sum()), abs=1e-4)
    assert found.of_shipping == pytest.approx(float((np.maximum(0, 0.02 - gain) * weight).sum()), abs=1e-5)
    assert found.of_staying == pytest.approx(float((np.maximum(0, gain - 0.02) * weight).sum()), abs=1e-5)


def test_the_two_regrets_differ_by_the_gain_beyond_the_minimum():
    found = stakes(comparison(delta=0.05, ci95=(0.0, 0.1), min_gain=0.02))
    assert found.of_staying - found.of_shipping == pytest.approx(0.03)


def test_two_groups_and_no_width_have_numbers_too():
    assert np.isfinite(stakes(comparison(n_groups=2)).of_shipping)
    sure = stakes(comparison(delta=0.05, ci95=(0.05, 0.05), min_gain=0.02))
    assert (sure.probability, sure.of_shipping) == (1.0, 0.0)
    assert sure.of_staying == pytest.approx(0.03)
