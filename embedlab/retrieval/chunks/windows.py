"""Stretches of a text that hold so many tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WORD = re.compile(r"\S+")

Places = NDArray[np.int64]
"""Characters of a text, or positions of its tokens."""


class Span(NamedTuple):
    """A passage as a stretch of its document's text, in characters, with the heading repeated before it, if any."""

    start: int
    end: int
    heading: str = ""


def written(text: str, span: Span) -> str:
    """Return a passage's own text, without white space where it was cut."""
    piece = text[span.start : span.end]
    piece = piece.lstrip() if span.start else piece
    return piece.rstrip() if span.end < len(text) else piece


def token_starts(tokenizer: Tokenizer, texts: list[str]) -> list[Places]:
    """Return for each text the characters at which its tokens begin, without special tokens."""
    found = []
    for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
        starts = np.fromiter((start for start, _ in encoding.offsets), dtype=np.int64, count=len(encoding))
        # Normalization may change the order of marks on a letter; a passage begins at the earlier one.
        found.append(np.maximum.accumulate(starts) if len(starts) else starts)
    return found


def word_starts(text: str, starts: Places) -> Places:
    """Return the positions of tokens that begin a word after white space."""
    words = np.array([word.start() for word in _WORD.finditer(text)], dtype=np.int64)
    # Some tokenizers count the space before a word as part of its first token; no other token begins there.
    found = np.unique(np.searchsorted(starts, words - 1))
    return found[found < len(starts)]


def windows(count: int, words: Places, room: int, overlap: int) -> list[tuple[int, int]]:
    """Return windows over ``count`` tokens, as first and beyond last, that end between words in their second half.

    Args:
        count: tokens of the text.
        words: positions of the tokens that begin a word.
        room: tokens of a window.
        overlap: tokens that neighbours share at most; at most half of the room.
    """
    found, first = [], 0
    while first + room < count:
        last = first + room
        before = int(words[np.searchsorted(words, last, side="right") - 1]) if len(words) else 0
        # A word of more than half a window is cut within.
        last = before if before > first + room // 2 else last
        found.append((first, last))
        after = np.searchsorted(words, last - overlap)
        is_word = after < len(words) and words[after] <= last
        first = int(words[after]) if is_word else last - overlap
    return [*found, (first, count)]


def packed(bounds: Places, words: Places, room: int, overlap: int) -> list[tuple[int, int]]:
    """Return passages of whole sentences, as first token and beyond last; a sentence that is too long is cut.

    Args:
        bounds: the first token of each sentence, and the number of tokens.
        words: positions of the tokens that begin a word.
        room: tokens of a passage.
        overlap: tokens that neighbours share at most, in whole sentences.
    """
    found = []
    at, count = 0, len(bounds) - 1
    while at < count:
        beyond = int(np.searchsorted(bounds, bounds[at] + room, side="right")) - 1
        if beyond == at:
            begin, end = int(bounds[at]), int(bounds[at + 1])
            within = words[(words >= begin) & (words < end)] - begin
            found += [(begin + first, begin + last) for first, last in windows(end - begin, within, room, overlap)]
            at += 1
            continue
        found.append((int(bounds[at]), int(bounds[beyond])))
        at = beyond
        # Sentences are shared as long as the next one still fits behind them.
        while at and bounds[beyond] - bounds[at - 1] <= overlap and _next_fits(bounds, at - 1, beyond, room):
            at -= 1
    return found


def _next_fits(bounds: Places, at: int, beyond: int, room: int) -> bool:
    return beyond + 1 < len(bounds) and bool(bounds[beyond + 1] - bounds[at] <= room)


def spans_of(ranges: list[tuple[int, int]], starts: Places, begin: int, end: int) -> list[Span]:
    """Return token ranges as stretches of characters between ``begin`` and ``end``."""
    found = []
    for first, last in ranges:
        start = int(starts[first]) if first else begin
        found.append(Span(start, int(starts[last]) if last < len(starts) else end))
    return found
