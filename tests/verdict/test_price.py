"""What shipping costs: from measured speeds and the prices given."""

import pytest
from makers import contract, prices, write_decisions

from embedlab.verdict import compute


def test_the_price_counts_encoding_both_indexes_storage_serving_and_labels(make):
    costs = make()["price"]
    hours, gb = 1_000_000 / 100 / 3600, 1.536
    assert costs["hours"] == pytest.approx(hours)
    assert costs["both_indexes_gb"] == pytest.approx(2 * gb)
    assert costs["migration"] == pytest.approx(hours * 0.5 + gb * 0.25)
    assert costs["monthly"] == pytest.approx(gb * 0.25 + 100_000 * 0.005 / 3600 * 0.5 + 10 * 0.5)


def test_before_step_17_the_price_rests_on_what_step_03_measured(make, store):
    make()
    costs = compute(store, "15")["price"]
    assert costs["hours"] == pytest.approx(1_000_000 / 50 / 3600)
    assert costs["index_gb"] == pytest.approx(384 * 4 * 1e6 / 1e9)


def test_without_a_measured_speed_a_cost_is_unknown_and_unsettled(make, store):
    make(contract(migration_budget=0.0, monthly_budget=0.0))
    write_decisions(store, "an older key")
    verdict = compute(store)
    assert (verdict["price"]["migration"], verdict["price"]["monthly"]) == (None, None)
    assert (verdict["verdict"], verdict["blocked_by"]) == ("INCONCLUSIVE", [])
    assert verdict["unsettled"] == [f"{what} cost: not measured; run step 17" for what in ("migration", "monthly")]


def test_this_collections_documents_are_priced_where_production_is_not_given(make):
    assert make(prices(production_documents=0))["price"]["documents"] == 839
