"""Paired statistics against plain numpy, and what must never ship."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from conftest import frame_of_run, literal_tail, run_python

import embedlab
from embedlab.errors import DataError, ParameterError
from embedlab.evaluation import (
    MIN_GROUPS,
    compare_all,
    compare_scores,
    comparison_table,
    design_effect,
    detectable_gain,
    holm,
    interval,
    intervals,
    queries_needed,
    seed_spread,
    several,
)
from embedlab.evaluation.intervals import one_sided_p, randomization_p
from embedlab.evaluation.power import unit_error
from embedlab.evaluation.results import decide


def scores(values) -> pd.Series:
    return pd.Series(values, index=[f"q{i}" for i in range(len(values))], dtype=float)


def spread(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.2, n)


def exact(n: int, mean: float, sd: float = 0.2, seed: int = 0) -> np.ndarray:
    """Return values with just this mean and standard deviation."""
    values = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


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
    assert interval(difference) == pytest.approx(plain_interval(difference), abs=0.002)


def families(n_groups: int = 20, size: int = 5) -> tuple[np.ndarray, list[str]]:
    """Return differences that are nearly the same within each group, and the groups."""
    base, n = spread(n_groups, 0.05, 1), n_groups * size
    labels = [f"g{i % n_groups}" for i in range(n)]
    return np.array([base[i % n_groups] for i in range(n)]) + spread(n, 0, 2) / 10, labels


def plain_t(difference, labels, quantile):
    """Return mean minus and plus Student's quantile times the spread of means without one group."""
    names = sorted(set(labels))
    without = [difference[[label != name for label in labels]].mean() for name in names]
    g, mean = len(names), difference.mean()
    error = np.sqrt((g - 1) / g * sum((w - mean) ** 2 for w in without))
    return mean - quantile * error, mean + quantile * error


def test_over_groups_the_wider_of_cluster_bootstrap_and_t_is_shown():
    difference, labels = families()
    found = intervals.gain(difference, labels)
    resampled, student = (e.ends(0.95) for e in found.groups)
    assert resampled == pytest.approx(plain_interval(difference, labels, resamples=5000), abs=0.004)
    assert student == pytest.approx(plain_t(difference, labels, 2.0930), abs=1e-5)
    assert found.over_groups() == max(resampled, student, key=lambda ends: ends[1] - ends[0])


def test_groups_of_unequal_size_give_the_plain_t():
    difference = spread(60, 0.03, 3)
    labels = [f"g{int(i**0.5)}" for i in range(60)]
    assert intervals.gain(difference, labels).groups[1].ends(0.95) == pytest.approx(
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
from embedlab import stats
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, d = peak(), np.random.default_rng(0).normal(0.02, 0.2, 10_000)
stats.interval(d)
stats.randomization_p(d[:2_000])
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


@pytest.mark.parametrize("min_gain", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("n", [2, 12, 200])
def test_identical_systems_never_ship(min_gain, n):
    same = scores(np.linspace(0, 1, n))
    found = compare_scores(same, same, min_gain=min_gain)
    assert found.verdict != "SHIP"
    assert (found.delta, found.p_value, found.wins, found.losses, found.ties) == (0, 1, 0, 0, n)
    assert (found.ci95, found.p_gain) == ((0, 0), 1)
    groups = {q: f"g{min(i, n - 2)}" for i, q in enumerate(same.index)}
    if n > 2:
        over = compare_scores(same, same, min_gain=min_gain, groups=groups)
        assert (over.verdict == "SHIP", over.ci95, over.ci95_groups) == (False, (0, 0), (0, 0))


def test_identical_systems_are_not_inferior():
    same = scores(np.linspace(0, 1, 30))
    found = compare_scores(same, same, min_gain=-0.01)
    assert (found.verdict, found.ci95) == ("SHIP", (0, 0))


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
    assert decide(low, high, min_gain, MIN_GROUPS) == verdict


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


def test_both_intervals_are_there_and_the_wider_decides():
    difference, labels = families()
    base = scores(np.full(100, 0.4))
    found = compare_scores(base, base + difference, groups=dict(zip(base.index, labels, strict=True)))
    assert found.ci95 == found.ci95_groups == interval(difference, labels)
    assert found.ci95_queries == interval(difference)
    assert compare_scores(base, base + difference).ci95_groups is None


def test_groups_that_cancel_leave_the_decision_to_the_queries():
    difference = np.tile([0.2, -0.18], 40)
    base = scores(np.full(80, 0.4))
    found = compare_scores(base, base + difference, groups={q: f"g{i // 2}" for i, q in enumerate(base.index)})
    assert found.ci95 == found.ci95_queries
    assert found.ci95_groups == pytest.approx((0.01, 0.01))


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


QRELS = {"q1": {"a": 1}, "q2": {"b": 2}}
RUN = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 2.0, "b": 1.0}}


