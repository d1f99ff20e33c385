"""Paired statistics against plain numpy, and what must never ship."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from conftest import frame_of_run
from scipy.stats import t

import embedlab
from embedlab import intervals, stats
from embedlab.errors import DataError


def scores(values) -> pd.Series:
    return pd.Series(values, index=[f"q{i}" for i in range(len(values))], dtype=float)


def spread(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.2, n)


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


def test_the_interval_is_the_bootstraps():
    difference = spread(80, 0.05)
    assert stats.interval(difference) == pytest.approx(plain_interval(difference), abs=0.002)


def test_the_interval_over_groups_is_the_wider_of_cluster_bootstrap_and_cluster_t():
    base = spread(20, 0.05, 1)
    labels = [f"g{i % 20}" for i in range(100)]
    difference = np.array([base[i % 20] for i in range(100)]) + spread(100, 0, 2) / 10
    bootstrap, student = (estimate.ends(0.95) for estimate in intervals.gain(difference, labels).groups)
    assert bootstrap == pytest.approx(plain_interval(difference, labels, resamples=5000), abs=0.004)
    means = np.array([difference[i::20].mean() for i in range(20)])
    half = t.ppf(0.975, 19) * means.std(ddof=1) / np.sqrt(20)
    assert student == pytest.approx((means.mean() - half, means.mean() + half), abs=1e-6)
    found, alone = stats.interval(difference, labels), stats.interval(difference)
    assert found == max(bootstrap, student, key=lambda ends: ends[1] - ends[0])
    assert found[1] - found[0] > 1.5 * (alone[1] - alone[0])


def test_groups_of_unequal_size_never_make_the_interval_narrower():
    difference = spread(60, 0.03, 3)
    labels = [f"g{min(i // 3, 8)}" for i in range(60)]
    alone, grouped = stats.interval(difference), stats.interval(difference, labels)
    assert grouped[1] - grouped[0] >= alone[1] - alone[0]


def test_a_higher_confidence_is_wider():
    difference = spread(60, 0.03)
    low, high = stats.interval(difference, confidence=0.99)
    assert low < stats.interval(difference)[0]
    assert high > stats.interval(difference)[1]


def test_the_p_value_of_few_queries_is_exact():
    difference = spread(11, 0.08, 4)
    signs = np.array(list(itertools.product([1, -1], repeat=11)))
    exact = np.mean(np.abs((signs * difference).mean(axis=1)) >= abs(difference.mean()) - 1e-12)
    assert stats.randomization_p(difference) == pytest.approx(exact, abs=1e-3)


def test_the_p_value_of_many_queries_is_the_randomization_tests():
    difference = spread(90, 0.04, 5)
    signs = np.random.default_rng(7).choice([1, -1], (40_000, 90))
    plain = np.mean(np.abs((signs * difference).mean(axis=1)) >= abs(difference.mean()))
    assert stats.randomization_p(difference) == pytest.approx(plain, abs=0.01)


def test_the_same_seed_gives_the_same_numbers():
    difference = spread(50, 0.02)
    assert stats.interval(difference, seed=3) == stats.interval(difference, seed=3)
    assert stats.randomization_p(difference, seed=3) == stats.randomization_p(difference, seed=3)


@pytest.mark.parametrize("min_gain", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("n", [2, 12, 200])
def test_identical_systems_never_ship(min_gain, n):
    same = scores(np.linspace(0, 1, n))
    found = stats.compare_scores(same, same, min_gain=min_gain)
    assert found.verdict != "SHIP"
    assert (found.delta, found.p_value, found.wins, found.losses, found.ties) == (0, 1, 0, 0, n)


def test_a_clear_gain_ships_and_a_clear_loss_does_not():
    base = scores(np.full(60, 0.4))
    assert stats.compare_scores(base, base + spread(60, 0.15) / 2, min_gain=0.01).verdict == "SHIP"
    assert stats.compare_scores(base, base - 0.1 + spread(60, 0) / 2, min_gain=0.01).verdict == "DO_NOT_SHIP"
    assert stats.compare_scores(base, base + spread(60, 0.01), min_gain=0.01).verdict == "INCONCLUSIVE"


def test_a_gain_over_few_groups_never_ships():
    base = scores(np.full(90, 0.4))
    groups = {q: f"g{i % 9}" for i, q in enumerate(base.index)}
    found = stats.compare_scores(base, base + 0.2, groups=groups)
    assert (found.verdict, found.n_groups) == ("INCONCLUSIVE", 9)


def test_one_query_decides_nothing():
    found = stats.compare_scores(scores([0.1]), scores([0.9]))
    assert (found.verdict, found.ci95) == ("INCONCLUSIVE", (-1, 1))


def test_one_group_decides_nothing_and_its_interval_can_be_written_as_json():
    base = scores([0.1, 0.2, 0.3])
    found = stats.compare_scores(base, base + 0.1 * base, groups=dict.fromkeys(base.index, "g"))
    assert (found.verdict, found.ci95) == ("INCONCLUSIVE", (-1, 1))
    json.dumps(found.as_dict(), allow_nan=False)


def test_wins_ties_and_losses_add_up():
    found = stats.compare_scores(scores([0, 0.5, 1, 1]), scores([1, 0.5, 0.5, 1]))
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)


def test_scores_that_are_not_numbers_are_an_error():
    base = scores([0.1, 0.2, 0.3])
    with pytest.raises(DataError, match="candidate: the score of query 'q1' is nan"):
        stats.compare_scores(base, scores([0.1, np.nan, 0.3]))


def test_scores_of_other_queries_are_an_error():
    with pytest.raises(DataError, match="scores of 2 and 3 queries: not the same queries"):
        stats.compare_scores(scores([0, 1]), scores([0, 1, 0]))


QRELS = {"q1": {"a": 1}, "q2": {"b": 2}}
RUN = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 2.0, "b": 1.0}}


def test_compare_takes_dicts_frames_and_files(tmp_path):
    from embedlab.trec import run_text

    path = tmp_path / "base.run"
    path.write_text(run_text(frame_of_run(RUN), "base"))
    better = {"q1": {"a": 2.0}, "q2": {"b": 2.0}}
    found = embedlab.compare(QRELS, path, better)
    assert found == embedlab.compare(QRELS, RUN, frame_of_run(better))
    assert found.candidate == 1.0
    assert found.baseline == pytest.approx((1 + 1 / np.log2(3)) / 2)


def test_a_run_with_a_score_that_is_not_finite_is_an_error():
    broken = {"q1": {"a": float("nan")}, "q2": {"b": 1.0}}
    with pytest.raises(DataError, match="query q1: score nan is not finite"):
        embedlab.compare(QRELS, RUN, broken)


def test_a_run_with_a_document_twice_is_an_error():
    twice = pd.concat([frame_of_run(RUN), frame_of_run({"q1": {"a": 0.5}})])
    with pytest.raises(DataError, match="query q1 has document a twice"):
        embedlab.compare(QRELS, twice, RUN)


def test_a_faulty_line_of_a_run_file_is_named(tmp_path):
    path = tmp_path / "x.run"
    path.write_text("q1 Q0 a 1 2.0 t\nq1 Q0 b 2 high t\n")
    with pytest.raises(DataError, match=r"x\.run:2: expected 'query Q0 document rank score tag'"):
        embedlab.compare(QRELS, path, RUN)


def test_runs_and_judgments_without_a_common_query_are_an_error():
    with pytest.raises(DataError, match="candidate: none of its 1 queries is among the 2 judged ones"):
        embedlab.compare(QRELS, RUN, {"x9": {"a": 1.0}})


def test_a_query_without_a_group_is_an_error():
    with pytest.raises(DataError, match="1 of 2 judged queries have no group, the first: 'q2'"):
        embedlab.compare(QRELS, RUN, RUN, groups={"q1": "g"})


def test_missing_surplus_and_shared_are_warned_of():
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"b": 1}}
    found = embedlab.compare(qrels, {"q1": {"a": 1.0}, "q9": {"a": 1.0}}, {q: {"a": 1.0} for q in qrels})
    assert found.warnings == (
        "baseline: 2 judged queries are missing and score 0",
        "baseline: 1 queries without judgments are left out",
        "2 queries share relevant documents; give groups for an honest interval",
    )


def test_holm_multiplies_the_smallest_most_and_keeps_the_order():
    assert stats.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_the_design_effect_is_one_for_independent_queries_and_large_for_copies():
    base = spread(30, 0, 6)
    assert stats.design_effect(base, [str(i) for i in range(30)]) == pytest.approx(1, abs=0.05)
    copies = np.repeat(base, 10)
    assert stats.design_effect(copies, [str(i // 10) for i in range(300)]) == pytest.approx(10, rel=0.1)


def test_the_detectable_gain_is_found_four_times_in_five():
    chance = np.random.default_rng(0)
    n, sd = 200, 0.2
    gain = stats.detectable_gain(chance.normal(0, sd, 20_000), [str(i) for i in range(20_000)], n)
    assert gain == pytest.approx((1.96 + 0.84) * sd / np.sqrt(n), rel=0.03)
    samples = chance.normal(gain, sd, (2000, n))
    detected = samples.mean(axis=1) - 1.96 * samples.std(axis=1, ddof=1) / np.sqrt(n) > 0
    assert detected.mean() == pytest.approx(0.8, abs=0.04)


def test_queries_needed_inverts_the_detectable_gain():
    difference, labels = spread(100, 0.03), [str(i) for i in range(100)]
    needed = stats.queries_needed(difference, labels, 0.03)
    assert stats.detectable_gain(difference, labels, needed) == pytest.approx(0.03, rel=0.01)
    assert stats.queries_needed(difference, labels, 0.0) is None
    assert stats.queries_needed(difference, labels, 1e-6) is None
