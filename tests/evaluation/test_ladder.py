"""Failing queries and their causes, rungs against today's search, and what is recommended."""

import numpy as np
import pandas as pd
import pytest

from embedlab.errors import DataError
from embedlab.evaluation import (
    CAUSES,
    Evidence,
    Rung,
    attribute,
    best_rung,
    cause_shares,
    climb,
    failing,
    filtered_out,
    fixed_by,
    measured,
    not_measured,
    recommend,
)

SHOWN = 2
QRELS = pd.DataFrame(
    [(f"q{i}", f"d{i}", 1) for i in range(6)] + [("q0", "d9", 0)], columns=["query_id", "doc_id", "relevance"]
)
DOCS = [f"d{i}" for i in range(10) if i != 5]


def run_of(ranks, depth=4):
    """Return a run in which the answer of each query stands at a rank; 0: nowhere."""
    rows = []
    for query_id, rank in ranks.items():
        for at in range(1, depth + 1):
            doc_id = f"d{query_id[1:]}" if at == rank else f"x{at}"
            rows.append((query_id, doc_id, 1.0 / at))
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])


TODAY = run_of({"q0": 1, "q1": 2, "q2": 3, "q3": 4, "q4": 0, "q5": 0})


def test_a_query_fails_where_no_relevant_document_is_shown():
    ranks = failing(QRELS, TODAY, SHOWN)
    assert list(ranks.index) == ["q2", "q3", "q4", "q5"]
    assert ranks["q2"] == 3
    assert np.isnan(ranks["q4"])


def test_every_failing_query_has_one_cause_the_first_that_was_measured():
    evidence = Evidence(truncated={"q2": "beyond token 256"}, filtered={"q2": "later in the order"})
    ranks = failing(QRELS, TODAY, SHOWN)
    found = attribute(ranks, QRELS, DOCS, evidence, reach=4).set_index("query_id")
    assert found["cause"].to_dict() == {
        "q2": "lost to truncation",
        "q3": "no rung, within reach",
        "q4": "no rung, out of reach",
        "q5": "not in the corpus",
    }
    assert found.loc["q2", "evidence"] == "beyond token 256"
    assert found.loc["q5", "evidence"] == "no document d5"
    shares = cause_shares(found.reset_index(), None, 0)
    assert list(shares.index) == list(CAUSES)
    assert shares["queries"].sum() == len(ranks)
    assert shares["share"].sum() == pytest.approx(1)
    assert (shares["low"] <= shares["share"]).all()
    assert (shares["share"] <= shares["high"]).all()


def test_rungs_that_fix_a_query_are_listed_the_cheapest_first():
    rungs = [
        Rung("other model", "stronger base", run_of({"q2": 1, "q3": 1})),
        Rung("passages", "chunking", run_of({"q2": 2, "q3": 3})),
        not_measured("a reranker", "reranking", "none was named"),
    ]
    fixes = fixed_by(QRELS, measured(rungs), ["q2", "q3", "q4"], SHOWN)
    assert fixes.to_dict() == {"q2": ["passages", "other model"], "q3": ["other model"], "q4": []}
    ranks = failing(QRELS, TODAY, SHOWN)
    found = attribute(ranks, QRELS, DOCS, Evidence(fixed_by=fixes), reach=4).set_index("query_id")
    assert found.loc["q2", "cause"] == "fixed by a simpler rung"
    assert found.loc["q2", "evidence"] == "passages shows it"
    assert found.loc["q3", "fixed_by"] == ["other model"]


def test_an_answer_that_a_filter_removes_is_filtered_out():
    unfiltered = run_of({"q2": 1, "q3": 4, "q4": 2})
    filtered = unfiltered[unfiltered["doc_id"] != "d2"]
    assert list(filtered_out(QRELS, unfiltered, filtered, ["q2", "q3", "q4"], SHOWN)) == ["q2"]


def test_a_rung_says_what_it_fixes_and_what_it_breaks():
    mixed = run_of({"q0": 4, "q1": 1, "q2": 1, "q3": 1, "q4": 0, "q5": 0})
    ladder = climb([Rung("mixed", "hybrid", mixed, 1.5, 100.0)], TODAY, QRELS, "RR@10", SHOWN)
    row = ladder.table.iloc[0]
    assert (row["fixed"], row["broken"], row["net"]) == (2, 1, 1)
    assert row["delta"] == pytest.approx(((0.25 - 1) + (1 - 0.5) + (1 - 1 / 3) + (1 - 0.25)) / 6)
    assert row["ci_low"] <= row["delta"] <= row["ci_high"]
    assert (row["added_ms"], row["added_bytes"]) == (1.5, 100.0)


