"""Validation of a collection: every fault is planted and found, with its rows, wherever one looks."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import open_step, toy_rows, write_beir, write_collection
from typer.testing import CliRunner

import embedlab
from embedlab.cli import app
from embedlab.data import read_raw, summary


@pytest.fixture
def plant(tmp_path):
    """Write the toy collection with further documents, queries and judgments."""

    def write(documents=(), queries=(), judgments=()) -> Path:
        corpus, asked, rows = toy_rows()
        return write_beir(
            tmp_path / "planted", [*corpus, *documents], [*asked, *queries], {"test": [*rows, *judgments]}
        )

    return write


def found(folder: Path) -> list[tuple[str, str, str, str]]:
    return [(f.kind, f.level, Path(f.where).name, f.id) for f in read_raw("beir", path=folder).findings]


def test_a_sound_collection_has_no_findings(plant):
    assert found(plant()) == []


NEW, SAME_TEXT = {"_id": "new", "text": "a b"}, "REPORT 0: the otter was seen near the river, at dusk"
AGAIN = {"_id": "again", "text": "Who spotted 0 otter around river?"}
FAULTS = {
    "dangling document": ({"judgments": [("q1", "nowhere", 1)]}, "test.tsv:42", "nowhere"),
    "dangling query": ({"judgments": [("nobody", "d1", 1)]}, "test.tsv:42", "nobody"),
    "no relevant": ({"queries": [NEW], "judgments": [("new", "d1", 0)]}, "qrels", "new"),
    "no judgment": ({"queries": [NEW]}, "queries", "new"),
    "same text under two document ids": (
        {"documents": [{"_id": "again", "title": "Otter River", "text": SAME_TEXT}]},
        "corpus",
        "again",
    ),
    "same text under two query ids": ({"queries": [AGAIN], "judgments": [("again", "d0", 1)]}, "queries", "again"),
    "empty document": ({"documents": [{"_id": "blank", "title": " ", "text": ""}]}, "corpus", "blank"),
    "empty query": (
        {"queries": [{"_id": "blank", "text": " "}], "judgments": [("blank", "d1", 1)]},
        "queries",
        "blank",
    ),
    "duplicate judgment": ({"judgments": [("q1", "d1", 1)]}, "test.tsv:42", "q1"),
    "contradictory grades": ({"judgments": [("q1", "d1", 0)]}, "test.tsv:42", "q1"),
    "query equals a title": (
        {"queries": [{"_id": "lazy", "text": "Otter, river"}], "judgments": [("lazy", "d0", 1)]},
        "queries",
        "lazy",
    ),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_planted_fault_is_found_with_its_row(kind, plant):
    rows, where, identifier = FAULTS[kind]
    assert found(plant(**rows)) == [(kind, "warning", where, identifier)]


@pytest.mark.parametrize(("grade", "level"), [(-1, "warning"), (11, "error"), (0.5, "error")])
def test_a_grade_out_of_range_is_found_and_what_cannot_be_meant_stops_the_run(grade, level, plant):
    folder = plant(judgments=[("q1", "d2", grade)])
    assert found(folder) == [("grade out of range", level, "test.tsv:42", "q1")]
    if level == "error":
        with pytest.raises(embedlab.EmbedlabError, match=rf"test\.tsv:42.*from 0 to 10, found {grade}"):
            embedlab.load_collection("beir", path=folder)


def test_both_ids_of_a_text_are_named(plant):
    folder = plant(documents=[{"_id": "again", "title": "otter river", "text": toy_rows()[0][0]["text"]}])
    (finding,) = read_raw("beir", path=folder).findings
    assert "the text of d0 stands again under again" in finding.detail


def test_the_command_lists_what_a_run_finds(plant, outputs):
    folder = plant(**FAULTS["query equals a title"][0])
    lab = open_step("01", source="beir", path=str(folder))
    write_collection(lab, embedlab.load_collection("beir", path=folder))
    lab.finish("written by a test")
    shown = open_step("04").read("01", "findings.parquet")
    printed = CliRunner().invoke(app, ["validate", str(folder)])
    assert printed.exit_code == 5, printed.output
    assert [(r.kind, r.id) for r in shown.itertuples()] == [("query equals a title", "lazy")]
    assert f"query equals a title queries lazy: {shown['detail'][0]}" in printed.output


def test_the_summary_counts_rows_of_each_kind():
    rows = [
        ("b", "warning", "x", "1", "first"),
        ("b", "warning", "y", "2", "second"),
        ("a", "error", "z", "3", "third"),
    ]
    table = summary(pd.DataFrame(rows, columns=["kind", "level", "where", "id", "detail"]))
    assert table[["kind", "rows", "example"]].values.tolist() == [["a", 1, "third"], ["b", 2, "first"]]


def test_the_demo_collection_is_validated_by_the_same_rules():
    kinds = {f.kind for f in read_raw("attack", techniques=120).findings}
    assert "same text under two document ids" in kinds, "T1041 and T1646 are one text in two matrices"
