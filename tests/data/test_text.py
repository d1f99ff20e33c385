"""One definition of a near-duplicate, found without comparing every pair."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlab.data import fold, near_duplicate, near_duplicates
from embedlab.data.groups import connected
from embedlab.data.text import JACCARD, MIN_WORDS, jaccard, trigrams

WORDS = tuple("access actor beacon binary command credential data dump encrypt file host key".split())  # noqa: SIM905


def edits(a: list[str], b: list[str]) -> int:
    """Return the word edit distance, by the textbook's dynamic programme."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def by_hand(a: str, b: str) -> bool:
    """Return whether two texts are near-duplicates, straight from the definition."""
    x, y = fold(a), fold(b)
    words = min(len(x.split()), len(y.split()))
    grams = [{t[i : i + 3] for i in range(len(t) - 2)} or {t} for t in (x, y)]
    overlap = len(grams[0] & grams[1]) / len(grams[0] | grams[1])
    return x == y or (words >= MIN_WORDS and edits(x.split(), y.split()) <= 1) or overlap >= JACCARD


def pairs_of(found) -> set[tuple[int, int]]:
    """Return every pair of positions within a set."""
    return {pair for positions in found for pair in itertools.combinations(positions, 2)}


def test_folding_keeps_letters_and_digits_in_lower_case():
    assert fold("  Kerberos-Ticket_Dump  (T1558.003)! ") == "kerberos ticket dump t1558 003"
    assert fold("STRASSE") == fold("straße")


@given(st.lists(st.sampled_from(WORDS), max_size=9), st.lists(st.sampled_from(WORDS), max_size=9))
@settings(max_examples=400, deadline=None)
def test_the_exact_rule_is_the_definition(a, b):
    assert near_duplicate(fold(" ".join(a)), fold(" ".join(b))) == by_hand(" ".join(a), " ".join(b))


@pytest.mark.parametrize("seed", range(5))
def test_the_search_finds_what_comparing_every_pair_finds(seed):
    chance = random.Random(seed)
    texts = []
    for _ in range(60):
        words = chance.choices(WORDS, k=chance.randint(3, 14))
        texts.append(" ".join(words))
        for _ in range(chance.randint(0, 3)):
            changed = list(words)
            position = chance.randrange(len(changed))
            how = chance.randrange(4)
            if how == 0:
                changed[position] = chance.choice(WORDS)
            elif how == 1:
                changed.insert(position, chance.choice(WORDS))
            elif how == 2:
                changed.pop(position)
            else:
                changed[position] = changed[position].upper() + "!"
            texts.append(" ".join(changed))
    wanted = {(i, j) for i, j in itertools.combinations(range(len(texts)), 2)
              if fold(texts[i]) and fold(texts[j]) and by_hand(texts[i], texts[j])}  # fmt: skip
    assert len(wanted) > 50
    assert pairs_of(near_duplicates(texts)) == wanted


def test_long_texts_at_the_threshold_are_found():
    chance = random.Random(1)
    base = " ".join("".join(chance.choices("abcdefghij", k=6)) for _ in range(40))
    texts = [base, *(base[: round(len(base) * share)] for share in (0.7, 0.79, 0.85, 0.95))]
    wanted = {(i, j) for i, j in itertools.combinations(range(len(texts)), 2) if by_hand(texts[i], texts[j])}
    assert pairs_of(near_duplicates(texts)) == wanted


def test_empty_texts_are_no_duplicates_of_one_another():
    assert near_duplicates(["", " ", "?!", "a"]) == []


def test_short_texts_with_one_word_changed_are_no_duplicates():
    assert not near_duplicate("dump the password store now", "dump the password vault now")
    assert near_duplicate("they dump the password store now", "they dump the password vault now")


def test_jaccard_of_short_texts_compares_the_texts_themselves():
    assert jaccard(trigrams("ab"), trigrams("ab")) == 1
    assert jaccard(trigrams("ab"), trigrams("cd")) == 0


@given(st.lists(st.lists(st.integers(0, 15), min_size=1, max_size=4), max_size=12))
@settings(max_examples=100, deadline=None)
def test_what_shares_ties_is_connected_and_named_after_its_first(edges):
    first = connected(range(16), edges)
    component = {n: {n} for n in range(16)}
    for edge in edges:
        joined = set().union(*(component[n] for n in edge))
        for n in joined:
            component[n] = joined
    assert first == {n: min(component[n]) for n in range(16)}


def test_ties_over_what_is_no_member_connect_too():
    assert connected(["b", "a", "c"], [["family", "a"], ["family", "b"]]) == {"b": "b", "a": "b", "c": "c"}


def test_letters_of_every_script_keep_their_marks():
    assert fold("क्या? की, कि!") == "क्या की कि"
    assert fold("Cafe\u0301") == fold("CAFÉ")
    assert fold("ไม่มี") == "ไม่มี"


def test_texts_of_one_word_a_thousand_times_are_compared_as_others_are():
    texts = ["word " * 1000, "word " * 999, "word " * 999 + "other", "word " * 998 + "some other"]
    assert pairs_of(near_duplicates(texts)) == {(0, 1), (0, 2), (1, 2), (2, 3)}
