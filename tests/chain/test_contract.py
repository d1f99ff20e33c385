"""The problem contract: its rules, and that numbers under different contracts never meet unseen."""

from dataclasses import fields, replace

import pandas as pd
import pytest
from conftest import open_step
from makers import baseline

from embedlab.chain import Contract, claim_in_words, known_guardrails
from embedlab.chain.artifacts.establish_baseline import PER_QUERY, Baseline
from embedlab.chain.cells import cell_parameters
from embedlab.chain.contract import same_contract
from embedlab.errors import ContractError, ParameterError
from embedlab.evaluation import Requirements
from embedlab.verdict.facts import Facts

PARAMS = {name: p.default for name, p in cell_parameters("01").items()}
CONTRACT = Contract.of(PARAMS | {"objective": "find the right page"}, "group")

CHANGED = {
    "objective": "find anything",
    "unit_retrieved": "passage",
    "claim": "new queries over known documents",
    "share_of_new_documents": 0.3,
    "shown": 5,
    "primary_metric": "RR@10",
    "production": "bm25",
    "proposed": "dense",
    "min_gain": 0.03,
    "tuning_gain": 0.01,
    "expected_gain": 0.08,
    "confidence": 0.9,
    "guardrail_slices": ["negation"],
    "slices": ["tools: powershell"],
    "slice_tolerance": 0.01,
    "smallest_slice": 30,
    "retention_tolerance": 0.01,
    "retention_path": "elsewhere",
    "retention_documents": 500,
    "retention_queries": 300,
    "latency_budget_ms": 50.0,
    "index_budget_mb": 10.0,
    "migration_budget": 5.0,
    "monthly_budget": 5.0,
    "languages": ["en"],
    "licences": ["apache-2.0"],
    "runtimes": ["torch"],
    "most_truncated": 0.2,
    "memory_budget_mb": 500.0,
    "million_queries_budget": 2.0,
    "test_openings": 1,
    "transductive": False,
    "waived": ["retention: one domain is all we serve"],
}


def agree(contract: Contract):
    """Write a contract as step 01 does; returns the store."""
    lab = open_step("01")
    lab.write(contract)
    lab.finish("agreed by a test")
    return lab.store


def write_baseline():
    """Write what step 05 writes of its scores: a table and a JSON object."""
    lab = open_step("05")
    row = {"part": "test", "system": "base", "query_id": "q1", "group": "g1", "nDCG@10": 0.5}
    lab.write(PER_QUERY, pd.DataFrame([row]))
    lab.write(baseline())
    lab.finish("scored by a test")


def test_every_field_of_the_contract_is_changed_in_these_tests():
    assert list(CHANGED) == [f.name for f in fields(Contract)]


def test_every_field_is_a_parameter_of_step_01():
    assert {f.name for f in fields(Contract)} <= set(PARAMS)


def test_the_gain_asked_of_tuning_is_that_over_production_unless_it_is_given():
    assert CONTRACT.tuning_gain == CONTRACT.min_gain
    assert Contract.of(PARAMS | {"tuning_gain": 0.0}, "group").tuning_gain == 0


def test_the_confidence_of_what_decides_is_split_over_the_openings_allowed():
    assert CONTRACT.test_openings == 3
    assert CONTRACT.deciding_confidence == pytest.approx(1 - 0.05 / 3)
    assert replace(CONTRACT, test_openings=1).deciding_confidence == pytest.approx(0.95)


@pytest.mark.parametrize(("name", "found"), [("production", "hybird"), ("proposed", "bm25")])
def test_a_system_that_there_is_not_is_refused_by_name(name, found):
    with pytest.raises(ParameterError, match=f"{name} of step 01 must be one of .*dense.*found '{found}'"):
        replace(CONTRACT, **{name: found})


def test_production_may_be_the_run_file_of_an_engine(tmp_path):
    path = tmp_path / "engine.run"
    path.write_text("q1 Q0 d1 1 1.0 engine\n")
    assert replace(CONTRACT, production=str(path)).production == str(path)


