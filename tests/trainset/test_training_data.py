"""From raw rows to a training set: positives, negatives, formats, cleaning, split; about ten seconds."""

import numpy as np
import pandas as pd
import pytest

from embedlab.data import Collection
from embedlab.errors import ParameterError
from embedlab.trainset import (
    RULES,
    documentation_rows,
    drop_over_long,
    judged_rows,
    leakage,
    require_fit,
    split_rows,
    with_groups,
)

WORDS = [f"word{letter}" for letter in "abcdefghijklmno"]


def store(count=30, per_group=3):
    """Return rows of which every few share a document and a group."""
    rng = np.random.default_rng(0)
    ids = [f"q{i:02d}" for i in range(count)]
    queries = pd.DataFrame({
        "query_id": ids, "text": [" ".join(rng.permutation(WORDS)[:9]) for _ in ids],
        "part": "train", "group": [f"g{i // per_group:02d}" for i in range(count)],
    })  # fmt: skip
    documents = [f"d{i // per_group:02d}" for i in range(count)]
    qrels = pd.DataFrame({"query_id": ids, "doc_id": documents, "relevance": 1})
    corpus = pd.DataFrame({"doc_id": sorted(set(documents)), "title": "", "text": WORDS[0]})
    return judged_rows(Collection(corpus, queries, qrels))


GUARD = pd.DataFrame({
    "query_id": ["h1", "h2"], "text": ["one two three four five six seven", "a held out question of the test part"],
    "known_ids": [["t1"], ["t2"]], "group": ["dev", "test"], "part": ["dev", "test"],
})  # fmt: skip


def split(rows, unit="group", share=0.2, most=300):
    return split_rows(rows, {}, share, most, unit, seed=0)


def found_kinds(rows, unit="group", relatives=None):
    report = leakage(rows, GUARD, relatives or {}, unit, unit)
    return set(report.loc[report["leak"], "kind"])


def test_positives_are_the_highest_grade_and_lower_grades_stay_known():
    queries = pd.DataFrame({"query_id": ["q"], "text": ["x"], "part": ["train"], "group": ["q"]})
    qrels = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"], "relevance": [2, 1, 0]})
    row = judged_rows(Collection(pd.DataFrame(), queries, qrels)).iloc[0]
    assert (row["positive_ids"], row["known_ids"]) == (["a"], ["a", "b"])


def test_a_split_by_group_leaks_nothing():
    rows, gone = split(store())
    assert set(rows["part"]) == {"train", "validation"}
    assert gone.empty
    assert found_kinds(rows) == set()


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("group", "test", "groups"),
        ("query_id", "h2", "query ids"),
        ("text", "A held-out question of the TEST part!", "texts"),
        ("text", "a held out question of this test part", "near-duplicate texts"),
        ("known_ids", ["t2"], "documents"),
    ],
)
def test_a_planted_leak_is_found(column, value, kind):
    rows, _ = split(store())
    rows.at[rows.index[rows["part"] == "train"][0], column] = value
    assert kind in found_kinds(rows)


def test_a_planted_leak_between_train_and_validation_is_found():
    rows, _ = split(store())
    held, trained = (rows.index[rows["part"] == name][0] for name in ("validation", "train"))
    rows.at[trained, "positive_ids"] = rows.at[held, "positive_ids"]
    assert found_kinds(rows) == {"documents"}
    assert found_kinds(rows, unit="query") == set()


def test_relatives_of_held_out_documents_are_a_leak():
    rows, _ = split(store())
    seen = rows.loc[rows["part"] == "train", "positive_ids"].iloc[0][0]
    assert found_kinds(rows, relatives={seen: "family", "t1": "family"}) == {"families"}


def test_validation_is_capped_and_the_rest_does_not_train():
    rows, gone = split(store(), share=0.5, most=4)
    assert (rows["part"] == "validation").sum() == 4
    assert set(gone["reason"]) == {"validation is full"}
    assert found_kinds(rows) == set()


def test_further_texts_near_validation_leave():
    rows = store()
    first, _ = split(rows)
    document = first.loc[first["part"] == "validation", "positive_ids"].iloc[0]
    texts = pd.DataFrame({"text": ["about it"], "doc_ids": [document], "kind": ["note"], "provenance": ["n1"]})
    more = pd.concat([rows, documentation_rows(texts, {})], ignore_index=True)
    _, gone = split(more)
    assert gone["reason"].tolist() == ["near validation"]


def test_few_large_groups_still_validate_and_one_group_is_split_by_query():
    assert set(split(store(6, 3))[0]["part"]) == {"train", "validation"}
    rows, unit = with_groups(store(12, 12), "group")
    assert unit == "query"
    assert set(split(rows, unit)[0]["part"]) == {"train", "validation"}


def test_every_removal_has_its_reason():
    rows = store(9)
    rows.loc[:2, "text"] = ["", "<b>bold</b> text", "schÃ¶n und grÃ¼n"]
    for rule in ("empty", "malformed"):
        rows, gone = RULES[rule](rows, dict.fromkeys([f"d{i:02d}" for i in range(9)], "text"))
        assert set(gone["reason"]) == {rule}
    assert len(rows) == 6


def test_a_query_longer_than_the_model_reads_is_removed():
    kept, gone = drop_over_long(store(3), pd.Series([4, 9, 5]), limit=5)
    assert kept["query_id"].tolist() == ["q00", "q02"]
    assert gone["evidence"].tolist() == ["9 tokens, the model reads 5"]
    assert len(drop_over_long(store(3), pd.Series([4, 9, 5]), limit=0)[0]) == 3


def test_a_mismatch_is_refused_with_what_would_fit():
    with pytest.raises(ParameterError, match="formats that fit: triplets"):
        require_fit("pairs", "TripletLoss")
