"""One query and four documents: what is never a negative, what is refused, and what a user can get wrong."""

import numpy as np
import pandas as pd
import pytest
from mined import made, mine, nothing, small

import embedlab
from embedlab.errors import DataError, EmbedlabError, ParameterError
from embedlab.trainset import (
    CLOSE,
    Margin,
    as_many,
    named_quotas,
)


def test_a_known_answer_is_refused_counted_and_never_a_negative():
    mined = mine(small(), ["dense"], quotas=1)
    assert mined.negatives["doc_id"].tolist() == ["d2"]
    assert mined.refused[["doc_id", "reason"]].to_numpy().tolist() == [["d1", "known answer"]]


def test_a_document_too_close_to_the_positive_is_left_alone():
    mined = mine(small({"family": ["k", "k", "j", "k"]}, known_ids=["d0"]), ["dense", "sibling"], margin=0.5)
    found = mined.negatives[["doc_id", "miner"]].to_numpy().tolist()
    assert found == [["d2", "dense"], ["d3", "dense"]]
    assert set(mined.refused["reason"]) == {CLOSE}


def test_the_absolute_margin_keeps_a_distance_to_the_positive():
    found = [mine(small(known_ids=["d0"]), ["dense"], margin=Margin(1.0, gap)).negatives for gap in (0.0, 0.2, 0.5)]
    assert [f["doc_id"].tolist() for f in found] == [["d1", "d2"], ["d2", "d3"], ["d3"]]


def test_a_negative_is_never_above_a_positive_whose_cosine_is_below_zero():
    assert Margin(0.95).limits(np.float32([-0.1]))[0] <= -0.1
    assert Margin(0.95).limits(np.float32([0.8]))[0] == pytest.approx(0.76)


def test_the_rank_window_leaves_out_the_first():
    mined = mine(small(known_ids=["d0"]), ["dense"], first_rank=3, last_rank=3, margin=1.0)
    assert mined.negatives[["doc_id", "rank"]].to_numpy().tolist() == [["d2", 3]]


def test_judged_negatives_are_kept_under_their_source_name_whatever_their_cosine():
    named = [{"id": "d3", "miner": "curated", "score": 0.0}, {"id": "d1", "miner": "curated", "score": 0.0}]
    collection, encoder, rows = small(negatives=named, known_ids=["d0"])
    collection.qrels = pd.DataFrame({"query_id": ["q"], "doc_id": ["d2"], "relevance": [0]})
    mined = mine((collection, encoder, rows), ["judged"], margin=0.01)
    kept = [(n["id"], n["miner"]) for n in mined.training["negatives"].iloc[0]]
    assert kept == [("d3", "curated"), ("d1", "curated"), ("d2", "judged")]


def test_a_judged_negative_that_is_a_known_answer_is_refused():
    mined = mine(small(negatives=[{"id": "d1", "miner": "curated", "score": 0.0}]), ["judged"])
    assert mined.training["negatives"].iloc[0] == []
    assert mined.refused["reason"].tolist() == ["known answer"]


def test_documents_outside_the_pool_and_blank_ones_are_never_mined():
    blank = {"text": ["zero", "one", "", "three"]}
    collection, encoder, rows = small(blank, known_ids=["d0"], text="the three")
    encoder.vectors |= {"": [0, 0, 1, 0], "the three": encoder.vectors["x"]}
    for name in ("dense", "random", "bm25"):
        mined = mine((collection, encoder, rows), [name], pool={"d2", "d3"}, margin=1.0)
        assert set(mined.negatives["doc_id"]) == {"d3"}


def test_quotas_stand_for_each_miner():
    wanted = named_quotas(["dense", "random"], 2, ["dense=1"])
    counts = mine(made(), ["dense", "random"], quotas=wanted).negatives.groupby("query_id")["miner"].value_counts()
    assert counts.groupby("miner").max().to_dict() == {"dense": 1, "random": 2}


WRONG = [
    ({"miners": ["dnse"]}, ParameterError, "unknown miner 'dnse'.*dense"),
    ({"quotas": {"bm25": 1}}, ParameterError, "not among the miners: dense"),
    ({"quotas": -1}, ParameterError, "0 or more, found -1"),
    ({"first_rank": 5, "last_rank": 2}, ParameterError, "found 5 and 2"),
    ({"margin": 0.0}, ParameterError, "over 0, found 0"),
    ({"exclude": {}}, DataError, "q: exclude says nothing of it"),
    ({"pool": {"nowhere"}}, DataError, "the pool: 'nowhere' is no document"),
]


def test_an_absolute_margin_below_zero_is_refused():
    with pytest.raises(ParameterError, match="0 or more, found -1"):
        Margin(1.0, -1)


@pytest.mark.parametrize(("change", "kind", "words"), WRONG)
def test_what_is_wrong_is_named(change, kind, words):
    collection, encoder, rows = small()
    more = {"miners": ["dense"], "exclude": nothing(rows), "encoder": encoder, **change}
    with pytest.raises(kind, match=words):
        embedlab.mine_negatives(collection, rows, **more)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.drop(columns="text"), "lack text"),
        (lambda r: pd.concat([r, r]), "q: this query id stands twice"),
        (lambda r: r.assign(positive_ids=[["gone"]]), "q: 'gone' is no document"),
        (lambda r: r.assign(positive_ids=[[]]), "q: no positive document"),
    ],
)
def test_a_row_that_cannot_be_mined_for_is_named(change, words):
    collection, encoder, rows = small()
    with pytest.raises(EmbedlabError, match=words):
        mine((collection, encoder, change(rows)), ["dense"], {"q": {}})


@pytest.mark.parametrize("text", ["dense", "dense=x", "dense=-1"])
def test_a_quota_that_is_none_is_refused(text):
    with pytest.raises(ParameterError, match="MINER=COUNT"):
        named_quotas(["dense"], 2, [text])


def test_each_row_keeps_as_many_negatives_as_it_has_elsewhere_the_first_ones():
    rows = pd.DataFrame({"query_id": ["a", "b"], "negatives": [["n1", "n2", "n3"], ["n4"]]}, index=[5, 7])
    others = pd.DataFrame({"query_id": ["a", "b"], "negatives": [["m1", "m2"], ["m3", "m4"]]})
    cut = as_many(rows, others)
    assert cut["negatives"].tolist() == [["n1", "n2"], ["n4"]]
    assert cut.index.tolist() == [5, 7]


def test_difficulty_is_told_by_miner_in_the_order_asked_for_without_those_that_found_nothing():
    mined = mine(small(known_ids=["d0"]), ["dense", "random"], quotas={"dense": 1}, margin=1.0)
    table = mined.difficulty(["random", "dense"])
    assert table.index.tolist() == ["dense"]
    assert table.loc["dense", ["count", "mean"]].tolist() == [1, pytest.approx(0.6)]
    assert mine(small(), ["dense"], quotas=0).difficulty().empty
