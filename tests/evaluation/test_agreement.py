"""Rank-biased overlap and overlap of two rankings, against their definitions."""

import numpy as np
import pandas as pd
import pytest

from embedlab.evaluation import agreement, rbo


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
