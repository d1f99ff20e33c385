"""Gradual traffic: the split is sticky, and the watch pulls a broken candidate back."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from toy_encoder import NEW, toy_index

from embedlab.rollout import STAGES, Limits, goes_to_candidate, roll_out, stages_table, traffic_scores, watch


def traffic(loss=0.0, n=1000, **columns):
    live = np.random.default_rng(0).uniform(0.3, 0.9, n)
    noise = np.random.default_rng(1).normal(0, 0.1, n)
    frame = {"live": live, "candidate": live + noise - loss, "failed": False, "live_empty": False, "empty": False}
    return pd.DataFrame(frame | columns, index=[f"q{i}" for i in range(n)])


def test_the_split_is_sticky_and_keeps_its_share():
    keys = [f"user{i}" for i in range(5000)]
    inside = [{k for k in keys if goes_to_candidate(k, percent, "x")} for percent in STAGES]
    assert all(a <= b for a, b in pairwise(inside))
    assert [len(s) / 50 for s in inside] == pytest.approx(list(STAGES), abs=1.5)


def test_a_good_candidate_goes_live_after_every_stage(registry):
    registry.add("new", toy_index(NEW))
    stages = roll_out(registry, "new", traffic(loss=-0.1), Limits())
    assert [s.percent for s in stages] == list(STAGES)
    assert registry.live().index == "new"


@pytest.mark.parametrize(
    ("scores", "alarm"),
    [
        (traffic(loss=0.4), "quality"),
        (traffic(failed=True), "errors"),
        (traffic(empty=True), "empty results"),
    ],
)
def test_a_broken_candidate_is_rolled_back_at_the_first_share(registry, scores, alarm):
    registry.add("new", toy_index(NEW))
    stages = roll_out(registry, "new", scores, Limits())
    assert (stages[-1].percent, stages[-1].alarm) == (1, alarm)
    assert registry.live().index == "old"


def test_a_slow_candidate_that_is_fully_live_is_rolled_back(registry):
    registry.add("new", toy_index(NEW))
    stages = roll_out(registry, "new", traffic(loss=-0.1), Limits(), within_latency={100: False})
    assert stages[-1].alarm == "latency"
    assert registry.live().index == "old"
    assert [e["index"] for e in registry.history()] == ["old", "new", "old"]


def test_too_few_queries_decide_nothing():
    stage = watch(traffic(loss=0.4, n=100), 1, Limits())
    assert stage.queries < 5
    assert stage.upper is None
    assert stage.alarm == ""


def test_equal_candidates_are_seldom_pulled_back():
    """200 rollouts of a candidate that is as good as the live one; at most 5 % may ring, plus noise."""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scores = traffic(n=600, candidate=0.5 + rng.normal(0, 0.2, 600), live=0.5)
        alarms += any(watch(scores, p, Limits(), salt=str(seed)).alarm for p in STAGES)
    assert alarms <= 17


def test_the_stages_are_a_table_with_a_gap_where_nothing_was_decided():
    stages = [watch(traffic(n=n), 100, Limits()) for n in (2, 50)]
    table = stages_table(stages)
    assert table["queries"].tolist() == [2, 50]
    assert table["upper"].isna().tolist() == [True, False]


def test_the_watch_reads_the_same_traffic_of_two_releases():
    ids = [f"q{i}" for i in range(20)]
    live = pd.DataFrame({"score": 0.75, "failed": False, "empty": False}, index=ids)
    silent = pd.DataFrame({"score": 0.0, "failed": False, "empty": True}, index=ids)
    stage = watch(traffic_scores(live, silent), 100, Limits(quality_loss=1.0))
    assert (stage.live, stage.candidate, stage.errors, stage.empty) == (0.75, 0.0, 0.0, 1.0)
    assert stage.alarm == "empty results"
