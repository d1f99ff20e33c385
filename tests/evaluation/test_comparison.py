"""A comparison of per-query scores: its verdict, what must never ship, and how it is said."""

import json
import math
import re

import numpy as np
import pytest
from paired_scores import exact, families, scores, spread

from embedlab.errors import DataError, ParameterError
from embedlab.evaluation import compare_all, compare_scores, comparison_table, decide, interval, too_few


@pytest.mark.parametrize("min_gain", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("n", [2, 12, 200])
def test_identical_systems_never_ship(min_gain, n):
    same = scores(np.linspace(0, 1, n))
    found = compare_scores(same, same, min_gain=min_gain)
    assert found.verdict != "SHIP"
    assert (found.delta, found.p_value, found.wins, found.losses, found.ties) == (0, 1, 0, 0, n)
    assert found.ci95[0] < 0 < found.ci95[1], "other queries may not tie"
    assert found.p_gain == 1
    groups = {q: f"g{min(i, n - 2)}" for i, q in enumerate(same.index)}
    if n > 2:
        over = compare_scores(same, same, min_gain=min_gain, groups=groups)
        assert over.verdict != "SHIP"
        assert over.ci95_groups[0] < 0 < over.ci95_groups[1]


@pytest.mark.parametrize(("n", "verdict"), [(30, "INCONCLUSIVE"), (400, "SHIP")])
def test_identical_systems_are_not_inferior_if_enough_queries_say_so(n, verdict):
    same = scores(np.linspace(0, 1, n))
    assert compare_scores(same, same, min_gain=-0.01).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "min_gain", "verdict"),
    [
        (0.01, 0.05, 0.01, "SHIP"),
        (0.0099, 0.05, 0.01, "INCONCLUSIVE"),
        (0.0, 0.05, 0.0, "INCONCLUSIVE"),
        (1e-6, 0.05, 0.0, "SHIP"),
        (-0.02, 0.01, 0.01, "INCONCLUSIVE"),
        (-0.02, 0.0099, 0.01, "DO_NOT_SHIP"),
        (-0.01, 0.05, -0.01, "SHIP"),
        (-0.05, -0.02, -0.01, "DO_NOT_SHIP"),
    ],
)
def test_the_verdict_follows_from_the_interval_and_the_minimum_gain(low, high, min_gain, verdict):
    assert decide(low, high, min_gain, few="") == verdict
    assert (
        decide(low, high, min_gain, few="9 groups") == verdict.replace("SHIP", "INCONCLUSIVE")
        if verdict == "SHIP"
        else verdict
    )


def test_another_confidence_decides_and_ci95_stays():
    base = scores(np.full(60, 0.4))
    better = base + exact(60, 0.043)
    usual, lax = (compare_scores(base, better, confidence=c) for c in (0.95, 0.8))
    assert (usual.verdict, lax.verdict) == ("INCONCLUSIVE", "SHIP")
    assert usual.ci == usual.ci95 == lax.ci95
    assert lax.ci == interval((better - base).to_numpy(), confidence=0.8)
    assert lax.queries_needed < usual.queries_needed


@pytest.mark.parametrize(("min_gain", "confidence"), [(float("nan"), 0.95), (0, 1.0), (0, 95), (0, 0.5)])
def test_an_illegal_minimum_gain_or_confidence_is_an_error(min_gain, confidence):
    with pytest.raises(ParameterError, match="min_gain must be a number and confidence lie between"):
        compare_scores(scores([0, 1]), scores([1, 0]), min_gain=min_gain, confidence=confidence)


def test_both_intervals_are_there_and_the_farther_ends_decide():
    difference, labels = families()
    base = scores(np.full(100, 0.4))
    found = compare_scores(base, base + difference, groups=dict(zip(base.index, labels, strict=True)))
    assert found.ci95 == interval(difference, labels)
    assert found.ci95[0] == min(found.ci95_queries[0], found.ci95_groups[0])
    assert found.ci95[1] == max(found.ci95_queries[1], found.ci95_groups[1])
    assert found.ci95_queries == interval(difference)
    assert compare_scores(base, base + difference).ci95_groups is None


