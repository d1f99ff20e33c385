"""Per-query measures agree with trec_eval's own code, ties and grades included."""

import random
import re
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from conftest import CRANFIELD, PROJECT, frame_of_run, needs_cranfield

import embedlab
from embedlab.cli import main
from embedlab.data import Collection, parse_run, run_text, trec_order
from embedlab.errors import ParameterError
from embedlab.evaluation import first_relevant_rank, parse_measure, per_query, ranks_of, score_table, unjudged_share
from embedlab.evaluation.metrics import OWN

NL2BASH = CRANFIELD.parent / "nl2bash"
needs_nl2bash = pytest.mark.skipif(not NL2BASH.is_dir(), reason="the NL2Bash collection is not beside the project")

CUTOFFS = (1, 3, 5, 10, 100)
FAMILIES = {"nDCG": "ndcg_cut", "R": "recall", "P": "P"}
NAMES = {f"{ours}@{k}": f"{theirs}_{k}" for k in CUTOFFS for ours, theirs in FAMILIES.items()}
NAMES |= {"AP": "map", "RR": "recip_rank"}


def by_trec_eval(qrels: pd.DataFrame, run: pd.DataFrame) -> pd.DataFrame:
    """Return trec_eval's values by query, 0 for judged queries that the run lacks."""
    judged = {q: dict(zip(r["doc_id"], map(int, r["relevance"]), strict=True)) for q, r in qrels.groupby("query_id")}
    ranked = {q: dict(zip(r["doc_id"], map(float, r["score"]), strict=True)) for q, r in run.groupby("query_id")}
    cut = ",".join(map(str, CUTOFFS))
    wanted = {"map", "recip_rank"} | {f"{family}.{cut}" for family in FAMILIES.values()}
    found = pytrec_eval.RelevanceEvaluator(judged, wanted).evaluate(ranked)
    table = pd.DataFrame(found).T.reindex(sorted(judged)).fillna(0.0)
    return pd.DataFrame({ours: table[theirs] for ours, theirs in NAMES.items()})


def check_against_trec_eval(qrels, run):
    ours = per_query(qrels, run, list(NAMES))
    theirs = by_trec_eval(qrels, run)
    assert list(ours.index) == list(theirs.index)
    assert (ours - theirs).abs().to_numpy().max() < 1e-6


def small(seed: int):
    """Return graded judgments and a run with ties, missing queries and unjudged ones."""
    chance = random.Random(seed)
    documents = [f"d{i}" for i in range(30)]
    qrels = pd.DataFrame(
        [(f"q{i}", d, chance.choice([0, 1, 1, 2, 3])) for i in range(20) for d in chance.sample(documents, 6)],
        columns=["query_id", "doc_id", "relevance"],
    )
    run = frame_of_run(
        {
            f"q{i}": {d: chance.choice([0.1, 0.25, 0.5, 0.75]) for d in chance.sample(documents, 15)}
            for i in range(3, 23)
        }
    )
    return qrels, run


@pytest.mark.parametrize("seed", range(5))
def test_graded_data_with_ties_scores_as_in_trec_eval(seed):
    check_against_trec_eval(*small(seed))


@cache
def bm25(folder, most: int | None = None):
    """Return a real collection's judgments and BM25's run of its queries, or of the first ``most``."""
    from embedlab.retrieval import BM25

    raw = embedlab.data.read_raw("beir", path=folder)
    whole = embedlab.data.Collection(raw.corpus, raw.queries.head(most or len(raw.queries)), raw.qrels)
    qrels = whole.qrels[whole.qrels["query_id"].isin(whole.queries["query_id"])]
    return qrels, BM25(whole.document_texts()).search(whole.query_texts())


@needs_cranfield
def test_bm25_on_cranfield_scores_as_in_trec_eval():
    qrels, run = bm25(CRANFIELD)
    check_against_trec_eval(qrels, run)
    assert 0.3 < per_query(qrels, run)["nDCG@10"].mean() < 0.5


@needs_cranfield
def test_many_ties_and_grades_on_cranfield_score_as_in_trec_eval():
    qrels, run = bm25(CRANFIELD)
    graded = qrels.assign(relevance=[len(d) % 4 for d in qrels["doc_id"]])
    tied = run.assign(score=(run["score"] / 5).round())
    assert tied.duplicated(["query_id", "score"]).mean() > 0.5
    check_against_trec_eval(graded, tied)


@needs_nl2bash
@pytest.mark.parametrize("most", [300, pytest.param(None, marks=pytest.mark.full)])
def test_bm25_on_nl2bash_scores_as_in_trec_eval(most):
    check_against_trec_eval(*bm25(NL2BASH, most))


