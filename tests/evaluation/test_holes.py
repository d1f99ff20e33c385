"""Judgments with holes: bounds and the next documents to judge, by hand."""

import itertools

import pandas as pd
import pytest
from conftest import frame_of_run

from embedlab.errors import ParameterError
from embedlab.evaluation import difference_bounds, judge_next, per_query, unjudged_shares


def run_of(**lists):
    """Return a run with these documents, a letter each, for each query, best first."""
    return frame_of_run({q: {d: -float(rank) for rank, d in enumerate(docs)} for q, docs in lists.items()})


def judged(**grades):
    """Return judgments such as ``q="a2 b0"``."""
    rows = [(q, pair[0], int(pair[1:])) for q, pairs in grades.items() for pair in pairs.split()]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "relevance"])


def test_the_unjudged_share_is_that_of_each_system():
    runs = {"P": run_of(q="ab"), "T": run_of(q="xy")}
    assert unjudged_shares(judged(q="a1 b0"), runs, 2) == {"P": 0.0, "T": 1.0}


def test_what_one_system_alone_shows_moves_the_difference_its_way():
    qrels = judged(q="a1 b0")
    # P shows a (relevant) and the hole x, T shows b (irrelevant) and the hole y.
    found = difference_bounds(qrels, run_of(q="ax"), run_of(q="by"), "P@2", 2)
    assert found.loc["q"].to_dict() == {"delta": -0.5, "worst": -1.0, "best": 0.0}


def test_what_both_show_at_the_same_place_moves_nothing():
    found = difference_bounds(judged(q="a1"), run_of(q="xa"), run_of(q="xb"), "P@1", 1)
    assert found.loc["q"].to_dict() == {"delta": 0.0, "worst": 0.0, "best": 0.0}


def test_what_both_show_moves_a_measure_that_asks_for_the_rank():
    found = difference_bounds(judged(q="a0 b1"), run_of(q="xa"), run_of(q="ax"), "RR@2", 2)
    assert found.loc["q"].to_dict() == {"delta": 0.0, "worst": -0.5, "best": 0.0}


def test_holes_below_what_is_looked_at_stay_irrelevant():
    found = difference_bounds(judged(q="a1"), run_of(q="ax"), run_of(q="ay"), "P@2", 1)
    assert found.loc["q"].to_dict() == {"delta": 0.0, "worst": 0.0, "best": 0.0}


def test_where_all_is_judged_the_bounds_are_the_difference():
    qrels, one, two = judged(q="a2 b0", r="a0 b1"), run_of(q="ba", r="ab"), run_of(q="ab", r="ba")
    found = difference_bounds(qrels, one, two, "nDCG@10", 10)
    assert found["worst"].tolist() == found["best"].tolist() == found["delta"].tolist()


def test_an_unjudged_document_is_taken_at_the_highest_grade_or_the_one_asked_for():
    qrels, one, two = judged(q="a2 b1"), run_of(q="ab"), run_of(q="xb")
    highest, low = (difference_bounds(qrels, one, two, "nDCG@2", 2, grade=grade)["best"]["q"] for grade in (0, 1))

    def expected(grade):
        filled = judged(q=f"a2 b1 x{grade}")
        return (per_query(filled, two, ["nDCG@2"]) - per_query(filled, one, ["nDCG@2"]))["nDCG@2"]["q"]

    assert highest == pytest.approx(expected(2))
    assert low == pytest.approx(expected(1))


@pytest.mark.parametrize("metric", ["P@3", "R@3", "RR@3"])
def test_no_way_to_judge_what_one_alone_shows_lies_outside_the_bounds(metric):
    qrels, one, two = judged(q="a1 b0"), run_of(q="axy"), run_of(q="bvw")
    found = difference_bounds(qrels, one, two, metric, 3).loc["q"]
    for grades in itertools.product([0, 1], repeat=4):
        filled = judged(q="a1 b0 " + " ".join(f"{d}{g}" for d, g in zip("xyvw", grades, strict=True)))
        delta = (per_query(filled, two, [metric]) - per_query(filled, one, [metric]))[metric]["q"]
        assert found["worst"] - 1e-9 <= delta <= found["best"] + 1e-9


RUNS = {"P": run_of(q="ax", r="ab"), "S": run_of(q="ay", r="ab"), "T": run_of(q="za", r="ac")}
QRELS = judged(q="a1", r="a1 b0")


def test_each_document_moves_the_difference_by_what_its_judgment_would_change():
    found = judge_next(QRELS, RUNS, "T", "P@2", 2, 10).set_index(["query_id", "doc_id"])["moves"]
    # z and c stand with T alone, x with P, y with S: each changes one system's precision at 2 by a half.
    assert found.to_dict() == {("q", d): 0.5 for d in "xyz"} | {("r", "c"): 0.5}


def test_the_systems_take_turns_and_none_is_judged_more_than_another():
    queries = [f"q{i}" for i in range(6)]
    # T has a hole at the first place, which moves reciprocal rank most; P and S have theirs at the third.
    runs = {
        "P": run_of(**dict.fromkeys(queries, "abp")),
        "S": run_of(**dict.fromkeys(queries, "abs")),
        "T": run_of(**dict.fromkeys(queries, "tab")),
    }
    qrels = judged(**dict.fromkeys(queries, "a0 b0"))
    found = judge_next(qrels, runs, "T", "RR@3", 3, 6)
    assert found["doc_id"].value_counts().to_dict() == {"p": 2, "s": 2, "t": 2}


def test_a_system_without_holes_leaves_its_turns_to_the_others():
    found = judge_next(judged(q="a1 b0"), {"P": run_of(q="ab"), "T": run_of(q="xyz")}, "T", "P@3", 3, 2)
    assert set(found["doc_id"]) < set("xyz")
    assert len(found) == 2


def test_what_moves_most_is_asked_first():
    found = judge_next(judged(q="a0"), {"P": run_of(q="a"), "T": run_of(q="axyz")}, "T", "RR@4", 4, 1)
    assert found[["doc_id", "moves"]].to_numpy().tolist() == [["x", 0.5]]


def test_nothing_in_the_list_says_who_shows_a_document_or_which_moves_most():
    queries = [f"q{i}" for i in range(30)]
    runs = {"P": run_of(**dict.fromkeys(queries, "abp")), "T": run_of(**dict.fromkeys(queries, "tab"))}
    found = judge_next(judged(**dict.fromkeys(queries, "a0 b0")), runs, "T", "RR@3", 3, 40)
    assert list(found) == ["query_id", "doc_id", "moves"]
    assert found["moves"].tolist() != sorted(found["moves"], reverse=True)
    first = found["doc_id"].head(20).value_counts()
    assert 3 < first["p"] < 17


def test_the_same_runs_give_the_same_list():
    turned = {name: run.sample(frac=1, random_state=1) for name, run in RUNS.items()}
    one, two = (judge_next(QRELS, runs, "T", "P@2", 2, 3) for runs in (RUNS, turned))
    assert one.equals(two)


def test_where_all_is_judged_nothing_is_left_to_judge():
    assert judge_next(judged(q="a1 b0"), {"P": run_of(q="ab"), "T": run_of(q="ba")}, "T", "P@2", 2, 5).empty


def test_the_proposed_system_must_be_one_of_several():
    with pytest.raises(ParameterError, match="compares 'X' with other systems; runs: P, S, T"):
        judge_next(QRELS, RUNS, "X", "P@2", 2, 5)
    with pytest.raises(ParameterError, match="compares 'T'"):
        judge_next(QRELS, {"T": RUNS["T"]}, "T", "P@2", 2, 5)
