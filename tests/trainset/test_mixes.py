"""How many texts that nobody asked are trained on."""

import pandas as pd
import pytest
from given_files import source_rows

from embedlab.evaluation import compare_scores
from embedlab.trainset import choose_mix, with_texts


@pytest.fixture
def rows():
    """Three asked rows and four texts, standing between one another."""
    return source_rows(*"abcdefg")


def loses(by):
    """A comparison with none that loses this much on each of two queries."""
    base = pd.Series([0.5, 0.7], index=["q1", "q2"])
    return compare_scores(base, base - by)


def test_each_mix_has_all_asked_rows_and_a_larger_one_adds_to_a_smaller(rows):
    texts = rows["query_id"].isin(list("bdfg"))
    found = with_texts(rows[~texts], rows[texts], [3, 1], seed=0)
    assert list(found) == [0, 1, 3]
    ids = [set(mix["query_id"]) for mix in found.values()]
    assert ids[0] == set("ace")
    assert ids[0] < ids[1] < ids[2]
    assert [len(mix) for mix in found.values()] == [3, 4, 6]


def test_a_mix_keeps_the_order_of_the_rows(rows):
    texts = rows["query_id"].isin(list("bdfg"))
    whole = with_texts(rows[~texts], rows[texts], [4], seed=0)[4]
    pd.testing.assert_frame_equal(whole, rows)


def test_no_number_goes_beyond_the_texts_there_are(rows):
    assert list(with_texts(rows.head(5), rows.tail(2), [60, 300], seed=0)) == [0, 2]
    assert list(with_texts(rows, rows.head(0), [60, 300], seed=0)) == [0]


def test_the_largest_number_that_costs_no_more_than_accepted_is_chosen():
    compared = {60: loses(0.0), 300: loses(0.005), 900: loses(0.02)}
    assert choose_mix(compared, [0, *compared], most_lost=0.01) == 300


def test_where_all_cost_too_much_or_nothing_was_measured_the_smallest_is_chosen():
    assert choose_mix({60: loses(0.1), 300: loses(0.02)}, [0, 60, 300], most_lost=0.01) == 60
    assert choose_mix({}, [0, 60, 300], most_lost=0.01) == 60
    assert choose_mix({}, [0], most_lost=0.01) == 0