def test_scores_that_differ_by_less_than_float32_tie_as_in_trec_eval():
    qrels = pd.DataFrame({"query_id": ["q"], "doc_id": ["a"], "relevance": [1]})
    run = frame_of_run({"q": {"a": 0.1 + 1e-10, "b": 0.1}})
    assert list(trec_order(run)["doc_id"]) == ["b", "a"]
    found = per_query(qrels, run, ["RR", "RR@10", "RR@1", "P@1"]).loc["q"]
    assert found.tolist() == [0.5, 0.5, 0, 0]


def test_a_run_written_and_read_again_scores_the_same():
    chance = np.random.default_rng(0)
    scores = np.float32(chance.random(3000)) / 1000 + np.float32(0.5)
    run = frame_of_run({"q": {f"d{i}": float(s) for i, s in enumerate(scores)}})
    again = parse_run(run_text(run, "t"))
    assert list(again["doc_id"]) == list(trec_order(run)["doc_id"]) == list(trec_order(again)["doc_id"])


def test_reciprocal_rank_with_a_grade_counts_from_that_grade():
    qrels = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b"], "relevance": [1, 2]})
    run = frame_of_run({"q": {"a": 2.0, "b": 1.0}})
    found = per_query(qrels, run, ["RR@10", "RR(rel=2)@10", "RR(rel=2)@1"]).loc["q"]
    assert found.tolist() == [1, 0.5, 0]


@pytest.mark.parametrize("seed", range(5))
def test_reciprocal_rank_is_cut_in_trec_evals_order(seed):
    qrels, run = small(seed)
    found = per_query(qrels, run, ["RR@3", "RR@10"])
    ordered = run.sort_values(["query_id", "score", "doc_id"], ascending=[True, False, False])
    relevant = set(zip(qrels["query_id"], qrels["doc_id"], strict=True)) & {
        (r.query_id, r.doc_id) for r in qrels.itertuples() if r.relevance >= 1
    }
    assert set(found.index) == set(qrels["query_id"])
    for cutoff in (3, 10):
        for query_id in found.index:
            top = ordered[ordered["query_id"] == query_id]["doc_id"].head(cutoff)
            hits = [rank for rank, d in enumerate(top, 1) if (query_id, d) in relevant]
            assert found.loc[query_id, f"RR@{cutoff}"] == pytest.approx(1 / hits[0] if hits else 0)


def test_ties_are_broken_by_document_id_from_the_end():
    run = frame_of_run({"q": {"a": 1.0, "b": 1.0, "c": 2.0}})
    assert list(trec_order(run)["doc_id"]) == ["c", "b", "a"]
    qrels = pd.DataFrame({"query_id": ["q"], "doc_id": ["a"], "relevance": [1]})
    assert per_query(qrels, run, ["RR@2", "RR@3"]).loc["q"].tolist() == [0, pytest.approx(1 / 3)]
    assert first_relevant_rank(qrels, run)["q"] == 3


def test_a_judged_query_that_the_run_lacks_scores_zero():
    qrels = pd.DataFrame({"query_id": ["q1", "q2"], "doc_id": "d", "relevance": 1})
    found = per_query(qrels, frame_of_run({"q1": {"d": 1.0}}))
    assert found["nDCG@10"].to_dict() == {"q1": 1.0, "q2": 0.0}
    assert per_query(qrels, frame_of_run({}))["nDCG@10"].sum() == 0


def test_a_query_without_a_relevant_document_scores_zero():
    qrels = pd.DataFrame({"query_id": ["q1"], "doc_id": ["d"], "relevance": [0]})
    assert per_query(qrels, frame_of_run({"q1": {"d": 1.0}}), ["nDCG@10", "AP", "RR@10"]).sum().sum() == 0


def test_the_rank_of_a_document_that_is_not_found_is_unknown():
    qrels = pd.DataFrame({"query_id": ["q1", "q2"], "doc_id": ["d", "e"], "relevance": 1})
    rank = first_relevant_rank(qrels, frame_of_run({"q1": {"x": 2.0, "d": 1.0}, "q2": {"x": 1.0}}))
    assert rank["q1"] == 2
    assert pd.isna(rank["q2"])


def test_the_ranks_of_several_systems_stand_side_by_side():
    qrels = pd.DataFrame({"query_id": ["q1", "q2"], "doc_id": ["d", "e"], "relevance": 1})
    first = frame_of_run({"q1": {"x": 2.0, "d": 1.0}, "q2": {"x": 1.0}})
    second = frame_of_run({"q1": {"d": 1.0}, "q2": {"e": 1.0}})
    ranks = ranks_of(qrels, {"first": first, "second": second})
    assert ranks.columns.tolist() == ["first", "second"]
    assert ranks.loc["q1"].tolist() == [2, 1]
    assert pd.isna(ranks.loc["q2", "first"])


