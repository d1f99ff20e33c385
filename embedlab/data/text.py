"""Text rules shared by loading, cleaning and splitting: folding and near-duplicates."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from unicodedata import normalize

import regex

from embedlab.progress import Progress

JACCARD = 0.8
"""Character-3-gram Jaccard similarity from which two texts are near-duplicates."""

QUICK = 500_000
"""Characters that are compared in about a second; of more a bar is shown."""

MIN_WORDS = 6
"""Texts at least this long are near-duplicates when one word differs."""

_MODULUS = (1 << 61) - 1

_BASE = 0x0D6E_8FEB_8665_9FD9

_INVERSE = pow(_BASE, -1, _MODULUS)
"""A sequence of numbers ``w`` hashes to the sum of ``w[i] * _BASE ** i``, modulo a prime (Karp and Rabin 1987)."""

_NOT_WORD = re.compile(r"[\W_]+")

# Vowels of many scripts, such as Hindi's, are marks on the letter before them: no letters, and part of the word.
_NOT_WORD_OF_ANY_SCRIPT = regex.compile(r"[^\p{L}\p{N}\p{M}]+")


def fold(text: str) -> str:
    """Return the text in lower case, punctuation and runs of space as one space, letters with their marks composed."""
    if text.isascii():
        return _NOT_WORD.sub(" ", text.lower()).strip()
    return _NOT_WORD_OF_ANY_SCRIPT.sub(" ", normalize("NFC", text.casefold())).strip()


def is_date(value: object) -> bool:
    """Return whether this is a text that names a day in the form 2023-06-30."""
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def stable_hash(*parts: object) -> int:
    """Return a 64-bit integer that depends on the parts alone, on every machine."""
    joined = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(joined.encode()).digest()[:8], "big")


def fence(texts: Iterable[str]) -> str:
    """Return a mark that is derived from the texts and stands in none of them, so that none can close it."""
    joined = "\n".join(texts)
    salt = 0
    while (mark := f"<<{stable_hash(joined, salt):016x}>>") in joined:
        salt += 1
    return mark


def trigrams(folded: str) -> set[str]:
    """Return the character 3-grams of a folded text (the text itself if it is shorter)."""
    return {folded[i : i + 3] for i in range(len(folded) - 2)} or {folded}


def jaccard(a: set[str], b: set[str]) -> float:
    """Return the Jaccard similarity of two sets; 1 for two empty ones."""
    union = a | b
    if not union:
        return 1.0
    return len(a & b) / len(union)


def one_word_apart(a: str, b: str) -> bool:
    """Return whether at most one word is inserted, deleted or replaced between folded texts."""
    x, y = a.split(), b.split()
    shorter, longer = min(len(x), len(y)), max(len(x), len(y))
    # In a short text one word may turn the meaning round.
    if shorter < MIN_WORDS or longer > shorter + 1:
        return a == b
    head = 0
    while head < shorter and x[head] == y[head]:
        head += 1
    # A replaced word is skipped in both texts, an inserted one only in the longer.
    skip_x, skip_y = int(len(x) >= len(y)), int(len(y) >= len(x))
    return x[head + skip_x :] == y[head + skip_y :]


def near_duplicate(a: str, b: str) -> bool:
    """Return whether two folded texts are near-duplicates: the one exact rule."""
    return one_word_apart(a, b) or jaccard(trigrams(a), trigrams(b)) >= JACCARD


def near_duplicates(texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return sets of positions whose texts are all near-duplicates of one another.

    Equal and one-word-apart texts are found exactly, by the word patterns that they share;
    MinHash proposes the other pairs and :func:`near_duplicate` decides. Empty texts are left
    out: they are a fault of their own.

    Returns:
        sorted positions in each set, the sets in order. A text may stand in several.
    """
    folded = [fold(text) for text in texts]
    equal: dict[str, list[int]] = defaultdict(list)
    for position, text in enumerate(folded):
        if text:
            equal[text].append(position)
    # What follows looks at each different text once, by the first position that it stands at.
    first = {text: positions[0] for text, positions in equal.items()}
    found = {tuple(positions) for positions in equal.values() if len(positions) > 1}
    # Each text is looked at twice: word by word, and by its 3-grams.
    with Progress("Looking for near-duplicates", 2 * len(first), worth_showing=sum(map(len, first)) > QUICK) as bar:
        apart = _one_word_apart(first, bar)
        similar = _similar_pairs(first, apart, bar)
    for near in apart | similar:
        everywhere: list[int] = []
        for position in near:
            everywhere.extend(equal[folded[position]])
        found.add(tuple(sorted(everywhere)))
    return sorted(found)


