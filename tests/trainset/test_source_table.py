"""Every format of file is read alike, in chunks; what is wrong is named with file and row."""

import gzip

import pandas as pd
import pytest
from given_files import file, found_by_query, given

from embedlab.errors import DataError, ParameterError
from embedlab.trainset import (
    REMOVED,
    Table,
    unusable,
)

ROWS = [("how do I log in", "d1"), ("pay, later", "d2"), ('the "blue" printer', "d3")]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "csv.gz", "jsonl.gz"])
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    frame, path = pd.DataFrame(ROWS, columns=["query", "document"]), tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    elif "jsonl" in suffix:
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    assert found_by_query(given(documentation_queries=path)) == {q: [d] for q, d in ROWS}


def test_a_file_is_read_in_chunks_and_their_size_changes_nothing(tmp_path):
    lines = [f"query {i},d{1 + i % 3}\n" for i in range(25)]
    table = Table("x", file(tmp_path, "x.csv", "query,document\n" + "".join(lines)), ("query", "document"))
    parts = list(table.chunks(7))
    assert [len(p) for p in parts] == [7, 7, 7, 4]
    assert pd.concat(parts)["row"].tolist() == list(range(2, 27))
    whole, small = (given(documentation_queries=table.path, chunk=n) for n in (1000, 3))
    assert whole.examples == small.examples


def test_columns_of_other_names_are_named_by_a_parameter(tmp_path):
    path = file(tmp_path, "x.csv", "q;page\nhelp me;d1\n")
    columns = ["documentation_queries.query=q", "documentation_queries.document=page"]
    own = given(documentation_queries=path, columns=columns, delimiter=";")
    assert found_by_query(own) == {"help me": ["d1"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [("click_logs.query=q", "click_log"), ("click_log.qery=q", "'query'"), ("query=q", "source.column")],
)
def test_a_wrong_column_name_is_told_with_the_nearest_one(text, words):
    with pytest.raises(ParameterError, match=words):
        given(columns=[text])


def test_an_unknown_source_is_told_with_the_nearest_one_and_what_each_holds():
    with pytest.raises(ParameterError, match=r"'ticket'; did you mean 'tickets'.*a support ticket and the articles"):
        given(ticket="x.csv")


def test_a_source_that_is_not_given_is_one_line():
    own = given(click_log="", tickets="")
    assert own.table()["note"].tolist() == ["not given"] * 2
    assert own.examples == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"query;document\na;d1\n", "x.csv:1: column 'query' is missing.*separated by ';'.*set delimiter"),
        (b"query,doc\na,d1\n", "x.csv:1: column 'document' is missing; found 'query', 'doc'"),
        (b"query,document\nok,d1\nsch\xf6n,d1\n", "x.csv:3: not UTF-8: byte 0xf6 at column 4"),
        (b'query,document\nok,d1\n"never closed,d1\nmore,d2\n', "x.csv:3: not CSV: .*quote not closed"),
        (b'query,document\nok,d1\n"a" b,d1\n', "x.csv:3: not CSV"),
        (b"", "the file is empty; expected a header"),
        (b"query,document\nok,d9\n", r"no example in 1 rows; the first fault: .*x.csv:2: unknown document 'd9'"),
    ],
    ids=["delimiter", "column", "encoding", "open quote", "text after quote", "empty", "nothing usable"],
)
def test_a_broken_csv_is_named_with_file_and_row(tmp_path, content, words):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        given(documentation_queries=path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.parquet", b"PAR1 no", "not readable as parquet"),
        ("x.csv.gz", b"no gzip", "cannot be read"),
        ("x.xlsx", b"", "expected one of .csv"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        given(documentation_queries=tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        given(documentation_queries=tmp_path / "none.csv")


def test_a_gzip_file_that_was_cut_off_is_told(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"query,document\n" + b"a,d1\n" * 5000)[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        given(documentation_queries=path)


def test_unusable_rows_are_counted_and_named_with_file_and_row(tmp_path):
    path = file(tmp_path, "x.csv", 'query,document\n"two\nlines",d1\nok,d7\nok,d1;d2\nshort\n,d1\nnone,\nfine,d2|d3\n')
    own = given(documentation_queries=path)
    assert found_by_query(own) == {"two\nlines": ["d1"], "fine": ["d2", "d3"]}
    kinds = [(f.kind, int(f.where.rpartition(":")[2])) for f in own.findings]
    assert kinds == [
        ("malformed", 6),
        ("unknown document", 4),
        ("unknown document", 5),
        ("empty query", 7),
        ("no document", 8),
    ]
    assert own.table().loc["documentation_queries", "read"] == 7
    assert "2 × unknown document" in own.table().loc["documentation_queries", "note"]
    gone = unusable(own.findings)
    assert list(gone.columns) == REMOVED
    assert f"{path}:4: unknown document 'd7'" in gone["evidence"].tolist()[1]


def test_a_broken_json_line_is_named(tmp_path):
    path = file(tmp_path, "x.jsonl", '{"query": "a", "document": "d1"}\n{"query": "b"\n[1]\n{"query": "c"}\n')
    own = given(documentation_queries=path)
    assert [f.where.rpartition(":")[2] for f in own.findings] == ["2", "3", "4"]
    assert own.table().loc["documentation_queries", "read"] == 4
