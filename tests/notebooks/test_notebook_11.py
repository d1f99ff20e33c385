"""Notebook 11 with a tiny model: what cannot be fed does not race; rates, seeds and steps are luck that is shown."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import contract_of, open_step, toy_rows, write_beir, write_collection
from faulty.models import write_tiny
from makers import formats
from notebook_cells import run_cells

import embedlab
from embedlab.chain.artifacts.choose_base_model import Choice
from embedlab.chain.artifacts.choose_loss import TOURNAMENT, Loss
from embedlab.chain.artifacts.create_negatives import TRAINING
from embedlab.chain.artifacts.define_problem import QUERIES
from embedlab.errors import DataError
from embedlab.models import load_model
from embedlab.training import FORMATS, LOSSES
from embedlab.trainset import judged_rows

pytestmark = [pytest.mark.chain, pytest.mark.model]

EVERY = {"pairs": 40, "triplets": 40, "scored_pairs": 80}
FEW = {"steps": 1, "documents": 4}


@pytest.fixture
def start(outputs, tmp_path):
    """Write what step 11 reads, with so many examples of each format; returns the store."""
    write_tiny(tmp_path / "tiny")
    base = str(tmp_path / "tiny")

    def begin(examples, documents=40):
        corpus, queries, judgments = toy_rows(documents)
        folder = write_beir(tmp_path / "toy", corpus, queries, {"test": judgments})
        lab = open_step("01", source="beir", path=str(folder), base_model=base)
        write_collection(lab, embedlab.load_collection("beir", path=folder))
        lab.write(contract_of(lab))
        lab.finish("written by a test")
        lab = open_step("03")
        lab.write(Choice(base, load_model(base, "float32").identity, {}, 1.0))
        lab.finish("written by a test")
        lab = open_step("09")
        rows = judged_rows(lab.collection("train"))
        mined = [{"id": rows["positive_ids"][0][0], "miner": "dense", "score": 0.1}] if "triplets" in examples else []
        negatives = [[], *[mined for _ in rows["query_id"][1:]]]
        lab.write(TRAINING, rows.assign(negatives=pd.Series(negatives, dtype=object)))
        lab.finish("written by a test")
        lab = open_step("10")
        lab.write(formats(rows=examples))
        lab.finish("written by a test")
        return lab.store

    return begin


def table_of(store):
    return TOURNAMENT.read(store.path("11", TOURNAMENT.file)).set_index("loss")


def probes_of(store):
    return len(list((store.folder / "probes").glob("*.json")))


def test_by_default_each_of_three_losses_trains_once(start):
    store = start(EVERY)
    names = run_cells("11", **FEW)
    assert probes_of(store) == 3
    table = table_of(store)
    assert list(table.index) == ["mnr", "mnr_hard", "triplet"]
    assert set(table["rate"]) == {1e-4}
    assert table[["seed_low", "seed_high"]].isna().all(axis=None)
    found = store.artifact(Loss)
    assert (found.seeds, found.not_run, found.long_steps, found.pairs) == (1, {}, 0, 0)
    assert names["trust"] == "No longer race was run."


def test_every_loss_can_race_and_stands_beside_the_examples_of_its_format(start, tmp_path):
    store = start(EVERY)
    entered = run_cells("11", losses=list(LOSSES), teacher=str(tmp_path / "tiny"), **FEW)["entered"]
    assert entered["format"].to_dict() == FORMATS
    assert entered["examples"].to_dict() == {name: EVERY[form] for name, form in FORMATS.items()}
    assert list(table_of(store).index) == list(LOSSES)
    assert np.isfinite(table_of(store)["delta"]).all()


def test_without_mined_negatives_losses_that_need_them_are_named_and_not_run(start):
    store = start({"pairs": 40, "scored_pairs": 40})
    names = run_cells("11", losses=["mnr", "mnr_hard", "triplet", "gist"], **FEW)
    found = store.artifact(Loss)
    reason = "no row makes an example of triplets"
    assert found.not_run == {"mnr_hard": reason, "triplet": reason}
    assert list(table_of(store).index) == ["mnr", "gist"]
    assert found.loss == found.leader
    assert names["why"] == "first; the default, mnr_hard, did not race"


def test_with_no_hard_negatives_in_a_batch_the_hard_race_would_be_the_plain_one(start):
    store = start(EVERY)
    run_cells("11", hard_negatives=0, **FEW)
    assert store.artifact(Loss).not_run == {"mnr_hard": "hard_negatives is 0: it would be mnr again"}


def test_without_a_teacher_what_learns_from_one_does_not_race(start):
    store = start(EVERY)
    run_cells("11", losses=["mnr", "kl"], **FEW)
    assert store.artifact(Loss).not_run == {"kl": "it learns from a teacher, and none is named"}
    assert store.artifact(Loss).teacher == ""


def test_a_teacher_that_was_trained_on_queries_that_judge_is_refused(start, tmp_path):
    store = start(EVERY)
    tuned = tmp_path / "other" / "models" / "tuned"
    shutil.copytree(tmp_path / "tiny", tuned)
    rows = tuned.parents[1] / "artifacts" / "13_split_data" / "training.parquet"
    rows.parent.mkdir(parents=True)
    queries = QUERIES.read(store.path("01", QUERIES.file)).set_index("part")["text"]
    pd.DataFrame({"text": [queries["train"].iloc[0]]}).to_parquet(rows)
    run_cells("11", losses=["mnr_kl"], teacher=str(tuned), **FEW)
    assert store.artifact(Loss).teacher == str(tuned)
    for part in ("dev", "test"):
        pd.DataFrame({"text": [queries["train"].iloc[0], queries[part].iloc[0]]}).to_parquet(rows)
        with pytest.raises(DataError, match=r"trained on 1 queries that judge this run, such as .*this run's parts"):
            run_cells("11", losses=["mnr_kl"], teacher=str(tuned), **FEW)


def test_where_no_loss_can_be_fed_the_reasons_are_told(start):
    start({"pairs": 40, "scored_pairs": 40})
    with pytest.raises(embedlab.EmbedlabError, match=r"none of losses can be fed: .*example of triplets.*add mnr"):
        run_cells("11", losses=["mnr_hard", "triplet"], **FEW)


def test_rates_seeds_and_the_long_race_are_trained_and_kept(start):
    store = start(EVERY)
    names = run_cells("11", losses=["mnr", "cosine"], rates=[1e-4, 1e-2], seeds=3, long_steps=2, **FEW)
    assert probes_of(store) == 2 * (2 + 2 + 1), "a rate each, two further seeds, one long race"
    table, best = table_of(store), names["by_rate"].idxmax(axis=1)
    assert table["rate"].to_dict() == best.to_dict()
    assert (table["seed_low"] <= table["delta"] + 1e-9).all()
    assert (table["delta"] <= table["seed_high"] + 1e-9).all(), "seeds that agree leave an interval of no width"
    found = store.artifact(Loss)
    assert (found.seeds, found.long_steps, found.pairs) == (3, 2, 1)
    assert names["trust"] == f"The race of 1 steps has {found.pairs_alike} of 1 pairs in the order of 2 steps."


def planted(monkeypatch, score):
    """Let every probe score what a function of its loss, seed and steps says, on every query alike."""

    def probe(lab, encoder, rows, relatives, recipe, steps, teacher):
        ids = lab.collection("dev").queries["query_id"]
        return pd.Series(score(recipe.loss, recipe.seed, steps), index=pd.Index(ids, name="query_id"))

    monkeypatch.setattr(embedlab.chain, "probe", probe)


@pytest.mark.parametrize(("by_seed", "wins"), [([1.0, 0.3, 0.6], "mnr_hard"), ([0.62, 0.63, 0.65], "mnr")])
def test_a_lead_that_other_seeds_may_turn_replaces_nothing(start, monkeypatch, by_seed, wins):
    store = start(EVERY, documents=144)
    planted(monkeypatch, lambda loss, seed, steps: by_seed[seed] if loss == "mnr" else 0.2)
    names = run_cells("11", losses=["mnr", "mnr_hard"], seeds=3)
    assert names["duel"].ci95[0] > 0, "the queries are sure of both"
    found = store.artifact(Loss)
    assert (found.leader, found.loss) == ("mnr", wins)


def test_a_lead_from_one_seed_replaces_nothing(start, monkeypatch):
    store = start(EVERY, documents=144)
    planted(monkeypatch, lambda loss, seed, steps: 0.9 if loss == "mnr" else 0.2)
    names = run_cells("11", losses=["mnr", "mnr_hard"])
    assert names["duel"].ci95[0] > 0
    assert store.artifact(Loss).loss == "mnr_hard"
    assert "one seed, which cannot tell luck" in names["why"]


def test_pairs_that_the_long_race_turns_round_are_counted(start, monkeypatch):
    store = start(EVERY)
    short, long = {"mnr": 0.3, "mnr_hard": 0.2, "triplet": 0.1}, {"mnr": 0.5, "mnr_hard": 0.6, "triplet": 0.4}
    planted(monkeypatch, lambda loss, _, steps: long[loss] if steps == 24 else short[loss])
    run_cells("11", long_steps=24)
    found = store.artifact(Loss)
    assert (found.pairs_alike, found.pairs) == (2, 3)
