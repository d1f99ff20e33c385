"""The pipeline's stages and the prompt do what their settings say."""

import threading

import numpy as np
import pandas as pd
import pytest
from toy_encoder import ToyEncoder

from embedlab.data.trec import parse_run, run_text, trec_order
from embedlab.evaluation import per_query
from embedlab.retrieval import (
    BM25,
    Chunked,
    Dense,
    Filter,
    Filtered,
    Fused,
    LateInteraction,
    Pipeline,
    Reranked,
    Settings,
    Stages,
    choose_threshold,
    chosen_settings,
    rerank,
    token_vectors,
    tune,
    tune_stages,
)

CORPUS = pd.DataFrame(
    {
        "doc_id": ["fish", "bird", "long", "car"],
        "title": ["Fish", "Birds", "A long text", "Cars"],
        "text": [
            "They swim in water.",
            "They fly with wings.",
            "Nothing here. " * 200 + "Volcanoes erupt.",
            "They drive.",
        ],
        "kind": ["animal", "animal", "other", "machine"],
    }
)
QUERIES = pd.DataFrame(
    {"query_id": ["q1", "q2"], "text": ["animals under water", "lava from a volcano"], "kind": ["animal", "other"]}
)
QRELS = pd.DataFrame({"query_id": ["q1", "q2"], "doc_id": ["fish", "long"], "relevance": [1, 1]})
WHOLE = pd.Series((CORPUS["title"] + " " + CORPUS["text"]).to_numpy(), CORPUS["doc_id"])


def pipeline(encoder, **settings):
    return Pipeline.build(encoder, CORPUS, Settings(**settings), BM25(WHOLE))


def quality(run):
    return float(per_query(QRELS, run, ["nDCG@10"])["nDCG@10"].mean())


def test_only_documents_that_the_model_would_cut_off_become_passages(minilm):
    counts = pd.Series(pipeline(minilm, chunk="long").dense.index.doc_ids).value_counts()
    assert counts["long"] > 1
    assert counts.drop("long").to_dict() == {"fish": 1, "bird": 1, "car": 1}


def test_a_passage_shows_what_the_whole_document_hides(minilm):
    whole, cut = (pipeline(minilm, chunk=way).candidates(QUERIES)[0] for way in ("none", "long"))
    score = [run.set_index(["query_id", "doc_id"]).loc[("q2", "long"), "score"] for run in (whole, cut)]
    assert score[1] > score[0] + 0.1


def test_a_filter_keeps_documents_of_the_querys_kind(minilm):
    run = pipeline(minilm, filter_field="kind").search(QUERIES)
    assert set(run.loc[run["query_id"] == "q1", "doc_id"]) == {"fish", "bird"}


def test_a_threshold_leaves_out_low_cosines_only(minilm):
    full = pipeline(minilm)
    vectors = minilm.encode(QUERIES["text"].tolist(), "query")
    run = full.search(QUERIES, vectors)
    cosines = full.cosines(QUERIES, run, vectors)
    kept = full.using(threshold=float(cosines.median())).search(QUERIES, vectors)
    assert 0 < len(kept) < len(run)


def test_one_request_is_answered_as_the_same_query_among_others(minilm):
    stages = pipeline(minilm, weight=0.6, rerank_weight=0.4)
    run = stages.search(QUERIES)
    for query_id, text in zip(QUERIES["query_id"], QUERIES["text"], strict=True):
        expected = run[run["query_id"] == query_id].head(3)
        answer = stages.answer(text, k=3)
        assert answer["doc_id"].tolist() == expected["doc_id"].tolist()
        assert answer["score"].tolist() == pytest.approx(expected["score"].tolist(), abs=1e-4)


def test_one_request_is_filtered_by_its_own_metadata(minilm):
    filtered = pipeline(minilm, filter_field="kind")
    assert set(filtered.answer("animals", metadata={"kind": "animal"})["doc_id"]) == {"fish", "bird"}
    assert len(filtered.answer("animals")) == len(CORPUS)


def test_a_filter_finds_every_document_of_a_rare_kind():
    many = pd.DataFrame({"doc_id": [f"d{at:04d}" for at in range(1100)], "title": "", "kind": "usual"})
    many["text"] = [f"fish under water {at}" for at in range(1099)] + ["a bicycle"]
    many.loc[1099, "kind"] = "rare"
    texts = many.set_index("doc_id")["text"]
    full = Pipeline.build(ToyEncoder(), many, Settings(filter_field="kind"), BM25(texts))
    queries = pd.DataFrame({"query_id": ["q"], "text": ["fish under water"], "kind": ["rare"]})
    assert full.search(queries)["doc_id"].tolist() == ["d1099"]


STACKS = {
    "dense alone": (Settings(), lambda dense, bm25, late, where: dense),
    "BM25 alone": (Settings(weight=0.0), lambda dense, bm25, late, where: bm25),
    "filtered": (Settings(filter_field="kind"), lambda dense, bm25, late, where: Filtered(dense, where)),
    "fused": (Settings(weight=0.6), lambda dense, bm25, late, where: Fused([dense, bm25], [0.6, 0.4])),
    "reranked": (Settings(rerank_weight=0.4), lambda dense, bm25, late, where: Reranked(dense, late, 0.4)),
    "all": (
        Settings(weight=0.6, rerank_weight=0.4, filter_field="kind"),
        lambda dense, bm25, late, where: Reranked(Filtered(Fused([dense, bm25], [0.6, 0.4]), where), late, 0.4),
    ),
}
"""A pipeline's settings, and the same stages as a stack of retrievers."""


