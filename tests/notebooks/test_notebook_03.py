"""Notebook 03: every candidate is a row, measured or not; gates cross out; only a model that can be trained goes on."""

import numpy as np
import pytest
from conftest import contract_of, open_step, toy_rows, write_beir, write_collection
from embedding_service import Service
from faulty.models import WEIGHTS, cut, weights, write_tiny
from notebook_cells import run_cells

import embedlab
from embedlab.chain.artifacts.choose_base_model import CANDIDATES, Choice
from embedlab.models import MINILM

pytestmark = pytest.mark.model

FEW = {"timing_queries": 2, "timing_documents": 2}


@pytest.fixture
def tiny(tmp_path):
    """Today's model: a transformer of eight dimensions."""
    write_tiny(tmp_path / "today")
    return str(tmp_path / "today")


@pytest.fixture
def start(outputs, tmp_path, tiny):
    """Write step 01 of a toy collection with the tiny model and these terms; returns the store."""
    corpus, queries, judgments = toy_rows(144)
    folder = write_beir(tmp_path / "toy", corpus, queries, {"test": judgments})

    def begin(**terms):
        lab = open_step("01", source="beir", path=str(folder), base_model=tiny)
        write_collection(lab, embedlab.load_collection("beir", path=folder))
        lab.write(contract_of(lab, **{"latency_budget_ms": 1e6, **terms}))  # a busy machine crosses nothing out
        lab.finish("written by a test")
        return lab.store

    return begin


def rows(store):
    """Return what step 03 wrote of its candidates, by name."""
    return CANDIDATES.read(store.path("03", CANDIDATES.file)).set_index("model")


def test_damaged_candidates_are_rows_that_say_so(start, tiny, tmp_path):
    broken = {
        "whole": None,
        "cut": cut(WEIGHTS, 0.5),
        "thin": weights(lambda found: found.pop("embeddings.LayerNorm.bias")),
    }
    for name, change in broken.items():
        write_tiny(tmp_path / name)
        if change is not None:
            change(tmp_path / name)
    whole, short, thin = (str(tmp_path / name) for name in broken)
    store = start()
    names = run_cells("03", candidates=[whole, short, thin], **FEW)
    assert set(names["found"]) == {tiny, whole}
    choice = store.artifact(Choice)
    assert choice.model == tiny
    assert set(choice.refused) == {short, thin}
    assert "no whole file of safetensors" in choice.refused[short]
    assert "stand in no file" in choice.refused[thin]
    table = rows(store)
    assert list(table.index) == [tiny, whole, short, thin]
    assert list(table["status"].str.split(":").str[0]) == ["measured"] * 2 + ["not measured"] * 2
    assert "stand in no file" in table.loc[thin, "status"]
    assert np.isnan(table.loc[thin, "delta"])


def test_forms_of_todays_model_cost_no_encoding_and_do_not_go_on(start, tiny):
    store = start()
    names = run_cells("03", candidates=["today@int8", "today@binary", "today@4"], **FEW)
    assert list(names["compute"]) == [tiny]
    table = rows(store)
    assert list(table["bytes_per_document"]) == [32, 8, 1, 16]
    assert list(table["dimensions"]) == [8, 8, 8, 4]
    assert table["query_ms"].nunique() == 1
    assert list(table.loc[tiny, ["delta", "ci_low", "ci_high"]]) == [0, 0, 0]
    assert store.artifact(Choice).model == tiny
    with pytest.raises(embedlab.EmbedlabError, match="cannot go on: it is a form in which vectors are stored"):
        run_cells("03", candidates=["today@int8"], choose=f"{tiny}@int8", **FEW)


def test_the_speeds_are_a_decision_of_which_verdict_and_table_take_one(start, tiny):
    store = start()
    run_cells("03", candidates=["today@int8"], **FEW)
    lab = open_step("03", candidates=["today@int8"], **FEW)
    rate, seconds = lab.decide("speed", {})[tiny]
    assert rate > 0
    assert rows(store).loc[tiny, "query_ms"] == pytest.approx(1000 * seconds)
    assert lab.decide("speed", {})[f"{tiny}@int8"] == [rate, seconds]


def test_a_candidate_that_fails_a_gate_is_shown_with_the_reason_and_does_not_go_on(start, tiny, tmp_path):
    write_tiny(tmp_path / "other")
    (tmp_path / "other" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\nlanguage: de\n---\n")
    store = start(licences=["mit"], languages=["en"])
    names = run_cells("03", candidates=[str(tmp_path / "other")], **FEW)
    table = rows(store)
    assert table.loc[str(tmp_path / "other"), "gates"] == (
        "its card names de, not en; its licence is cc-by-nc-4.0, allowed: mit"
    )
    assert f"<del>{tmp_path / 'other'}</del>" in "\n".join(names["crossed"])
    assert table.loc[tiny, "gates"] == "its licence is not stated, allowed: mit"
    assert table.loc[tiny, "cannot_tell"] == "languages"
    assert store.artifact(Choice).model == tiny, "today's stays where no other passes"


def test_a_surely_better_candidate_goes_on_unless_it_fails_a_gate(start, tiny):
    store = start()
    run_cells("03", candidates=[MINILM], **FEW)
    assert rows(store).loc[MINILM, "ci_low"] > 0
    assert store.artifact(Choice).model == MINILM
    names = run_cells("03", candidates=[MINILM], choose=tiny, **FEW)
    assert store.artifact(Choice).model == tiny
    assert names["sentences"][-1].endswith(f"passed over because choose names another: {MINILM}.")
    start(memory_budget_mb=1.0)
    run_cells("03", candidates=[MINILM], **FEW)
    assert rows(store).loc[MINILM, "gates"] == "its weights take 91 MB, allowed: 1 MB"
    assert store.artifact(Choice).model == tiny


def test_a_served_model_is_measured_and_is_no_base(start, tiny, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    service = Service()
    try:
        name = f"served:{service.url}#toy"
        store = start(most_truncated=0.5)
        names = run_cells("03", candidates=[name, f"{name}@binary"], **FEW)
    finally:
        service.close()
    table = rows(store)
    assert list(table["status"]) == ["measured"] * 3
    assert table.loc[name, "ci_low"] > 0, "it finds the words that the tiny model does not know"
    assert (table.loc[name, "runtime"], table.loc[name, "cannot_tell"]) == ("service", "truncated")
    assert np.isnan(table.loc[name, "memory_mb"])
    assert store.artifact(Choice).model == tiny
    assert any(sentence.startswith("Surely better as it is, but no base to train") for sentence in names["sentences"])


def test_the_probe_says_how_far_tuning_would_go(start, tiny):
    store = start()
    run_cells("03", candidates=["today@int8", "wordllama-256"], probe_seeds=1, probe_steps=2, **FEW)
    table = rows(store)
    assert list(table["tuned_status"]) == [
        "measured",
        "not measured: a form in which vectors are stored: its model is what goes on",
        "not measured: a table of word vectors is not tuned here",
    ]
    assert table.loc[tiny, "tuned_low"] <= table.loc[tiny, "tuned_delta"] <= table.loc[tiny, "tuned_high"]
    assert table["tuned_delta"].isna().tolist() == [False, True, True]


def test_without_seeds_the_probe_is_not_measured(start, tiny):
    store = start()
    run_cells("03", candidates=[], **FEW)
    assert list(rows(store)["tuned_status"]) == ["not measured: probe_seeds is 0"]
