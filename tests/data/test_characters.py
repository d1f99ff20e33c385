"""Characters: what no file can hold is replaced in texts and refused in ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedlab.data.characters import id_fault, mended, printable, printable_finding
from embedlab.data.raw import Finding
from embedlab.data.trec import parse_run

FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}"


@pytest.mark.parametrize("identifier", ["d1", "../a/b", FAMILY, "<b>&\"'</b>", "a|b", "#1", "ü", "हिन्दी", "-", "."])
def test_slashes_quotes_and_emoji_may_stand_in_an_id(identifier):
    assert id_fault(identifier) == ""


@given(st.text(st.characters(exclude_categories=()), max_size=8))
def test_an_id_without_a_fault_survives_a_file_and_a_run(identifier):
    if not id_fault(identifier):
        assert identifier.encode().decode() == identifier
        assert parse_run(f"{identifier} Q0 {identifier} 1 0.5 tag")["doc_id"].tolist() == [identifier]


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_a_mended_text_has_the_same_length_and_can_be_written(text):
    assert len(mended(text)) == len(text)
    assert "\0" not in mended(text)
    mended(text).encode()


def test_what_is_printed_neither_acts_nor_hides():
    assert printable("\x1b[31m\n\ud800\u202e\0é") == r"\x1b[31m\n\ud800\u202e\x00é"
    shown = printable_finding(Finding("kind", "error", "a\udcff:1", "b\0", "c\n"))
    assert shown == Finding("kind", "error", r"a\udcff:1", r"b\x00", r"c\n")
