"""Which names a text mentions."""

from __future__ import annotations

from collections.abc import Iterable

import regex

from embedlab.data.text import fold

# Scripts that put no space between words: each of their letters counts as a word of its own.
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_SPACELESS}]\p{{M}}*|[^\s{_SPACELESS}]+")
_IS_SPACELESS = regex.compile(rf"[{_SPACELESS}]")

SHORTEST = 3
"""Characters of a name that can be recognized in a text, marks and spaces not counted; 2 in scripts without spaces."""


class Mentions:
    """Finds names in texts: whole words, whatever their case and the marks between them, the longest first.

    Args:
        names: as they are written; one of fewer than :data:`SHORTEST` characters is never found.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[tuple[str, ...], set[str]] = {}
        self._longest: dict[str, int] = {}
        for name in names:
            words = _words(name)
            if _is_recognizable(words):
                self._names.setdefault(words, set()).add(name)
                self._longest[words[0]] = max(self._longest.get(words[0], 0), len(words))

    def within(self, text: str) -> set[str]:
        """Return the names that a text mentions; not one that stands there only as part of a longer one."""
        words = _words(text)
        found: set[str] = set()
        at = 0
        while at < len(words):
            count, names = self._at(words, at)
            found |= names
            at += count
        return found

    def _at(self, words: tuple[str, ...], at: int) -> tuple[int, set[str]]:
        """Return the words of the longest name that begins at a word, and all names that are written so."""
        for count in range(min(self._longest.get(words[at], 0), len(words) - at), 0, -1):
            names = self._names.get(words[at : at + count])
            if names:
                return count, names
        return 1, set()


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(fold(text)))


def _is_recognizable(words: tuple[str, ...]) -> bool:
    name = "".join(words)
    return len(name) >= (SHORTEST - 1 if _IS_SPACELESS.search(name) else SHORTEST)
