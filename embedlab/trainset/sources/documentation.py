"""Documentation: a folder of pages, whose headings are queries for what stands below them, and its search box."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedlab.data.text import fold
from embedlab.errors import DataError
from embedlab.trainset.sources.examples import Example, Harvest, Reading, usable
from embedlab.trainset.sources.table import Table, lines, split_ids

QUERIES = ("query", "document")
"""Columns of what was typed into the documentation's search box."""

MARKDOWN, HTML = {".md", ".markdown"}, {".html", ".htm"}

NO_CONTENT = ("script", "style", "nav", "header", "footer", "aside", "noscript", "template")

_FRONT_MATTER = re.compile(r"\A---\s*\n.*?\n---\s*\n", re.S)

_HEADING = re.compile("^h[1-6]$")

_NO_SLUG = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Section:
    """A heading of a page, the text below it up to the next one, and the id that it would have."""

    page: str
    slug: str
    title: str
    heading: str
    text: str


def read(table: Table, reading: Reading) -> Harvest:
    """Read a folder; a section belongs to the document that its place or its page's title names.

    Tried in this order: ``guide/install.md#on-linux``, ``guide/install.md``, ``guide/install``, and a document
    whose title is the page's. Sections without text below them are left out.

    Args:
        table: its path is the folder.
        reading: the corpus.

    Raises:
        DataError: if the folder is missing, or a page is not UTF-8.
    """
    if not table.path.is_dir():
        raise DataError(f"{table.path} ({table.source}): no such folder")
    examples = []
    for path in sorted(p for p in table.path.rglob("*") if p.suffix.lower() in MARKDOWN | HTML):
        for section in sections(path, path.relative_to(table.path).as_posix()):
            table.rows_read += 1
            found = _document_of(section, reading)
            if not found:
                table.fault("unknown document", 1, section.page, f"no document is {section.page} or {section.title!r}")
            elif section.text:
                asked = section.heading if section.heading == section.title else f"{section.title}: {section.heading}"
                examples.append(Example(asked, [found], f"{path}#{section.slug}", "heading"))
    return Harvest(examples)


def _document_of(section: Section, reading: Reading) -> str:
    """Return the document that a section's place or its page's title names, or nothing."""
    stem = section.page.rpartition(".")[0]
    for place in (f"{section.page}#{section.slug}", f"{stem}#{section.slug}", section.page, stem):
        if place in reading.documents:
            return place
    return reading.titles.get(fold(section.title), "")


def read_queries(table: Table, reading: Reading) -> Harvest:
    """Read ``query, document``: what was typed into a documentation's search box, and the page."""
    examples = []
    for frame in table.chunks(reading.chunk):
        for query, page, row in frame[[*QUERIES, "row"]].itertuples(index=False):
            found = usable(table, int(row), query, split_ids(page), reading.documents)
            if found:
                examples.append(Example(query, found, f"{table.path}:{row}", "documentation query"))
    return Harvest(examples)


def sections(path: Path, page: str) -> Iterator[Section]:
    """Yield the sections of a page that have a heading; the first heading is the page's title."""
    import mistune
    from bs4 import BeautifulSoup
    from bs4.element import Comment

    source = "".join(lines(path))
    if path.suffix.lower() in MARKDOWN:
        source = str(mistune.html(_FRONT_MATTER.sub("", source)))
    soup = BeautifulSoup(source, "html.parser")
    for tag in soup(NO_CONTENT):
        tag.decompose()
    title, heading, texts = "", "", list[str]()
    for node in soup.find_all(string=lambda text: not isinstance(text, Comment)):
        above = node.find_parent(_HEADING)
        if above is None:
            texts.append(str(node))
        elif node is next(iter(above.find_all(string=True)), None):  # a heading's other pieces are part of it
            if heading:
                yield _section(page, title, heading, texts)
            heading = " ".join(above.get_text(" ").split())
            title = title or heading
            texts = []
    if heading:
        yield _section(page, title, heading, texts)


def _section(page: str, title: str, heading: str, texts: list[str]) -> Section:
    return Section(page, _slug(heading), title, heading, " ".join(" ".join(texts).split()))


def _slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return _NO_SLUG.sub("", heading.lower()).replace(" ", "-")
