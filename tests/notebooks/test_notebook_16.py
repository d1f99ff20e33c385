"""Notebook 16 over the toy collection: blind judgments are asked for first, and counted when it runs again."""

import pandas as pd
import pytest
from conftest import open_step, toy_rows, write_beir, write_collection
from makers import evaluation
from notebook_cells import run_cells

import embedlab
from embedlab import verdict
from embedlab.chain import get_step, load_params
from embedlab.chain.artifacts.evaluate import JUDGE_NEXT, RUNS
from embedlab.chain.artifacts.qualitative_review import Changes
from embedlab.chain.keys import why_stale
from embedlab.report import blind_judgments
from embedlab.report.blind import swapped

HOLES = pd.DataFrame({"query_id": ["q1"], "doc_id": ["d1"], "moves": [0.3], "query": ["what"], "document": ["that"]})

pytestmark = pytest.mark.chain


@pytest.fixture
def evaluated(outputs, tmp_path, monkeypatch):
    """A run whose production finds the right document at rank 3, and whose proposed system finds it first."""
    monkeypatch.setattr(verdict, "update_verdict", lambda lab: None)
    corpus, queries, judgments = toy_rows()
    parts = {"train": judgments[:12], "dev": judgments[12:16], "test": judgments[16:]}
    folder = write_beir(tmp_path / "toy", corpus, queries, parts)
    lab = open_step("01", source="beir", path=str(folder))
    collection = embedlab.load_collection("beir", path=folder)
    write_collection(lab, collection)
    lab.finish("written by a test")
    wanted = dict(collection.part("test").qrels[["query_id", "doc_id"]].itertuples(index=False, name=None))
    found = evaluation()
    stem = RUNS[found.proposed.name]
    for number, name, rank in (("05", "production_test.run", 2), ("15", f"{stem}_test.run", 0)):
        lab = open_step(number)
        lab.write_run(name, run_with(wanted, rank))
        if number == found.step:
            lab.write(found)
            lab.write(JUDGE_NEXT, HOLES)
        lab.finish("written by a test")
    return lab.store


def run_with(wanted, rank):
    """Return a run that has each query's right document behind so many others."""
    rows = []
    for query_id, doc_id in wanted.items():
        others = [d for d in ("d0", "d1", "d2", "d3") if d != doc_id][:3]
        ids = [*others[:rank], doc_id, *others[rank:]]
        rows += [(query_id, d, float(-position)) for position, d in enumerate(ids)]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])


def judge(store, names, count, better=True):
    """Judge so many of the drawn queries blind, all for what is proposed or all against it."""
    judgments = blind_judgments(store, names["pair"])
    for query_id in names["drawn"][:count]:
        proposed_is_left = swapped(names["pair"], query_id)
        judgments.save(query_id, "left" if proposed_is_left == better else "right")


def test_without_judgments_nothing_is_counted(evaluated):
    names = run_cells("16")
    found = evaluated.artifact(Changes)
    assert (found.blind, found.blind_better, found.blind_worse) == (0, 0, 0)
    assert len(names["drawn"]) >= 20
    assert evaluated.read("16", "summary.json")["conclusion"].endswith("Nobody has judged blind yet.")


@pytest.mark.parametrize("better", [True, False])
def test_blind_judgments_make_the_step_stale_and_count_for_the_side_behind_the_lot(evaluated, better):
    names = run_cells("16")
    judge(evaluated, names, 20, better)
    said = why_stale(evaluated, get_step("16"), load_params(evaluated.folder / "params.yaml"))
    assert "reviews/blind.json changed since it ran" in said
    run_cells("16")
    found = evaluated.artifact(Changes)
    assert (found.blind, found.blind_better, found.blind_worse) == (20, 20 * better, 20 * (not better))
    assert "(p = 0.000)" in evaluated.read("16", "summary.json")["conclusion"]


def test_judgments_of_who_sees_the_sides_count_as_no_blind_ones(evaluated):
    names = run_cells("16")
    names["judgments"].save(names["drawn"][0], "better")
    run_cells("16")
    found = evaluated.artifact(Changes)
    assert (found.judged, found.blind) == (1, 0)


def test_none_are_drawn_where_none_are_wanted(evaluated):
    assert run_cells("16", blind=0)["drawn"] == []


def test_what_nobody_judged_is_asked_for_and_kept_as_rows_of_qrels(evaluated):
    names = run_cells("16")
    names["unjudged"].save("q1|d1", "relevant")
    run_cells("16")
    rows = (evaluated.folder / "reviews/judged.tsv").read_text().splitlines()
    assert rows == ["query-id\tcorpus-id\tscore", "q1\td1\t1"]
