"""The training row that asks most like a query."""

import pandas as pd

from embedlab.trainset import example_rows, nearest_rows
from embedlab.trainset.sources.examples import Example


def rows_of(*texts):
    return example_rows([Example(text, ["d1"], "x:1", "curated") for text in texts], {})


def asked(**texts):
    return pd.DataFrame({"query_id": list(texts), "text": list(texts.values()), "why": "missed"})


def test_each_query_stands_beside_the_row_that_shares_most_words_with_it():
    rows = rows_of("reset a lost password", "pay the monthly invoice", "print an invoice")
    found = nearest_rows(rows, asked(a="my password is lost", b="how do I pay an invoice"))
    assert found["nearest_text"].tolist() == ["reset a lost password", "pay the monthly invoice"]
    assert found["nearest_id"].tolist() == rows["query_id"].tolist()[:2]
    assert found["why"].tolist() == ["missed", "missed"]


def test_a_query_that_shares_no_word_with_any_row_has_blanks_beside_it():
    found = nearest_rows(rows_of("reset a lost password"), asked(a="otters swim", b="password"))
    assert found["nearest_id"].iloc[0] == found["nearest_text"].iloc[0] == ""
    assert found["nearest_text"].iloc[1] == "reset a lost password"


def test_without_rows_there_is_nothing_near():
    found = nearest_rows(rows_of("reset a lost password")[:0], asked(a="password"))
    assert found[["nearest_id", "nearest_text"]].to_numpy().tolist() == [["", ""]]
