"""What each miner proposes, against plain numpy; about fifteen seconds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mined import made, mine, small, unit

from embedlab.retrieval import BM25
from embedlab.trainset import (
    Margin,
    miners,
    sibling_labels,
)


def test_siblings_share_a_family_or_else_metadata_that_repeats_or_a_title():
    corpus = pd.DataFrame({"doc_id": list("abcd"), "title": "", "text": "", "area": [1, 1, 2, 2], "url": list("wxyz")})
    assert sibling_labels(corpus) == [["1"], ["1"], ["2"], ["2"]]
    assert sibling_labels(corpus.assign(family="f")) == [["f"]] * 4
    titled = corpus.drop(columns="area").assign(title=["The Same", "the same!", "other", ""])
    assert sibling_labels(titled) == [["title the same"], ["title the same"], [], []]


@pytest.mark.parametrize(
    "values", [[2020, None, 2020, 2021, 2021, None], [*"a-abb-"], [True, None, True, False, False, None]]
)
def test_a_document_that_lacks_a_value_has_no_sibling_by_metadata(values):
    values = [None if v == "-" else v for v in values]
    corpus = pd.DataFrame({"doc_id": list("abcdef"), "title": "", "text": "", "field": values})
    expected = sibling_labels(corpus.dropna())
    labels = sibling_labels(corpus)
    assert labels == [expected[0], [], expected[1], expected[2], expected[3], []]
    assert len({label for own in labels for label in own}) == 2
    assert sibling_labels(corpus.rename(columns={"field": "family"})) == labels
    assert sibling_labels(corpus.assign(title="same"))[1] == ["title same"]


def test_a_field_that_few_documents_have_makes_no_siblings_and_takes_none_away():
    corpus = pd.DataFrame({"doc_id": list("abcd"), "title": "", "text": "", "area": [1, 1, 2, 2]})
    rare = corpus.assign(version=[1.0, None, None, 1.0])
    assert sibling_labels(rare) == sibling_labels(corpus) == [["1"], ["1"], ["2"], ["2"]]


def test_a_collection_with_missing_numbers_is_mined():
    years = [2020.0, None, 2020.0, 2020.0, None, 2021.0, 2021.0]
    collection, encoder, rows = made(documents=70)
    collection.corpus = collection.corpus.drop(columns="family").assign(year=years * 10)
    mined = mine((collection, encoder, rows), ["sibling", "random"], margin=1.0)
    year = collection.corpus.set_index("doc_id")["year"]
    siblings = mined.negatives[mined.negatives["miner"] == "sibling"]
    answers = rows.set_index("query_id")["positive_ids"].str[0]
    assert year[answers].isna().any()
    assert len(siblings) > 0
    assert (year[siblings["doc_id"]].to_numpy() == year[answers[siblings["query_id"]]].to_numpy()).all()


def test_a_document_of_the_same_title_is_a_sibling():
    collection, encoder, rows = small({"title": ["t", "", "t", ""]}, known_ids=["d0"])
    encoder.vectors |= {"t zero": encoder.vectors["zero"], "t two": encoder.vectors["two"]}
    mined = mine((collection, encoder, rows), ["sibling"], margin=1.0)
    assert mined.negatives["doc_id"].tolist() == ["d2"]


def reference(data, limit, first, last, quota):
    """Return what the dense miner should find, one query and one document after the other."""
    collection, encoder, rows = data
    texts, found = collection.document_texts(), []
    for query_id, query, positives in rows[["query_id", "text", "positive_ids"]].itertuples(index=False):
        cosine = {d: float(encoder.vectors[t] @ encoder.vectors[query]) for d, t in texts.items()}
        most = limit(min(cosine[d] for d in positives))
        ranked = sorted(cosine, key=lambda d: -cosine[d])[first - 1 : last]
        good = [d for d in ranked if cosine[d] <= most and d not in positives]
        found += [(query_id, d, cosine[d]) for d in good[:quota]]
    return found


@pytest.mark.parametrize("block", [1, 7, 256])
def test_the_dense_miner_agrees_with_plain_numpy_in_every_block_size(block):
    data = made()
    mined = mine(data, ["dense"], margin=Margin(0.9, 0.05), quotas=3, first_rank=3, last_rank=40, block=block).negatives
    expected = reference(data, lambda p: min(0.9 * p, p - 0.05), 3, 40, 3)
    assert list(zip(mined["query_id"], mined["doc_id"], strict=True)) == [(q, d) for q, d, _ in expected]
    np.testing.assert_allclose(mined["score"], [s for *_, s in expected], atol=6e-5)


def test_documents_compared_in_chunks_give_the_same(monkeypatch):
    whole = mine(made(), ["dense", "sibling"])
    monkeypatch.setattr(miners, "CHUNK", 9)
    pd.testing.assert_frame_equal(mine(made(), ["dense", "sibling"]).negatives, whole.negatives)


def test_the_siblings_taken_are_the_closest_of_the_family():
    collection, encoder, rows = made()
    mined = mine((collection, encoder, rows), ["sibling"], margin=1.0, quotas=2).negatives
    assert len(mined) > 0
    family = dict(zip(collection.corpus["doc_id"], collection.corpus["family"], strict=True))
    texts = collection.document_texts()
    for query_id, query, (positive,) in rows[["query_id", "text", "positive_ids"]].itertuples(index=False):
        cosine = {d: float(encoder.vectors[t] @ encoder.vectors[query]) for d, t in texts.items()}
        family_of = [d for d in texts.index if family[d] == family[positive] and cosine[d] < cosine[positive]]
        closest = sorted(family_of, key=lambda d: -cosine[d])[:2]
        assert mined.loc[mined["query_id"] == query_id, "doc_id"].tolist() == closest


def test_the_bm25_miner_takes_its_ranking_in_order():
    collection, encoder, rows = made(families=200)
    words = [f"{a} {b}" for a in ("red", "blue", "green", "black") for b in ("cat", "dog", "cow", "pig", "hen")] * 10
    texts = [f"{w} {i}" for i, w in enumerate(words)]
    encoder.vectors |= dict(zip(texts, encoder.encode(collection.corpus["text"].tolist()), strict=True))
    collection.corpus["text"] = texts
    rows["text"] = [f"red pig {i}" for i in range(len(rows))]
    encoder.vectors |= {q: unit(np.ones(8)) for q in rows["text"]}
    mined = mine((collection, encoder, rows), ["bm25"], margin=1.0, quotas=1, last_rank=50)
    run = BM25(collection.document_texts()).search(pd.Series(rows["text"].to_numpy(), index=rows["query_id"]), 50)
    assert len(mined.negatives)
    for query_id, doc_id, _, rank, _ in mined.negatives.itertuples(index=False):
        assert run[run["query_id"] == query_id]["doc_id"].iloc[rank - 1] == doc_id


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    quota=st.integers(0, 4),
    percent=st.floats(0.3, 1.2),
    names=st.permutations(["sibling", "dense", "bm25", "random"]),
    block=st.integers(1, 40),
)
def test_whatever_the_store_the_rules_hold(seed, quota, percent, names, block):
    collection, encoder, rows = made(60, 15, seed, 4, 8)
    rng = np.random.default_rng(seed)
    every = collection.corpus["doc_id"].to_numpy()
    exclude = {q: dict.fromkeys(rng.choice(every, rng.integers(0, 20)), "planted") for q in rows["query_id"]}
    mined = mine((collection, encoder, rows), names, exclude, margin=percent, quotas=quota, block=block, seed=seed)
    vectors = {d: encoder.vectors[t] for d, t in collection.document_texts().items()}
    for query_id, query, positives, found in mined.training[
        ["query_id", "text", "positive_ids", "negatives"]
    ].itertuples(index=False):
        ids = [n["id"] for n in found]
        worst = min(float(vectors[d] @ encoder.vectors[query]) for d in positives)
        assert len(set(ids)) == len(ids)
        assert not set(ids) & {*positives, *exclude[query_id]}
        assert all(float(vectors[d] @ encoder.vectors[query]) <= min(percent * worst, worst) + 1e-6 for d in ids)
        assert all([n["miner"] for n in found].count(name) <= quota for name in names)