def test_compare_takes_dicts_frames_and_files(tmp_path):
    from embedlab.data import run_text

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


def test_judged_queries_without_a_relevant_document_score_zero_and_are_counted():
    found = embedlab.compare(QRELS | {"q3": {"a": 0}}, RUN, {q: {"a": 1.0} for q in ("q1", "q2", "q3")})
    assert found.n_queries == 3
    assert "1 judged queries have no relevant document and score 0" in found.warnings


def test_groups_given_leave_no_warning_of_shared_documents():
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}}
    assert embedlab.compare(qrels, RUN, RUN, groups={"q1": "g", "q2": "g"}).warnings == ()


@pytest.mark.parametrize(
    "names", [("qid", "docno", "label"), ("q_id", "doc_id", "rel"), ("query-id", "corpus-id", "score")]
)
def test_frames_of_other_tools_and_numeric_ids_are_understood(names):
    qrels = pd.DataFrame([(1, 10, 1), (2, 20, 2)], columns=names)
    run = pd.DataFrame([(1, 10, 0.5, "text"), (2, 10, 0.5, "text")], columns=[*names[:2], "score", "query"])
    found = embedlab.compare(qrels, run, {"1": {"10": 1.0}, "2": {"20": 1.0}})
    assert (found.baseline, found.candidate) == (0.5, 1.0)


def test_a_metric_that_does_not_exist_is_an_error():
    with pytest.raises(ParameterError, match="unknown measure 'nDCG@0'"):
        embedlab.compare(QRELS, RUN, RUN, metric="nDCG@0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 Q0 a 1 nan t\n", r"x:1: score nan is not a finite number"),
        ("q1 Q0 a 1 1 t\nq1 Q0 b 2 inf t\n", r"x:2: score inf is not a finite number"),
        ("q1 Q0 a 1 2 t\n\nq1 Q0 a 2 1 t\n", r"x:3: query q1 has document a twice, first on line 1"),
        ("q1 a 1\n", r"x:1: expected 'query Q0 document rank score tag', found 'q1 a 1'"),
        ("", r"baseline: none of its 0 queries is among the 2 judged ones"),
    ],
)
def test_a_faulty_run_file_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(DataError, match=message):
        embedlab.compare(QRELS, tmp_path / "x", RUN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 0 a 1\nq2 0 b many\n", r"x:2: expected query, document and a whole-number grade, found 'q2 0 b many'"),
        ("q1 0 a 1.5\n", r"x:1: expected query, document and a whole-number grade"),
        ("q1 0 a inf\n", r"x:1: expected query, document and a whole-number grade"),
        ("q1 0 a 1\nq1 0 a 2\n", r"x: query q1 has document a twice, with different grades"),
        ("query-id\tcorpus-id\tscore\n", r"x: no judgments in it"),
    ],
)
def test_a_faulty_file_of_judgments_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(DataError, match=message):
        embedlab.compare(tmp_path / "x", RUN, RUN)


@pytest.mark.parametrize(
    ("qrels", "run", "message"),
    [
        ({"q1": {"a": 0.5}}, RUN, "qrels: query q1, document a: grade 0.5 is not a whole number"),
        (QRELS, {"q1": {"a": None}}, "baseline: query q1: score None is not finite"),
        (QRELS, {"q1": ["a", "b"]}, "baseline: expected a file, a dict of dicts or a DataFrame, found dict"),
        (QRELS, pd.DataFrame({"qid": ["q1"]}), r"baseline: columns \['doc_id', 'score'\] are missing"),
    ],
)
def test_a_faulty_object_is_named_with_its_key(qrels, run, message):
    with pytest.raises(DataError, match=message):
        embedlab.compare(qrels, run, RUN)


def test_an_equal_judgment_twice_counts_once(tmp_path):
    path = tmp_path / "q.tsv"
    path.write_text("\ufeffquery-id\tcorpus-id\tscore\nq1\ta\t1\nq1\ta\t1\nq2\tb\t2\n")
    assert embedlab.compare(path, RUN, RUN) == embedlab.compare(QRELS, RUN, RUN)


def test_holm_multiplies_the_smallest_most_and_keeps_the_order():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def several_candidates():
    base = scores(np.full(100, 0.4))
    gains = {"clear": 0.08, "small": 0.042, "none": 0.0}
    return {name: compare_scores(base, base + exact(100, g, seed=i)) for i, (name, g) in enumerate(gains.items())}


