"""Comparisons that are made together are corrected for being several."""

import numpy as np
import pytest
from paired_scores import exact, scores, spread

from embedlab.evaluation import compare_scores, holm, several


def test_holm_multiplies_the_smallest_most_and_keeps_the_order():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def several_candidates():
    base = scores(np.full(100, 0.4))
    gains = {"clear": 0.08, "small": 0.042, "none": 0.0}
    return {name: compare_scores(base, base + exact(100, g, seed=i)) for i, (name, g) in enumerate(gains.items())}


def test_several_candidates_are_corrected_for_being_several():
    compared = several_candidates()
    table = several(compared)
    assert table["p"].to_dict() == {name: c.p_gain for name, c in compared.items()}
    assert table["p_holm"].to_dict() == holm(table["p"].to_dict())
    assert table["survives"].to_dict() == {"clear": True, "small": True, "none": False}
    assert (table.loc["clear", "low"], table.loc["clear", "high"]) == compared["clear"].ci


def test_what_survives_alone_may_not_survive_among_several():
    compared = several_candidates()
    alone = several({"small": compared["small"]})
    among = several({f"{i}": compared["none"] for i in range(20)} | {"small": compared["small"]})
    assert alone.loc["small", "survives"]
    assert not among.loc["small", "survives"]


def test_a_slice_that_loses_more_than_the_tolerance_is_named():
    base = scores(np.full(80, 0.4))
    losses = {"worse": -0.15, "same": 0.0}
    compared = {n: compare_scores(base, base + d + spread(80, 0) / 2, min_gain=-0.05) for n, d in losses.items()}
    table = several(compared, "less")
    assert table["p"].to_dict() == {name: c.p_loss for name, c in compared.items()}
    assert table["survives"].to_dict() == {"worse": True, "same": False}


def test_a_table_of_no_comparisons_has_its_columns():
    assert list(several({}).columns)[-3:] == ["p", "p_holm", "survives"]
