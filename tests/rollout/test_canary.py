"""Gradual traffic: the split is sticky, and the watch pulls a broken candidate back."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from toy_encoder import NEW, toy_release

from embedlab.evaluation.statistics.intervals import by_group, student_t
from embedlab.rollout import STAGES, Limits, Releases, goes_to_candidate, roll_out, stages_table, traffic_scores, watch
from embedlab.rollout.canary import look_levels, watch_stages
from embedlab.rollout.results import BACK, PASSED, WAITS


def traffic(loss=0.0, n=5000, **columns):
    """Return the scores of queries that are independent of one another: each is its own group."""
    live = np.random.default_rng(0).uniform(0.3, 0.9, n)
    noise = np.random.default_rng(1).normal(0, 0.1, n)
    ids = [f"q{i}" for i in range(n)]
    frame = {"live": live, "candidate": live + noise - loss, "failed": False, "live_empty": False, "empty": False}
    return pd.DataFrame({"group": ids} | frame | columns, index=ids)


def grouped_traffic(seed, groups, queries, loss=0.0):
    """Return traffic whose groups differ: SD .1 from group to group, .25 from query to query, half of which tie.

    Args:
        seed: of the draw.
        groups: users or groups.
        queries: mean number of each group's queries, which are geometric.
        loss: the candidate's true mean loss.
    """
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), 1 + rng.geometric(1 / (queries - 1), groups))
    n = len(group)
    of_query = rng.normal(0, 0.25 * np.sqrt(2), n) * (rng.random(n) < 0.5)
    gain = rng.normal(0, 0.1, groups)[group] + of_query - loss
    return traffic(n=n, group=[f"user{g}" for g in group], live=0.5, candidate=0.5 + gain)


def ends(trials, groups, queries, loss=0.0, stages=STAGES):
    """Return the last stage of every trial."""
    last = []
    for seed in range(trials):
        scores = grouped_traffic(seed, groups, queries, loss)
        last.append(watch_stages(scores, Limits(), stages, salt=str(seed))[-1])
    return last


def live(state):
    return Releases(state).live().name


def share(flags):
    return float(np.mean(list(flags)))


def test_the_split_is_sticky_and_keeps_its_share():
    keys = [f"user{i}" for i in range(5000)]
    inside = [{k for k in keys if goes_to_candidate(k, percent, "x")} for percent in STAGES]
    assert all(a <= b for a, b in pairwise(inside))
    assert [len(s) / 50 for s in inside] == pytest.approx(list(STAGES), abs=1.5)


def test_a_good_candidate_goes_live_after_every_stage(registry):
    toy_release(registry, "new", NEW)
    stages = roll_out(registry, "new", traffic(loss=-0.1), Limits())
    assert [s.percent for s in stages] == list(STAGES)
    assert live(registry) == "new"


@pytest.mark.parametrize(
    ("scores", "alarm"),
    [
        (traffic(loss=0.4), "quality"),
        (traffic(failed=True), "errors"),
        (traffic(empty=True), "empty results"),
    ],
)
def test_a_broken_candidate_is_rolled_back_at_the_first_share(registry, scores, alarm):
    toy_release(registry, "new", NEW)
    stages = roll_out(registry, "new", scores, Limits())
    assert (stages[-1].percent, stages[-1].alarm) == (1, alarm)
    assert live(registry) == "old"


def test_a_slow_candidate_that_is_fully_live_is_rolled_back(registry):
    toy_release(registry, "new", NEW)
    stages = roll_out(registry, "new", traffic(loss=-0.1), Limits(), within_latency={100: False})
    assert stages[-1].alarm == "latency"
    assert live(registry) == "old"
    assert [entry["release"] for entry in Releases(registry).history()] == ["old", "new", "old"]


def test_a_stage_with_too_little_traffic_waits_and_says_what_is_missing(registry):
    toy_release(registry, "new", NEW)
    (stage,) = roll_out(registry, "new", traffic(loss=0.4, n=300), Limits())
    assert (stage.state, stage.percent, stage.upper, stage.detectable) == (WAITS, 1, None, None)
    assert stage.lacks == f"{stage.queries} of 30 judged queries, {stage.groups} of 10 groups"
    assert live(registry) == "old"
    assert len(Releases(registry).history()) == 1


def test_many_queries_of_few_groups_wait_too():
    scores = traffic(group=[f"user{i % 9}" for i in range(5000)])
    stage = watch(scores, 100, Limits())
    assert (stage.state, stage.lacks) == (WAITS, "9 of 10 groups")
    assert watch(scores, 100, Limits(fewest_groups=9)).state == PASSED


def test_one_group_alone_always_waits():
    assert watch(traffic(group="everyone"), 100, Limits(fewest_groups=1)).lacks == "1 of 2 groups"


def test_traffic_that_is_never_judged_does_not_stay_with_the_candidate(registry):
    toy_release(registry, "new", NEW)
    (stage,) = roll_out(registry, "new", traffic(n=8), Limits(), stages=[100])
    assert stage.state == WAITS
    assert live(registry) == "old"


def test_errors_ring_also_where_quality_waits():
    stage = watch(traffic(n=8, failed=True), 100, Limits())
    assert (stage.alarm, stage.state) == ("errors", BACK)


def test_a_group_goes_to_one_index_as_a_whole():
    scores = grouped_traffic(0, 400, 4)
    stage = watch(scores, 25, Limits(), salt="x")
    inside = [g for g in scores["group"].unique() if goes_to_candidate(g, 25, "x")]
    assert stage.groups == len(inside)
    assert stage.queries == scores["group"].isin(inside).sum()


def test_the_bound_is_students_t_over_groups():
    scores = grouped_traffic(0, 50, 8)
    stage = watch(scores, 100, Limits(), level=0.01)
    difference = (scores["candidate"] - scores["live"]).to_numpy()
    estimate = student_t(*by_group(difference, scores["group"].tolist()))
    assert stage.upper == pytest.approx(estimate.mean + stats.t.ppf(0.99, 49) * estimate.error)
    over_queries = difference.mean() + stats.t.ppf(0.99, len(scores) - 1) * difference.std(ddof=1) / len(scores) ** 0.5
    assert stage.upper > over_queries + 0.01


def test_the_levels_of_independent_looks_are_those_of_bonferroni_and_nested_looks_get_more():
    apart = look_levels([1, 10**6], 0.01)
    assert apart == pytest.approx([0.01, 0.0101], abs=0.0005)
    nested = look_levels(STAGES, 0.01)
    assert min(nested) >= 0.01
    assert nested == pytest.approx([0.01, 0.011, 0.0115, 0.0142, 0.0154], abs=0.0007)


def test_the_same_traffic_looked_at_twice_can_ring_but_once_more_by_its_share():
    assert look_levels([10, 10], 0.01)[1] == pytest.approx(0.02, abs=0.001)


def test_a_loss_as_large_as_detectable_is_noticed_in_four_of_five_trials():
    level, noticed = 0.01, 0
    for seed in range(200):
        stage = watch(grouped_traffic(seed, 150, 4, loss=0.06), 100, Limits(), level=level)
        noticed += stage.upper < stage.detectable - 0.06
    assert noticed / 200 == pytest.approx(0.8, abs=0.08)


def test_an_equal_candidate_with_correlated_groups_is_seldom_pulled_back():
    """100 rollouts over 150 groups of 13 queries: at most 5 % may ring, of 100 trials 10 at 98 %."""
    last = ends(100, 150, 13, stages=[25, 50, 100])
    assert share(s.state == WAITS for s in last) == 0
    assert share(s.state == BACK for s in last) <= 0.10


def test_a_worse_candidate_is_pulled_back_before_half_of_the_traffic():
    """2000 users of 4 queries, 8000 in all; .05 worse."""
    last = ends(30, 2000, 4, loss=0.05)
    assert share(s.state == BACK and s.percent < 50 for s in last) >= 0.8


@pytest.mark.full
@pytest.mark.parametrize(("groups", "queries", "stages"), [(100, 13, [25, 50, 100]), (2000, 4, STAGES)])
def test_many_equal_candidates_are_pulled_back_at_most_as_often_as_announced(groups, queries, stages):
    """600 rollouts: of a true 5 % at most 6.9 % are seen with 98 %."""
    last = ends(600, groups, queries, stages=stages)
    assert share(s.state == BACK for s in last) <= 0.069


@pytest.mark.full
@pytest.mark.parametrize(("groups", "queries", "stages"), [(400, 13, [5, 25, 50, 100]), (2000, 4, STAGES)])
def test_most_worse_candidates_are_pulled_back_before_half_of_the_traffic(groups, queries, stages):
    """5200 queries of 400 groups, or 8000 of 2000 users; .05 worse."""
    last = ends(300, groups, queries, loss=0.05, stages=stages)
    assert share(s.state == BACK and s.percent < 50 for s in last) >= 0.8


def test_the_stages_are_a_table_with_a_gap_where_nothing_was_decided():
    stages = [watch(traffic(n=n), 100, Limits()) for n in (2, 50)]
    table = stages_table(stages)
    assert table["queries"].tolist() == [2, 50]
    assert table["upper"].isna().tolist() == [True, False]
    assert table["detectable"].isna().tolist() == [True, False]
    assert table["state"].tolist() == [WAITS, PASSED]


def test_the_watch_reads_the_same_traffic_of_two_releases():
    ids = [f"q{i}" for i in range(20)]
    live = pd.DataFrame({"score": 0.75, "failed": False, "empty": False}, index=ids)
    silent = pd.DataFrame({"score": 0.0, "failed": False, "empty": True}, index=ids)
    groups = {query_id: query_id[:2] for query_id in ids}
    scores = traffic_scores(live, silent, groups)
    assert scores["group"].tolist() == [query_id[:2] for query_id in ids]
    stage = watch(scores, 100, Limits(quality_loss=1.0))
    assert (stage.live, stage.candidate, stage.errors, stage.empty) == (0.75, 0.0, 0.0, 1.0)
    assert stage.alarm == "empty results"
