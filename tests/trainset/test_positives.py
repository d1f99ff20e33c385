"""Which positives a search finds again, and which ones a person should read."""

import pandas as pd
import pytest
from given_files import source_rows
from toy_encoder import ToyEncoder

from embedlab.retrieval import BM25, Dense
from embedlab.trainset import beyond_both, found_again, shares_read, to_read


def test_a_query_comes_back_where_hybrid_search_finds_its_positives_among_the_first():
    documents = pd.Series({"d1": "the otter swims in the river", "d2": "a badger digs", "d3": "the falcon dives"})
    rows = source_rows("a", "b").assign(text=["otter in the river", "falcon dives"])
    again = found_again(rows, Dense(ToyEncoder(), documents), BM25(documents), k=1)
    assert again.tolist() == [True, False]


def test_of_an_empty_store_no_positive_is_beyond_a_search():
    rows = source_rows("a")[:0]
    run = pd.DataFrame({"query_id": ["a"], "doc_id": ["d1"], "score": [1.0]})
    assert list(beyond_both(rows, [run])) == ["query_id", "text", "doc_id"]


def test_what_waits_is_read_first_then_what_stands_latest():
    standing = pd.DataFrame({
        "query_id": ["a", "b", "c", "d", "e"], "text": "x", "doc_id": ["d1", "d2", "d3", "d4", "d5"],
        "above": [0.0, 0.5, 0.9, 0.01, 0.7], "rival": "r",
    })  # fmt: skip
    missed = pd.DataFrame({"query_id": ["e", "d"], "text": "x", "doc_id": ["d5", "d4"]})
    found = to_read(standing, missed, catch=0.98)
    assert found[["query_id", "waits"]].values.tolist() == [["e", True], ["d", True], ["c", False], ["b", False]]
    assert to_read(standing, missed, catch=0)["query_id"].tolist() == ["e", "d"]


def test_the_same_query_waits_for_one_document_and_not_for_another():
    standing = pd.DataFrame({"query_id": "a", "text": "x", "doc_id": ["d1", "d2"], "above": 0.9, "rival": "r"})
    found = to_read(standing, pd.DataFrame({"query_id": ["a"], "doc_id": ["d2"]}), catch=0.98)
    assert found.set_index("doc_id")["waits"].to_dict() == {"d2": True, "d1": False}


def test_the_shares_that_are_read_at_each_limit():
    table = shares_read(pd.Series([10, 20, 70]), [20, 70])
    assert table.loc[20].tolist() == pytest.approx([2 / 3, 0.5])
    assert table.loc[70].tolist() == [1, 1]