def test_groups_that_cancel_leave_the_decision_to_the_queries():
    difference = np.tile([0.2, -0.18], 40)
    base = scores(np.full(80, 0.4))
    found = compare_scores(base, base + difference, groups={q: f"g{i // 2}" for i, q in enumerate(base.index)})
    low, high = found.ci95_groups
    assert low < found.ci95_queries[0], "40 groups that are all alike: the rule of three"
    assert found.ci95 == (low, high)


def test_json_has_the_documented_names_first():
    found = json.loads(json.dumps(compare_scores(scores([0, 1]), scores([1, 1])).as_dict(), allow_nan=False))
    first = "verdict metric n_queries n_groups baseline candidate delta ci95 p_value min_gain queries_needed wins ties"
    assert " ".join(list(found)[:15]) == f"{first} losses warnings"


@pytest.mark.parametrize(
    ("gain", "n", "min_gain", "words"),
    [
        (0.3, 60, 0.01, "better by enough: the 95 % interval"),
        (0.0, 60, 0.2, "not better by enough"),
        (0.004, 60, 0.0, "cannot tell.*both sides of zero. About [0-9,]+ queries would settle it"),
        (0.3, 9, 0.0, "9 groups are too few to ship on; 10 are needed"),
        (0.3, 29, 0.0, "29 queries are too few to ship on; 30 are needed"),
        (0.0, 60, -0.2, "not worse by more than 0.2000"),
    ],
)
def test_the_verdict_is_said_in_words(gain, n, min_gain, words):
    base = scores(np.full(n, 0.4))
    found = compare_scores(base, base + exact(n, gain, 0.04), min_gain=min_gain)
    assert re.search(words, found.in_words()), found.in_words()


def test_identical_runs_are_said_to_be_the_same():
    same = scores([0.1, 0.2, 0.3])
    assert compare_scores(same, same).in_words().startswith("Nothing is gained: the two runs score the same")


def test_a_clear_gain_ships_and_a_clear_loss_does_not():
    base = scores(np.full(60, 0.4))
    assert compare_scores(base, base + spread(60, 0.15) / 2, min_gain=0.01).verdict == "SHIP"
    assert compare_scores(base, base - 0.1 + spread(60, 0) / 2, min_gain=0.01).verdict == "DO_NOT_SHIP"
    assert compare_scores(base, base + spread(60, 0.01), min_gain=0.01).verdict == "INCONCLUSIVE"


def test_a_gain_over_few_groups_never_ships():
    base = scores(np.full(90, 0.4))
    groups = {q: f"g{i % 9}" for i, q in enumerate(base.index)}
    found = compare_scores(base, base + 0.2, groups=groups)
    assert (found.verdict, found.n_groups) == ("INCONCLUSIVE", 9)


def test_a_gain_that_few_queries_carry_never_ships():
    base = scores(np.zeros(40))
    few = base.copy()
    few.iloc[:9] = 1.0
    found = compare_scores(base, few, min_gain=0.001)
    assert found.verdict == "INCONCLUSIVE"
    few.iloc[:12] = 1.0
    assert compare_scores(base, few, min_gain=0.001).verdict == "SHIP"


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ((300, 9, 50, 0.0), "9 groups are too few"),
        ((29, 29, 20, 0.0), "29 queries are too few"),
        ((300, 30, 9, 0.0), "only 9 queries change"),
        ((300, 30, 0, -0.01), ""),
        ((30, 10, 10, 0.02), ""),
    ],
)
def test_what_is_too_few_to_ship_on_is_named(sample, said):
    found = too_few(*sample)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_what_would_settle_it_is_said_in_groups_where_queries_come_in_groups():
    difference, labels = families()
    base = scores(np.full(100, 0.4))
    groups = dict(zip(base.index, labels, strict=True))
    found = compare_scores(base, base + difference, min_gain=0.03, groups=groups)
    assert found.groups_needed == math.ceil(found.queries_needed / 5)
    assert f"queries in {found.groups_needed} groups like these" in found.in_words()
    assert compare_scores(base, base + difference, min_gain=0.03).groups_needed is None


