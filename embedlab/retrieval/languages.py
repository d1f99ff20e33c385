"""The language of texts, and what words are searched for in it: its stop words, its stemmer, its script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import regex

from embedlab.errors import ParameterError, nearest, shown

AUTO = "auto"
"""The language is found out from the texts."""

NONE = "none"
"""No stop words and no stemmer: words as they stand, in lower case."""

SAMPLE, CHARACTERS = 200, 400
"""So many texts, evenly spaced, are looked at for their language, and so many characters of each."""

ENGLISH_SHARE = 0.22
"""Texts with this share of English function words are English: here .28 to .35; in languages near to it up to .18."""

SURE = 0.9
"""Texts in Latin letters are taken for another language than English where it is at least as probable as this."""

STEMMED = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "st": "sesotho", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
"""Languages that Snowball stems (https://snowballstem.org), by ISO 639-1 code."""

UNSTEMMED = {
    "af": "afrikaans", "az": "azerbaijani", "be": "belarusian", "bg": "bulgarian", "bn": "bengali", "gu": "gujarati",
    "he": "hebrew", "hr": "croatian", "is": "icelandic", "ja": "japanese", "ka": "georgian", "kk": "kazakh",
    "km": "khmer", "kn": "kannada", "ko": "korean", "lo": "lao", "lv": "latvian", "mk": "macedonian",
    "ml": "malayalam", "mn": "mongolian", "mr": "marathi", "ms": "malay", "my": "burmese", "pa": "punjabi",
    "sk": "slovak", "sl": "slovenian", "sq": "albanian", "sw": "swahili", "te": "telugu", "th": "thai",
    "tl": "tagalog", "uk": "ukrainian", "ur": "urdu", "vi": "vietnamese", "zh": "chinese",
}  # fmt: skip
"""Further languages that can be told apart; their words are searched for as they stand."""

STOPPED = {"da", "de", "en", "es", "fr", "it", "nl", "no", "pt", "ru", "sv", "tr"}
"""Languages whose stop words bm25s brings; those of Chinese and Korean are words, and here they are cut into pairs."""

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc"

# Vowels of many scripts, such as Hindi's, are marks on the letter before them: they are part of the word.
_PIECES = regex.compile(rf"(?V1)([{_UNSPACED}][{_UNSPACED}\p{{M}}]*)|([[\p{{L}}\p{{N}}\p{{M}}_]--[{_UNSPACED}]]+)")

_CHARACTER = regex.compile(r"\X")

# Where a line may break, or letters join, is no part of the word.
_UNSEEN = {0x00AD: None, 0x200D: None}

_TURKISH = str.maketrans({"I": "ı", "İ": "i"})


@dataclass(frozen=True)
class Language:
    """A language as lexical search knows it.

    Attributes:
        code: ISO 639-1, blank for none.
        name: in English, in lower case; that of the Snowball stemmer where there is one.
    """

    code: str
    name: str

    def tokens(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the stemmed words of each text without stop words.

        English is cut as bm25s cuts it. Elsewhere marks stay with their letters, and runs of a script that puts no
        spaces between words, or none between a word and its particles (Chinese, Japanese, Korean, Thai, …), are cut
        into overlapping pairs of characters, as Lucene's CJK analyzer does.
        """
        import bm25s

        stops = self.code if self.code in STOPPED else None
        options: dict[str, Any] = {"stopwords": stops, "stemmer": self.stemmer(), "show_progress": False}
        if self.code != "en":
            texts, options["token_pattern"] = [" ".join(self._words(text)) for text in texts], r"\S+"
        found: list[list[str]] = bm25s.tokenize(list(texts), return_ids=False, **options)
        return found

    def stemmer(self) -> Any:
        """Return the language's Snowball stemmer, None where the installed PyStemmer has none."""
        import Stemmer

        if self.code in STEMMED and self.name in Stemmer.algorithms():
            return Stemmer.Stemmer(self.name)
        return None

    def _words(self, text: str) -> list[str]:
        """Return the words of a text, and the pairs of characters where it has no spaces between words."""
        plain = unicodedata.normalize("NFKC", text).translate(_UNSEEN)
        if self.code in ("az", "tr"):
            plain = plain.translate(_TURKISH)
        found: list[str] = []
        for run, word in _PIECES.findall(plain.lower()):
            if run:
                found += _pairs(run)
            elif len(word) > 1:
                found.append(word)
        return found


def _pairs(run: str) -> list[str]:
    """Return the overlapping pairs of a run's characters, each with its marks; a single one stands alone."""
    characters = _CHARACTER.findall(run)
    return ["".join(pair) for pair in pairwise(characters)] or characters


ENGLISH = Language("en", "english")

_LANGUAGES = [Language(code, name) for code, name in (STEMMED | UNSTEMMED).items()]

_BY_NAME = {language.name: language for language in _LANGUAGES} | {NONE: Language("", NONE)}

_BY_CODE = {language.code: language for language in _LANGUAGES}


def language_of(name: str, texts: Iterable[str]) -> Language:
    """Return the language with this name or code, or the one that the texts are in.

    Args:
        name: ``auto``, ``none``, an English name such as ``german``, or an ISO 639-1 code such as ``de``.
        texts: looked at for ``auto`` alone.

    Raises:
        ParameterError: if no language has the name.
    """
    asked = str(name).strip().lower()
    if asked == AUTO:
        return detect_language(texts)
    found = _BY_NAME.get(asked) or _BY_CODE.get(asked)
    if found is None:
        raise ParameterError(
            f"language: expected auto, none, a name such as german or a code such as de, found {shown(name)!r}"
            f"{nearest(asked, [AUTO, *_BY_NAME])}"
        )
    return found


def detect_language(texts: Iterable[str]) -> Language:
    """Return the language that most of the texts are in; what cannot be told is taken for English.

    English is told by its function words (Grefenstette 1995, "Comparing two language identification schemes"), without
    a model. The others by langid (Lui and Baldwin 2012), among the languages known here: it also knows close relatives
    of English and dialects that short technical texts are easily taken for.
    """
    text = _sample(texts)
    if _english_share(text) >= ENGLISH_SHARE:
        return ENGLISH
    likely = {code: share for code, share in _identifier().rank(text) if code in _BY_CODE}
    code = max(likely, key=lambda code: (likely[code], code))
    is_sure = likely[code] >= SURE * sum(likely.values())
    return _BY_CODE[code] if is_sure or not _is_latin(text) else ENGLISH


def _sample(texts: Iterable[str]) -> str:
    """Return the beginnings of some texts that are not blank, evenly spaced, so that all of a collection counts."""
    there = [text for text in texts if text.strip()]
    step = max(1, len(there) // SAMPLE)
    return "\n".join(text[:CHARACTERS] for text in there[::step][:SAMPLE])


def _english_share(text: str) -> float:
    """Return the share of a text's words that are English function words."""
    from bm25s.stopwords import STOPWORDS_EN

    words = re.findall(r"\b\w\w+\b", text.lower())
    stops = set(STOPWORDS_EN)
    return sum(word in stops for word in words) / max(1, len(words))


def _is_latin(text: str) -> bool:
    """Return whether at least half of a text's letters are ASCII's; a text without letters is."""
    letters = [character for character in text if character.isalpha()]
    return 2 * sum(character.isascii() for character in letters) >= len(letters)


@cache
def _identifier() -> Any:
    """Return langid's model, read once a process: about half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
