"""Ways to index vectors: each finds what it promises, costs what it says, and is refused where it cannot be learned."""

import numpy as np
import pandas as pd
import pytest
from toy_encoder import ToyEncoder

from embedlab.errors import IntegrityError, ParameterError
from embedlab.files import read_json
from embedlab.models import EmbeddingIdentity
from embedlab.retrieval import Filter, Indexed, IndexSetting, build_index, cheapest, load_index, measure_settings
from embedlab.retrieval.indexes.measures import memory_bytes

DIMENSIONS, COUNT = 32, 1500
IDENTITY = EmbeddingIdentity("toy", "weights", "config", DIMENSIONS, 256, "", "", "float32")
EVERY = [
    "flat",
    "sq8",
    "hnsw",
    "hnsw links=8 build_width=40 search_width=16",
    "ivf lists=16 probes=8",
    "pq parts=16 bits=5",
    "ivfpq lists=16 probes=8 parts=16 bits=5",
]
each = pytest.mark.parametrize("words", EVERY)


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, DIMENSIONS))
    found = centres[rng.integers(30, size=COUNT)] + 0.5 * rng.normal(size=(COUNT, DIMENSIONS))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def ids():
    return [f"d{at:04d}" for at in range(COUNT)]


def test_a_flat_index_finds_what_numpy_finds(vectors, ids):
    positions, scores = build_index(vectors, ids, IDENTITY).search(vectors[:40], 10)
    products = vectors[:40] @ vectors.T
    wanted = np.argsort(-products, axis=1, kind="stable")[:, :10]
    assert positions.tolist() == wanted.tolist()
    np.testing.assert_allclose(scores, np.take_along_axis(products, wanted, axis=1), atol=1e-5)


@each
def test_a_setting_is_written_as_it_is_read(words):
    setting = IndexSetting.of(words)
    assert IndexSetting.of(str(setting)) == setting == IndexSetting.from_dict(setting.as_dict())


@each
def test_every_kind_is_built_the_same_each_time_and_comes_back_from_disk(words, vectors, ids, tmp_path):
    for name in ("one", "two"):
        build_index(vectors, ids, IDENTITY, words).save(tmp_path / name)
    assert (tmp_path / "one/index.faiss").read_bytes() == (tmp_path / "two/index.faiss").read_bytes()
    built, loaded = build_index(vectors, ids, IDENTITY, words), load_index(tmp_path / "one", IDENTITY)
    assert loaded.setting == IndexSetting.of(words)
    assert loaded.search(vectors[:20], 5)[0].tolist() == built.search(vectors[:20], 5)[0].tolist()


@each
def test_every_kind_gives_back_vectors_close_to_those_it_was_given(words, vectors, ids):
    index = build_index(vectors, ids, IDENTITY, words)
    before = index.size_bytes()
    assert (index.vectors() * vectors).sum(axis=1).mean() > 0.8
    assert index.size_bytes() == before


def test_an_index_of_before_settings_were_stamped_is_opened_by_its_kind(vectors, ids, tmp_path):
    build_index(vectors, ids, IDENTITY, "hnsw").save(tmp_path / "old")
    stamp = read_json(tmp_path / "old/identity.json", dict, IntegrityError, "")
    del stamp["setting"]
    (tmp_path / "old/identity.json").write_text(pd.Series(stamp).to_json())
    assert load_index(tmp_path / "old", IDENTITY).setting == IndexSetting.of("hnsw")