def test_groups_of_unequal_size_are_worth_fewer():
    sizes = [81, *[1] * 19]
    labels = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    base = scores(np.full(100, 0.4))
    found = compare_scores(base, base + spread(100, 0.1), groups=dict(zip(base.index, labels, strict=True)))
    assert found.n_groups == 20
    assert found.effective_groups == pytest.approx(100**2 / (81**2 + 19))


def test_one_query_decides_nothing():
    found = compare_scores(scores([0.1]), scores([0.9]))
    assert (found.verdict, found.ci95) == ("INCONCLUSIVE", (-1, 1))


def test_one_group_decides_nothing_and_its_interval_can_be_written_as_json():
    base = scores([0.1, 0.2, 0.3])
    found = compare_scores(base, base + 0.1 * base, groups=dict.fromkeys(base.index, "g"))
    assert (found.verdict, found.ci95) == ("INCONCLUSIVE", (-1, 1))
    json.dumps(found.as_dict(), allow_nan=False)


def test_wins_ties_and_losses_add_up():
    found = compare_scores(scores([0, 0.5, 1, 1]), scores([1, 0.5, 0.5, 1]))
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)


def test_scores_that_are_not_numbers_are_an_error():
    base = scores([0.1, 0.2, 0.3])
    with pytest.raises(DataError, match="candidate: the score of query 'q1' is nan"):
        compare_scores(base, scores([0.1, np.nan, 0.3]))


def test_scores_of_other_queries_are_an_error():
    with pytest.raises(DataError, match="scores of 2 and 3 queries: not the same queries"):
        compare_scores(scores([0, 1]), scores([0, 1, 0]))


def test_a_table_of_comparisons_has_a_row_a_candidate_and_counts_queries_in_whole_numbers():
    found = {"base": scores(np.full(30, 0.5)), "better": scores(np.full(30, 0.6)), "same": scores(np.full(30, 0.5))}
    table = comparison_table(compare_all(found, "base", "R@10"), "candidate")
    assert table.index.tolist() == ["better", "same"]
    assert table.index.name == "candidate"
    assert table["delta"].tolist() == pytest.approx([0.1, 0.0])
    assert [str(count) for count in table["wins"]] == ["30", "0"]


def two_groupings():
    """Return 120 scores and differences that hang together by day (60 days) and far more by document (12 documents)."""
    rng = np.random.default_rng(1)
    difference = np.repeat(rng.normal(0.05, 0.1, 12), 10) + rng.normal(0, 0.05, 120)
    base = scores(np.full(120, 0.4))
    days = {q: f"day {i // 2}" for i, q in enumerate(base.index)}
    documents = {q: f"d{i // 10}" for i, q in enumerate(base.index)}
    return base, base + difference, {"day": days, "document": documents}


def test_of_several_groupings_the_farthest_end_counts_on_each_side_and_all_are_reported():
    base, better, groups = two_groupings()
    found = compare_scores(base, better, groups=groups)
    alone = {name: compare_scores(base, better, groups=of) for name, of in groups.items()}
    assert found.ci95[0] == min(one.ci95[0] for one in alone.values())
    assert found.ci95[1] == max(one.ci95[1] for one in alone.values())
    assert found.ci95_groups == found.ci95
    assert [(over.name, over.groups, over.ci95) for over in found.groupings] == [
        (name, one.n_groups, one.ci95_groups) for name, one in alone.items()
    ]
    assert found.p_gain == max(one.p_gain for one in alone.values())
    assert found.p_value == max(one.p_value for one in alone.values())


def test_numbers_of_groups_are_those_of_the_coarsest_grouping_whatever_the_order():
    base, better, groups = two_groupings()
    for order in (groups, dict(reversed(groups.items()))):
        found = compare_scores(base, better, groups=order)
        assert (found.grouping, found.n_groups, found.effective_groups) == ("document", 12, 12)
        assert found.groups_needed == math.ceil(found.queries_needed / 10)


