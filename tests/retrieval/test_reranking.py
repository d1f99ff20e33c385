"""Reranking: what the rerankers' scores are, how deep it pays, and the best that it could do."""

import numpy as np
import pandas as pd
import pytest
from tiny_models import WORDS, save_tiny
from toy_encoder import ToyEncoder
from transformers import BertForSequenceClassification

from embedlab.errors import ParameterError
from embedlab.models import load_cross_encoder
from embedlab.retrieval import (
    CrossEncoderReranker,
    Dense,
    LateInteraction,
    oracle_rerank,
    rerank,
    rerank_depths,
    token_vectors,
    top_k,
)
from embedlab.retrieval.rerankers import cross_encoder as reranking


@pytest.fixture(scope="module")
def texts():
    drawn = np.random.default_rng(0)
    return pd.Series({f"d{at:02d}": " ".join(drawn.choice(WORDS, at % 7 + 3)) for at in range(30)})


@pytest.fixture(scope="module")
def queries():
    drawn = np.random.default_rng(1)
    return pd.Series({f"q{at}": " ".join(drawn.choice(WORDS, at + 2)) for at in range(4)})


@pytest.fixture(scope="module")
def run(texts, queries):
    return Dense(ToyEncoder(), texts).search(queries)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    folder = save_tiny(tmp_path_factory.mktemp("cross") / "model", BertForSequenceClassification, num_labels=1)
    return load_cross_encoder(str(folder), "float32")


def by_pair(run):
    return run.set_index(["query_id", "doc_id"])["score"].sort_index()


# --- late interaction -----------------------------------------------------------------------------


def test_late_interaction_is_a_plain_loop_over_tokens(minilm, texts, queries, run):
    found = by_pair(LateInteraction(minilm, texts).scores(queries, top_k(run, 3)))
    for (query_id, doc_id), score in found.items():
        best = []
        for asked in token_vectors(minilm, [queries[query_id]], "query", 128)[0]:
            products = [float(asked @ token) for token in token_vectors(minilm, [texts[doc_id]], "document", 128)[0]]
            best.append(max(products))
        assert score == pytest.approx(sum(best) / len(best), abs=1e-3)


def test_late_scores_of_a_pair_do_not_depend_on_the_other_pairs(minilm, texts, queries, run):
    deep = by_pair(LateInteraction(minilm, texts).scores(queries, run))
    shallow = by_pair(LateInteraction(minilm, texts).scores(queries, top_k(run, 2)))
    one = by_pair(LateInteraction(minilm, texts).scores(queries, run.tail(1)))
    np.testing.assert_allclose(shallow, deep.loc[shallow.index], atol=1e-3)
    np.testing.assert_allclose(one, deep.loc[one.index], atol=1e-3)


# --- cross-encoders -------------------------------------------------------------------------------


def test_a_cross_encoder_reranker_gives_the_scores_of_its_model(scorer, texts, queries, run):
    head = top_k(run, 5)
    found = CrossEncoderReranker(scorer, texts).scores(queries, head)
    pairs = [(queries[q], texts[d]) for q, d in zip(found["query_id"], found["doc_id"], strict=True)]
    np.testing.assert_allclose(found["score"], scorer.scores(pairs), atol=1e-5)
    assert len(found) == len(head)


def test_a_pair_scores_the_same_whatever_is_scored_beside_it(scorer, texts, queries, run):
    deep = by_pair(CrossEncoderReranker(scorer, texts).scores(queries, run))
    shallow = by_pair(CrossEncoderReranker(scorer, texts).scores(queries, top_k(run, 2)))
    np.testing.assert_allclose(shallow, deep.loc[shallow.index], atol=1e-5)


class Counting:
    """A scorer that remembers what it was asked, and may be stopped after some calls."""

    max_length = 32

    def __init__(self, digest="one", calls=1000):
        self.digest, self.left, self.asked = digest, calls, []

    def scores(self, pairs, max_tokens=0):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.asked += pairs
        return np.array([len(document) for _, document in pairs], dtype=np.float32)


