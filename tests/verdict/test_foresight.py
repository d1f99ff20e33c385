"""What a collection can judge is told before anything is trained, and the chance of SHIP counts every condition."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from makers import contract
from scipy import stats

from embedlab.data import Collection
from embedlab.evaluation import chance_of_showing, compare_scores, detectable_gain
from embedlab.verdict import chance_of_ship, foresee, foresee_later
from embedlab.verdict.foresight import Foreseen


def collection(queries=200, groups=50, dates=True):
    ids = [f"q{i:03d}" for i in range(queries)]
    frame = pd.DataFrame({"query_id": ids, "text": ids, "part": "test"})
    frame["group"] = [f"g{i % groups}" for i in range(queries)]
    if dates:
        frame["created"] = "2024-01-01"
    qrels = pd.DataFrame({"query_id": ids, "doc_id": [f"d{i % groups}" for i in range(queries)], "relevance": 1})
    corpus = pd.DataFrame({"doc_id": [f"d{i}" for i in range(groups)], "title": "", "text": "text"})
    return Collection(corpus, frame, qrels)


TEST = collection()
MEMBERS = pd.DataFrame({"negation": [i < 20 for i in range(200)]}, index=TEST.queries["query_id"])


def by_name(found):
    return {one.name: one for one in found}


def test_the_chance_at_the_detectable_gain_is_the_power_that_it_is_made_for():
    gain = detectable_gain(0.4, 200, 0.02, units=50)
    assert chance_of_showing(0.4, 200, gain, 0.02, units=50) == pytest.approx(0.8, abs=0.01)
    assert chance_of_showing(0.4, 200, 0.02, 0.02, units=50) == pytest.approx(0.025)
    assert chance_of_showing(0.4, 1, 0.5) == 0.0


def test_the_chance_is_met_by_as_many_comparisons():
    rng, n, sd, gain = np.random.default_rng(1), 60, 0.2, 0.08
    ids = [f"q{i}" for i in range(n)]
    zero = pd.Series(0.0, ids)
    shipped = [
        compare_scores(zero, pd.Series(rng.normal(gain, sd, n), ids), min_gain=0.02, seed=trial).verdict == "SHIP"
        for trial in range(200)
    ]
    announced = chance_of_showing(sd, n, gain, 0.02)
    # The wider end of the bootstrap and Student's t costs a little of the power of t alone.
    low, high = stats.binom.interval(0.999, 200, announced)
    assert low / 200 - 0.05 <= np.mean(shipped) <= high / 200


def test_every_condition_on_the_test_is_sized():
    found = by_name(foresee(contract(expected_gain=0.1), TEST, {"d0"}, MEMBERS, error=0.3))
    assert list(found) == [
        "gain over production",
        "gain over the best without tuning",
        "guardrail slice negation",
        "unseen documents",
    ]
    assert found["gain over production"].chance > 0.8
    assert found["guardrail slice negation"].so == "20 queries in 20 groups; 30 in 10 are needed"
    assert (found["unseen documents"].queries, found["unseen documents"].groups) == (196, 49)


def test_a_split_over_known_documents_has_no_unseen_ones():
    known = {f"d{i}" for i in range(50)}
    found = by_name(foresee(contract(), TEST, known, MEMBERS, error=0.3))["unseen documents"]
    assert (found.queries, found.chance) == (0, 0.0)
    assert "0 queries" in found.so


def test_several_openings_cost_chance():
    once = foresee(contract(test_openings=1, expected_gain=0.1), TEST, set(), MEMBERS, error=0.4)[0]
    thrice = foresee(contract(test_openings=3, expected_gain=0.1), TEST, set(), MEMBERS, error=0.4)[0]
    assert thrice.chance < once.chance


def test_what_rests_on_something_else_says_whether_it_is_there():
    found = by_name(foresee_later("beir", TEST, TEST, 1, 10))
    assert found["the rollout"].so == "about 0 groups at 1 % of the traffic; 10 are needed"
    assert found["monitoring"].so == ""
    undated = collection(dates=False)
    found = by_name(foresee_later("beir", undated, undated, 25, 10))
    assert (found["the rollout"].so, found["monitoring"].so) == ("", "queries carry no dates")


def test_what_cannot_be_judged_leaves_no_chance_until_it_is_waived():
    good = Foreseen("gain over production", 200, 50, 0.9)
    slow = Foreseen("unseen documents", 200, 50, 0.8)
    lost = Foreseen("monitoring", None, None, None, "queries carry no dates")
    assert chance_of_ship([good, slow], []) == pytest.approx(0.72)
    assert chance_of_ship([good, slow, lost], []) == 0.0
    assert chance_of_ship([good, slow, lost], ["monitoring: a yearly review replaces it"]) == pytest.approx(0.72)
    assert asdict(lost)["so"]