@pytest.mark.parametrize(
    ("unit", "parted_by", "claim"),
    [
        ("query", "date", "later queries"),
        ("group", "date", "later queries"),
        ("query", "collection", "new queries over known documents"),
        ("group", "embedlab", "new documents"),
    ],
)
def test_a_blank_claim_is_what_the_parts_allow(unit, parted_by, claim):
    assert Contract.of(PARAMS, unit, parted_by).claim == claim
    assert Contract.of(PARAMS | {"claim": claim}, unit, parted_by).claim == claim


@pytest.mark.parametrize(
    ("claim", "unit", "parted_by", "message"),
    [
        (
            "later queries",
            "group",
            "embedlab",
            "needs parts by date: give dev_from and test_from; .* made by group and",
        ),
        ("new documents", "query", "date", "needs parts by group: give neither dev_from nor test_from.* made by date"),
        ("new documents", "query", "collection", "allow 'new queries over known documents'"),
        ("new queries over known documents", "group", "embedlab", "needs parts by query.* allow 'new documents'"),
        (
            "later querys",
            "query",
            "date",
            "claim of step 01 must be one of later queries.*, or blank, found 'later querys'",
        ),
    ],
)
def test_a_claim_that_the_parts_do_not_allow_says_which_would(claim, unit, parted_by, message):
    with pytest.raises(ParameterError, match=message):
        Contract.of(PARAMS | {"claim": claim}, unit, parted_by)


def test_later_queries_allow_the_narrower_claim_with_a_share_of_ones_own():
    change = {"claim": "new queries over known documents", "share_of_new_documents": 0.0}
    agreed = Contract.of(PARAMS | change, "query", "date")
    assert "with 0% of the queries about new documents" in agreed.in_words()
    with pytest.raises(ParameterError, match="of later queries the held-out period's own mix decides: leave it at -1"):
        Contract.of(PARAMS | {"share_of_new_documents": 0.3}, "query", "date")


@pytest.mark.parametrize("share", [-0.5, 1.2, float("nan")])
def test_a_share_of_new_documents_is_a_share(share):
    with pytest.raises(ParameterError, match=f"must lie between 0 and 1, or be -1, found {share}"):
        Contract.of(PARAMS | {"share_of_new_documents": share}, "group")


def test_where_queries_are_dated_another_claim_says_what_parts_by_date_would_have_claimed():
    said = claim_in_words("new documents", "group", "embedlab", dated=True)
    assert said.startswith("The parts are made by group, so a good result claims something about **new documents**.")
    assert "parts by date (`dev_from`, `test_from`) would claim something about **later queries**" in said
    assert "dates" not in claim_in_words("new documents", "group", "embedlab", dated=False)
    assert claim_in_words("later queries", "query", "date", dated=True).endswith("about **later queries**.")


def test_what_a_base_model_must_be_is_asked_only_where_it_was_agreed():
    asked = replace(CONTRACT, most_truncated=0.2, licences=["mit"], memory_budget_mb=500.0)
    assert CONTRACT.requirements == Requirements([], [], [], 100.0, 1000.0)
    assert asked.requirements == Requirements([], ["mit"], [], 100.0, 1000.0, 0.2, 500.0)
    assert "**A base model**, beside the budgets: any\n" in CONTRACT.in_words()
    said = "licence mit; cuts off 20% of the documents at most; weights of 500 MB at most"
    assert said in asked.in_words()


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_field_changes_the_hash_and_is_named_where_numbers_meet(name, outputs):
    other = replace(CONTRACT, **{name: CHANGED[name]})
    assert other.hash != CONTRACT.hash
    agree(CONTRACT)
    write_baseline()
    agree(other)
    for artifact in (Baseline, PER_QUERY):
        with pytest.raises(ContractError) as error:
            open_step("15").read(artifact)
        named = str(error.value)
        assert f"{artifact.file} of step 05 and the contract of trial were made under different contracts" in named
        assert f"{name}: {getattr(CONTRACT, name)!r} and {CHANGED[name]!r}" in named
        assert [n for n in CHANGED if f" {n}: " in named] == [name]