@pytest.mark.parametrize("name", STACKS)
def test_a_pipelines_run_is_that_of_the_same_stages_called_one_by_one(name, minilm):
    settings, stack = STACKS[name]
    dense, bm25, late = Dense(minilm, WHOLE), BM25(WHOLE), LateInteraction(minilm, WHOLE, settings.rerank_tokens)
    by_hand = stack(dense, bm25, late, Filter.equal("kind", QUERIES, CORPUS))
    wanted = by_hand.search(pd.Series(QUERIES["text"].to_numpy(), QUERIES["query_id"].to_numpy()))
    found = Pipeline.build(minilm, CORPUS, settings, bm25).search(QUERIES)
    pd.testing.assert_frame_equal(trec_order(found), trec_order(wanted), check_dtype=False, atol=1e-5)


def test_passages_of_a_pipeline_are_those_of_a_chunked_search(minilm):
    settings = Settings(chunk="all", passage_words=8, passage_overlap=2)
    wanted = Chunked(minilm, CORPUS, 8, 2).search(pd.Series(QUERIES["text"].to_numpy(), QUERIES["query_id"].to_numpy()))
    found = Pipeline.build(minilm, CORPUS, settings, BM25(WHOLE)).search(QUERIES)
    pd.testing.assert_frame_equal(trec_order(found), trec_order(wanted), check_dtype=False, atol=1e-5)


@pytest.mark.parametrize("name", STACKS)
def test_the_run_of_every_stack_goes_out_as_trec_and_comes_back_the_same(name, minilm):
    settings, _ = STACKS[name]
    run = Pipeline.build(minilm, CORPUS, settings, BM25(WHOLE)).search(QUERIES)
    back = parse_run(run_text(run, "stack"))
    pd.testing.assert_frame_equal(back, trec_order(run), check_dtype=False, rtol=1e-6)


def test_several_ways_at_once_give_what_each_gives_by_itself(minilm):
    full = pipeline(minilm, chunk="long", weight=0.6, rerank_weight=0.4, filter_field="kind")
    ways = {
        "all": {},
        "no rerank": {"rerank_weight": 0.0},
        "no filter": {"filter_field": ""},
        "whole": {"chunk": "none"},
        "BM25": {"weight": 0.0, "rerank_weight": 0.0},
        "shown": {"threshold": 0.2},
    }
    found = full.variants(QUERIES, ways)
    assert list(found) == list(ways)
    for name, changes in ways.items():
        settings = {"chunk": "long", "weight": 0.6, "rerank_weight": 0.4, "filter_field": "kind"} | changes
        alone = pipeline(minilm, **settings).search(QUERIES)
        pd.testing.assert_frame_equal(found[name], alone, check_dtype=False, atol=1e-4)


def test_the_settings_that_were_chosen_can_be_read_from_their_table(minilm):
    stages = Stages(passage_words=50, passage_overlap=10)
    tuned, table = tune_stages(minilm, CORPUS, BM25(WHOLE), QUERIES, ["kind"], quality, stages)
    assert chosen_settings(table, stages) == tuned.settings


def test_the_threshold_keeps_the_share_asked_for():
    cosines, relevant = pd.Series([0.9, 0.8, 0.2, 0.7, 0.1]), pd.Series([True, True, False, True, False])
    assert choose_threshold(cosines, relevant, 1.0) == pytest.approx(0.7)
    assert choose_threshold(cosines, pd.Series([False] * 5), 0.9) == -1


def test_tuning_never_takes_a_setting_worse_than_none(minilm):
    tuned, table = tune(pipeline(minilm), QUERIES, ["kind"], quality)
    assert quality(tuned.search(QUERIES)) >= quality(pipeline(minilm).search(QUERIES))
    chosen = table[table["chosen"]]
    assert chosen["stage"].tolist() == ["filter", "dense weight", "rerank weight"]


def test_late_interaction_is_the_mean_of_best_token_cosines(minilm):
    run = pd.DataFrame({"query_id": ["q1", "q1", "q2"], "doc_id": ["fish", "car", "fish"], "score": 1.0})
    texts = pd.Series(QUERIES["text"].to_numpy(), QUERIES["query_id"])
    found = LateInteraction(minilm, WHOLE).scores(texts, run).set_index(["query_id", "doc_id"])["score"]
    query = token_vectors(minilm, [texts["q1"]], "query", 128)[0]
    document = token_vectors(minilm, [WHOLE["fish"]], "document", 128)[0]
    assert found["q1", "fish"] == pytest.approx(float((query @ document.T).max(axis=1).mean()), abs=1e-3)
    assert found["q1", "fish"] > found["q1", "car"]


def test_a_rerank_does_not_shorten_what_another_thread_encodes_meanwhile(minilm, monkeypatch):
    text = " ".join(f"word{number}" for number in range(60))
    alone = minilm.encode_uncached([text])
    encode, found = minilm.model.encode, []
    other = threading.Thread(target=lambda: found.append(minilm.encode_uncached([text])))

    def meanwhile(texts, **more):
        if more.get("output_value") == "token_embeddings":
            other.start()
            other.join(0.5)
        return encode(texts, **more)

    monkeypatch.setattr(minilm.model, "encode", meanwhile)
    token_vectors(minilm, [text], "document", 8)
    other.join()
    np.testing.assert_allclose(found[0], alone, atol=1e-6)


def test_a_rerank_moves_the_top_and_leaves_the_rest_below():
    run = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c", "d"], "score": [4.0, 3, 2, 1]})
    fresh = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b"], "score": [0.1, 0.9]})
    assert rerank(run, fresh, 1.0, top=2)["doc_id"].tolist() == ["b", "a", "c", "d"]
    assert rerank(run, fresh, 0.0, top=2)["doc_id"].tolist() == ["a", "b", "c", "d"]
