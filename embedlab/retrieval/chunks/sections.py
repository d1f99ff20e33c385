"""Where sentences and sections of a text begin."""

from __future__ import annotations

from typing import NamedTuple

import regex

LONGEST_HEADING = 80
"""Characters of a line that can still be a heading without Markdown's mark."""

_MARKDOWN = regex.compile(r"#{1,6}[ \t]+\S")
_NUMBERED = regex.compile(r"(?:\d{1,3}(?:\.\d{1,3})*[.)]?|[IVX]{1,5}\.)[ \t]+\p{Lu}.*[\p{L}\p{N})]")
_COLON = regex.compile(r"\p{Lu}[^:.!?。]*:")
_FENCE = regex.compile(r"[ \t]*(?:```|~~~)")


class Section(NamedTuple):
    """A stretch of a text, in characters, and where the heading that it begins with ends (``start``: it has none)."""

    start: int
    heading_end: int
    end: int


def sentence_starts(text: str, language: str = "en") -> list[int]:
    """Return the characters at which sentences begin; white space belongs to the sentence before it.

    Abbreviations are those of the language; full stops of other scripts count in every language.

    Args:
        text: any text.
        language: ISO 639-1, such as ``de``.
    """
    from sentencex import segment

    starts, at = [], 0
    for sentence in segment(language, text):
        if not sentence.isspace():
            starts.append(at)
        at += len(sentence)
    # White space before the first sentence, too, belongs to one.
    return [0, *starts[1:]]


def sections(text: str) -> list[Section]:
    """Return the sections of a text: each but the first begins with a heading; together they are the text.

    Headings are lines of their own: Markdown's (``## Name``, outside of fenced code), numbered ones (``2.1 Name``),
    lines in capitals, and names before a colon (``Name:``); all but Markdown's at most :data:`LONGEST_HEADING`
    characters long. Headings that follow one another without a text between are one.
    """
    found = [Section(0, 0, len(text))]
    for start, end in _heading_lines(text):
        last = found[-1]
        if not text[last.heading_end : start].strip():
            found[-1] = last._replace(heading_end=end)
        else:
            found[-1] = last._replace(end=start)
            found.append(Section(start, end, len(text)))
    return found


def _heading_lines(text: str) -> list[tuple[int, int]]:
    """Return start and end of every line that is a heading."""
    found = []
    at, is_code = 0, False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            is_code = not is_code
        elif not is_code and is_heading(line.strip()):
            found.append((at, at + len(line)))
        at += len(line)
    # A text of one line has no room for a heading beside it.
    return [(start, end) for start, end in found if end - start < len(text.rstrip())]


def is_heading(line: str) -> bool:
    """Return whether a line, without white space at its ends, is a heading."""
    if _MARKDOWN.match(line):
        return True
    if not line or len(line) > LONGEST_HEADING:
        return False
    letters = [character for character in line if character.isalpha()]
    # Scripts without capitals have no letter that is upper: nothing in them is a line in capitals.
    is_capital = len(letters) > 3 and all(letter.isupper() for letter in letters) and line[-1] not in ".!?,;"
    return is_capital or bool(_NUMBERED.fullmatch(line)) or bool(_COLON.fullmatch(line))