def test_the_verdict_refuses_numbers_of_another_contract(outputs):
    agree(CONTRACT)
    write_baseline()
    store = agree(replace(CONTRACT, min_gain=0.5))
    with pytest.raises(ContractError, match=r"min_gain: 0\.02 and 0\.5"):
        Facts(store).read(Baseline)


def test_score_files_carry_hash_and_terms(outputs):
    store = agree(CONTRACT)
    write_baseline()
    table, baseline = store.read("05", "per_query.parquet"), store.read("05", "baseline.json")
    assert table.attrs["contract"] == baseline["contract"] == CONTRACT.hash
    assert table.attrs["terms"] == baseline["terms"]
    assert set(baseline["terms"]) == set(CHANGED)
    assert baseline["terms"]["min_gain"] == CONTRACT.min_gain


def test_numbers_of_two_runs_under_one_contract_may_meet(outputs):
    store = agree(CONTRACT)
    write_baseline()
    here = store.read("05", "per_query.parquet")
    same_contract(here, CONTRACT.as_dict(), "this run", "another run")
    with pytest.raises(ContractError, match=r"this run and another run .* shown: 10 and 3; run both again"):
        same_contract(here, replace(CONTRACT, shown=3).as_dict(), "this run", "another run")


def test_the_contract_in_words_says_every_agreement():
    words = CONTRACT.in_words()
    for part in (
        "find the right page",
        "10 are shown",
        "nDCG@10 up by +0.020 or more",
        "95% confidence",
        "pipeline with the",
        "about** new documents, in the test's own mix",
    ):
        assert part in words
    for part in ("retention set", "1,000.00 once", "a month", "cannot be judged:** nothing", CONTRACT.hash[:12]):
        assert part in words
    assert "negation, long query" in replace(CONTRACT, guardrail_slices=["negation", "long query"]).in_words()
    assert "retention: why" in replace(CONTRACT, waived=["retention: why"]).in_words()
    assert "may not use held-out documents' bare texts" in replace(CONTRACT, transductive=False).in_words()
    assert "*not stated*" in replace(CONTRACT, objective="").in_words()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": 1.5}, r"confidence must lie between \.5 and 1, found 1\.5"),
        ({"shown": 0}, "shown must be 1 or more, found 0"),
        ({"test_openings": 0}, "test_openings must be 1 or more"),
        ({"slice_tolerance": -0.1}, r"slice_tolerance must be 0 or more, found -0\.1"),
        ({"waived": ["retention"]}, "'retention' gives no reason; expected 'name: reason'"),
        ({"waived": ["retension: why"]}, "no guard 'retension' can be waived; did you mean 'retention'"),
        ({"waived": ["seal: why"]}, "no guard 'seal' can be waived"),
        ({"monthly_budget": float("nan")}, "monthly_budget must be 0 or more, found nan"),
        ({"memory_budget_mb": -1.0}, r"memory_budget_mb must be 0 or more, found -1\.0"),
        ({"most_truncated": 1.5}, r"most_truncated of step 01 must lie between 0 and 1, found 1\.5"),
        ({"runtimes": ["onnx"]}, "runtimes of step 01 must be one of torch, openvino, service, found 'onnx'"),
        ({"primary_metric": "nDCG10"}, "unknown measure"),
    ],
)
def test_an_illegal_contract_is_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        Contract.of(PARAMS | change, "group")


def test_a_guardrail_that_no_slice_answers_to_is_refused():
    with pytest.raises(ParameterError, match="no slice 'negatoin'; there are: negation, short query"):
        known_guardrails(replace(CONTRACT, guardrail_slices=["negatoin"]), ["negation", "short query"])