def test_unjudged_documents_in_the_top_are_counted():
    qrels = pd.DataFrame({"query_id": ["q"], "doc_id": ["a"], "relevance": [0]})
    assert unjudged_share(qrels, frame_of_run({"q": {"a": 3.0, "b": 2.0, "c": 1.0}}), 2) == 0.5


@pytest.mark.parametrize(
    "name",
    [
        "nDCG10", "accuracy", "MRR@", "ERR@10", "RBP(p=0.8)", "", "nDCG@", "nDCG@0", "RR@0", "AP@-1", "P", "R",
        "Success", "Success@0", "P@True", "R@9223372036854775808", "P(rel=0)@5", "IPrec@2.0", "IPrec@0.123",
        "RR(judged_only=True)@10", "AP(judged_only=True)", "nDCG(gains={1:3})@10", "NumRet", "NumQ",
    ],
)  # fmt: skip
def test_an_unknown_measure_names_the_valid_ones(name):
    with pytest.raises(ParameterError, match=r"unknown measure .*valid: nDCG@10, R@100, P@5, RR@10, AP"):
        parse_measure(name)


def test_a_measure_of_our_own_is_legal_at_any_cutoff_and_scores_each_query():
    qrels = pd.DataFrame({"query_id": ["a", "a", "b"], "doc_id": ["x", "y", "x"], "relevance": [1, 0, 1]})
    run = pd.DataFrame({"query_id": ["a"] * 4, "doc_id": ["x", "u", "y", "v"], "score": [4.0, 3.0, 2.0, 1.0]})
    found = per_query(qrels, run, ["Judged@1", "Judged@4", "nDCG@10"])
    assert found["Judged@1"].tolist() == [1.0, 0.0], "a query without a run scores 0"
    assert found["Judged@4"].tolist() == [0.5, 0.0]
    with pytest.raises(ParameterError, match="did you mean Judged"):
        per_query(qrels, run, ["judged@5"])


def test_an_unknown_measure_is_told_where_ours_are_registered():
    with pytest.raises(ParameterError, match=r"ours: Judged@10, registered in OWN of embedlab/evaluation/metrics\.py"):
        parse_measure("Best@10")


def scored_by(monkeypatch, result):
    """Return what two queries score by a measure of our own that gives this."""
    monkeypatch.setitem(OWN, "Mine", lambda qrels, run, cutoff: result)
    qrels = pd.DataFrame({"query_id": ["q1", "q2"], "doc_id": "d", "relevance": 1})
    run = frame_of_run({"q1": {"d": 1.0}, "q2": {"d": 1.0}, "unjudged": {"d": 1.0}})
    return per_query(qrels, run, ["Mine@10"])["Mine@10"].to_dict()


@pytest.mark.parametrize("result", [None, {"q1": 1.0}, 0.5, pd.DataFrame({"q1": [1.0]})])
def test_a_measure_of_our_own_that_gives_no_series_is_named(monkeypatch, result):
    kind = type(result).__name__
    with pytest.raises(
        ParameterError, match=rf"measure Mine@10: expected a Series of scores by query id, found {kind}"
    ):
        scored_by(monkeypatch, result)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (pd.Series([1.0, 0.5]), r"found '0', '1' in its index, which are not among the query ids, such as 'q1'"),
        (pd.Series(1.0, index=["q1", "other"]), r"found 'other' in its index, .* such as 'q1'"),
        (pd.Series(1.0, index=list("abcde")), r"found 'a', 'b', 'c' and 2 more in its index"),
        (pd.Series(1.0, index=pd.MultiIndex.from_tuples([("q1", "d")])), r"found .*q1.*d.* in its index"),
        (pd.Series(1.0, index=["q1", "q2", "q2"]), r"found more than one score of 'q2'"),
    ],
)
def test_a_measure_of_our_own_whose_index_is_not_the_query_ids_is_named(monkeypatch, result, said):
    with pytest.raises(ParameterError, match=rf"measure Mine@10: expected a Series of scores by query id, {said}"):
        scored_by(monkeypatch, result)


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), float("inf"), None, "high", [1.0]])
def test_a_score_of_our_own_that_is_not_between_0_and_1_names_query_and_value(monkeypatch, value):
    result = pd.Series([0.5, value], index=["q1", "q2"], dtype=object)
    said = re.escape(f"measure Mine@10: query 'q2' scores {value!r}, expected a number between 0 and 1")
    with pytest.raises(ParameterError, match=said):
        scored_by(monkeypatch, result)


