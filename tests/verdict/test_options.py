"""Every option on one page: gain over what answers today, price, and the cheapest that surely gains enough."""

from dataclasses import replace

import pandas as pd
import pytest

from embedlab.chain.artifacts.evaluate import Prices
from embedlab.errors import DataError
from embedlab.evaluation import compare_scores
from embedlab.verdict import Option, best_for_the_money, option_table

PRICES = Prices(
    production_documents=1_000_000,
    monthly_queries=360_000,
    monthly_labels=0,
    old_index_days=30,
    machine_price=2.0,
    storage_price=0.5,
    label_price=0.0,
)
IDS = [f"q{i}" for i in range(60)]


def scored(share):
    return pd.Series([float(i % 10 < 10 * share) for i in range(60)], index=IDS)


TODAY = Option("today", "05", scored(0.3), query_ms=10.0, bytes_a_document=1536, seconds_a_document=0.036)
HYBRID = Option("hybrid", "02", scored(0.7), query_ms=12.0, bytes_a_document=2000, seconds_a_document=0.036)
TUNED = Option("tuned", "15", scored(0.9), True, 10.0, 1536, 0.036, reembed="every document")
MISSING = Option("a reranker", "02", status="not measured: none was named")


def tabled(*options, least=0.05):
    return option_table(options, TODAY, PRICES, 1_000_000, "RR@10", least).set_index("option")


def test_gains_are_over_production_and_costs_follow_the_prices():
    table = tabled(TODAY, HYBRID, TUNED, MISSING)
    assert table.loc["today", "delta"] == 0
    assert table.loc["hybrid", "delta"] == pytest.approx(0.4)
    assert table.loc["hybrid", "added_ms"] == pytest.approx(2)
    # 360,000 queries of 12 ms are 1.2 hours of a machine at 2 an hour; a million documents of 2,000 bytes are 2 GB.
    assert table.loc["hybrid", "monthly"] == pytest.approx(1.2 * 2 + 2 * 0.5)
    assert table.loc["hybrid", "once"] == 0
    # A million documents of .036 s are 10 hours; 1.536 GB of the new index beside the old one for a month.
    assert table.loc["tuned", "once"] == pytest.approx(10 * 2 + 1.536 * 0.5)
    assert table.loc["tuned", "undo"] == "point back to the old index, kept meanwhile"


def test_what_answers_today_differs_from_itself_by_nothing_and_without_an_interval():
    today = replace(TODAY, on_test=compare_scores(TODAY.scores, TODAY.scores, "RR@10"))
    row = option_table([today, HYBRID], today, PRICES, 1_000_000, "RR@10", 0.05).set_index("option").loc["today"]
    assert (row[["delta", "ci_low", "ci_high", "test_delta", "test_low", "test_high"]] == 0).all()


def test_what_was_not_measured_stands_there_without_a_number_and_off_the_front():
    table = tabled(TODAY, MISSING)
    row = table.loc["a reranker"]
    assert row[["delta", "query_ms", "once", "monthly", "index_gb"]].isna().all()
    assert not row["front"]
    assert not row["surely"]
    assert row["status"] == "not measured: none was named"


def test_the_front_holds_what_nothing_else_beats_in_gain_and_price():
    worse = Option("slow", "02", scored(0.5), query_ms=30.0, bytes_a_document=3000, seconds_a_document=0.0)
    table = tabled(TODAY, HYBRID, TUNED, worse)
    assert table["front"].to_dict() == {"today": True, "hybrid": True, "tuned": True, "slow": False}


def test_the_sentence_names_the_cheapest_that_surely_gains_enough_and_the_most():
    said = best_for_the_money(tabled(TODAY, HYBRID, TUNED, MISSING).reset_index(), 0.05)
    assert said.startswith("Best for the money is **hybrid**: +0.400")
    assert "The most is gained by **tuned**: +0.600" in said


def test_no_option_is_named_where_none_surely_gains_enough():
    said = best_for_the_money(tabled(TODAY, HYBRID, least=0.6).reset_index(), 0.6)
    assert said == "No option that was measured surely gains +0.600 on dev over what answers today."


def test_the_more_options_there_are_the_more_an_interval_has_to_show():
    close = Option("close", "02", scored(0.4), query_ms=10.0, bytes_a_document=1536, seconds_a_document=0.0)
    alone = tabled(close, least=0.015).loc["close", "surely"]
    others = [Option(f"other {i}", "02", scored(0.3), query_ms=10.0, bytes_a_document=1.0) for i in range(60)]
    assert alone
    assert not tabled(close, *others, least=0.015).loc["close", "surely"]


def test_two_options_of_one_name_are_refused():
    with pytest.raises(DataError, match="two options have one name: 'hybrid'"):
        tabled(HYBRID, HYBRID)
