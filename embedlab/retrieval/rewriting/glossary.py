"""A table of abbreviations from the corpus, and queries with both forms of those that they name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from embedlab.data.text import fold
from embedlab.retrieval.rewriting.abbreviations import definitions

_WORD = re.compile(r"[^\W_]+")


class _Named(NamedTuple):
    """A form that a query names: the row of its pair, whether it is the short one, and where it ends."""

    row: int
    is_short: bool
    end: int


class Glossary:
    """Short and long forms; as a rewriter it adds the one that a query leaves out.

    Args:
        table: ``short, long, count``: how often the texts define the pair. A short form that is defined in several ways
            keeps the most frequent one, a long form its most frequent short form; among equals the first by alphabet.
        words: words that the texts write in lower case. A short form is found in lower case, too, unless it is among
            them: RAT is no rat.

    Attributes:
        table: the pairs that are used.
        conflicts: ``short, long, count, kept``: pairs that are not, and the long form or short form that is used
            instead.
    """

    name = "glossary"

    def __init__(self, table: pd.DataFrame, words: Iterable[str] = ()) -> None:
        ordered = table.sort_values(["count", "short", "long"], ascending=[False, True, True])
        kept: list[tuple[str, str, int]] = []
        conflicts: list[tuple[str, str, int, str]] = []
        used: dict[str, str] = {}
        for short, long, count in ordered[["short", "long", "count"]].to_numpy(dtype=object):
            other = used.get(fold(short)) or used.get(_key(long))
            if other is not None:
                conflicts.append((short, long, count, other))
                continue
            used |= {fold(short): long, _key(long): short}
            kept.append((short, long, count))
        self.table = pd.DataFrame(kept, columns=["short", "long", "count"])
        self.conflicts = pd.DataFrame(conflicts, columns=["short", "long", "count", "kept"])
        self._pairs = [(long, short) for short, long, _ in kept]
        self._lower = set(words)
        self._rows: dict[str, tuple[int, bool]] = {}
        for number, (short, long, _) in enumerate(kept):
            self._rows |= {_key(long): (number, False), fold(short): (number, True)}
        self._longest = max((key.count(" ") + 1 for key in self._rows), default=0)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Glossary:
        """Return the glossary of what the texts define (Schwartz and Hearst 2003)."""
        spellings: dict[tuple[str, str], Counter[str]] = {}
        lower: set[str] = set()
        for text in texts:
            lower.update(word for word in _WORD.findall(text) if word.islower())
            for short, long in definitions(text):
                spellings.setdefault((short, _key(long)), Counter())[long] += 1
        rows = []
        for (short, _), written in spellings.items():
            # The most frequent spelling is shown; among equals the first by alphabet.
            long = min(written, key=lambda spelling: (-written[spelling], spelling))
            rows.append((short, long, written.total()))
        return cls(pd.DataFrame(rows, columns=["short", "long", "count"]), lower)

    def rewrite(self, queries: pd.Series) -> pd.DataFrame:
        """Return ``query_id, text``: each query, with the other form in brackets behind each form that it names."""
        texts = [self.completed(text) for text in queries]
        return pd.DataFrame({"query_id": queries.index, "text": texts})

    def completed(self, text: str) -> str:
        """Return a text with the other form behind each one that it names, once, unless it names both."""
        named = list(self._named(text))
        forms = {(found.row, found.is_short) for found in named}
        parts, start = [], 0
        for found in named:
            if (found.row, not found.is_short) in forms:
                continue
            forms.add((found.row, not found.is_short))
            long, short = self._pairs[found.row]
            parts.append(f"{text[start : found.end]} ({long if found.is_short else short})")
            start = found.end
        return "".join(parts) + text[start:]

    def _named(self, text: str) -> Iterator[_Named]:
        """Yield the forms in a text from left to right, the longest where several begin at one word."""
        words = list(_WORD.finditer(text))
        at = 0
        while at < len(words):
            for size in range(min(self._longest, len(words) - at), 0, -1):
                start, end = words[at].start(), words[at + size - 1].end()
                found = self._found(text[start:end])
                if found is not None:
                    yield _Named(*found, end)
                    at += size - 1
                    break
            at += 1

    def _found(self, written: str) -> tuple[int, bool] | None:
        """Return the row of a form as it is written, in the plural too, and whether it is the short one."""
        found = self._rows.get(_key(written))
        if found is not None and not found[1]:
            return found
        short = self._rows.get(fold(written.removesuffix("s"))) or self._rows.get(fold(written))
        is_short = short is not None and short[1] and self._is_meant(written, self._pairs[short[0]][1])
        return short if is_short else None

    def _is_meant(self, written: str, short: str) -> bool:
        """Return whether a word is the short form, or its plural, and no common word that is spelled like it."""
        if written in (short, f"{short}s"):
            return True
        return written == short.lower() and self._lower.isdisjoint(_WORD.findall(written))


def _key(long: str) -> str:
    """Return what the spellings of a long form have in common: folded, without the s of an English plural."""
    folded = fold(long)
    if folded.endswith("ies"):
        return f"{folded[:-3]}y"
    return folded[:-1] if folded.endswith("s") and not folded.endswith("ss") else folded