def test_what_was_not_measured_stands_in_the_table_without_a_number():
    ladder = climb([not_measured("a reranker", "reranking", "none was named")], TODAY, QRELS, "RR@10", SHOWN)
    row = ladder.table.iloc[0]
    assert row["status"] == "not measured: none was named"
    assert row[["delta", "net", "added_ms"]].isna().all()
    assert best_rung(ladder) == ""


def test_a_rung_that_lowers_the_measure_is_no_remedy_though_it_fixes_more_than_it_breaks():
    today = run_of({"q0": 1, "q1": 1, "q2": 1, "q3": 1, "q4": 3, "q5": 3})
    second = run_of({f"q{i}": 2 for i in range(6)})
    ladder = climb([Rung("all second", "hybrid", second)], today, QRELS, "RR@10", SHOWN)
    row = ladder.table.iloc[0]
    assert row["net"] == 2
    assert row["delta"] < 0
    assert best_rung(ladder) == ""


def test_a_rung_without_a_run_cannot_call_itself_measured():
    with pytest.raises(DataError, match="a run is what makes it measured"):
        Rung("none", "hybrid")


def test_two_rungs_of_one_name_are_refused():
    with pytest.raises(DataError, match="two rungs have one name: 'twice'"):
        climb([Rung("twice", "hybrid", TODAY)] * 2, TODAY, QRELS, "RR@10", SHOWN)


# --- what is recommended --------------------------------------------------------------------------

MANY = 80
MANY_QRELS = pd.DataFrame([(f"q{i}", f"d{i}", 1) for i in range(MANY)], columns=["query_id", "doc_id", "relevance"])


def many(good):
    """Return a run that answers a share of the queries first and the others not at all."""
    return run_of({f"q{i}": int(i % 10 < 10 * good) for i in range(MANY)})


def scores(good):
    return pd.Series({f"q{i}": float(i % 10 < 10 * good) for i in range(MANY)})


def advised(rung, tuned, tuned_with=None, kind="hybrid"):
    rungs = [Rung("the rung", kind, many(rung)), not_measured("a reranker", "reranking", "none was named")]
    ladder = climb(rungs, many(0.3), MANY_QRELS, "RR@10", SHOWN)
    return recommend(ladder, tuned, tuned_with, metric="RR@10", tuning_min=0.02)


def test_a_remedy_that_tuning_cannot_reach_is_recommended_instead_of_tuning():
    found = advised(0.9, scores(0.4), kind="chunking")
    assert found.advice == "simpler, do not fine-tune"
    assert found.sentence.startswith("Chunk, do not fine-tune: the rung changes the measure by +0.600")


def test_tuning_that_adds_to_the_remedy_makes_it_both():
    found = advised(0.5, scores(0.6), scores(0.8))
    assert found.advice == "both"
    assert found.on_top.delta == pytest.approx(0.3)
    assert found.on_top.of == "the probe with the rung"


def test_tuning_alone_is_recommended_where_no_rung_fixes_more_than_it_breaks():
    found = advised(0.2, scores(0.7))
    assert (found.simpler, found.advice) == ("", "fine-tune")


def test_nothing_is_recommended_where_the_probe_is_not_measured():
    found = advised(0.9, None)
    assert found.advice == "cannot tell"
    assert found.tuning_gain is None
    assert "tuning is not measured" in found.sentence
    assert found.not_measured == {"a reranker": "not measured: none was named"}


def test_a_difference_within_its_interval_decides_nothing():
    found = advised(0.5, scores(0.5).sample(frac=1, random_state=1).set_axis(scores(0.5).index))
    assert found.advice == "cannot tell"
    assert found.on_top.ci[0] < 0 < found.on_top.ci[1]


def test_the_best_of_many_rungs_is_held_to_a_confidence_that_is_split_over_all():
    rungs = [Rung(f"rung {i}", "hybrid", many(0.5)) for i in range(5)]
    ladder = climb(rungs, many(0.3), MANY_QRELS, "RR@10", SHOWN)
    found = recommend(ladder, scores(0.4), metric="RR@10", tuning_min=0.02)
    assert found.simpler_gain.confidence == pytest.approx(1 - 0.05 / 5)
    assert found.simpler_gain.ci[0] < found.simpler_gain.ci95[0]