def test_several_candidates_are_corrected_for_being_several():
    compared = several_candidates()
    table = several(compared)
    assert table["p"].to_dict() == {name: c.p_gain for name, c in compared.items()}
    assert table["p_holm"].to_dict() == holm(table["p"].to_dict())
    assert table["survives"].to_dict() == {"clear": True, "small": True, "none": False}
    assert (table.loc["clear", "low"], table.loc["clear", "high"]) == compared["clear"].ci


def test_what_survives_alone_may_not_survive_among_several():
    compared = several_candidates()
    alone = several({"small": compared["small"]})
    among = several({f"{i}": compared["none"] for i in range(20)} | {"small": compared["small"]})
    assert alone.loc["small", "survives"]
    assert not among.loc["small", "survives"]


def test_a_slice_that_loses_more_than_the_tolerance_is_named():
    base = scores(np.full(80, 0.4))
    losses = {"worse": -0.15, "same": 0.0}
    compared = {n: compare_scores(base, base + d + spread(80, 0) / 2, min_gain=-0.05) for n, d in losses.items()}
    table = several(compared, "less")
    assert table["p"].to_dict() == {name: c.p_loss for name, c in compared.items()}
    assert table["survives"].to_dict() == {"worse": True, "same": False}


def test_a_table_of_no_comparisons_has_its_columns():
    assert list(several({}).columns)[-3:] == ["p", "p_holm", "survives"]


def test_a_table_of_comparisons_has_a_row_a_candidate_and_counts_queries_in_whole_numbers():
    found = {"base": scores(np.full(30, 0.5)), "better": scores(np.full(30, 0.6)), "same": scores(np.full(30, 0.5))}
    table = comparison_table(compare_all(found, "base", "R@10"), "candidate")
    assert table.index.tolist() == ["better", "same"]
    assert table.index.name == "candidate"
    assert table["delta"].tolist() == pytest.approx([0.1, 0.0])
    assert [str(count) for count in table["wins"]] == ["30", "0"]


def test_the_spread_over_seeds_stands_beside_the_spread_over_queries():
    chance = np.random.default_rng(0)
    query, seeds = chance.normal(0.5, 0.2, 400), np.array([-0.02, 0.0, 0.02])
    found = seed_spread(query + seeds[:, None])
    assert found.mean == pytest.approx(query.mean())
    assert found.seed_sd == pytest.approx(0.02)
    assert found.query_se == pytest.approx(query.std(ddof=1) / 20)
    copies = np.repeat(query[:40], 10) + seeds[:, None]
    grouped = seed_spread(copies, [str(i // 10) for i in range(400)])
    assert grouped.query_se == pytest.approx(query[:40].std(ddof=1) / np.sqrt(40), rel=0.03)


def test_one_seed_has_no_spread():
    with pytest.raises(DataError, match=r"shape \(1, 5\): expected two seeds and two queries or more"):
        seed_spread(np.zeros((1, 5)))


def test_the_design_effect_is_one_for_independent_queries_and_large_for_copies():
    base = spread(30, 0, 6)
    assert design_effect(base, [str(i) for i in range(30)]) == pytest.approx(1, abs=0.05)
    copies = np.repeat(base, 10)
    assert design_effect(copies, [str(i // 10) for i in range(300)]) == pytest.approx(10, rel=0.1)


def test_the_detectable_gain_is_found_four_times_in_five():
    chance = np.random.default_rng(0)
    n, sd = 200, 0.2
    error = unit_error(chance.normal(0, sd, 20_000), [str(i) for i in range(20_000)])
    gain = detectable_gain(error, n)
    assert gain == pytest.approx((1.96 + 0.84) * sd / np.sqrt(n), rel=0.03)
    samples = chance.normal(gain, sd, (2000, n))
    detected = samples.mean(axis=1) - 1.96 * samples.std(axis=1, ddof=1) / np.sqrt(n) > 0
    assert detected.mean() == pytest.approx(0.8, abs=0.04)


def test_queries_needed_inverts_the_detectable_gain():
    error = unit_error(spread(100, 0.03), [str(i) for i in range(100)])
    needed = queries_needed(error, 0.03)
    assert detectable_gain(error, needed) == pytest.approx(0.03, rel=0.01)
    assert queries_needed(error, 0.0) is None
    assert queries_needed(error, 1e-6) is None


def test_power_takes_the_confidence():
    difference = spread(100, 0.03)
    sd, error = difference.std(ddof=1), unit_error(difference, [str(i) for i in range(100)])
    assert error == pytest.approx(sd)
    assert detectable_gain(error, 100, 0.01, confidence=0.9) == pytest.approx(
        0.01 + (1.6449 + 0.8416) * sd / 10, abs=1e-5
    )
    assert queries_needed(error, 0.03, confidence=0.9) == int(np.ceil(((1.64485 + 0.84162) * sd / 0.03) ** 2))
