"""The cells of notebooks 08 and 09 over the toy collection, and the review queue; about ten seconds."""

import json

import pandas as pd
import pytest
from conftest import contract_of, open_step
from notebook_cells import run_cells, write_guard
from toy_encoder import ToyEncoder

from embedlab import chain
from embedlab.chain import load_params
from embedlab.chain.artifacts.base import tables_of
from embedlab.chain.artifacts.define_problem import FAILURES, Settings
from embedlab.chain.artifacts.prepare_training_data import REMOVED, ROWS
from embedlab.chain.keys import why_stale
from embedlab.chain.steps import BY_NUMBER
from embedlab.errors import EmbedlabError
from embedlab.report import Queue, decisions
from embedlab.trainset import Margin, read_rows

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


class Counting(ToyEncoder):
    """The toy encoder with token counts: words."""

    def token_counts(self, texts):
        return [len(t.split()) for t in texts]


@pytest.fixture
def prepared(started, monkeypatch):
    """The toy run up to step 07 with a contract, a chosen base model and one mislabelled query."""
    monkeypatch.setattr(chain, "lab_model", lambda lab: Counting())
    return prepare(started, transductive=True)


def prepare(store, transductive):
    """Write the steps up to 07 with one query that no system answers, and a positive that is no document."""
    lab = open_step("01", source="beir", path="x")
    lab.write(contract_of(lab, transductive=transductive))
    for table in tables_of(lab.step.slug):
        if table is not FAILURES:
            lab.write(table, store.read("01", table.file))
    lab.write(store.artifact(Settings))
    lab.finish("written by a test")
    write_guard(store)
    run_cells("07", probe_seeds=0)
    rows, removed = store.read("07", "rows.parquet"), store.read("07", "removed.parquet")
    positives, known = rows["positive_ids"].map(list).tolist(), rows["known_ids"].map(list).tolist()
    positives[0] = known[0] = positives[2] = known[2] = positives[-1]
    positives[1] = ["nowhere", *positives[1]]
    rows["text"] = [EVIL, rows["text"][1], "nothing of this is written anywhere", *rows["text"][3:]]
    rows["positive_ids"], rows["known_ids"] = pd.Series(positives), pd.Series(known)
    lab = open_step("07")
    lab.write(ROWS, rows)
    lab.write(REMOVED, removed)
    lab.finish("written by a test")
    return store


def queued(store):
    return store.read("08", "review_queue.parquet").set_index("query_id")


def test_a_positive_that_no_system_finds_waits_in_the_queue_with_both_texts(prepared):
    run_cells("08")
    row = prepared.read("07", "rows.parquet").iloc[0]
    waiting = queued(prepared).loc[row["query_id"]]
    texts = prepared.read("01", "corpus.parquet").set_index("doc_id")
    document = texts.loc[row["positive_ids"][0]]
    assert (waiting["text"], waiting["decision"]) == (EVIL, "")
    assert waiting["document"] == f"{document['title']} {document['text']}"
    assert row["query_id"] not in set(prepared.read("08", "positives.parquet")["query_id"])
    gone = prepared.read("08", "removed.parquet").set_index("query_id").loc[row["query_id"]]
    assert (gone["reason"], gone["other"]) == ("review queue", row["positive_ids"][0])


def test_a_positive_that_is_no_document_is_listed_and_its_row_keeps_the_others(prepared):
    run_cells("08", accept_review=True)
    row = prepared.read("07", "rows.parquet").iloc[1]
    kept = prepared.read("08", "positives.parquet").set_index("query_id").loc[row["query_id"]]
    gone = prepared.read("08", "removed.parquet").set_index("query_id").loc[row["query_id"]]
    assert list(kept["positive_ids"]) == list(row["positive_ids"][1:])
    assert gone[["reason", "other", "evidence"]].tolist() == ["no usable document", "nowhere", "unknown"]


