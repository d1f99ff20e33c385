"""The sign test against scipy's binomial test."""

import pytest
from scipy.stats import binomtest

from embedlab.evaluation import sign_test


@pytest.mark.parametrize(("better", "worse"), [(15, 5), (5, 15), (14, 6), (1, 0), (10, 10), (40, 3), (7, 0)])
def test_p_is_that_of_the_exact_binomial_test(better, worse):
    assert sign_test(better, worse) == pytest.approx(binomtest(better, better + worse).pvalue)


def test_without_a_judgment_nothing_is_sure():
    assert sign_test(0, 0) == 1.0
