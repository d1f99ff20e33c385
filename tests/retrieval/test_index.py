"""An index belongs to one model, says so, and notices damage."""

import json

import numpy as np
import pandas as pd
import pytest
from toy_encoder import ToyEncoder

from embedlab.errors import DataError, IdentityError, IntegrityError, ParameterError
from embedlab.retrieval import Dense, Indexed, build_index, load_index, recall_against

TEXTS = pd.Series({f"d{i:03d}": f"document number {i} about topic {i % 17} and word{i * 7 % 101}" for i in range(300)})


@pytest.fixture
def encoder():
    return ToyEncoder()


@pytest.fixture
def saved(encoder, tmp_path):
    index = build_index(encoder.encode(TEXTS.tolist()), TEXTS.index.tolist(), encoder.identity)
    index.save(tmp_path / "index")
    return tmp_path / "index"


def test_a_saved_index_comes_back_and_ranks_as_exact_search(encoder, saved):
    loaded = load_index(saved, encoder.identity)
    queries = pd.Series({"q1": "topic 3 word21", "q2": "document number 250"})
    pd.testing.assert_frame_equal(
        Indexed(encoder, loaded).search(queries, 10), Dense(encoder, TEXTS).search(queries, 10)
    )


def test_another_model_is_refused_and_the_difference_named(saved):
    with pytest.raises(IdentityError, match=r"weights weights-0 \(here weights-1\)"):
        load_index(saved, ToyEncoder("other", seed=1).identity)


def test_the_same_model_under_another_name_is_the_same_space(saved):
    assert len(load_index(saved, ToyEncoder("renamed").identity).doc_ids) == len(TEXTS)


def test_searching_with_another_encoder_is_refused_too(encoder, saved):
    with pytest.raises(IdentityError):
        Indexed(ToyEncoder("other", seed=1), load_index(saved, encoder.identity))


@pytest.mark.parametrize("name", ["index.faiss", "doc_ids.json"])
def test_one_changed_byte_is_noticed(encoder, saved, name):
    content = bytearray((saved / name).read_bytes())
    content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=name):
        load_index(saved, encoder.identity)


def test_a_changed_identity_is_noticed(saved):
    stamp = json.loads((saved / "identity.json").read_text())
    stamp["identity"]["weights"] = "weights-1"
    (saved / "identity.json").write_text(json.dumps(stamp))
    with pytest.raises(IntegrityError, match="identity"):
        load_index(saved, ToyEncoder("other", seed=1).identity)


def test_an_index_that_was_never_finished_is_none(encoder, saved):
    (saved / "identity.json").unlink()
    with pytest.raises(IntegrityError, match="never finished"):
        load_index(saved, encoder.identity)


def test_vectors_that_are_not_finite_or_do_not_fit_are_refused(encoder):
    vectors = encoder.encode(["a", "b"])
    with pytest.raises(DataError, match=r"\(2, 64\) for 3 ids"):
        build_index(vectors, ["1", "2", "3"], encoder.identity)
    vectors[1, 0] = np.nan
    with pytest.raises(DataError, match="1 of 2 vectors are not finite, the first: '2'"):
        build_index(vectors, ["1", "2"], encoder.identity)


def test_an_unknown_kind_names_the_nearest(encoder):
    with pytest.raises(ParameterError, match="did you mean 'hnsw'"):
        build_index(encoder.encode(["a"]), ["1"], encoder.identity, "hnws")


def test_hnsw_finds_nearly_all_and_is_built_the_same_each_time(encoder, tmp_path):
    vectors, ids = encoder.encode(TEXTS.tolist()), TEXTS.index.tolist()
    exact = build_index(vectors, ids, encoder.identity).search(vectors, 10)[1]
    graphs = [build_index(vectors, ids, encoder.identity, "hnsw") for _ in range(2)]
    assert np.mean(graphs[0].search(vectors, 10)[1] >= exact - 1e-5) > 0.95
    for number, graph in enumerate(graphs):
        graph.save(tmp_path / str(number))
    assert (tmp_path / "0" / "index.faiss").read_bytes() == (tmp_path / "1" / "index.faiss").read_bytes()


def test_a_document_scores_as_its_best_passage(encoder):
    index = build_index(encoder.encode(["red apple", "blue sky", "green grass"]), ["a", "a", "b"], encoder.identity)
    run = Indexed(encoder, index).search(pd.Series({"q": "blue sky"}), 2)
    assert run["doc_id"].tolist() == ["a", "b"]
    assert run["score"].iloc[0] == pytest.approx(1, abs=1e-4)


def test_one_request_is_answered_as_the_same_query_among_others(encoder):
    search = Indexed(encoder, build_index(encoder.encode(TEXTS.tolist()), TEXTS.index.tolist(), encoder.identity))
    run = search.search(pd.Series({"q1": "topic 3 word21", "q2": "number 250"}), 5)
    answer = search.answer("number 250", 5)
    assert answer["doc_id"].tolist() == run.loc[run["query_id"] == "q2", "doc_id"].tolist()


def test_recall_counts_shared_neighbours():
    assert recall_against(np.array([[1, 2], [3, -1]]), np.array([[2, 1], [3, 4]])) == 0.75