def test_a_damaged_setting_is_noticed(vectors, ids, tmp_path):
    build_index(vectors, ids, IDENTITY, "sq8").save(tmp_path / "index")
    file = tmp_path / "index/identity.json"
    file.write_text(file.read_text().replace('"kind": "sq8"', '"kind": "ivf"'))
    with pytest.raises(
        IntegrityError, match="lists must be a whole number of 1 or more, found 0; build the index again"
    ):
        load_index(tmp_path / "index", IDENTITY)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ivff lists=4 probes=1", "did you mean 'ivf'"),
        ("ivf lists=4", "probes must be a whole number of 1 or more, found 0"),
        ("ivf lists=4 probes=5", "5 probes are more than its 4 lists"),
        ("pq parts=8 bits=9", "9 bits a part, expected at most 8"),
        ("flat lists=4", "flat has no number"),
        ("hnsw links=many", "hnsw has links=… build_width=… search_width=…"),
        ("", "unknown index kind ''"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(words, message):
    with pytest.raises(ParameterError, match=message):
        IndexSetting.of(words)


def test_a_setting_that_too_few_vectors_train_is_refused_with_how_many_it_needs(vectors, ids):
    with pytest.raises(ParameterError, match=r"256 centroids are learned from 9,984 vectors or more, there are 1,500"):
        build_index(vectors, ids, IDENTITY, "pq parts=16 bits=8")
    with pytest.raises(ParameterError, match="32 dimensions cannot be cut into 5 equal parts"):
        build_index(vectors, ids, IDENTITY, "pq parts=5 bits=4")


def test_what_cannot_be_learned_here_is_not_measured_and_says_why(vectors):
    settings = [IndexSetting.of(words) for words in ("flat", "pq parts=16 bits=8")]
    table, times = measure_settings(vectors, vectors[:30], settings)
    assert table.loc["pq parts=16 bits=8", "status"].startswith("not measured: 256 centroids")
    assert table.loc["pq parts=16 bits=8", ["recall", "bytes", "memory"]].isna().all()
    assert list(times.index) == ["flat"]


def test_an_exact_index_has_recall_1_and_a_coarser_one_less_in_fewer_bytes(vectors):
    settings = [IndexSetting.of(words) for words in EVERY]
    table, times = measure_settings(vectors, vectors[:100] + 0, settings, timed=3)
    assert table.loc["flat", "recall"] == 1
    assert table.loc["pq parts=16 bits=5", "recall"] < table.loc["sq8", "recall"] < 1
    assert table.loc["pq parts=16 bits=5", "bytes"] < table.loc["sq8", "bytes"] < table.loc["flat", "bytes"]
    assert (times[["p50_ms", "p95_ms", "build_s"]] > 0).all().all()


@each
def test_memory_counts_every_array_of_the_index(words, vectors, ids):
    index = build_index(vectors, ids, IDENTITY, words)
    # A file holds the same arrays, and a few words about them.
    assert memory_bytes(index.faiss) == pytest.approx(index.size_bytes(), rel=0.05)


def test_the_cheapest_setting_is_of_the_smallest_that_keep_the_recall():
    table = pd.DataFrame(
        {"recall": [1.0, 0.995, 0.993, 0.9, np.nan], "bytes": [400, 100, 100, 10, np.nan]}, index=list("abcde")
    )
    assert cheapest(table, 0.99) == ["b", "c"]
    assert cheapest(table, 0.999) == ["a"]
    assert cheapest(table.drop("a"), 0.999) == []


@pytest.mark.parametrize("kind", ["flat", "hnsw", "sq8"])
def test_a_filtered_search_of_an_index_finds_all_that_the_query_may_find(kind):
    encoder = ToyEncoder()
    texts = pd.Series({f"d{i:03d}": f"document {i} about topic{i % 17} word{i * 7 % 101}" for i in range(300)})
    corpus = pd.DataFrame({"doc_id": texts.index, "kind": ["rare" if i % 50 == 0 else "usual" for i in range(300)]})
    queries = pd.DataFrame(
        {"query_id": ["q1", "q2", "q3"], "text": ["topic3", "word21", "topic5"], "kind": ["rare", None, "unknown"]}
    )
    search = Indexed(encoder, build_index(encoder.encode(texts.tolist()), texts.index.tolist(), encoder.identity, kind))
    where = Filter.equal("kind", queries, corpus)
    run = search.search(queries.set_index("query_id")["text"], 300, where)
    found = run.groupby("query_id")["doc_id"].agg(set).to_dict()
    assert found["q1"] == set(corpus.loc[corpus["kind"] == "rare", "doc_id"])
    assert len(found["q2"]) == 300 or kind == "hnsw"
    assert "q3" not in found
