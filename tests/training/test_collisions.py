"""No batch holds a right answer as a negative; what others leave is counted the same way; about ten seconds."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedlab.data import fold, near_duplicate, near_duplicate_documents, relatives_of
from embedlab.errors import DataError
from embedlab.training import (
    BatchSampler,
    Recipe,
    count_in_pairs,
    count_in_sampler,
    no_duplicates_batches,
    pairs_of,
    random_batches,
)
from embedlab.trainset import right_answers

WORDS = tuple("amber basil cedar dune ember fjord grove heath inlet".split())  # noqa: SIM905
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)


def corpus_of(bodies, **columns):
    return pd.DataFrame({"doc_id": [f"d{i}" for i in range(len(bodies))], "title": "", "text": bodies, **columns})


def rows_of(entries):
    """Rows of (query, positive ids, known ids, negative ids)."""
    return pd.DataFrame(
        [
            {
                "query_id": f"q{i}", "text": text, "positive_ids": positives, "known_ids": known,
                "negatives": [{"id": d, "miner": "dense", "score": 0.1} for d in mined], "weight": 1.0,
            }
            for i, (text, positives, known, mined) in enumerate(entries)
        ]
    )  # fmt: skip


def names_of(numbers):
    return [f"d{i}" for i in dict.fromkeys(numbers)]


@st.composite
def stores(draw):
    """A corpus of a few words a document, some in families, and rows over it."""
    bodies = draw(st.lists(texts, min_size=2, max_size=12))
    families = draw(st.sampled_from([None, *([[f"f{i % n}" for i in range(len(bodies))] for n in (2, 5)])]))
    ids = [st.lists(st.integers(0, len(bodies) - 1), min_size=n, max_size=3).map(names_of) for n in (1, 0, 0)]
    some = st.tuples(texts, *ids)
    entries = draw(st.lists(some, min_size=2, max_size=12))
    corpus = corpus_of(bodies) if families is None else corpus_of(bodies, family=families)
    return corpus, rows_of(entries)


def right_by_hand(rows, corpus):
    """Return what answers each row's query, straight from the rule: known, nearly asked again, nearly the same text."""
    body = dict(zip(corpus["doc_id"], corpus["text"].map(fold), strict=True))
    asked = rows["text"].map(fold).tolist()
    own = [{*p, *k} for p, k in zip(rows["positive_ids"], rows["known_ids"], strict=True)]
    found = []
    for text in asked:
        answers = set().union(*(own[j] for j, other in enumerate(asked) if near_duplicate(text, other)))
        found.append({d for d in body if any(d == a or near_duplicate(body[d], body[a]) for a in answers)})
    return found


@given(stores(), st.integers(2, 6), st.integers(0, 3), st.integers(0, 2))
@settings(max_examples=150, deadline=None)
def test_whatever_the_store_no_batch_holds_a_right_answer_as_a_negative(data, documents, hard, seed):
    corpus, rows = data
    recipe = Recipe(documents=documents, queries_per_document=2, hard_negatives=hard, seed=seed)
    try:
        sampler = BatchSampler(rows, relatives_of(corpus), recipe)
    except DataError:  # all rows want one document: refused, and tested elsewhere
        return
    right = right_by_hand(rows, corpus)
    for step in range(4):
        batch = sampler.batch(step)
        assert batch.rows
        for row, column, line in zip(batch.rows, batch.target, batch.allowed, strict=True):
            assert batch.documents[column] in rows["positive_ids"][row]
            negatives = {d for i, d in enumerate(batch.documents) if line[i] and i != column}
            assert not negatives & right[row]


@given(stores(), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_collisions_are_counted_as_by_hand(data, size):
    corpus, rows = data
    pairs, right = pairs_of(rows), right_by_hand(rows, corpus)
    assert [set(found) for found in right_answers(rows, near_duplicate_documents(corpus))] == right
    batches = random_batches(pairs, size, 0)
    by_hand = 0
    for batch in batches:
        for i in batch:
            by_hand += sum(pairs[j][1] in right[pairs[i][0]] for j in batch if j != i)
    assert sorted(i for batch in batches for i in batch) == list(range(len(pairs)))
    assert count_in_pairs(batches, pairs, [frozenset(r) for r in right])["collisions"] == by_hand


@pytest.fixture
def planted():
    """Four documents, two of them twins; each query wants one, and the first two want the same."""
    bodies = ["one two three four five six seven", "one two three four five six eight", "amber basil", "cedar dune"]
    entries = [("where is amber", ["d2"], ["d2", "d3"], []), ("who keeps amber", ["d2"], ["d2"], []),
               ("what counts up", ["d0"], ["d0"], []), ("how to count", ["d1"], ["d1"], []),
               ("is cedar found in dunes", ["d3"], ["d3"], [])]  # fmt: skip
    return corpus_of(bodies), rows_of(entries)


def test_a_no_duplicates_sampler_leaves_twins_and_other_known_answers(planted):
    corpus, rows = planted
    pairs, right = pairs_of(rows), right_answers(rows, near_duplicate_documents(corpus))
    whole = count_in_pairs([range(5)], pairs, right)
    # d2 twice for its two queries, the twins for one another, and the first query's other answer
    assert whole == {"batches": 1, "negatives": 20, "collisions": 5}
    bodies = dict(zip(corpus["doc_id"], corpus["text"], strict=True))
    batches = no_duplicates_batches(pairs, rows["text"].tolist(), bodies, 4, seed=0)
    assert sorted(i for batch in batches for i in batch) == [0, 1, 2, 3, 4]
    assert not [b for b in batches if {0, 1} <= set(b)]
    assert count_in_pairs(batches, pairs, right)["collisions"] >= 2


def test_without_its_mask_the_sampler_would_collide(planted):
    corpus, rows = planted
    right = right_answers(rows, near_duplicate_documents(corpus))
    sampler = BatchSampler(rows, relatives_of(corpus), Recipe(documents=4, hard_negatives=0))
    found = count_in_sampler(sampler, sampler.epoch, right)
    assert (found["collisions"], found["masked"]) == (0, 3)
    assert count_in_sampler(BatchSampler(rows, {}, Recipe(documents=4)), 1, right)["collisions"] == 2


def test_near_duplicate_documents_are_relatives_with_families_or_without():
    same = ["a page about the weather of today", "a page about the weather of yesterday", "quite another matter"]
    assert relatives_of(corpus_of(same)) == {"d0": "d0", "d1": "d0"}
    joined = relatives_of(corpus_of([*same, "something else"], family=["f", "g", "h", "g"]))
    assert joined["d0"] == joined["d1"] == joined["d3"] != joined["d2"]
