"""RM3 against its formula by hand, on four tiny documents."""

import pandas as pd
import pytest

from embedlab.errors import ParameterError
from embedlab.retrieval import BM25, RM3, Filter, top_k

DOCUMENTS = pd.Series(
    {
        "d1": "wolf forest forest snow",
        "d2": "wolf sheep",
        "d3": "forest snow snow moss",
        "d4": "harbour ship harbour anchor",
    }
)

QUERIES = pd.Series({"q1": "wolf", "q2": "harbour zebra"})


@pytest.fixture(scope="module")
def bm25():
    return BM25(DOCUMENTS)


def weights(rm3, query_id):
    rows = rm3.expansions(QUERIES)
    own = rows[rows["query_id"] == query_id]
    return dict(zip(own["term"], own["weight"], strict=True))


def test_the_words_and_weights_follow_the_formula(bm25):
    score = bm25.scores("wolf")
    one, two = score["d1"] / (score["d1"] + score["d2"]), score["d2"] / (score["d1"] + score["d2"])
    model = {"wolf": one / 4 + two / 2, "forest": one * 2 / 4, "snow": one / 4, "sheep": two / 2}
    # Of four words the three likeliest are kept, and scaled to sum to 1.
    del model["snow"]
    kept = {term: value / sum(model.values()) for term, value in model.items()}
    wanted = {term: 0.4 * value + 0.6 * (term == "wolf") for term, value in kept.items()}
    assert weights(RM3(bm25, documents_count=2, terms=3, weight=0.4), "q1") == pytest.approx(wanted, rel=1e-5)


def test_a_document_scores_the_weighted_sum_of_its_words(bm25):
    rm3 = RM3(bm25, documents_count=2, terms=3, weight=0.4)
    run = rm3.search(QUERIES).set_index(["query_id", "doc_id"])["score"]
    for doc_id in ("d1", "d2", "d3"):
        wanted = sum(weight * bm25.scores(term)[doc_id] for term, weight in weights(rm3, "q1").items())
        assert run["q1", doc_id] == pytest.approx(wanted, rel=1e-5)
    assert ("q1", "d4") not in run.index
    assert "d3" not in set(bm25.search(QUERIES)["doc_id"]), "found by words of the feedback alone"


def test_words_that_no_document_has_do_not_count_in_the_query(bm25):
    assert weights(RM3(bm25, weight=0), "q2") == pytest.approx({"harbour": 1})


def test_without_weight_the_order_is_bm25s_own(bm25):
    rm3, plain = RM3(bm25, weight=0).search(QUERIES), bm25.search(QUERIES)
    assert rm3[["query_id", "doc_id"]].equals(plain[["query_id", "doc_id"]])


def test_the_filter_holds_for_the_feedback_and_for_the_result(bm25):
    values = {doc_id: frozenset([kind]) for doc_id, kind in zip(DOCUMENTS.index, "xyxx", strict=True)}
    where = Filter("kind", {"q1": frozenset("x")}, values)
    rm3 = RM3(bm25, terms=20)
    terms = rm3.expansions(QUERIES, where).groupby("query_id")["term"].apply(set)
    assert "sheep" not in terms["q1"], "a word of the document that the query may not find"
    found = rm3.search(QUERIES, 10, where)
    assert set(found.loc[found["query_id"] == "q1", "doc_id"]) == {"d1", "d3"}
    assert "d4" in set(found.loc[found["query_id"] == "q2", "doc_id"])


def test_a_query_that_finds_nothing_finds_nothing_here(bm25):
    asked = pd.Series({"q0": "zebra", "q1": "wolf", "q2": ""})
    assert set(RM3(bm25).search(asked)["query_id"]) == {"q1"}
    assert RM3(bm25).search(asked.iloc[:0]).empty


def test_at_most_k_documents_are_found(bm25):
    rm3 = RM3(bm25)
    assert rm3.search(QUERIES, 1).equals(top_k(rm3.search(QUERIES), 1))


@pytest.mark.parametrize("setting", [{"documents_count": 0}, {"terms": 0}, {"weight": 1.5}, {"weight": -0.1}])
def test_settings_out_of_range_are_refused(bm25, setting):
    with pytest.raises(ParameterError, match="from 0 to 1"):
        RM3(bm25, **setting)
