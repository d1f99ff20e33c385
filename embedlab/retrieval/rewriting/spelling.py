"""Slips of spelling in queries, mended by the words of the corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from unicodedata import normalize

import pandas as pd
import regex

from embedlab.errors import ParameterError
from embedlab.retrieval.languages import AUTO, language_of

ONE_SLIP, TWO_SLIPS = 6, 10
"""A word of so many letters may have one slip, and one of so many two; shorter ones are left alone."""

LEAD = 3.0
"""Of words equally near, one is taken that stands this many times as often in the corpus as the next."""

_WORDS = regex.compile(r"[\p{L}\p{M}]+")

# What touches a digit, a dot, a slash and the like is part of a name, an address or a code.
_ALONE = regex.compile(r"(?<![^\s\"'“”‘’(\[])[\p{L}\p{M}]+(?=[\"'“”‘’)\].,;:!?…]*(?:\s|$))")


class Spelling:
    """A rewriter that puts a word of the corpus in place of one that is unknown there and clearly nearest to it.

    Near are words one slip away, two for long ones: a letter more, less or another, or two neighbours exchanged
    (Damerau 1964, counted as the optimal string alignment), and none at its first letter, where slips are rare and
    other words are near (Yannakoudakis and Fawthrop 1983). Left alone are words that the corpus has in another
    inflection, or with another ending, words with a capital letter, codes and what touches them, and words to which
    several are equally near.

    A right word that the corpus lacks can be near to one that it has: give texts such as earlier queries as ``known``.

    Args:
        counts: how often the corpus has each word, in lower case.
        known: further words that are right.
        language: whose stemmer tells inflections of one word; see :class:`embedlab.retrieval.BM25`.
        lead: of words equally near, one is taken that stands this many times as often as the next; 1 or more.

    Raises:
        ParameterError: if the lead is below 1.

    Attributes:
        changes: ``word, instead, queries``: what was changed by all calls so far, and in how many queries.
    """

    name = "spelling"

    def __init__(
        self, counts: Counter[str], known: Iterable[str] = (), language: str = AUTO, lead: float = LEAD
    ) -> None:
        if not lead >= 1:
            raise ParameterError(f"spelling: expected a lead of 1 or more, found {lead}")
        self._counts, self._lead = counts, lead
        # Wrong words in the corpus are near to nothing but themselves; short ones are never asked for.
        self._words: dict[str, list[str]] = {}
        for word in sorted(counts):
            if len(word) >= ONE_SLIP - 1:
                self._words.setdefault(word[0], []).append(word)
        self._language = language_of(language, counts)
        self._stems = self._stems_of([*counts, *known])
        self._found: dict[str, str] = {}
        self._changed: Counter[str] = Counter()

    @classmethod
    def of(cls, texts: Iterable[str], known: Iterable[str] = (), language: str = AUTO, lead: float = LEAD) -> Spelling:
        """Return the spelling of the texts' words; those of ``known``, texts too, are right but put in for nothing."""
        texts = list(texts)
        counts = Counter(word for text in texts for word in _words(text))
        others = {word for text in known for word in _words(text)}
        return cls(counts, others, language_of(language, texts).name, lead)

    @property
    def changes(self) -> pd.DataFrame:
        """What was changed so far, the most frequent first."""
        rows = [(word, self._found[word], count) for word, count in self._changed.items()]
        found = pd.DataFrame(rows, columns=["word", "instead", "queries"])
        return found.sort_values(["queries", "word"], ascending=[False, True], ignore_index=True)

    def rewrite(self, queries: pd.Series) -> pd.DataFrame:
        """Return ``query_id, text``: each query with its slips mended."""
        asked = [{found for found in _ALONE.findall(text) if _can_slip(found)} for text in queries]
        self._learn(set().union(*asked))
        texts = []
        for text, words in zip(queries, asked, strict=True):
            wrong = {word for word in words if self._found[word] != word}
            self._changed.update(wrong)
            texts.append(_ALONE.sub(lambda found: self._found.get(found[0], found[0]), text) if wrong else text)
        return pd.DataFrame({"query_id": queries.index, "text": texts})

    def _learn(self, words: set[str]) -> None:
        """Find out what stands for each of the words that were not asked for before."""
        fresh = sorted(words - set(self._found))
        for word in fresh:
            is_known = not self._stems_of([word]).isdisjoint(self._stems)
            self._found[word] = word if is_known else self._nearest(normalize("NFC", word))

    def _stems_of(self, words: list[str]) -> set[str]:
        stemmer = self._language.stemmer()
        return set(words) if stemmer is None else {*words, *stemmer.stemWords(words)}

    def _nearest(self, word: str) -> str:
        """Return the word of the corpus that is clearly nearest, or the word itself."""
        from rapidfuzz.distance import OSA
        from rapidfuzz.process import extract

        reach = 2 if len(word) >= TWO_SLIPS else 1
        # What only goes on longer, or stops earlier, is more often another word than a slip: larger, large.
        others = [w for w in self._words.get(word[0], []) if not w.startswith(word) and not word.startswith(w)]
        near = extract(word, others, scorer=OSA.distance, score_cutoff=reach, limit=None)
        least = min((distance for _, distance, _ in near), default=0)
        best = sorted((found for found, distance, _ in near if distance == least), key=lambda w: (-self._counts[w], w))
        if not best or (len(best) > 1 and self._counts[best[0]] < self._lead * self._counts[best[1]]):
            return word
        return best[0]


def _words(text: str) -> list[str]:
    return _WORDS.findall(normalize("NFC", text).lower())


def _can_slip(word: str) -> bool:
    """Return whether a word is long enough, and neither a name nor a code."""
    return len(word) >= ONE_SLIP and word == word.lower()
