"""Filters by metadata: whose values, asked for by whom, and what they do to queries."""

import pandas as pd
import pytest

from embedlab.errors import DataError
from embedlab.retrieval import Filter, filter_effects, filter_report, values_of

RTL = "\u202emacOS\u202c"


def columns(**found):
    return pd.DataFrame(found)


@pytest.fixture
def corpus():
    return columns(
        doc_id=["a", "b", "c", "d", "e"],
        title=["Cron", "Registry", "Launchd", "Impact", "None"],
        text=[
            "On Linux a job runs on a schedule, with impact.",
            "Windows keeps keys. The impact is small.",
            "A daemon of macOS, and of Linux too.",
            "Data is destroyed.",
            "A text that none expects.",
        ],
        platforms=["Linux", "Windows", "Linux, macOS", "Linux, Windows, macOS", None],
        tactic=["persistence", "persistence", "persistence", "impact", "impact"],
    )


# --- columns of values --------------------------------------------------------------------------


def test_a_column_of_lists_has_several_values_a_row():
    assert values_of(pd.Series(["Linux", "Linux, macOS", "macOS,Windows , Linux,", None])) == [
        {"Linux"},
        {"Linux", "macOS"},
        {"macOS", "Windows", "Linux"},
        set(),
    ]


@pytest.mark.parametrize(
    "column",
    [
        ["Berlin, Germany", "Paris, France"],
        ["1,000", "1"],
        ["Smith, John", "Doe, Jane", "Roe, Richard"],
        ["Large, " + "very " * 20 + "heavy", "Large"],
        ["one", "two", None],
    ],
)
def test_a_comma_alone_makes_no_list(column):
    assert values_of(pd.Series(column)) == [{value} if value else set() for value in column]


def test_lists_are_known_by_things_that_are_named_again_and_again():
    # None stands alone, yet four things are named in six ways.
    column = ["a, b", "a, c", "b, c", "a, b, c", "c, d", "d, a"]
    assert values_of(pd.Series(column)) == [set(value.split(", ")) for value in column]


def test_a_column_without_a_value_has_none():
    assert values_of(pd.Series([None, float("nan"), " "], dtype=object)) == [set(), set(), set()]


# --- filters ------------------------------------------------------------------------------------


def kept(where, query_id, corpus):
    run = columns(query_id=[query_id] * len(corpus), doc_id=corpus["doc_id"], score=1.0)
    return "".join(where.keep(run)["doc_id"])


def test_shared_keeps_documents_with_any_value_of_the_query(corpus):
    queries = columns(query_id=["q1", "q2", "q3"], platforms=["Windows", "Windows, Linux", None])
    where = Filter.shared("platforms", queries, corpus)
    assert kept(where, "q1", corpus) == "bd"
    assert kept(where, "q2", corpus) == "abcd"
    assert kept(where, "q3", corpus) == "abcde"


def test_inferred_asks_for_the_values_whose_names_the_query_mentions(corpus):
    texts = ["how do LINUX jobs persist?", "keys of windows or macOS", "a job", "on Linux-based windowsill"]
    queries = columns(query_id=["q1", "q2", "q3", "q4"], text=texts)
    where = Filter.inferred("platforms", queries, corpus)
    assert where.wanted == {"q1": {"Linux"}, "q2": {"Windows", "macOS"}, "q4": {"Linux"}}
    assert kept(where, "q1", corpus) == "acd"


def test_a_value_that_other_documents_speak_of_is_no_name(corpus):
    queries = columns(query_id=["q1", "q2"], text=["what has impact?", "persistence, no impact"])
    where = Filter.inferred("tactic", queries, corpus)
    # Nobody mentions persistence; of three documents that speak of an impact, two have another tactic.
    assert where.wanted == {"q2": {"persistence"}}


def test_a_mention_must_tell_more_than_no_mention_does(corpus):
    queries = columns(query_id=["q"], text=["what has impact?"])
    # Half of the two documents that mention an impact have it, as have half of all.
    assert Filter.inferred("tactic", queries, corpus.iloc[[0, 3]]).wanted == {}
    # Here a third document has none of both.
    assert Filter.inferred("tactic", queries, corpus.iloc[[0, 2, 3]]).wanted == {"q": {"impact"}}


def test_a_value_of_all_documents_tells_nothing():
    corpus = columns(doc_id=["a", "b"], title="", text=["an enterprise", "other"], matrix=["enterprise"] * 2)
    queries = columns(query_id=["q"], text=["an enterprise"])
    assert Filter.inferred("matrix", queries, corpus).wanted == {}


def test_the_longest_name_is_the_one_that_is_mentioned():
    corpus = columns(doc_id=["a", "b"], title="", text=["one", "two"], product=["Azure", "Azure AD"])
    queries = columns(query_id=["q1", "q2", "q3"], text=["in azure ad", "in Azure", "Azure and (Azure-AD)"])
    where = Filter.inferred("product", queries, corpus)
    assert where.wanted == {"q1": {"Azure AD"}, "q2": {"Azure"}, "q3": {"Azure", "Azure AD"}}


