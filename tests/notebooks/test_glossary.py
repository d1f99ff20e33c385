"""The glossary explains what the notebooks link to: every entry has a place, a sentence and a source."""

import json
import re

import pytest
from conftest import PROJECT

GLOSSARY = PROJECT / "docs" / "glossary.md"
LINK = re.compile(r"\.\./docs/glossary\.md#([^)\s]+)")
WITHIN = re.compile(r"\]\(#([^)\s]+)\)")
SOURCE = re.compile(r"^\*Source: (?P<source>.+)\.\*$")
KNOWN_SOURCE = re.compile(r"\b(embedlab|MITRE|BEIR|TREC|1[89]\d\d|20\d\d)\b")


def anchor(heading):
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def entries():
    """Return the text under each heading, in the order of the page."""
    parts = re.split(r"^## (.+)\n", GLOSSARY.read_text(encoding="utf-8"), flags=re.M)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def links_of_notebooks():
    """Return each notebook's anchors of the glossary, in markdown cells and in what code cells say."""
    found = []
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        found += [(path.name, target) for target in LINK.findall(text)]
    return found


HEADINGS = [heading for heading, _ in entries()]
ANCHORS = {anchor(heading) for heading in HEADINGS}
each_entry = pytest.mark.parametrize(("heading", "text"), entries(), ids=HEADINGS)


def test_every_link_of_a_notebook_leads_to_an_entry():
    links = links_of_notebooks()
    assert links, "no notebook links to the glossary"
    assert [(name, target) for name, target in links if target not in ANCHORS] == []


def test_a_link_to_nowhere_would_be_noticed():
    assert LINK.findall("a [word](../docs/glossary.md#no-such-word), explained") == ["no-such-word"]
    assert "no-such-word" not in ANCHORS


def test_links_within_the_glossary_lead_to_an_entry():
    targets = WITHIN.findall(GLOSSARY.read_text(encoding="utf-8"))
    assert targets
    assert set(targets) <= ANCHORS


def test_entries_are_in_order_and_unique():
    assert sorted(HEADINGS, key=str.casefold) == HEADINGS
    assert len(ANCHORS) == len(HEADINGS)


def test_anchors_are_those_of_github():
    assert anchor("Holm's correction") == "holms-correction"
    assert anchor("in-batch negative") == "in-batch-negative"
    assert anchor("trec_eval") == "trec_eval"


@each_entry
def test_an_entry_is_a_sentence_or_two_and_a_source(heading, text):
    sentence, source = text.strip().split("\n\n")
    sentence = " ".join(sentence.split())
    assert sentence.endswith(".")
    assert 1 <= len(re.split(r"(?<=[.!?]) (?=[A-Z])", sentence)) <= 2
    found = SOURCE.match(source)
    assert found, f"{heading} has no source"
    assert KNOWN_SOURCE.search(found["source"]), f"{heading}: neither a year nor a known name in {found['source']!r}"


def test_a_page_starts_with_what_it_is_for():
    head = GLOSSARY.read_text(encoding="utf-8").split("\n## ")[0].strip().splitlines()
    assert head[0] == "# Glossary"
    assert len([line for line in head[1:] if line]) == 3
