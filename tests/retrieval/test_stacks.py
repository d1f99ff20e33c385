"""Retrievers made of retrievers, and filters that every one of them keeps to."""

import numpy as np
import pandas as pd
import pytest
from toy_encoder import ToyEncoder

from embedlab.retrieval import (
    BM25,
    Answering,
    Chunked,
    Dense,
    Filter,
    Filtered,
    Fused,
    Known,
    Remembered,
    Reranked,
    Rewritten,
    fuse_ranks,
    fuse_scores,
    rerank,
    top_k,
)

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 8)) for _ in range(40)]
    ids = [f"d{i:02d}" for i in range(40)]
    return pd.DataFrame({"doc_id": ids, "title": "", "text": texts, "kind": ["x", "y"] * 20})


@pytest.fixture(scope="module")
def queries():
    rng = np.random.default_rng(1)
    rows = [
        (f"q{i}", " ".join(rng.choice(WORDS, 3)), kind) for i, kind in enumerate(["x", "y", None, "x", "none of them"])
    ]
    return pd.DataFrame(rows, columns=["query_id", "text", "kind"])


@pytest.fixture(scope="module")
def texts(corpus):
    return corpus.set_index("doc_id")["text"]


@pytest.fixture(scope="module")
def asked(queries):
    return queries.set_index("query_id")["text"]


def test_a_filter_keeps_documents_with_the_querys_value_and_all_where_it_has_none(queries, corpus):
    where = Filter.equal("kind", queries, corpus)
    run = pd.DataFrame(
        [("q0", "d00", 1.0), ("q0", "d01", 0.5), ("q2", "d00", 1.0), ("q2", "d01", 0.5), ("q4", "d00", 1.0)],
        columns=["query_id", "doc_id", "score"],
    )
    kept = where.keep(run)
    assert list(zip(kept["query_id"], kept["doc_id"], strict=True)) == [("q0", "d00"), ("q2", "d00"), ("q2", "d01")]


@pytest.mark.parametrize("kind", [Dense, BM25, Chunked])
def test_a_filtered_search_finds_what_a_deep_one_has_left_after_the_filter(kind, queries, corpus, texts, asked):
    made = {
        Dense: lambda: Dense(ToyEncoder(), texts),
        BM25: lambda: BM25(texts),
        Chunked: lambda: Chunked(ToyEncoder(), corpus, 4, 1),
    }[kind]()
    where = Filter.equal("kind", queries, corpus)
    found = top_k(made.search(asked, len(corpus), where), len(corpus))
    wanted = top_k(where.keep(made.search(asked, len(corpus))), len(corpus))
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    assert "q4" not in set(found["query_id"]), "no document has the value that it asks for"
    assert top_k(Filtered(made, where).search(asked, len(corpus)), len(corpus)).equals(found)
    assert made.search(asked, 5, where).groupby("query_id").size().to_dict() == dict.fromkeys(
        ["q0", "q1", "q2", "q3"], 5
    )


def test_fused_gives_what_its_parts_fused_by_hand_give(texts, asked):
    dense, bm25 = Dense(ToyEncoder(), texts), BM25(texts)
    one, two = dense.search(asked), bm25.search(asked)
    assert Fused([dense, bm25]).search(asked).equals(fuse_ranks(one, two))
    assert Fused([dense, bm25], [0.3, 0.7]).search(asked, 7).equals(fuse_scores(one, two, 0.3, 7))


class Longest:
    """Prefers long document ids' last digits: a reranker whose scores are known."""

    def scores(self, queries, run):
        return run.assign(score=[float(doc_id[-1]) for doc_id in run["doc_id"]])


def test_reranked_reorders_the_first_results_alone(texts, asked):
    dense = Dense(ToyEncoder(), texts)
    run = dense.search(asked)
    found = Reranked(dense, Longest(), weight=1.0, top=10).search(asked)
    assert found.equals(rerank(run, Longest().scores(asked, top_k(run, 10)), 1.0, 10))
    first = found.groupby("query_id").head(10)
    assert (
        first.groupby("query_id")["doc_id"].apply(lambda ids: [int(i[-1]) for i in ids]).map(sorted).str.len() == 10
    ).all()


class InOtherWords:
    """Says the first query in two ways and leaves the others as they are."""

    def rewrite(self, queries):
        rows = [(query_id, text) for query_id, text in queries.items()]
        return pd.DataFrame([*rows, (queries.index[0], "kappa kappa")], columns=["query_id", "text"])


def test_rewritten_fuses_the_phrasings_of_a_query(texts, asked):
    bm25 = BM25(texts)
    found = Rewritten(bm25, InOtherWords()).search(asked)
    other = pd.Series({"q0": "kappa kappa"})
    assert found.equals(fuse_ranks(bm25.search(asked), bm25.search(other)))


def test_a_run_that_was_made_elsewhere_stacks_like_what_made_it(queries, corpus, texts, asked):
    dense, bm25 = Dense(ToyEncoder(), texts), BM25(texts)
    known = Known(dense.search(asked, len(corpus)), "another engine")
    assert Fused([known, bm25], [0.5, 0.5]).search(asked).equals(Fused([dense, bm25], [0.5, 0.5]).search(asked))
    where = Filter.equal("kind", queries, corpus)
    found, wanted = known.search(asked, 5, where), dense.search(asked, 5, where)
    pd.testing.assert_frame_equal(found, top_k(wanted, 5), check_dtype=False)
    assert set(known.search(asked.head(1))["query_id"]) == {"q0"}


class Counting(Longest):
    """Counts the pairs that it is asked for."""

    pairs = 0

    def scores(self, queries, run):
        self.pairs += len(run)
        return super().scores(queries, run)


def test_a_reranker_that_remembers_scores_a_pair_once_and_anew_when_it_is_timed(texts, asked):
    inner = Counting()
    remembered, dense = Remembered(inner), Dense(ToyEncoder(), texts)
    found = Reranked(dense, remembered, 1.0, 10).search(asked)
    assert found.equals(Reranked(dense, Longest(), 1.0, 10).search(asked))
    assert inner.pairs == 10 * len(asked)
    Reranked(dense, remembered, 0.5, 5).search(asked)
    assert inner.pairs == 10 * len(asked)
    Answering(Reranked(dense, remembered, 0.5, 5), asked, [remembered]).answer(asked.iloc[0])
    assert inner.pairs == 10 * len(asked) + 5