def test_a_name_is_found_whatever_stands_between_its_words():
    corpus = columns(doc_id=["a", "b"], title="", text="", tactic=["command-and-control", "lateral_movement"])
    queries = columns(query_id=["q1", "q2"], text=["Command and Control traffic", "LATERAL  movement"])
    where = Filter.inferred("tactic", queries, corpus)
    assert where.wanted == {"q1": {"command-and-control"}, "q2": {"lateral_movement"}}


def test_names_without_spaces_between_words_are_found():
    corpus = columns(doc_id=["a", "b"], title="", text="", city=["東京", "大阪"])
    queries = columns(query_id=["q1", "q2"], text=["東京の天気", "京の都"])
    assert Filter.inferred("city", queries, corpus).wanted == {"q1": {"東京"}}


@pytest.mark.parametrize("value", [".*", "(", "a|b.*", "\\w+", "[Linux", "C", "C2", "", " ", "\x00", "---", "(?i)x"])
def test_a_value_of_marks_or_of_few_letters_is_never_found(value):
    corpus = columns(doc_id=["a", "b"], title="", text="", kind=[value, "other"])
    queries = columns(query_id=["q"], text=[f"what of C, C2, a, b, x and {value}?"])
    found = Filter.inferred("kind", queries, corpus).wanted
    # Of "(?i)x" and its like the letters are left, too few to be a name; "[Linux" is Linux.
    assert found == ({"q": {value}} if value == "[Linux" else {})


def test_marks_of_direction_neither_hide_nor_make_a_name():
    corpus = columns(doc_id=["a", "b"], title="", text="", platform=[RTL, "ע\u200fברית"])
    queries = columns(query_id=["q1", "q2"], text=["for macOS", "for SOcam"])
    assert Filter.inferred("platform", queries, corpus).wanted == {"q1": {RTL}}


def test_the_oracle_asks_for_the_rarest_value_that_all_relevant_documents_share(corpus):
    qrels = columns(
        query_id=["q1", "q2", "q2", "q3", "q3", "q4", "q4", "q5"],
        doc_id=["d", "a", "c", "a", "b", "a", "e", "b"],
        relevance=[2, 1, 1, 1, 1, 1, 1, 0],
    )
    where = Filter.oracle("platforms", qrels, corpus)
    # q4 has a relevant document without a platform, q5 no relevant one.
    assert where.wanted == {"q1": {"Windows"}, "q2": {"Linux"}, "q3": {"Linux", "Windows"}}
    assert filter_report(where, qrels, corpus).hurt == 0


def test_a_field_that_is_not_there_names_the_nearest(corpus):
    with pytest.raises(DataError, match="corpus: no field 'platform' to filter by; did you mean 'platforms'"):
        Filter.oracle("platform", columns(query_id=["q"], doc_id=["a"], relevance=[1]), corpus)
    with pytest.raises(DataError, match="queries: no field 'platforms' to filter by"):
        Filter.shared("platforms", columns(query_id=["q"]), corpus)


# --- what they do -------------------------------------------------------------------------------


def test_the_report_counts_queries_touched_and_ruined_and_what_is_left(corpus):
    queries = columns(query_id=["q1", "q2", "q3", "q4", "q5"], text=["windows", "linux", "macos", "", "linux"])
    qrels = columns(
        query_id=["q1", "q2", "q3", "q3", "q4", "q5"],
        doc_id=["b", "b", "c", "a", "e", "a"],
        relevance=[1, 1, 2, 1, 1, 0],
    )
    where = Filter.inferred("platforms", queries, corpus)
    effects = filter_effects(where, qrels, corpus)
    assert effects.to_dict("list") == {
        "query_id": ["q1", "q2", "q3", "q4"],
        "wanted": ["Windows", "Linux", "macOS", ""],
        "left": [0.4, 0.6, 0.4, 1.0],
        "relevant": [1, 1, 2, 1],
        "relevant_left": [1, 0, 1, 1],
    }
    report = filter_report(where, qrels, corpus)
    assert report.n_queries == 4
    assert report.touched == pytest.approx(3 / 4)
    assert report.ruined == pytest.approx(1 / 3)
    assert report.hurt == pytest.approx(2 / 3)
    assert report.left == pytest.approx(1.4 / 3)


def test_a_filter_that_touches_nothing_ruins_nothing(corpus):
    where = Filter.inferred("platforms", columns(query_id=["q"], text=["nothing"]), corpus)
    report = filter_report(where, columns(query_id=["q"], doc_id=["a"], relevance=[1]), corpus)
    assert (report.touched, report.ruined, report.left) == (0, 0, 1)
