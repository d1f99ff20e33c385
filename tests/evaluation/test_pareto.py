"""The Pareto front: what no other option beats in everything."""

import numpy as np
import pandas as pd
import pytest

from embedlab.errors import DataError, ParameterError
from embedlab.evaluation import pareto

OPTIONS = pd.DataFrame(
    {"gain": [0.10, 0.10, 0.05, 0.02, 0.02], "ms": [10.0, 20.0, 5.0, 5.0, 5.0], "bytes": [4.0, 4.0, 4.0, 1.0, 1.0]},
    index=["best", "slower", "quick", "small", "small too"],
)


def front(table, high, low):
    """Return the names of the rows on the front."""
    found = pareto(table, high, low)
    return list(found.index[found])


def test_an_option_that_another_beats_in_one_and_equals_in_the_rest_is_not_on_the_front():
    assert front(OPTIONS, ["gain"], ["ms"]) == ["best", "quick"]


def test_a_further_measure_can_only_add_options():
    assert front(OPTIONS, ["gain"], ["ms", "bytes"]) == ["best", "quick", "small", "small too"]


def test_of_equal_options_all_lie_on_the_front():
    assert front(OPTIONS.loc[["small", "small too"]], ["gain"], ["ms"]) == ["small", "small too"]


def test_with_one_measure_the_front_is_its_best():
    assert front(OPTIONS, [], ["bytes"]) == ["small", "small too"]
    assert front(OPTIONS, ["gain"], []) == ["best", "slower"]


def test_what_was_not_measured_neither_lies_on_the_front_nor_dominates():
    unmeasured = pd.DataFrame({"gain": [0.5, 0.1], "ms": [np.nan, 10.0]}, index=["unmeasured", "measured"])
    assert front(unmeasured, ["gain"], ["ms"]) == ["measured"]


def test_the_front_is_the_one_that_a_plain_loop_finds():
    table = pd.DataFrame(np.random.default_rng(0).integers(0, 6, (60, 3)), columns=["gain", "ms", "bytes"])

    def beats(one, other):
        pairs = [(one["gain"], other["gain"]), (other["ms"], one["ms"]), (other["bytes"], one["bytes"])]
        return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)

    rows = table.to_dict("records")
    by_hand = [at for at, row in enumerate(rows) if not any(beats(other, row) for other in rows)]
    assert front(table, ["gain"], ["ms", "bytes"]) == by_hand


def test_a_table_without_rows_has_no_front():
    assert front(OPTIONS.iloc[:0], ["gain"], ["ms"]) == []


@pytest.mark.parametrize(("high", "message"), [(["gian"], "no column 'gian'; did you mean 'gain'"), ([], "no column")])
def test_a_column_that_is_not_there_is_refused(high, message):
    with pytest.raises(ParameterError, match=message):
        pareto(OPTIONS, high, [])


def test_a_column_without_numbers_is_refused():
    with pytest.raises(DataError, match=r"column 'ms' holds .*, expected numbers"):
        pareto(OPTIONS.assign(ms="fast"), ["gain"], ["ms"])
