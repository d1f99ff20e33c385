"""Retrievers against plain formulas."""

import math
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from conftest import frame_of_run

from embedlab.errors import ParameterError
from embedlab.retrieval import (
    BM25,
    RM3,
    Chunked,
    Dense,
    Filter,
    best_weight,
    fuse_ranks,
    fuse_scores,
    passages,
    titled_passages,
    top_k,
)

DOCUMENTS = pd.Series(
    {
        "d1": "adversaries dump credentials from memory",
        "d2": "credentials credentials stored in files",
        "d3": "adversaries encrypt files for impact and leave a note",
        "d4": "a network share is scanned",
    }
)


class Rolls:
    """An encoder that gives every text a fixed random unit vector."""

    name = "rolls"

    def encode(self, texts, kind="document"):
        import zlib

        rows = [np.random.default_rng(zlib.crc32(f"{kind} {t}".encode())).normal(size=16) for t in texts]
        vectors = np.array(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_dense_search_is_the_exact_order_of_inner_products():
    documents = pd.Series({f"d{i}": f"text {i}" for i in range(50)})
    queries = pd.Series({f"q{i}": f"query {i}" for i in range(7)})
    run = Dense(Rolls(), documents).search(queries, 10)
    inner = Rolls().encode(list(queries), "query") @ Rolls().encode(list(documents)).T
    for row, query_id in zip(inner, queries.index, strict=True):
        mine = run[run["query_id"] == query_id]
        best = np.argsort(-row)[:10]
        assert list(mine["doc_id"]) == [f"d{i}" for i in best]
        assert mine["score"].to_numpy() == pytest.approx(row[best], abs=1e-6)


def test_fewer_documents_than_asked_for_are_all_returned():
    run = Dense(Rolls(), DOCUMENTS).search(pd.Series({"q": "x"}), 100)
    assert sorted(run["doc_id"]) == sorted(DOCUMENTS.index)
    assert len(BM25(DOCUMENTS).search(pd.Series({"q": "credentials"}), 100)) == 2


@pytest.mark.parametrize("texts", [["!!!", "…"], ["the", "of and"]], ids=["signs", "stop words"])
def test_bm25_finds_nothing_where_no_document_has_a_word(texts):
    queries = pd.Series({"q": "credentials", "signs": "!!!"})
    bm25 = BM25(pd.Series(texts, index=["a", "b"]))
    assert bm25.search(queries).empty
    assert RM3(bm25).search(queries).empty
    assert bm25.scores("credentials").tolist() == [0, 0]


def test_bm25_leaves_jax_to_others(tmp_path):
    """bm25s starts JAX where it is installed; it must neither sort nor take a GPU's memory for itself."""
    package = tmp_path / "jax"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "lax.py").write_text(
        "import os\n"
        "assert os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] == 'false'\n"
        "calls = []\n"
        "def top_k(scores, k):\n"
        "    calls.append(k)\n"
    )
    asked = (
        "import pandas as pd, sys\n"
        "from embedlab.retrieval import BM25\n"
        "run = BM25(pd.Series({'a': 'red fox', 'b': 'blue whale'})).search(pd.Series({'q': 'whale'}), 2)\n"
        "print(run['doc_id'].tolist(), sys.modules['jax.lax'].calls)"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run([sys.executable, "-c", asked], env={"PYTHONPATH": paths}, capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == "['b'] [1]", done.stderr  # the one call is bm25s' own at its import


def test_bm25_scores_by_its_formula():
    found = BM25(DOCUMENTS, k1=1.2, b=0.7).search(pd.Series({"q": "credentials files"}))
    words = {
        "d1": ["adversari", "dump", "credenti", "from", "memori"],
        "d2": ["credenti", "credenti", "store", "file"],
        "d3": ["adversari", "encrypt", "file", "impact", "leav", "note"],
        "d4": ["network", "share", "scan"],
    }
    average = np.mean([len(w) for w in words.values()])
    for row in found.itertuples():
        counts, score = Counter(words[row.doc_id]), 0.0
        for term in ("credenti", "file"):
            frequency = sum(term in w for w in words.values())
            idf = math.log(1 + (4 - frequency + 0.5) / (frequency + 0.5))
            length = 1 - 0.7 + 0.7 * len(words[row.doc_id]) / average
            score += idf * counts[term] / (counts[term] + 1.2 * length)
        assert row.score == pytest.approx(score, rel=1e-4)
    assert list(found["doc_id"]) == ["d2", "d1", "d3"]


def test_bm25_leaves_out_documents_that_share_no_word():
    found = BM25(DOCUMENTS).search(pd.Series({"q1": "scanning networks", "q2": "zebra", "q3": ""}))
    assert list(zip(found["query_id"], found["doc_id"], strict=True)) == [("q1", "d4")]


def test_bm25_scores_every_document_of_one_query():
    retriever = BM25(DOCUMENTS)
    every = retriever.scores("dump credentials")
    assert list(every.index) == list(DOCUMENTS.index)
    found = retriever.search(pd.Series({"q": "dump credentials"})).set_index("doc_id")["score"]
    assert every[every > 0].sort_index().to_numpy() == pytest.approx(found.sort_index().to_numpy(), rel=1e-5)


LEFT = frame_of_run({"q": {"a": 10.0, "b": 6.0, "c": 2.0}})
RIGHT = frame_of_run({"q": {"c": 0.9, "d": 0.5}})


def as_dict(run: pd.DataFrame) -> dict[str, float]:
    return dict(zip(run["doc_id"], run["score"], strict=True))


def test_rank_fusion_is_the_sum_of_reciprocal_ranks():
    fused = fuse_ranks(LEFT, RIGHT)
    assert as_dict(fused) == pytest.approx({"c": 1 / 63 + 1 / 61, "a": 1 / 61, "b": 1 / 62, "d": 1 / 62})
    assert list(fused["doc_id"]) == ["c", "a", "d", "b"]


def test_score_fusion_weighs_scaled_scores():
    fused = as_dict(fuse_scores(LEFT, RIGHT, 0.3))
    assert fused == pytest.approx({"a": 0.3, "b": 0.15, "c": 0.7, "d": 0.0})


def test_score_fusion_at_its_ends_keeps_one_runs_order():
    assert fuse_scores(LEFT, RIGHT, 1.0)["doc_id"].tolist()[:2] == ["a", "b"]
    assert fuse_scores(LEFT, RIGHT, 0.0)["doc_id"].iloc[0] == "c"


def test_score_fusion_of_equal_scores_counts_them_as_full():
    flat = frame_of_run({"q": {"a": 5.0, "b": 5.0}})
    assert as_dict(fuse_scores(flat, RIGHT, 0.5)) == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.0})


