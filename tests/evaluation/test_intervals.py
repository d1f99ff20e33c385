"""Intervals and p-values of a paired difference, against plain numpy."""

import itertools

import numpy as np
import pytest
from conftest import literal_tail, run_python
from paired_scores import families, spread

from embedlab.evaluation import interval, one_sided_p, randomization_p
from embedlab.evaluation.intervals import gain


def plain_interval(difference, labels=None, seed=99, resamples=20_000):
    """Return the percentile interval of the mean by resampling queries, or whole groups."""
    chance = np.random.default_rng(seed)
    units = [[i] for i in range(len(difference))]
    if labels is not None:
        units = [[i for i, label in enumerate(labels) if label == name] for name in sorted(set(labels))]
    means = []
    for _ in range(resamples):
        rows = np.concatenate([units[u] for u in chance.integers(0, len(units), len(units))]).astype(int)
        means.append(difference[rows].mean())
    return np.percentile(means, [2.5, 97.5])


def plain_t(difference, labels, quantile):
    """Return mean minus and plus Student's quantile times the spread of means without one group."""
    names = sorted(set(labels))
    without = [difference[[label != name for label in labels]].mean() for name in names]
    g, mean = len(names), difference.mean()
    error = np.sqrt((g - 1) / g * sum((w - mean) ** 2 for w in without))
    return mean - quantile * error, mean + quantile * error


def test_the_interval_is_the_bootstraps():
    difference = spread(80, 0.05)
    assert interval(difference) == pytest.approx(plain_interval(difference), abs=0.002)


def test_over_groups_the_wider_of_cluster_bootstrap_and_t_is_shown():
    difference, labels = families()
    found = gain(difference, labels)
    resampled, student = (e.ends(0.95) for e in found.groups)
    assert resampled == pytest.approx(plain_interval(difference, labels, resamples=5000), abs=0.004)
    assert student == pytest.approx(plain_t(difference, labels, 2.0930), abs=1e-5)
    assert found.over_groups() == max(resampled, student, key=lambda ends: ends[1] - ends[0])


def test_groups_of_unequal_size_give_the_plain_t():
    difference = spread(60, 0.03, 3)
    labels = [f"g{int(i**0.5)}" for i in range(60)]
    assert gain(difference, labels).groups[1].ends(0.95) == pytest.approx(plain_t(difference, labels, 2.3646), abs=1e-5)


def test_correlated_queries_make_the_interval_wider():
    difference, labels = families()
    low, high = interval(difference, labels)
    alone = interval(difference)
    assert high - low > 1.5 * (alone[1] - alone[0])


def test_groups_of_unequal_size_never_make_the_interval_narrower():
    difference = spread(60, 0.03, 3)
    labels = [f"g{min(i // 3, 8)}" for i in range(60)]
    alone, grouped = interval(difference), interval(difference, labels)
    assert grouped[1] - grouped[0] >= alone[1] - alone[0]


def test_a_higher_confidence_is_wider():
    difference = spread(60, 0.03)
    low, high = interval(difference, confidence=0.99)
    assert low < interval(difference)[0]
    assert high > interval(difference)[1]


def test_ten_thousand_resamples_of_ten_thousand_queries_stay_in_bounded_memory():
    code = """
import resource, numpy as np
from scipy import stats as _
from embedlab.evaluation import interval, randomization_p
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, d = peak(), np.random.default_rng(0).normal(0.02, 0.2, 10_000)
interval(d)
randomization_p(d[:2_000])
print(peak() - before)
"""
    assert literal_tail(run_python(code).stdout) < 400, "MB: all at once would be 800 a copy"


@pytest.mark.parametrize("labels", [None, [f"g{i % 20}" for i in range(100)]], ids=["queries", "groups"])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_one_sided_p_value_goes_with_the_interval_that_decides(labels, confidence):
    difference, tail = families()[0], (1 - confidence) / 2
    low, high = interval(difference, labels, confidence=confidence)
    for bound, alternative in ((low, "greater"), (high, "less")):
        inside = bound + (1e-3 if alternative == "greater" else -1e-3)
        outside = bound - (inside - bound)
        assert one_sided_p(difference, labels, bound, alternative, confidence=confidence) == pytest.approx(
            tail, abs=3e-4
        )
        assert one_sided_p(difference, labels, inside, alternative, confidence=confidence) > tail
        assert one_sided_p(difference, labels, outside, alternative, confidence=confidence) < tail


def test_the_p_value_of_few_queries_is_exact():
    difference = spread(11, 0.08, 4)
    signs = np.array(list(itertools.product([1, -1], repeat=11)))
    exact = np.mean(np.abs((signs * difference).mean(axis=1)) >= abs(difference.mean()) - 1e-12)
    assert randomization_p(difference) == pytest.approx(exact, abs=1e-3)


def test_the_p_value_of_many_queries_is_the_randomization_tests():
    difference = spread(90, 0.04, 5)
    signs = np.random.default_rng(7).choice([1, -1], (40_000, 90))
    plain = np.mean(np.abs((signs * difference).mean(axis=1)) >= abs(difference.mean()))
    assert randomization_p(difference) == pytest.approx(plain, abs=0.01)


def test_the_same_seed_gives_the_same_numbers():
    difference = spread(50, 0.02)
    assert interval(difference, seed=3) == interval(difference, seed=3)
    assert randomization_p(difference, seed=3) == randomization_p(difference, seed=3)
