"""One reader of judgment lines: TREC's and BEIR's forms, and every grade that trec_eval cannot use."""

import pytest

from embedlab.data import judgment_lines, parse_judgment


@pytest.mark.parametrize(
    "line",
    ["q1 0 d1 2", "q1\t0\td1\t2\n", "q1 d1 2", "q1\td1\t2.0\r\n", "  q1 Q0 d1 2  "],
    ids=["TREC", "TREC with tabs", "three fields", "BEIR", "space around"],
)
def test_every_form_says_the_same(line):
    assert parse_judgment(line) == ("q1", "d1", 2)


def test_an_id_may_hold_spaces_where_tabs_part_the_fields():
    assert parse_judgment("q 1\tthe doc\t1") == ("q 1", "the doc", 1)


@pytest.mark.parametrize(
    "line", ["", "q1 1", "q1 0 d1 1 more", "q1 0 d1 many", "q1 0 d1 inf", "q1 0 d1 nan", "q1 0 d1 1.5"]
)
def test_another_form_or_a_grade_that_is_no_whole_number_is_refused(line):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_judgment(line)


def test_a_broken_grade_may_be_asked_for_but_never_an_infinite_one():
    assert parse_judgment("q1 0 d1 1.5", whole=False).grade == 1.5
    with pytest.raises(ValueError, match="whole number"):
        parse_judgment("q1 0 d1 inf", whole=False)


def test_blank_lines_and_a_header_on_the_first_hold_no_judgment():
    lines = ["query-id\tcorpus-id\tscore\n", "q1\td1\t1\n", "\n", "q2\td2\t1\n"]
    assert list(judgment_lines(lines)) == [(2, lines[1]), (4, lines[3])]
