"""Intervals and p-values of a paired difference, against plain numpy."""

import itertools

import numpy as np
import pytest
from conftest import literal_tail, run_python
from paired_scores import families, spread

from embedlab.evaluation import interval, randomization_p
from embedlab.evaluation.statistics.intervals import gain


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


def test_over_queries_both_the_bootstrap_and_students_t_are_inside_the_interval():
    difference = spread(40, 0.05)
    resampled, student = (e.ends(0.95) for e in gain(difference).queries)
    assert resampled == pytest.approx(plain_interval(difference), abs=0.002)
    assert student == pytest.approx(plain_t(difference, [str(i) for i in range(40)], 2.0227), abs=1e-5)
    assert interval(difference) == (min(resampled[0], student[0]), max(resampled[1], student[1]))


def test_over_groups_the_farther_end_of_cluster_bootstrap_and_t_is_shown_on_each_side():
    difference, labels = families()
    found = gain(difference, labels)
    resampled, student = (e.ends(0.95) for e in found.groupings["group"])
    assert resampled == pytest.approx(plain_interval(difference, labels, resamples=5000), abs=0.004)
    assert student == pytest.approx(plain_t(difference, labels, 2.0930), abs=1e-5)
    assert found.over_groups() == (min(resampled[0], student[0]), max(resampled[1], student[1]))


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_ties_alone_give_the_exact_rule_of_three(n):
    low, high = interval(np.zeros(n))
    unseen = 1 - 0.025 ** (1 / n)
    assert (low, high) == pytest.approx((-unseen, unseen))
    # the chance to see none of as many unlike queries is just the tail
    assert (1 - unseen) ** n == pytest.approx(0.025)


def test_among_ties_a_few_changes_make_no_interval_narrower_than_none():
    ties = np.zeros(100)
    one = np.append(np.zeros(99), 0.5)
    assert interval(one)[0] <= interval(ties)[0] + 0.005
    assert interval(one)[1] >= interval(ties)[1]


def test_where_ten_change_the_rule_of_three_has_no_say():
    changed = np.append(np.zeros(90), np.linspace(0.1, 0.5, 10))
    assert len(gain(changed).queries) == 2
    assert len(gain(changed[1:-1]).queries) == 3


def test_a_rare_loss_is_inside_the_interval_in_95_of_100_samples():
    """One query in 50 loses .8: of 60 queries a third of the samples holds none, and resamples of ties know nothing."""
    chance, truth = np.random.default_rng(0), -0.8 / 50
    samples = -0.8 * (chance.random((400, 60)) < 1 / 50)
    lows = np.array([interval(sample, seed=1)[0] for sample in samples])
    assert np.mean(lows <= truth) >= 0.95


def test_groups_of_unequal_size_give_the_plain_t():
    difference = spread(60, 0.03, 3)
    labels = [f"g{int(i**0.5)}" for i in range(60)]
    assert gain(difference, labels).groupings["group"][1].ends(0.95) == pytest.approx(
        plain_t(difference, labels, 2.3646), abs=1e-5
    )


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
        found = gain(difference, labels)
        assert found.p_value(bound, alternative) == pytest.approx(tail, abs=3e-4)
        assert found.p_value(inside, alternative) > tail
        assert found.p_value(outside, alternative) < tail


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_the_p_value_of_ties_goes_with_their_interval(value):
    found = gain(np.full(50, value))
    low, high = found.ends()
    assert found.p_value(low, "greater") == pytest.approx(0.025)
    assert found.p_value(high, "less") == pytest.approx(0.025)
    assert found.p_value(value, "greater") == 1.0
    assert found.p_value(-1.0, "greater") == 0.0


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


def test_signs_are_flipped_by_group_so_that_equal_systems_are_seldom_told_apart():
    chance, labels = np.random.default_rng(3), [f"g{i // 10}" for i in range(200)]
    by_query, by_group = 0, 0
    for _ in range(80):
        difference = np.repeat(chance.normal(0, 0.1, 20), 10) + chance.normal(0, 0.05, 200)
        by_query += randomization_p(difference) < 0.05
        by_group += randomization_p(difference, labels) < 0.05
    assert by_query > 0.3 * 80, "signs flipped one by one find what is not there"
    assert by_group <= 0.11 * 80


def test_the_p_value_over_few_groups_is_exact():
    difference, labels = families(n_groups=8)
    sums = np.array(
        [sum(d for d, g in zip(difference, labels, strict=True) if g == name) for name in sorted(set(labels))]
    )
    signs = np.array(list(itertools.product([1, -1], repeat=8)))
    exact = np.mean(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12)
    assert randomization_p(difference, labels) == pytest.approx(exact, abs=1e-3)


def test_the_same_seed_gives_the_same_numbers():
    difference = spread(50, 0.02)
    assert interval(difference, seed=3) == interval(difference, seed=3)
    assert randomization_p(difference, seed=3) == randomization_p(difference, seed=3)