def test_accept_review_takes_all_but_the_refused_into_training(prepared):
    run_cells("08", accept_review=True)
    first = queued(prepared)
    assert set(first["decision"]) == {"accept"}
    assert set(first.index) <= set(prepared.read("08", "positives.parquet")["query_id"])


def test_decisions_make_the_step_stale_and_count_when_it_runs_again(prepared):
    step, params = BY_NUMBER["08"], load_params(prepared.folder / "params.yaml")
    names = run_cells("08")
    assert why_stale(prepared, step, params) is None
    browser = Queue(names["queue"], names["judgments"])
    picker, _, bar = browser.widget().children
    bar.children[0].click()
    assert picker.value == min(1, len(browser.items) - 1)
    names["judgments"].save(browser.items[-1].key, "refuse")
    accepted, refused = browser.items[0], browser.items[-1]
    assert accepted != refused
    assert "stale" in why_stale(prepared, step, params)
    run_cells("08")
    assert queued(prepared).loc[accepted.query_id, "decision"] == "accept"
    assert queued(prepared).loc[refused.query_id, "decision"] == "refuse"
    assert refused.query_id not in set(prepared.read("08", "positives.parquet")["query_id"])
    gone = prepared.read("08", "removed.parquet").set_index("query_id")
    assert gone.loc[refused.query_id, "reason"] == "refused in review"
    assert why_stale(prepared, step, params) is None
    decided = json.loads((prepared.folder / step.decisions).read_text())
    assert next(iter(decided.values()))[refused.key] == "refuse"


def test_the_queue_escapes_corpus_text_in_widget_and_table(store):
    texts = {name: [EVIL] for name in ("doc_id", "text", "document", "source", "rival")}
    queue = pd.DataFrame({"query_id": ["q"], **texts, "above": [0.5], "waits": [True]})
    browser = Queue(queue, decisions(store, "data"))
    views = [browser._repr_mimebundle_()["text/html"], browser.widget().children[1].value]
    for view in views:
        assert "<script" not in view
        assert "<img" not in view
        assert "&lt;script&gt;" in view
    assert browser._repr_mimebundle_()["text/plain"].startswith("Review browser: 1 positives (shown live")


def test_an_unknown_decision_is_refused(store):
    with pytest.raises(EmbedlabError, match="accept, refuse"):
        decisions(store, "data").save("q|d", "perhaps")


def test_negatives_are_written_with_every_refusal_and_nothing_to_hide_keeps_the_default(prepared):
    run_cells("08")
    names = run_cells("09", probe_seeds=0)
    training = read_rows(prepared.path("09", "training.parquet"))
    assert (training["negatives"].map(len) > 0).any()
    assert names["margin"] == Margin(0.95)
    figures = json.loads((prepared.folder / "artifacts/09_create_negatives/summary.json").read_text())
    assert "Against random ones: not measured" in figures["conclusion"]
    assert "too few to choose by" in names["few"]
    assert prepared.read("09", "probes.json")["measured"] is False
    gone = prepared.read("09", "removed.parquet")
    assert len(gone) == len(names["refused"]) > 0
    assert gone["evidence"].str.contains("rank").all()


def test_without_held_out_texts_the_notebook_mines_none_of_them_and_says_so(started, monkeypatch):
    monkeypatch.setattr(chain, "lab_model", lambda lab: Counting())
    prepare(started, transductive=False)
    run_cells("08")
    names = run_cells("09", probe_seeds=0, quota=5)
    guard, training = started.read("04", "guard.parquet"), read_rows(started.path("09", "training.parquet"))
    held = {d for ids in guard["known_ids"] for d in ids}
    assert held
    assert names["withheld"] == held
    mined = {n["id"] for found in training["negatives"] for n in found}
    assert mined
    assert not mined & held
    summary = json.loads((started.folder / "artifacts/09_create_negatives/summary.json").read_text())
    assert summary["figures"]["withheld"] == len(held)
