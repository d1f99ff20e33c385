"""What may never be a query's negative, and that held-out documents are mined like any other."""

import itertools

import numpy as np
import pandas as pd
from mined import made, mine, small

from embedlab.trainset import (
    count_reasons,
    exclusions,
    known_pairs,
    only_held_out,
)

GUARD = pd.DataFrame({
    "query_id": ["h1", "h2"], "text": ["one two three four five six seven", "a held out question of the test part"],
    "known_ids": [["t1"], ["t2"]], "group": ["dev", "test"], "part": ["dev", "test"],
})  # fmt: skip


def test_answers_of_nearly_the_same_query_are_excluded_wherever_it_stands():
    rows = pd.DataFrame({
        "query_id": ["a", "b"], "text": ["one two three four five six eight", "something else"],
        "positive_ids": [["p"], ["r"]], "known_ids": [["p"], ["r", "s"]],
    })  # fmt: skip
    found = exclusions(rows, GUARD, {"t1": {"copy"}})
    assert {q: set(known) for q, known in found.items()} == {"a": {"p", "t1", "copy"}, "b": {"r", "s"}}
    assert found["a"]["t1"] == "answers nearly the same held-out query"
    assert found["a"]["copy"] == "near-duplicate of an answer"


def test_a_held_out_positive_offered_to_the_miners_is_refused_and_counted():
    guard = GUARD.assign(text=["the question asked here is x", "other"], known_ids=[["d2"], ["d3"]])
    collection, encoder, rows = small(known_ids=["d0"], text="the question asked here was x")
    encoder.vectors[rows["text"].iloc[0]] = encoder.vectors["x"]
    exclude = exclusions(rows, guard, {})
    mined = mine((collection, encoder, rows), ["dense", "random"], exclude, quotas=4, margin=1.0)
    assert set(mined.negatives["doc_id"]) == {"d1", "d3"}
    held = mined.refused[mined.refused["reason"] == "answers nearly the same held-out query"]
    assert held[["doc_id", "miner"]].to_numpy().tolist() == [["d2", "dense"], ["d2", "random"]]


def test_only_documents_that_answer_no_training_row_are_held_out_alone():
    rows = pd.DataFrame({"positive_ids": [["t1"]], "known_ids": [["t1", "x"]]})
    assert only_held_out(rows, GUARD) == {"t2"}


def test_held_out_documents_are_mined_no_more_rarely_than_others_of_equal_similarity():
    """Every other document is a held-out query's only answer; the miners must not see which."""
    data = made(2000, 300, dimensions=6, families=40)
    collection, encoder, rows = data
    answered = {d for ids in rows["positive_ids"] for d in ids}
    free = [d for d in collection.corpus["doc_id"] if d not in answered]
    held = set(free[::2])
    guard = pd.DataFrame({"text": [f"held out number {i}" for i in range(len(held))], "known_ids": [[d] for d in held]})
    exclude = exclusions(rows, guard, {})
    assert exclude == exclusions(rows, guard.head(0), {})
    mined = mine(data, ["sibling", "dense", "random"], exclude, quotas=4).negatives
    mined = mined[~mined["doc_id"].isin(answered)]
    texts = collection.document_texts()
    everyone = encoder.encode(texts[free].tolist()) @ encoder.encode(rows["text"].tolist()).T
    edges = np.quantile(mined["score"], [0, 0.25, 0.5, 0.75, 1])
    for low, high in itertools.pairwise(edges):
        inside = (everyone >= low) & (everyone <= high)
        offered = inside[::2].sum() / inside.sum()
        taken = mined.loc[mined["score"].between(low, high), "doc_id"].isin(held)
        error = np.sqrt(offered * (1 - offered) / len(taken))
        assert taken.mean() > offered - 3 * error, (low, high)


def test_where_the_contract_forbids_their_texts_no_held_out_document_is_mined():
    collection, encoder, rows = made()
    free = sorted(set(collection.corpus["doc_id"]) - {d for ids in rows["positive_ids"] for d in ids})
    guard = pd.DataFrame({"text": ["held out"], "known_ids": [[*free[:60], rows["positive_ids"].iloc[0][0]]]})
    withheld = only_held_out(rows, guard)
    assert withheld == set(free[:60])
    pool = set(collection.corpus["doc_id"]) - withheld
    mined = mine((collection, encoder, rows), ["sibling", "dense", "bm25", "random"], pool=pool)
    assert not set(mined.negatives["doc_id"]) & withheld
    assert set(mine((collection, encoder, rows), ["dense"]).negatives["doc_id"]) & withheld


def test_every_query_with_each_of_its_known_answers_as_pairs():
    rows = pd.DataFrame({"query_id": ["a", "b"], "positive_ids": [["d1"], ["d2"]], "known_ids": [["d1", "d3"], []]})
    assert known_pairs(rows) == {("a", "d1"), ("a", "d3"), ("b", "d2")}


def test_reasons_of_exclusions_are_counted_over_all_queries():
    exclude = {"a": {"d1": "known answer", "d2": "near-duplicate of an answer"}, "b": {"d1": "known answer"}, "c": {}}
    assert count_reasons(exclude).to_dict() == {"known answer": 2, "near-duplicate of an answer": 1}
