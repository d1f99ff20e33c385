"""Slips in queries are mended by the corpus' words, and nothing else is changed; about a second."""

import pandas as pd
import pytest

from embedlab.errors import ParameterError
from embedlab.retrieval import BM25, Rewritten, Spelling

TEXTS = [
    "The adversary dumps credentials and modifies the registry.",
    "Malicious documents carry malicious macros; the registry keeps configurations.",
    "Persistence is gained by scheduled services.",
    "An adverb and a serviced tractor, a tractor, a tractor and a traitor stand here: angle, angles.",
]


@pytest.fixture(scope="module")
def spelling():
    return Spelling.of(TEXTS)


def mended(spelling, query: str) -> str:
    return spelling.rewrite(pd.Series({"q": query}))["text"].item()


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("modifies the regisry", "modifies the registry"),
        ("modifies the regiistry", "modifies the registry"),
        ("modifies the regestry", "modifies the registry"),
        ("modifies the reigstry, then", "modifies the registry, then"),
        ("dumps (credentails)", "dumps (credentials)"),
        ("its cofigurtions", "its configurations"),
    ],
)
def test_a_slip_is_mended(spelling, query, wanted):
    assert mended(spelling, query) == wanted


@pytest.mark.parametrize(
    "query",
    [
        "quantum entanglement",  # near to nothing
        "regsitryy",  # two slips are too many for a word of this length
        "the Regisry of Emotet",  # names
        "regisry2 regisry.exe /regisry regis-try some_regisry",  # codes
        "maliciousness malicious regIsry",
        "schedules credential",  # other inflections of words that are there
        "the registrys registr maliciously malicio",  # other endings
        "angel",  # short
        "pegistry",  # the first letter
        "",
    ],
)
def test_everything_else_stays(spelling, query):
    assert mended(spelling, query) == query


def test_among_equally_near_words_a_clearly_more_frequent_one_is_taken(spelling):
    assert mended(spelling, "the tractior") == "the tractor"
    equally_near = ["tractor, tractor, tractor, tracker"]
    assert mended(Spelling.of(equally_near, lead=3), "the tracter") == "the tractor"
    assert mended(Spelling.of(equally_near, lead=4), "the tracter") == "the tracter"


def test_a_lead_below_one_is_refused():
    with pytest.raises(ParameterError, match="a lead of 1 or more, found 0"):
        Spelling.of(TEXTS, lead=0.5)
    assert mended(Spelling.of(["a tractor, a traitor"]), "the trantor") == "the trantor"


def test_known_words_are_right_and_put_in_for_nothing():
    spelling = Spelling.of(["it was a telephony service"], known=["the telephone rang", "regisry"])
    assert mended(spelling, "a telephone service") == "a telephone service"
    assert mended(Spelling.of(["it was a telephony service"]), "a telephone service") == "a telephony service"
    assert mended(spelling, "the regisryy") == "the regisryy"


def test_it_says_what_it_changed():
    spelling = Spelling.of(TEXTS)
    spelling.rewrite(pd.Series({"q1": "regisry and regisry", "q2": "a regisry", "q3": "credentails"}))
    assert spelling.changes.to_dict("records") == [
        {"word": "regisry", "instead": "registry", "queries": 2},
        {"word": "credentails", "instead": "credentials", "queries": 1},
    ]


def test_other_alphabets_are_mended_too():
    spelling = Spelling.of(["Злоумышленник шифрует файлы", "किताबें और कहानियाँ पुस्तकालय"])
    assert mended(spelling, "злоумышлениик") == "злоумышленник"


def test_mended_queries_find_what_slips_do_not():
    documents = pd.Series(TEXTS, index=["d1", "d2", "d3", "d4"])
    query = pd.Series({"q": "presistence servces"})
    assert BM25(documents).search(query).empty
    assert Rewritten(BM25(documents), Spelling.of(TEXTS)).search(query)["doc_id"].tolist()[0] == "d3"