def test_a_query_that_a_measure_of_our_own_leaves_out_scores_zero(monkeypatch):
    assert scored_by(monkeypatch, pd.Series(1.0, index=["q2", "unjudged"])) == {"q1": 0.0, "q2": 1.0}
    assert scored_by(monkeypatch, pd.Series(dtype=float)) == {"q1": 0.0, "q2": 0.0}
    assert scored_by(monkeypatch, pd.Series([True, False], index=["q1", "q2"])) == {"q1": 1.0, "q2": 0.0}


@pytest.mark.parametrize(
    ("name", "near"), [("nDCG10", "nDCG"), ("bpref", "Bpref"), ("sucess@5", "Success"), ("R-prec", "Rprec")]
)
def test_an_unknown_measure_is_told_the_nearest(name, near):
    with pytest.raises(ParameterError, match=rf"did you mean .*\b{near}\b"):
        parse_measure(name)


OTHERS = {
    "Rprec": "Rprec", "Bpref": "bpref", "infAP": "infAP", "Success@5": "success_5", "Success@1": "success_1",
    "AP@10": "map_cut_10", "SetP": "set_P", "SetR": "set_recall", "SetAP": "set_map", "SetF": "set_F",
    "IPrec@0.1": "iprec_at_recall_0.10", "nDCG": "ndcg",
}  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_whatever_else_trec_eval_computes_is_a_measure(seed):
    qrels, run = small(seed)
    judged = {q: dict(zip(r["doc_id"], map(int, r["relevance"]), strict=True)) for q, r in qrels.groupby("query_id")}
    ranked = {q: dict(zip(r["doc_id"], r["score"], strict=True)) for q, r in run.groupby("query_id")}
    wanted = {"Rprec", "bpref", "infAP", "success.1,5", "map_cut.10", "set_P", "set_recall", "set_map", "set_F", "ndcg",
              "iprec_at_recall.0.10"}  # fmt: skip
    theirs = pd.DataFrame(pytrec_eval.RelevanceEvaluator(judged, wanted).evaluate(ranked)).T
    ours = per_query(qrels, run, list(OTHERS))
    assert ours.to_numpy().min() >= 0
    assert ours.to_numpy().max() <= 1
    for name, known in OTHERS.items():
        assert ours[name].to_dict() == theirs[known].reindex(ours.index).fillna(0.0).to_dict(), name


def two_systems():
    """Return three queries of two parts with their judgments, and runs of two systems over them."""
    queries = pd.DataFrame(
        {"query_id": ["q2", "q1", "q3"], "text": "any", "part": ["dev", "dev", "test"], "group": ["g2", "g1", "g3"]}
    )
    qrels = pd.DataFrame([("q1", "a", 1), ("q2", "b", 1), ("q3", "c", 1)], columns=["query_id", "doc_id", "relevance"])
    second = frame_of_run({"q1": {"x": 2.0, "a": 1.0}, "q2": {"b": 1.0}})
    first = frame_of_run({"q1": {"a": 1.0}, "q2": {"x": 1.0}})
    return Collection(pd.DataFrame(columns=["doc_id", "title", "text"]), queries, qrels), {"z": second, "a": first}


def test_ranks_stand_side_by_side_and_are_blank_where_nothing_is_found():
    collection, runs = two_systems()
    ranks = ranks_of(collection.part("dev").qrels, runs)
    assert ranks["z"].to_dict() == {"q1": 2, "q2": 1}
    assert ranks.loc["q1", "a"] == 1
    assert ranks["a"].isna().to_dict() == {"q1": False, "q2": True}


def test_the_score_table_has_a_row_a_system_and_query_with_its_part_and_group():
    collection, runs = two_systems()
    table = score_table(collection.part("dev"), runs, ["RR", "R@1"])
    assert list(table) == ["query_id", "RR", "R@1", "part", "system", "group"]
    assert table[["query_id", "part", "system", "group"]].to_numpy().tolist() == [
        ["q1", "dev", "a", "g1"],
        ["q2", "dev", "a", "g2"],
        ["q1", "dev", "z", "g1"],
        ["q2", "dev", "z", "g2"],
    ]
    assert table["RR"].tolist() == [1.0, 0.0, 0.5, 1.0]
    assert table["R@1"].tolist() == [1.0, 0.0, 0.0, 1.0]


def test_the_command_line_and_the_parameters_say_that_any_measure_is_legal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["embedlab", "compare", "--help"])
    with pytest.raises(SystemExit):
        main()
    said = [capsys.readouterr().out]
    said += [
        (PROJECT / name).read_text("utf-8") for name in ("params/own_data.yaml", "notebooks/01_define_problem.ipynb")
    ]
    for text in said:
        assert re.search(r"any measure (that|of) ir-measures.* through trec_eval.* ours such as Judged@10", text, re.I)
