"""Text rules shared by loading, cleaning and splitting: folding and near-duplicates."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

JACCARD = 0.8
"""Character-3-gram Jaccard similarity from which two texts are near-duplicates."""

MIN_WORDS = 6
"""Texts at least this long are near-duplicates when one word differs."""

_NOT_WORD = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """Return the text in lower case, punctuation and runs of space as one space."""
    return _NOT_WORD.sub(" ", text.casefold()).strip()


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
    for near in _one_word_apart(first) | _similar_pairs(first):
        everywhere: list[int] = []
        for position in near:
            everywhere.extend(equal[folded[position]])
        found.add(tuple(sorted(everywhere)))
    return sorted(found)


def _one_word_apart(first: dict[str, int]) -> set[tuple[int, ...]]:
    """Return sets of texts that equal one another once one word is replaced, or inserted."""
    position_of = {tuple(text.split()): position for text, position in first.items()}
    replaced: dict[tuple[Hashable, ...], set[int]] = defaultdict(set)
    found: set[tuple[int, ...]] = set()
    for words, position in position_of.items():
        if len(words) < MIN_WORDS:
            continue
        for i in range(len(words)):
            rest = words[:i] + words[i + 1 :]
            # Without the place of the gap, a word that only moved would count as one that was replaced.
            replaced[(i, *rest)].add(position)
            # Each pair is met from its longer text, so insertion needs no look of its own.
            if len(rest) >= MIN_WORDS and rest in position_of:
                found.add(tuple(sorted((position, position_of[rest]))))
    for positions in replaced.values():
        if len(positions) > 1:
            found.add(tuple(sorted(positions)))
    return found


def _similar_pairs(first: dict[str, int]) -> set[tuple[int, ...]]:
    """Return pairs of texts whose 3-grams overlap enough; MinHash proposes, at a lower threshold."""
    from rensa import RMinHash, RMinHashLSH

    grams = {position: trigrams(text) for text, position in first.items()}
    index = RMinHashLSH(threshold=0.5, num_perm=128, num_bands=32)
    pairs: set[tuple[int, ...]] = set()
    # A text is asked for before it is inserted: no pair is met twice, and none meets itself.
    for position, own in grams.items():
        sketch = RMinHash(num_perm=128, seed=7)
        sketch.update(sorted(own))
        for other in index.query(sketch):
            theirs = grams[other]
            # The smaller set is at most all of the overlap: sizes alone rule most pairs out.
            smaller, larger = min(len(own), len(theirs)), max(len(own), len(theirs))
            if smaller >= JACCARD * larger and jaccard(own, theirs) >= JACCARD:
                pairs.add(tuple(sorted((position, other))))
        index.insert(position, sketch)
    return pairs
