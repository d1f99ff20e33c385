"""What leaves the training store is listed with its reason, and the rest is handed on unchanged."""

import pandas as pd
from given_files import source_rows
from mined import mine, small

from embedlab.trainset import RemovalList, by_reason, query_texts, removal, removals


def test_one_text_stands_for_every_row_that_leaves():
    rows = source_rows("a", "b")
    each = removal(rows, "too long", ["x", "x"], ["9 tokens", "9 tokens"])
    pd.testing.assert_frame_equal(removal(rows, "too long", "x", "9 tokens"), each)
    assert removal(rows.head(0), "too long", "x", "9 tokens").empty


def test_rows_without_those_that_leave_and_each_of_them_listed():
    removed, rows = RemovalList(), source_rows("a", "b", "c")
    stays = removed.without(rows, rows["query_id"] == "b", "odd", "of " + rows["query_id"])
    pd.testing.assert_frame_equal(stays, rows.drop(index=1))
    assert removed.table().to_dict("records") == [
        {"query_id": "b", "text": "query b", "reason": "odd", "other": "d1", "evidence": "of b"}
    ]


def test_what_else_is_involved_may_be_named_for_each_row_or_for_all():
    removed, rows = RemovalList(), source_rows("a", "b")
    removed.without(rows, rows["query_id"] == "a", "one", "seen", rows["group"])
    removed.without(rows, rows["query_id"] == "b", "two", "seen", "the guard")
    assert removed.table()["other"].tolist() == [rows["group"].iloc[0], "the guard"]


def test_removals_keep_the_order_in_which_they_left_and_are_counted_by_reason():
    removed, rows = RemovalList(), source_rows("a", "b", "c")
    assert removed.table().empty
    removed.without(rows, rows["query_id"] == "c", "late", "x")
    removed.add(removal(rows.head(2), "early", "", "y"))
    assert removed.table()["query_id"].tolist() == ["c", "a", "b"]
    assert (removed.count("early"), removed.count("late"), removed.count("never")) == (2, 1, 0)


def test_the_table_by_reason_has_the_most_frequent_first_and_an_example_of_each():
    rows = source_rows("a", "b", "c")
    table = by_reason(removals([removal(rows.head(1), "rare", "", "x"), removal(rows.tail(2), "often", "", "y")]))
    assert table.reset_index().values.tolist() == [["often", 2, "query b", "y"], ["rare", 1, "query a", "x"]]
    assert by_reason(removals([])).empty


def test_a_rows_query_text_is_found_by_its_id():
    assert query_texts(source_rows("a", "b")).to_dict() == {"a": "query a", "b": "query b"}


def test_every_refused_candidate_is_a_removal_with_miner_rank_and_cosine():
    mined = mine(small(), ["dense"], quotas=1)
    (listed,) = mined.removed().to_dict("records")
    assert listed == {
        "query_id": "q", "text": "x", "reason": "known answer, no negative", "other": "d1",
        "evidence": "dense, rank 2, cosine 0.6",
    }  # fmt: skip
    assert mine(small(known_ids=["d0"]), ["dense"], quotas=1, margin=1.0).removed().empty