def _one_word_apart(first: dict[str, int], bar: Progress) -> set[tuple[int, ...]]:
    """Return sets of texts that equal one another once one word is replaced, or inserted.

    Linear in the number of words: a text without one of its words is known by its hash, and only texts whose hashes
    are the same are compared word by word.
    """
    words_of = {position: text.split() for text, position in first.items()}
    words_of = {position: words for position, words in words_of.items() if len(words) >= MIN_WORDS}
    numbers = _Numbers()
    # Without the place of the gap, a word that only moved would count as one that was replaced.
    with_gap: dict[tuple[int, int], list[int]] = defaultdict(list)
    whole: dict[int, list[int]] = defaultdict(list)
    for position, words in words_of.items():
        numbered = [numbers[word] for word in words]
        whole[_hash(numbered)].append(position)
        for gap, rest in enumerate(_without_each(numbered)):
            with_gap[gap, rest].append(position)
        bar.advance()
    found: set[tuple[int, ...]] = set()
    for (gap, rest), positions in with_gap.items():
        found |= _replaced(words_of, gap, positions)
        # Each pair is met from its longer text, so insertion needs no look of its own.
        for shorter in whole.get(rest, ()):
            found |= _inserted(words_of, gap, positions, shorter, found)
    return found


class _Numbers(dict[str, int]):
    """A number for each word, from 1 in the order in which they are asked for."""

    def __missing__(self, word: str) -> int:
        self[word] = len(self) + 1
        return self[word]


def _hash(numbers: Sequence[int]) -> int:
    found = 0
    for number in reversed(numbers):
        found = (found * _BASE + number) % _MODULUS
    return found


def _without_each(numbers: Sequence[int]) -> Iterator[int]:
    """Yield the hash of a sequence without its first number, then without its second, and so on."""
    whole = _hash(numbers)
    before, power = 0, 1
    for number in numbers:
        own = number * power % _MODULUS
        # What stands behind the gap moves one place to the front.
        after = (whole - before - own) * _INVERSE
        yield (before + after) % _MODULUS
        before += own
        power = power * _BASE % _MODULUS


def _replaced(words_of: dict[int, list[str]], gap: int, positions: list[int]) -> set[tuple[int, ...]]:
    """Return those of the texts that are the same but for the word at the gap."""
    if len(positions) == 1:
        return set()
    same: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for position in positions:
        words = words_of[position]
        same[(*words[:gap], *words[gap + 1 :])].append(position)
    return {tuple(sorted(those)) for those in same.values() if len(those) > 1}


def _inserted(
    words_of: dict[int, list[str]], gap: int, positions: list[int], shorter: int, known: set[tuple[int, ...]]
) -> set[tuple[int, ...]]:
    """Return the pairs of this text with those that equal it without their word at the gap."""
    found = set()
    for position in positions:
        pair = tuple(sorted((position, shorter)))
        words = words_of[position]
        # Where a word is repeated many gaps leave the same text: one comparison is enough.
        if pair not in known and words[:gap] + words[gap + 1 :] == words_of[shorter]:
            found.add(pair)
    return found


def _similar_pairs(first: dict[str, int], known: set[tuple[int, ...]], bar: Progress) -> set[tuple[int, ...]]:
    """Return pairs of texts whose 3-grams overlap enough; MinHash proposes, at a lower threshold.

    Pairs within a set that is known are left out: of a thousand texts made from one template they are half a million.
    """
    from rensa import RMinHash, RMinHashLSH

    grams = {position: trigrams(text) for text, position in first.items()}
    index = RMinHashLSH(threshold=0.5, num_perm=128, num_bands=32)
    pairs: set[tuple[int, ...]] = set()
    together = _together(known)
    # A text is asked for before it is inserted: no pair is met twice, and none meets itself.
    for position, own in grams.items():
        sketch = RMinHash(num_perm=128, seed=7)
        sketch.update(sorted(own))
        for other in set(index.query(sketch)).difference(*together[position]):
            theirs = grams[other]
            # The smaller set is at most all of the overlap: sizes alone rule most pairs out.
            smaller, larger = min(len(own), len(theirs)), max(len(own), len(theirs))
            if smaller >= JACCARD * larger and jaccard(own, theirs) >= JACCARD:
                pairs.add(tuple(sorted((position, other))))
        index.insert(position, sketch)
        bar.advance()
    return pairs


def _together(sets: Iterable[Iterable[int]]) -> dict[int, list[set[int]]]:
    """Return for each position the sets that it stands in."""
    found: dict[int, list[set[int]]] = defaultdict(list)
    for positions in sets:
        members = set(positions)
        for position in members:
            found[position].append(members)
    return found
