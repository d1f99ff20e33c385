"""Abbreviations where a text defines them (Schwartz and Hearst 2003), such as "Command and Control (C2)"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from embedlab.data.text import fold

LONGEST_SHORT = 10
"""Characters of a short form, and words of what may be one."""

SHORT_WORDS = 2

_BRACKETS = re.compile(r"\(([^()\n]{2,200})\)")

_SENTENCE_END = re.compile(r"[.;:!?]\s|[\n()]")

_AROUND = " \"'“”‘’/–-"

_LETTER_AND_DIGIT = re.compile(r"([^\W\d_])([2-9])")


def definitions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each short form with its long form as the text defines them: ``long (short)`` or ``short (long)``.

    A long form is found from its end: each character of the short form must follow in it, the first at the start of a
    word. Where that fails, a digit stands for the letter before it, as often as it says: C2, W3C, S3. A short form
    loses the s of a plural.
    """
    for found in _BRACKETS.finditer(text):
        inside = re.split(r"[,;]\s", found[1].strip())[0]
        before = _SENTENCE_END.split(text[: found.start()])[-1].rstrip()
        if not before:
            continue
        if _is_short(inside):
            short, long = inside, long_form(inside, _last_words(before, inside))
        else:
            short = before.split()[-1].strip("\"'“”‘’,")
            long = long_form(short, inside) if _is_short(short) else ""
            # What stands in the brackets has to be the long form as a whole.
            long = long if long == inside else ""
        long = long.strip(_AROUND)
        if _is_long(long, short):
            yield _singular(short, long), long


def _is_short(text: str) -> bool:
    """Return whether this can be a short form: brief, and with two capitals or digits at least."""
    marks = sum(character.isupper() or character.isdigit() for character in text)
    is_brief = 2 <= len(text) <= LONGEST_SHORT and len(text.split()) <= SHORT_WORDS
    return is_brief and marks >= 2 and text[0].isalnum() and any(character.isupper() for character in text)


def _is_long(long: str, short: str) -> bool:
    """Return whether a long form is one: longer than the short form, which is none of its words, and no code."""
    several = len(fold(long).split()) > 1
    return several and len(long) > len(short) and short not in long.split() and "`" not in long


def _last_words(before: str, short: str) -> str:
    """Return the words before a short form among which its long form must be: few where it is brief."""
    size = sum(character.isalnum() for character in _spelled(short))
    return " ".join(before.split()[-min(size + 5, 2 * size) :])


def long_form(short: str, text: str) -> str:
    """Return the end of a text that a short form stands for, blank where there is none."""
    return _matched(short, text) or _matched(_spelled(short), text)


def _spelled(short: str) -> str:
    """Return a short form with each letter before a digit as often as that says: C2 is CC."""
    return _LETTER_AND_DIGIT.sub(lambda found: found[1] * int(found[2]), short)


def _matched(short: str, text: str) -> str:
    """Return the shortest end of a text whose characters hold the short form's in order, from the start of a word."""
    at = len(text)
    wanted = [character for character in short.lower() if character.isalnum()]
    for left in range(len(wanted) - 1, -1, -1):
        at = text.lower().rfind(wanted[left], 0, at)
        while left == 0 and at > 0 and text[at - 1].isalnum():
            at = text.lower().rfind(wanted[left], 0, at)
        if at < 0:
            return ""
    return text[text.rfind(" ", 0, at + 1) + 1 :]


def _singular(short: str, long: str) -> str:
    """Return the short form without the s of a plural that both have: CLIs, command-line interfaces."""
    is_plural = len(short) > 2 and short.endswith("s") and short[-2].isupper() and long.endswith("s")
    return short[:-1] if is_plural else short
