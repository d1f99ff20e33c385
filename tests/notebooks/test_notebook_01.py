"""Notebook 01 says what is claimed, by how the parts are made."""

import pytest
from conftest import toy_rows, write_beir
from notebook_cells import run_cells

from embedlab.chain import Contract, Store
from embedlab.errors import ParameterError

pytestmark = pytest.mark.model


@pytest.fixture
def dated(tmp_path):
    """The toy collection with a query every month or so from 2019 on."""
    corpus, queries, judgments = toy_rows()
    for i, row in enumerate(queries):
        row["created"] = f"{2019 + i // 10}-{1 + i % 10:02d}-15"
    return str(write_beir(tmp_path / "dated", corpus, queries, {"all": judgments}))


def claimed(names) -> str:
    """Return what the cell says that shows what is claimed."""
    collection, contract = names["collection"], names["contract"]
    return names["claim_in_words"](contract.claim, collection.unit, collection.parted_by, names["dated"])


def test_parts_by_date_claim_later_queries(outputs, dated):
    names = run_cells("01", source="beir", path=dated, dev_from="2021-01-01", test_from="2022-01-01")
    assert Store(outputs / "trial").artifact(Contract).claim == "later queries"
    assert names["sizes"]["test"] == {"queries": 10, "groups": 10}
    assert claimed(names).endswith("**later queries**.")


def test_parts_by_group_of_dated_queries_say_what_parts_by_date_would_have_claimed(outputs, dated):
    names = run_cells("01", source="beir", path=dated)
    assert Store(outputs / "trial").artifact(Contract).claim == "new documents"
    assert "parts by date (`dev_from`, `test_from`) would claim something about **later queries**" in claimed(names)


def test_a_claim_that_the_parts_do_not_allow_stops_the_notebook(outputs, dated):
    with pytest.raises(ParameterError, match="'later queries' needs parts by date"):
        run_cells("01", source="beir", path=dated, claim="later queries")
