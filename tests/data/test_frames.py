"""What a source returns: wrong frames are told with source, row and what was expected."""

import pandas as pd
import pytest
from conftest import toy_rows, write_beir
from typer.testing import CliRunner

import embedlab
from embedlab.cli import app
from embedlab.data import Raw, read_raw
from embedlab.data.sources import registry
from embedlab.errors import DataError, ParameterError

NAN = float("nan")


def frames() -> dict[str, pd.DataFrame]:
    documents, asked, judged = toy_rows()
    corpus = pd.DataFrame(documents).rename(columns={"_id": "doc_id"})
    queries = pd.DataFrame(asked).rename(columns={"_id": "query_id"})
    return {
        "corpus": corpus,
        "queries": queries,
        "qrels": pd.DataFrame(judged, columns=["query_id", "doc_id", "relevance"]),
    }


@pytest.fixture
def register(monkeypatch):
    """Register the source ``tsv``, which returns the toy collection with these of its frames replaced."""

    def source(**changed: pd.DataFrame) -> None:
        found = registry.Source(lambda folder="": Raw(**(frames() | changed)), ("folder",))
        monkeypatch.setattr(registry, "SOURCES", {**registry.SOURCES, "tsv": found})

    return source


def with_value(frame: str, row: int, column: str, value) -> dict[str, pd.DataFrame]:
    """Return a frame of the toy collection with one value replaced."""
    table = frames()[frame].astype(object)
    table.loc[row, column] = value
    return {frame: table}


def told(match: str) -> None:
    with pytest.raises(DataError) as caught:
        embedlab.load_collection("tsv")
    assert str(caught.value).startswith(f"source tsv: {match}")


def test_a_source_with_sound_frames_is_loaded(register):
    register()
    assert len(embedlab.load_collection("tsv").queries) == 40


@pytest.mark.parametrize(
    ("frame", "column", "said"),
    [
        ("corpus", "doc_id", "corpus lacks column doc_id; found title, text; expected doc_id, title, text"),
        ("corpus", "title", "corpus lacks column title; found doc_id, text; expected doc_id, title, text"),
        ("queries", "text", "queries lacks column text; found query_id; expected query_id, text"),
        ("qrels", "relevance", "qrels lacks column relevance; found query_id, doc_id; expected query_id, doc_id, rel"),
    ],
)
def test_a_missing_column_is_told_with_what_was_found(register, frame, column, said):
    register(**{frame: frames()[frame].drop(columns=column)})
    told(said)


def test_judgments_without_their_place_are_told(register):
    register(judgments=frames()["qrels"])
    told("judgments lacks column where; found query_id, doc_id, relevance; expected query_id, doc_id, relevance, where")


@pytest.mark.parametrize(
    ("frame", "column", "value", "said"),
    [
        ("corpus", "text", NAN, "corpus.iloc[2] (d2): text is nan (float); expected text (str), blank where"),
        ("corpus", "title", None, "corpus.iloc[2] (d2): title is None (NoneType); expected text (str)"),
        ("corpus", "doc_id", 7, "corpus.iloc[2] (7): doc_id is 7 (int); expected text (str)"),
        ("queries", "query_id", NAN, "queries.iloc[2] (nan): query_id is nan (float); expected text (str)"),
        ("queries", "text", 3, "queries.iloc[2] (q2): text is 3 (int); expected text (str)"),
        ("qrels", "doc_id", 2, "qrels.iloc[2] (q2 2): doc_id is 2 (int); expected text (str)"),
        ("qrels", "relevance", NAN, "qrels.iloc[2] (q2 d2): relevance is nan (float); expected a whole number (int)"),
        ("qrels", "relevance", 0.5, "qrels.iloc[2] (q2 d2): relevance is 0.5 (float); expected a whole number (int)"),
        ("qrels", "relevance", "1", "qrels.iloc[2] (q2 d2): relevance is '1' (str); expected a whole number (int)"),
        ("qrels", "relevance", True, "qrels.iloc[2] (q2 d2): relevance is True (bool); expected a whole number (int)"),
    ],
)
def test_a_value_of_another_kind_is_told_with_its_row(register, frame, column, value, said):
    register(**with_value(frame, 2, column, value))
    told(said)


def test_a_nan_among_texts_of_pandas_own_type_is_told(register):
    corpus = frames()["corpus"]
    corpus["text"] = corpus["text"].where(corpus.index != 5)
    register(corpus=corpus)
    told("corpus.iloc[5] (d5): text is nan (float)")


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("corpus", "corpus.iloc[40] (d3): this id stands already in a row above; expected each once"),
        ("queries", "queries.iloc[40] (q3): this id stands already in a row above; expected each once"),
        ("qrels", "qrels.iloc[40] (q3 d3): this pair stands already in a row above; expected each once"),
    ],
)
def test_what_stands_twice_is_told(register, frame, said):
    table = frames()[frame]
    register(**{frame: pd.concat([table, table.iloc[[3]]], ignore_index=True)})
    told(said)


@pytest.fixture
def alike(tmp_path):
    """A folder whose 40 queries all ask the same."""
    corpus, queries, judgments = toy_rows()
    for query in queries:
        query["text"] = "who spotted the otter around the river"
    return write_beir(tmp_path / "alike", corpus, queries, {"test": judgments})


EMPTY = "parts: train 40, dev 0, test 0 queries (1 group): each needs at least one; bring your own train, dev and test"


def test_a_part_without_queries_stops_loading(alike):
    with pytest.raises(DataError) as caught:
        embedlab.load_collection("beir", path=alike)
    assert str(caught.value).startswith(EMPTY)


def test_a_part_without_queries_is_what_validate_says_too(alike):
    printed = CliRunner().invoke(app, ["validate", str(alike)])
    assert printed.exit_code == 5, printed.output
    assert f"Not usable: {EMPTY}" in printed.output


def test_own_parts_too_few_to_divide_stop_loading(tmp_path):
    corpus, queries, judgments = toy_rows()
    folder = write_beir(tmp_path / "few", corpus, queries, {"train": judgments[:1], "test": judgments[1:]})
    with pytest.raises(DataError, match=r"parts: train 0, dev 1, test 39 queries \(40 groups\)"):
        embedlab.load_collection("beir", path=folder)


def test_an_unknown_source_is_told_where_one_registers():
    with pytest.raises(ParameterError, match=r"register a new one in embedlab/data/sources/registry\.py"):
        read_raw("elsewhere")


def test_a_path_for_another_source_is_refused_and_a_blank_one_ignored(register, tmp_path):
    register()
    with pytest.raises(ParameterError, match=r"source tsv takes no path, found path='data'.*that takes it: beir"):
        read_raw("tsv", path="data")
    with pytest.raises(ParameterError, match=r"source beir takes no folder.*that takes it: tsv"):
        read_raw("beir", folder=tmp_path)
    assert len(read_raw("tsv", path="", techniques=120).corpus) == 40