def test_a_stopped_scoring_goes_on_where_it_was(tmp_path, texts, queries, run, monkeypatch):
    monkeypatch.setattr(reranking, "CHUNK", 20)
    stopped, again = Counting(calls=3), Counting()
    with pytest.raises(KeyboardInterrupt):
        CrossEncoderReranker(stopped, texts, cache=tmp_path).scores(queries, run)
    found = CrossEncoderReranker(again, texts, cache=tmp_path).scores(queries, run)
    assert len(stopped.asked) == 60
    assert not set(stopped.asked) & set(again.asked)
    assert len(stopped.asked + again.asked) == len(run)
    assert found["score"].tolist() == [float(len(texts[doc_id])) for doc_id in found["doc_id"]]


@pytest.mark.parametrize("other", [{"digest": "two"}, {"max_tokens": 16}])
def test_scores_of_another_model_or_length_are_not_taken(other, tmp_path, texts, queries, run):
    CrossEncoderReranker(Counting(), texts, cache=tmp_path).scores(queries, run)
    again = Counting(other.get("digest", "one"))
    CrossEncoderReranker(again, texts, other.get("max_tokens", 32), tmp_path).scores(queries, run)
    assert len(again.asked) == len(run)


# --- depth ----------------------------------------------------------------------------------------


QRELS = pd.DataFrame(
    [("q", "a", 1), ("q", "c", 2), ("q", "e", 2), ("q", "b", 0), ("other", "z", 1)],
    columns=["query_id", "doc_id", "relevance"],
)

RUN = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c", "d", "e"], "score": [5.0, 4, 3, 2, 1]})


def test_each_depth_and_weight_is_what_reranking_gives_and_each_pair_is_scored_once(texts, queries, run):
    scorer = Counting()

    def quality(found):
        return float((found.groupby("query_id").head(1)["doc_id"].str[1:].astype(int)).mean())

    found = rerank_depths(queries, run, CrossEncoderReranker(scorer, texts), [2, 5, 10], [0.5, 1.0], quality)
    assert len(scorer.asked) == 10 * len(queries)
    assert found["pairs"].tolist() == [2 * 4, 2 * 4, 5 * 4, 5 * 4, 10 * 4, 10 * 4]
    for depth, weight, value, _ in found.itertuples(index=False):
        head = top_k(run, depth)
        fresh = CrossEncoderReranker(Counting(), texts).scores(queries, head)
        assert value == quality(rerank(run, fresh, weight, depth))
    assert found["quality"].nunique() > 1


@pytest.mark.parametrize(("depths", "weights"), [([], [1.0]), ([10], []), ([0, 10], [1.0])])
def test_depths_that_rerank_nothing_are_refused(depths, weights, texts, queries, run):
    reranker = CrossEncoderReranker(Counting(), texts)
    with pytest.raises(ParameterError, match="depths must be whole numbers of 1 or more"):
        rerank_depths(queries, run, reranker, depths, weights, len)


def test_the_oracle_puts_the_relevant_ones_within_the_depth_in_front_by_grade():
    assert oracle_rerank(RUN, QRELS, 5)["doc_id"].tolist() == ["c", "e", "a", "b", "d"]
    assert oracle_rerank(RUN, QRELS, 3)["doc_id"].tolist() == ["c", "a", "b", "d", "e"]
    assert oracle_rerank(RUN, QRELS, 1)["doc_id"].tolist() == RUN["doc_id"].tolist()


def test_the_oracle_treats_each_query_by_itself():
    both = pd.concat([RUN, RUN.assign(query_id="other").replace({"doc_id": {"d": "z"}})])
    found = oracle_rerank(both, QRELS, 5).groupby("query_id")["doc_id"].agg(list)
    assert found["q"] == ["c", "e", "a", "b", "d"]
    assert found["other"] == ["z", "a", "b", "c", "e"]
