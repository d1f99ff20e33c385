"""Notebook 13's proofs over the toy collection: leaks of every kind are counted and named; about ten seconds."""

import pandas as pd
import pytest
from conftest import open_step, toy_rows, write_beir, write_collection
from notebook_cells import run_cells, write_guard, write_judged

import embedlab
from embedlab.chain.artifacts.clean_dataset import CLEAN
from embedlab.errors import EmbedlabError

pytestmark = pytest.mark.chain

DATES = {"dev_from": "2021-01-01", "test_from": "2022-01-01"}


def started_with(store_path, queries=None, corpus=None, splits=None, spoil=lambda collection: None, **dates):
    """Write steps 01 to 04 of a run over the toy collection with these changes; return its store."""
    own_corpus, own_queries, judgments = toy_rows()
    qrels = splits(judgments) if splits else {"all": judgments}
    folder = write_beir(store_path / "toy", corpus or own_corpus, queries or own_queries, qrels)
    lab = open_step("01", source="beir", path=str(folder), **dates)
    collection = embedlab.load_collection("beir", path=folder, **dates)
    spoil(collection)
    write_collection(lab, collection)
    lab.finish("written by a test")
    write_guard(lab.store)
    return lab.store


def thirds(judgments):
    return {"train": judgments[:20], "dev": judgments[20:30], "test": judgments[30:]}


def run_13(**values):
    return run_cells("13", **{"probe_seeds": 0, "validation_share": 0.2, **values})


def test_parts_made_here_leak_nothing_and_what_was_not_measured_says_so(outputs, tmp_path):
    store = started_with(tmp_path)
    write_judged(CLEAN)
    found = run_13()
    assert store.read("13", "leakage.json")["total"] == 0
    assert store.read("13", "leakage.json")["inflated_by"] is None
    assert "A careless split was not measured." in store.read("13", "summary.json")["conclusion"]
    assert set(found["rows"]["part"]) == {"train", "validation"}


def test_a_documents_twin_under_another_id_across_the_split_is_found_and_named(outputs, tmp_path):
    corpus, queries, judgments = toy_rows()
    corpus[0]["text"] = corpus[35]["text"].replace("dusk", "dawn")
    corpus[0]["title"] = corpus[35]["title"]
    splits = thirds(judgments)
    started_with(tmp_path, queries, corpus, lambda _: splits)
    rows = write_judged(CLEAN, group="a group of its own")
    assert rows["positive_ids"].iloc[0] == ["d0"]
    with pytest.raises(EmbedlabError, match=r"families.*q0 with d0 ~ q35 with d35"):
        run_13()


def test_where_embedlab_makes_the_parts_a_documents_twin_stays_on_one_side(tmp_path):
    corpus, queries, judgments = toy_rows()
    for i in range(0, 40, 2):
        corpus[i] = corpus[i + 1] | {"_id": f"d{i}"}
    folder = write_beir(tmp_path / "twins", corpus, queries, {"all": judgments})
    found = embedlab.load_collection("beir", path=folder).queries.set_index("query_id")
    for i in range(0, 40, 2):
        assert found.loc[f"q{i}", "part"] == found.loc[f"q{i + 1}", "part"]


def test_a_training_query_that_nearly_repeats_a_held_out_one_is_named(outputs, tmp_path):
    store = started_with(tmp_path, splits=thirds)
    words = store.read("01", "queries.parquet").set_index("query_id").loc["q35", "text"].split()
    write_judged(CLEAN, text=" ".join([*words[:-1], "brook"]))
    with pytest.raises(EmbedlabError, match=r"near-duplicate texts.*q35 ~ q0"):
        run_13()


def test_own_parts_are_kept_and_what_dev_shares_with_test_is_listed_and_is_no_error(outputs, tmp_path):
    corpus, queries, judgments = toy_rows()
    queries[25]["text"] = queries[35]["text"] + "?"  # dev and test ask the same
    queries[3]["text"] = queries[36]["text"]  # so do train and test
    words = queries[27]["text"].split()
    queries[4]["text"] = " ".join(["whoever", *words[1:]])  # and train and dev, but for a word
    splits = thirds([*judgments, ("q5", "d35", 1)])  # a document on both sides: new queries are all that is claimed
    splits["train"].append(splits["test"].pop())
    store = started_with(tmp_path, queries, corpus, lambda _: splits)
    run_cells("07")
    gone = store.read("07", "removed.parquet").set_index("query_id")
    assert {"q3", "q4"} == set(gone.index)
    assert gone["reason"].str.contains("held-out").all()
    lab = open_step("12")
    lab.write(CLEAN, lab.store.read("07", "rows.parquet"))
    lab.finish("written by a test")
    run_13()
    report = pd.DataFrame(store.read("13", "leakage.json")["counts"])
    leaks = report[report["leak"]]
    assert set(leaks["between"]) == {"dev, test"}
    assert set(leaks["kind"]) == {"groups", "texts", "near-duplicate texts"}
    assert "q25 ~ q35" in leaks.set_index("kind").loc["near-duplicate texts", "items"]
    assert report.loc[report["kind"] == "documents", "count"].sum() > 0
    assert store.read("13", "leakage.json")["unit"] == "query"


def dated_queries():
    return [row | {"created": f"{2019 + i // 10}-05-{1 + i % 10:02d}"} for i, row in enumerate(toy_rows()[1])]


def test_parts_by_date_are_proven_to_hold_nothing_late(outputs, tmp_path):
    started_with(tmp_path, dated_queries(), **DATES)
    write_judged(CLEAN)
    found = run_13()
    assert found["days"].loc["train", "last day"] < "2021-01-01"
    assert found["days"].loc["test", "first day"] >= "2022-01-01"
    assert found["settings"].unit == "query"


def test_a_training_query_as_late_as_dev_stops_the_step(outputs, tmp_path):
    def one_is_late(collection):
        first = collection.queries.index[collection.queries["part"] == "train"][0]
        collection.queries.loc[first, "created"] = "2021-02-03"

    started_with(tmp_path, dated_queries(), spoil=one_is_late, **DATES)
    write_judged(CLEAN)
    with pytest.raises(EmbedlabError, match=r"training queries from 2021-01-01 on: .*2021-02-03"):
        run_13()