def test_each_query_is_scaled_by_itself():
    two = pd.concat([LEFT, LEFT.assign(query_id="r", score=LEFT["score"] * 100)])
    fused = fuse_scores(two, RIGHT, 1.0)
    assert as_dict(fused[fused["query_id"] == "r"]) == pytest.approx({"a": 1.0, "b": 0.5, "c": 0.0})


def test_the_best_weight_is_the_lowest_among_equals():
    weight, values = best_weight(LEFT, RIGHT, lambda run: float(run["doc_id"].iloc[0] == "a"))
    assert values[weight] == 1.0
    assert weight > 0
    assert all(value < 1.0 for w, value in values.items() if w < weight)
    assert best_weight(LEFT, RIGHT, lambda run: 0.0)[0] == 0.0


def test_passages_cover_every_word_with_the_overlap():
    words = [f"w{i}" for i in range(100)]
    cut = [p.split() for p in passages(" ".join(words), 40, 10)]
    assert [p[0] for p in cut] == ["w0", "w30", "w60"]
    assert cut[-1][-1] == "w99"
    assert set().union(*cut) == set(words)
    assert passages("", 40, 10) == [""]
    assert passages("one two", 40, 10) == ["one two"]


@pytest.mark.parametrize("overlap", [40, 41, -1])
def test_passages_that_would_not_come_to_an_end_are_refused(overlap):
    with pytest.raises(ParameterError, match=rf"of 40 words cannot overlap by {overlap}: .* from 0 to 39 words"):
        passages("one two", 40, overlap)


def test_a_document_scores_as_its_best_passage():
    corpus = pd.DataFrame({"doc_id": ["a", "b"], "title": ["A", "B"], "text": [" ".join(map(str, range(60))), "short"]})
    chunked = Chunked(Rolls(), corpus, words=20, overlap=5)
    query = pd.Series({"q": "x"})
    run = chunked.search(query)
    inner = Rolls().encode(["x"], "query") @ chunked.vectors.T
    best = pd.Series(inner[0], index=chunked.passages.index).groupby(level=0).max()
    assert as_dict(run) == pytest.approx(best.to_dict(), abs=1e-6)
    assert set(chunked.passages.index) == {"a", "b"}
    assert all(p.startswith(("A ", "B ")) for p in chunked.passages)


def test_what_is_not_cut_stays_whole_behind_its_title():
    corpus = pd.DataFrame({"doc_id": ["a", "b"], "title": ["A", ""], "text": ["one two three", "four five six"]})
    cut = titled_passages(corpus, words=2, overlap=0, is_cut=pd.Series([False, True]))
    assert list(cut.items()) == [("a", "A one two three"), ("b", "four five"), ("b", "six")]


def test_a_filter_keeps_equal_values_and_queries_without_one_keep_all():
    corpus = pd.DataFrame({"doc_id": ["a", "b", "c"], "lang": ["en", "de", "en"]})
    queries = pd.DataFrame({"query_id": ["q", "r"], "lang": ["en", None]})
    run = frame_of_run({"q": {"a": 2.0, "b": 3.0}, "r": {"b": 1.0, "c": 0.5}})
    kept = Filter.equal("lang", queries, corpus).keep(run)
    assert list(zip(kept["query_id"], kept["doc_id"], strict=True)) == [("q", "a"), ("r", "b"), ("r", "c")]


def test_the_top_k_are_those_of_trec_evals_order():
    run = frame_of_run({"q": {"a": 1.0, "b": 1.0, "c": 0.5}})
    assert list(top_k(run, 1)["doc_id"]) == ["b"]
