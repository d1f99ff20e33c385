"""Abbreviations that a corpus defines, and queries with both forms; about a second, the demo's corpus five."""

import pandas as pd
import pytest

from embedlab.retrieval import BM25, Glossary, Rewritten

TEXTS = [
    "Adversaries use a Command and Control (C2) channel. A C2 (Command and Control) server answers.",
    "A remote access Trojan (RAT) was found, and a rat ran over the sea.",
    "Attackers load dynamic-link libraries (DLLs), and a dynamic link library (DLL) is code.",
    "A security operations center (SOC) is no system on a chip (SOC). The security operations center (SOC) is open.",
    "Data goes over HTTP (Hypertext Transfer Protocol).",
]


@pytest.fixture(scope="module")
def glossary():
    return Glossary.of(TEXTS)


def pairs(*texts: str) -> dict[str, str]:
    """Return the long form of each short one that the texts define."""
    table = Glossary.of(texts).table
    return dict(zip(table["short"], table["long"], strict=True))


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("They use Command and Control (C2) servers.", "C2", "Command and Control"),
        ("They use C2 (Command and Control) servers.", "C2", "Command and Control"),
        ("by the World Wide Web Consortium (W3C)", "W3C", "World Wide Web Consortium"),
        ("over heat shock transcription factor (HSF)", "HSF", "heat shock transcription factor"),
        ("several command-line interfaces (CLIs) exist", "CLI", "command-line interfaces"),
        ("It uses the Remote Desktop Protocol (RDP, port 3389).", "RDP", "Remote Desktop Protocol"),
        ("an adversary-in-the-middle (AiTM) attack", "AiTM", "adversary-in-the-middle"),
        ("Das Bundesamt für Sicherheit in der Informationstechnik (BSI) warnt.", "BSI", None),
    ],
)
def test_long_forms_are_found_beside_their_short_ones(text, short, long):
    found = pairs(text)
    assert list(found) == [short]
    assert long is None or found[short] == long


@pytest.mark.parametrize(
    "text",
    [
        "many protocols (e.g., HTTP) and files (download all)",
        "the whole text (see Figure 2)",
        "as some (HTTP and HTTPS) do",
        "the port (443) is open",
        "another sentence ends. (ABC) stands alone",
        "no word here begins so (XQZ)",
        "a word and itself: RDP RDP (RDP)",
        "(ABC)",
        "()",
    ],
)
def test_what_defines_nothing_is_left_alone(text):
    assert pairs(text) == {}


def test_definitions_are_counted_whatever_their_spelling(glossary):
    counts = dict(zip(glossary.table["short"], glossary.table["count"], strict=True))
    assert counts == {"C2": 2, "SOC": 2, "DLL": 2, "RAT": 1, "HTTP": 1}


def test_of_two_long_forms_the_more_frequent_is_kept_and_the_other_reported(glossary):
    assert glossary.conflicts.to_dict("records") == [
        {"short": "SOC", "long": "system on a chip", "count": 1, "kept": "security operations center"}
    ]


def test_equal_counts_do_not_depend_on_the_order_of_the_texts():
    one, other = "a security operations center (SOC)", "a system on chip (SOC)"
    assert pairs(one, other) == pairs(other, one)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("a C2 server", "a C2 (Command and Control) server"),
        ("a c2 server", "a c2 (Command and Control) server"),
        ("its command-and-control server", "its command-and-control (C2) server"),
        ("Command and Control (C2) servers", "Command and Control (C2) servers"),
        ("C2 and again C2", "C2 (Command and Control) and again C2"),
        ("loads DLLs", "loads DLLs (dynamic link library)"),
        ("loads dynamic link libraries", "loads dynamic link libraries (DLL)"),
        ("a RAT over HTTP", "a RAT (remote access Trojan) over HTTP (Hypertext Transfer Protocol)"),
        ("a rat over HTTPS", "a rat over HTTPS"),
        ("nothing to add", "nothing to add"),
        ("", ""),
    ],
)
def test_a_query_gets_the_other_form_beside_each_that_it_names(glossary, query, wanted):
    found = glossary.rewrite(pd.Series({"q": query}))
    assert found.to_dict("records") == [{"query_id": "q", "text": wanted}]


def test_it_finds_documents_that_have_the_other_form_alone():
    documents = pd.Series({"d1": "The dynamic link library was replaced.", "d2": "Nothing at all."})
    query = pd.Series({"q": "a DLL"})
    assert BM25(documents).search(query).empty
    assert Rewritten(BM25(documents), Glossary.of(TEXTS)).search(query)["doc_id"].tolist() == ["d1"]


def test_an_empty_glossary_changes_nothing():
    glossary = Glossary.of(["no abbreviation", ""])
    assert glossary.table.empty
    assert glossary.rewrite(pd.Series({"q": "a C2 server"}))["text"].tolist() == ["a C2 server"]


def test_the_demos_corpus_defines_its_own(attack):
    table = Glossary.of(attack.document_texts()).table.set_index("short")
    assert table.loc["C2", "long"].lower() == "command and control"
    assert table.loc["C2", "count"] >= 5
    assert table.loc["DLL", "long"].lower().replace("-", " ").startswith("dynamic link librar")
    assert len(table) > 100