def test_a_gain_over_few_groups_of_any_grouping_never_ships():
    base = scores(np.full(90, 0.4))
    fine, coarse = (
        {q: f"g{i // 2}" for i, q in enumerate(base.index)},
        {q: f"g{i % 9}" for i, q in enumerate(base.index)},
    )
    assert compare_scores(base, base + 0.6, groups=fine).verdict == "SHIP"
    found = compare_scores(base, base + 0.6, groups={"fine": fine, "coarse": coarse})
    assert (found.verdict, found.grouping) == ("INCONCLUSIVE", "coarse")
    assert found.settled_by().startswith("9 groups are too few")


def test_a_grouping_in_which_no_query_shares_a_group_is_none():
    base, better, groups = two_groupings()
    found = compare_scores(base, better, groups=groups | {"user": {q: q for q in base.index}})
    assert [over.name for over in found.groupings] == ["day", "document"]
    alone = compare_scores(base, better, groups={"user": {q: q for q in base.index}})
    assert (alone.grouping, alone.groupings, alone.ci95_groups) == ("", (), None)


def test_a_query_without_a_group_is_an_error_that_names_the_grouping():
    base, better, groups = two_groupings()
    with pytest.raises(DataError, match="groups: 1 of 120 judged queries have no document, the first: 'q0'"):
        compare_scores(base, better, groups=groups | {"document": {q: "d" for q in base.index[1:]}})


def test_weights_bring_the_means_to_another_mix_and_leave_out_what_weighs_nothing():
    base = scores(np.full(100, 0.4))
    difference = exact(50, 0.1, 0.02).tolist() + exact(50, 0.3, 0.02).tolist()
    weights = scores([1.0] * 50 + [3.0] * 50)
    found = compare_scores(base, base + difference, weights=weights)
    assert found.delta == pytest.approx(0.25)
    assert found.candidate == pytest.approx(0.65)
    assert found.worth == pytest.approx(80)
    half = compare_scores(base, base + difference, weights=scores([2.0] * 50 + [0.0] * 50))
    plain = compare_scores(base[:50], base[:50] + difference[:50])
    assert (half.n_queries, half.delta, half.ci95) == (50, pytest.approx(plain.delta), pytest.approx(plain.ci95))


def test_even_weights_change_nothing():
    base, better, groups = two_groupings()
    plain = compare_scores(base, better, groups=groups)
    even = compare_scores(base, better, groups=groups, weights=scores([2.0] * 120))
    assert even.worth == pytest.approx(120)
    assert (even.delta, *even.ci95) == pytest.approx((plain.delta, *plain.ci95), abs=1e-12)
    assert (even.p_value, even.queries_needed) == (plain.p_value, plain.queries_needed)


def test_uneven_weights_widen_the_interval_as_much_as_they_leave_fewer_queries():
    base = scores(np.full(400, 0.4))
    better = base + np.random.default_rng(3).normal(0.1, 0.2, 400)
    uneven = scores([1.0, 9.0] * 200)
    plain, found = compare_scores(base, better), compare_scores(base, better, weights=uneven)
    assert found.worth == pytest.approx(2000**2 / (200 * 82))
    width, plain_width = found.ci95[1] - found.ci95[0], plain.ci95[1] - plain.ci95[0]
    assert width / plain_width == pytest.approx(math.sqrt(400 / found.worth), rel=0.1)
    same_gap = compare_scores(base, better, weights=uneven, min_gain=found.delta - plain.delta)
    assert same_gap.queries_needed / plain.queries_needed == pytest.approx(400 / found.worth, rel=0.2)


@pytest.mark.parametrize("wrong", [[1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, np.nan, 1.0]])
def test_weights_that_are_none_are_an_error(wrong):
    same = scores([0.1, 0.2, 0.3])
    with pytest.raises(DataError, match="weights: every query needs one of 0 or more, and some need more than 0"):
        compare_scores(same, same, weights=scores(wrong))
