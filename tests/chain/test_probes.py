"""The probe of a run: with several training seeds, and trained once for all steps that ask the same of it."""

from dataclasses import replace

import pandas as pd
import pytest
from conftest import open_step
from notebook_cells import toy_store
from toy_encoder import OLD

from embedlab.chain import probe, probe_by_seed, probe_run, probes
from embedlab.training import Recipe
from embedlab.training.validation import Validation


def test_a_column_a_seed_each_trained_with_its_own(monkeypatch):
    def scores(lab, encoder, rows, relatives, recipe, steps):
        return pd.Series({"q1": recipe.seed / 10, "q2": steps / 100})

    monkeypatch.setattr(probes, "probe", scores)
    found = probe_by_seed(None, None, pd.DataFrame(), {}, Recipe(), 12, range(3, 5))
    assert found.to_dict() == {3: {"q1": 0.3, "q2": 0.12}, 4: {"q1": 0.4, "q2": 0.12}}


RECIPE = Recipe(loss="mnr_hard", documents=14, hard_negatives=2)


@pytest.fixture
def trained(started, monkeypatch):
    """Probe twice, the second time with changes; returns how many of the two were trained."""
    rows, documents = toy_store()
    qrels = pd.DataFrame({"query_id": ["q0"], "doc_id": ["d0"], "relevance": [1]})
    validation = Validation(pd.Series({"q0": "otter"}), qrels, pd.Series(documents), "nDCG@10")
    trainings = []

    def train(*asked):
        trainings.append(asked)
        return pd.Series({"q0": 0.5})

    monkeypatch.setattr(probes, "train_and_score", train)
    lab = open_step("11")

    def count(change=lambda table: table, first=RECIPE, second=RECIPE) -> int:
        trainings.clear()
        for some, recipe in ((rows, first), (change(rows.copy()), second)):
            assert probe(lab, OLD, some, {}, recipe, 12, validation).to_dict() == {"q0": 0.5}
        return len(trainings)

    return count


def test_the_same_probe_is_trained_once_whatever_the_rows_are_called(trained):
    assert trained(lambda rows: rows.assign(query_id=[f"row {i}" for i in range(len(rows))])) == 1


CHANGES = {
    "text": lambda rows: rows.assign(text=rows["text"] + "?"),
    "positives": lambda rows: rows.assign(positive_ids=[["d1"]] * len(rows)),
    "what else is known to answer it": lambda rows: rows.assign(known_ids=[["d0", "d1", "d5"]] * len(rows)),
    "weights": lambda rows: rows.assign(weight=3.0),
    "negatives": lambda rows: rows.assign(negatives=[[]] * len(rows)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_training_looks_at_makes_another_probe(trained, what):
    assert trained(CHANGES[what]) == 2


@pytest.mark.parametrize("change", [{"seed": 1}, {"documents": 7}, {"loss": "triplet"}, {"hard_negatives": 4}])
def test_another_recipe_is_another_probe(trained, change):
    assert trained(second=replace(RECIPE, **change)) == 2


def test_a_loss_that_takes_no_mined_negatives_shares_the_probe_of_rows_that_have_none(trained):
    plain = replace(RECIPE, loss="mnr")
    assert trained(CHANGES["negatives"], first=plain, second=replace(plain, hard_negatives=0)) == 1


def test_a_probe_that_searched_dev_is_not_trained_again_for_its_scores(started, monkeypatch):
    lab = open_step("02")
    dev = lab.collection("dev")
    answers = {query_id: min(doc_ids) for query_id, doc_ids in dev.relevant().items()}
    run = pd.DataFrame({"query_id": list(answers), "doc_id": list(answers.values()), "score": 1.0})
    trainings = []

    def train(*asked):
        trainings.append(asked)
        return run

    monkeypatch.setattr(probes, "train_and_search", train)
    rows, _ = toy_store()
    for _ in range(2):
        found = probe_run(lab, OLD, rows, {}, RECIPE)
        assert set(zip(found["query_id"], found["doc_id"], strict=True)) == set(answers.items())
    scores = probe(lab, OLD, rows, {}, RECIPE)
    assert len(trainings) == 1
    assert scores.loc[list(answers)].gt(0).all()
