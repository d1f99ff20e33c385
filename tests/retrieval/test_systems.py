"""Systems are frozen as plain values: the same values give the same answers, and a hash that names them."""

from dataclasses import replace

import pandas as pd
import pytest
from toy_encoder import ToyEncoder

from embedlab.errors import DataError, ParameterError
from embedlab.retrieval import (
    BM25,
    BM25_ALONE,
    Engine,
    Pipeline,
    Settings,
    Stages,
    fuse_scores,
    needs_embedding,
    systems_of,
    tune_stages,
)

CORPUS = pd.DataFrame({"doc_id": list("abcd"), "title": "", "text": ["red fish", "blue bird", "red car", "green tree"]})
TEXTS = pd.Series(CORPUS["text"].to_numpy(), CORPUS["doc_id"])
QUERIES = pd.DataFrame({"query_id": ["q1", "q2"], "text": ["red fish", "tree"]})
OF_BASE = systems_of("base", "e" * 64, 0.3, Settings(weight=0.4, rerank_weight=0.2))


def static():
    """Return an encoder without token vectors, which a reranker would ask for."""
    encoder = ToyEncoder()
    encoder.identity = replace(encoder.identity, max_length=0)
    return encoder


def built(**settings):
    return Pipeline.build(ToyEncoder(), CORPUS, Settings(**settings), BM25(TEXTS))


def test_a_model_makes_three_systems():
    assert [system.name for system in OF_BASE.values()] == ["base", "hybrid (base)", "pipeline (base)"]
    assert [system.settings.weight for system in OF_BASE.values()] == [1.0, 0.3, 0.4]


def test_the_hash_is_of_what_it_answers_not_of_its_name():
    system = OF_BASE["hybrid"]
    assert replace(system, name="another").hash == system.hash
    assert replace(system, weights="f" * 64).hash != system.hash
    assert replace(system, settings=Settings(weight=0.5)).hash != system.hash


def test_a_system_says_its_stages():
    assert BM25_ALONE.in_words() == "BM25: BM25"
    assert OF_BASE["dense"].in_words() == "base: dense"
    assert OF_BASE["pipeline"].in_words() == "pipeline (base): dense 0.4 with BM25, top 20 reranked (0.2)"
    cut = Settings(chunk="long", filter_field="kind", index="hnsw")
    assert cut.in_words() == "dense, passages (long), filtered by kind, hnsw index"


def test_only_vectors_that_production_lacks_have_to_be_made():
    base, today = OF_BASE["dense"], replace(OF_BASE["dense"], model="today", weights="f" * 64)
    engine = replace(today, kind="run", model="", settings=None)
    assert needs_embedding(base, today)
    assert needs_embedding(base, BM25_ALONE)
    assert not needs_embedding(OF_BASE["hybrid"], base)
    assert not needs_embedding(BM25_ALONE, base)
    assert not needs_embedding(base, engine)


def test_without_weight_a_side_is_not_asked():
    pipeline = built(weight=0.0)
    assert not pipeline.asks_the_model
    pipeline.encoder.encode = pipeline.encoder.encode_uncached = None  # an encoder that cannot be called
    alone = BM25(TEXTS).search(pd.Series(QUERIES["text"].to_numpy(), QUERIES["query_id"]))
    pd.testing.assert_frame_equal(pipeline.search(QUERIES), alone)
    assert pipeline.answer("red fish", k=1)["doc_id"].tolist() == ["a"]


def test_at_full_weight_the_model_ranks_alone():
    pipeline = built(weight=1.0)
    dense, lexical = pipeline.candidates(QUERIES)
    pd.testing.assert_frame_equal(pipeline.search(QUERIES), dense)
    between = built(weight=0.5).search(QUERIES)
    pd.testing.assert_frame_equal(between, fuse_scores(dense, lexical, 0.5))


def test_passages_are_taken_only_where_they_gain_enough():
    long = CORPUS.assign(text=[f"{text} filler" * 40 for text in CORPUS["text"]])
    lexical = BM25(pd.Series(long["text"].to_numpy(), long["doc_id"]))
    qualities = iter([0.50, 0.504, *[0.6] * 40])
    stages = Stages(chunk="all", passage_words=20, passage_overlap=5, least_gain=0.005)
    pipeline, table = tune_stages(static(), long, lexical, QUERIES, [], lambda run: next(qualities), stages)
    assert pipeline.settings.chunk == "none"
    qualities = iter([0.50, 0.506, *[0.6] * 40])
    pipeline, table = tune_stages(static(), long, lexical, QUERIES, [], lambda run: next(qualities), stages)
    assert pipeline.settings.chunk == "all"
    assert len(pipeline.dense.index.doc_ids) > len(long)
    assert table.loc[table["stage"] == "passages", "setting"].tolist() == ["none", "all"]


# --- an engine known by its rankings ------------------------------------------------------------


def engine(tmp_path, lines, queries=("q1", "q2"), shown=2):
    path = tmp_path / "engine.run"
    path.write_text("".join(f"{q} Q0 {d} {rank} {1 / rank} mine\n" for q, d, rank in lines))
    return Engine(path, queries, CORPUS["doc_id"], shown)


WHOLE = [("q1", "a", 1), ("q1", "b", 2), ("q2", "c", 1), ("q2", "a", 2)]


def test_an_engine_answers_with_its_rankings(tmp_path):
    found = engine(tmp_path, WHOLE).search(QUERIES[QUERIES["query_id"] == "q2"])
    assert found["doc_id"].tolist() == ["c", "a"]


FAULTS = {
    "1 of 2 dev and test queries are missing, the first: 'q2'": WHOLE[:2],
    "1 of 3 queries are unknown to dev and test, the first: 'q9'": [*WHOLE, ("q9", "a", 1), ("q9", "b", 2)],
    "1 of 4 documents are unknown to the collection, the first: 'z'": [*WHOLE, ("q1", "z", 3)],
    "1 of 2 queries have fewer than 2 results, the first: 'q2'": WHOLE[:3],
}


@pytest.mark.parametrize("message", FAULTS)
def test_an_engine_that_left_something_out_is_refused_with_counts(tmp_path, message):
    with pytest.raises(DataError, match=message):
        engine(tmp_path, FAULTS[message])


def test_of_fewer_documents_than_are_shown_all_must_be_there(tmp_path):
    lines = [(query, doc, rank) for query in ("q1", "q2") for rank, doc in enumerate("abcd", 1)]
    assert len(engine(tmp_path, lines, shown=10).run) == 8


def test_an_unknown_chunking_is_refused_by_name():
    with pytest.raises(ParameterError, match="unknown chunking 'lnog'; did you mean 'long'"):
        built(chunk="lnog")
