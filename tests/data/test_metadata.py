"""Metadata: one rule for every source, whatever its values are."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlab.data.metadata import KIND, LONGEST_VALUE, MOST_FIELDS, gathered, plain_metadata, plain_value

NAN = float("nan")


def plain(**columns) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Return a corpus of two documents with these columns under the rule, and its findings by field."""
    frame = pd.DataFrame({"doc_id": ["a", "b"], "title": "", "text": "x"}).assign(
        **{name: pd.Series(values, dtype=object) for name, values in columns.items()}
    )
    found, findings = plain_metadata(frame, "corpus", ("doc_id", "title", "text"))
    assert {(f.kind, f.level, f.where) for f in findings} <= {(KIND, "warning", "corpus")}
    return found, [(f.id, f.detail) for f in findings]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  a\n b ", "a b"), ("a\0", "a\N{REPLACEMENT CHARACTER}"), ("", None), (" ", None), (None, None), (NAN, None),
        (pd.NA, None), (pd.NaT, None), (True, "True"), (np.bool_(False), "False"), (2019, "2019"), (2019.0, "2019"),
        (np.int64(7), "7"), (0.1, "0.1"), (-0.0, "0"), (1e300, "1e+300"), (float("inf"), None), (["a"], None),
        ({"a": 1}, None), (b"a", None), (np.arange(2), None), ("x" * (LONGEST_VALUE + 1), None),
        pytest.param(10**5000, None, id="whole number of 5,000 digits"),
        (datetime.date(2023, 1, 2), "2023-01-02"), (pd.Timestamp("2023-01-02 03:04"), "2023-01-02T03:04:00"),
    ],
)  # fmt: skip
def test_a_value_is_a_text_of_one_line_or_missing(value, text):
    assert plain_value(value)[1] == text


def test_a_field_without_a_value_is_dropped_without_a_word():
    found, findings = plain(empty=[None, ""], half=[None, "x"])
    assert list(found) == ["doc_id", "title", "text", "half"]
    assert found["half"].isna().tolist() == [True, False]
    assert findings == []


def test_what_was_done_to_a_field_is_said_once():
    _, findings = plain(mixed=[1, "1"], nested=[[1], {}], both=[True, [2]], number=[1, None])
    assert findings == [
        ("mixed", "mixed types (1 text, 1 number): kept as text, so that 1 and '1' are one"),
        ("nested", "2 values are nested: left out, as if missing"),
        ("both", "1 value is nested: left out, as if missing"),
    ]


@pytest.mark.parametrize("name", ["part", "group", "query_id", "", " ", "a\n", "x" * 101, "a\ud800"])
def test_a_field_of_an_unfit_name_is_left_out(name):
    fields, findings = gathered([{name: "x"}, {name: "y"}], "corpus")
    assert fields == {}
    (finding,) = findings
    assert finding.detail.encode()


def test_of_too_many_fields_the_commonest_are_kept():
    rows = [{"shared": i, **{f"own{i}-{n}": n for n in range(MOST_FIELDS)}} for i in range(5)]
    fields, findings = gathered(rows, "queries")
    assert len(fields) == MOST_FIELDS
    assert fields["shared"] == [0, 1, 2, 3, 4]
    assert [f.detail for f in findings] == ["501 fields: the 100 that most rows have are kept, the others left out"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(values, min_size=2, max_size=2), st.text(st.characters(), max_size=5))
@settings(max_examples=200, deadline=None)
def test_whatever_the_values_are_the_frame_can_be_written_and_the_rule_is_stable(tmp_path_factory, pair, name):
    found, findings = plain(**{name: pair}) if name not in ("doc_id", "title", "text") else plain(other=pair)
    found.to_parquet(tmp_path_factory.mktemp("metadata") / "corpus.parquet")
    assert all(text.encode() or not text for finding in findings for text in finding)
    again, more = plain_metadata(found, "corpus", ("doc_id", "title", "text"))
    assert again.equals(found)
    assert more == []
