"""Rows of the canonical store: made from examples, checked when written and read."""

import pandas as pd
import pytest
from conftest import open_step
from given_files import source_rows
from makers import write_file

from embedlab.chain.artifacts import prepare_training_data
from embedlab.errors import DataError
from embedlab.trainset import (
    STORE_COLUMNS,
    Example,
    about_held_out,
    checked,
    example_rows,
    held_documents,
    near_held_out,
    read_rows,
)


def test_examples_of_one_query_become_one_row():
    same = [
        Example("a", ["d1"], "x:1", "curated", negatives=[{"id": "d2", "miner": "curated", "score": 0.0}]),
        Example("a", ["d2"], "x:2", "curated"),
        Example("a", ["d3"], "y:1", "click log"),
    ]
    rows = example_rows(same, {"d1": "g1"})
    assert rows[["positive_ids", "source", "group"]].values.tolist() == [
        [["d1", "d2"], "curated", "g1"], [["d3"], "click log", "document d3"]
    ]  # fmt: skip
    assert rows["negatives"].tolist() == [[], []], "what is an answer elsewhere is no negative"


def test_a_written_store_has_the_schema_and_comes_back(store):
    rows = source_rows("a", "b")
    store.write("x.parquet", checked(rows.assign(extra=[1, 2])))
    back = read_rows(store.folder / "x.parquet")
    assert list(back.columns) == [*STORE_COLUMNS, "extra"]
    assert [list(ids) for ids in back["positive_ids"]] == [["d1"], ["d1"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns="weight"), r"columns \['weight'\] are missing"),
        (lambda rows: rows.assign(query_id="a"), "row 1: query id 'a' stands twice"),
        (lambda rows: rows.assign(positive_ids=[["d1"], []]), "row 1: 'b' has no positive"),
        (lambda rows: rows.assign(weight="heavy"), "column 'weight' is not double"),
        (lambda rows: rows.assign(negatives=[[], ["d2"]]), "column 'negatives' is not list"),
    ],
)
def test_rows_that_break_the_schema_are_refused(change, words):
    with pytest.raises(DataError, match=words):
        checked(change(source_rows("a", "b")))


def test_a_file_of_another_schema_is_refused_on_reading(tmp_path):
    source_rows("a").assign(weight=1).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="column 'query_id': expected string, found large_string"):
        read_rows(tmp_path / "x.parquet")


def test_a_step_reads_another_steps_rows_through_the_schema(started):
    write_file(started, "07", "rows.parquet", source_rows("a").drop(columns="provenance"))
    with pytest.raises(DataError, match=r"07_.*rows\.parquet: column 'query_id': expected string"):
        open_step("08").read(prepare_training_data.ROWS)
    lab = open_step("07")
    lab.write(prepare_training_data.ROWS, source_rows("a"))
    lab.finish("written by a test")
    assert open_step("08").read(prepare_training_data.ROWS)["query_id"].tolist() == ["a"]


GUARD = pd.DataFrame({
    "query_id": ["h1"], "text": ["the new laptop does not print on the blue printer"], "known_ids": [["d3"]],
    "group": ["held"], "part": ["test"],
})  # fmt: skip


def test_a_test_query_copied_with_one_word_changed_is_found():
    examples = [
        Example("the old laptop does not print on the blue printer", ["d1"], "x:7", "click log"),
        Example("something else altogether", ["d1"], "x:8", "click log"),
    ]
    rows = example_rows(examples, {})
    assert near_held_out(rows, GUARD) == {rows["query_id"][0]: "h1"}


def test_a_row_that_answers_with_a_held_out_document_is_found_by_lower_grades_too():
    rows = example_rows([Example("a", ["d1"], "x:1", "k", known=["d3"]), Example("b", ["d2"], "x:2", "k")], {})
    assert about_held_out(rows, held_documents(GUARD, {})).tolist() == [True, False]
    assert about_held_out(rows, {"d2"}).tolist() == [False, True]
