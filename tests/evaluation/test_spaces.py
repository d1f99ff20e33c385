"""How far a space moved, that the cosine to the old one does not say it, and what mixing two spaces costs."""

import numpy as np
import pandas as pd
import pytest
from conftest import toy_rows, write_beir
from toy_encoder import ToyEncoder

import embedlab
from embedlab.errors import DataError, IdentityError, ParameterError
from embedlab.evaluation import (
    Space,
    compare_scores,
    cosines_between,
    migration_scores,
    mixed_documents,
    mixed_scores,
    neighbour_overlap,
    neighbours,
    per_query,
    random_rotation,
    run_of_vectors,
    scores_in,
    share_of_old,
)
from embedlab.models.encoder import normalize
from embedlab.retrieval import Dense, Indexed, build_index

OLD, NEW = ToyEncoder("old"), ToyEncoder("new", seed=1)
RNG = np.random.default_rng(0)
VECTORS = normalize(RNG.normal(size=(60, 16)).astype(np.float32))


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    corpus, queries, judgments = toy_rows()
    folder = write_beir(tmp_path_factory.mktemp("toy"), corpus, queries, {"test": judgments})
    return embedlab.load_collection("beir", path=folder)


def space_of(encoder, collection):
    documents = collection.document_texts().tolist()
    return Space(encoder.encode(documents), encoder.encode(collection.queries["text"].tolist(), "query"))


@pytest.fixture(scope="module")
def old(collection):
    return space_of(OLD, collection)


@pytest.fixture(scope="module")
def new(collection):
    return space_of(NEW, collection)


# --- neighbours ------------------------------------------------------------------------------------


def test_neighbours_are_those_of_a_plain_loop():
    for row, found in enumerate(neighbours(VECTORS, 10)):
        scores = VECTORS @ VECTORS[row]
        scores[row] = -2
        assert found.tolist() == np.argsort(-scores)[:10].tolist()


def test_a_vector_is_not_its_own_neighbour_where_others_are_equal_to_it():
    equal = np.repeat(VECTORS[:2], 8, axis=0)
    for row, found in enumerate(neighbours(equal, 4)):
        assert row not in found
        assert len(set(found.tolist())) == 4


def test_there_are_no_more_neighbours_than_others():
    assert neighbours(VECTORS[:3], 10).shape == (3, 2)
    assert neighbours(VECTORS[:1], 10).shape == (1, 0)
    assert neighbour_overlap(VECTORS[:1], VECTORS[:1]).tolist() == [1.0]


def test_overlap_is_the_share_of_common_neighbours():
    assert (neighbour_overlap(VECTORS, VECTORS) == 1).all()
    other = normalize(RNG.normal(size=(60, 8)).astype(np.float32))
    found = neighbour_overlap(VECTORS, other, 5)
    first, second = neighbours(VECTORS, 5), neighbours(other, 5)
    assert found.tolist() == [len(set(a) & set(b)) / 5 for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    assert 0 < found.mean() < 0.3


def test_spaces_of_other_documents_are_not_compared():
    for measure in (neighbour_overlap, cosines_between):
        with pytest.raises(DataError, match="vectors of 60 and of 59 documents: not the same documents"):
            measure(VECTORS, VECTORS[:-1])
    with pytest.raises(DataError, match="vectors of 16 and 8 numbers have no cosine"):
        cosines_between(VECTORS, VECTORS[:, :8])


# --- a rotation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [1, 2, 64, 384])
def test_a_rotation_is_orthogonal_and_the_same_for_a_seed(dimensions):
    found = random_rotation(dimensions, 3)
    np.testing.assert_allclose(found @ found.T, np.eye(dimensions), atol=1e-5)
    np.testing.assert_array_equal(found, random_rotation(dimensions, 3))
    if dimensions > 1:
        assert not np.array_equal(found, random_rotation(dimensions, 4))


def test_a_rotated_space_ranks_as_before_and_its_cosine_to_what_it_was_is_gone(collection):
    # Of bags of words many scores are equal, and rounding would put these in another order.
    new = Space(*(normalize(RNG.normal(size=(40, 64)).astype(np.float32)) for _ in range(2)))
    rotated = new.rotated(random_rotation(64, 0))
    before, after = run_of_vectors(collection, new), run_of_vectors(collection, rotated)
    wide = [run.pivot(index="query_id", columns="doc_id", values="score") for run in (before, after)]
    pd.testing.assert_frame_equal(*wide, atol=1e-5)
    pd.testing.assert_series_equal(scores_in(collection, new), scores_in(collection, rotated))
    assert abs(cosines_between(new.documents, rotated.documents).mean()) < 0.2
    assert cosines_between(new.documents, new.documents).min() > 0.9999


# --- mixing ----------------------------------------------------------------------------------------


def test_bare_vectors_are_searched_as_a_model_searches(collection, new):
    pd.testing.assert_frame_equal(
        run_of_vectors(collection, new, 10),
        Dense(NEW, collection.document_texts()).search(collection.query_texts(), 10),
    )


def test_vectors_of_another_collection_are_not_searched(collection, new):
    with pytest.raises(DataError, match="39 vectors of documents, the collection has 40"):
        run_of_vectors(collection, Space(new.documents[:-1], new.queries))
    with pytest.raises(DataError, match="39 vectors of queries, the collection has 40"):
        run_of_vectors(collection, Space(new.documents, new.queries[:-1]))


@pytest.mark.parametrize("measure", ["nDCG@10", "RR@10", "AP", "R@5"])
def test_scores_are_those_of_the_whole_run(collection, new, measure):
    whole = per_query(collection.qrels, run_of_vectors(collection, new), [measure])[measure]
    pd.testing.assert_series_equal(scores_in(collection, new, measure), whole)


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.5, 20), (0.25, 10), (1, 40)])
def test_so_many_documents_keep_their_old_vector(old, new, share, count):
    vectors, is_old = mixed_documents(old.documents, new.documents, share, 0)
    assert is_old.sum() == count
    np.testing.assert_array_equal(vectors[is_old], old.documents[is_old])
    np.testing.assert_array_equal(vectors[~is_old], new.documents[~is_old])


def test_each_draw_leaves_other_documents(old, new):
    draws = [mixed_documents(old.documents, new.documents, 0.5, seed)[1].tolist() for seed in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_a_share(old, new, share):
    with pytest.raises(ParameterError, match="share must lie between 0 and 1"):
        mixed_documents(old.documents, new.documents, share, 0)


def test_vectors_of_two_lengths_cannot_be_mixed_at_all(new):
    with pytest.raises(DataError, match="vectors of 32 and 64 numbers do not go into one index"):
        mixed_documents(new.documents[:, :32], new.documents, 0.5, 0)


def test_some_draw_is_needed(collection, old, new):
    with pytest.raises(ParameterError, match="draws are 1 or more, found 0"):
        mixed_scores(collection, old, new, draws=0)


def test_a_mix_with_itself_changes_nothing_and_one_with_a_stranger_costs_surely(collection, old, new):
    alone = scores_in(collection, new)
    assert (mixed_scores(collection, new, new, draws=2).to_numpy() == alone.to_numpy()[:, None]).all()
    mixed = mixed_scores(collection, old, new, draws=3)
    assert mixed.index.equals(alone.index)
    found = compare_scores(alone, mixed.mean(axis=1))
    assert found.ci95[1] < -0.1


def test_two_spaces_that_rank_alike_cannot_be_mixed_either(collection, new):
    rotated = new.rotated(random_rotation(64, 0))
    alone, mixed = scores_in(collection, new), mixed_scores(collection, rotated, new, draws=3).mean(axis=1)
    assert compare_scores(alone, mixed).ci95[1] < -0.1


def test_a_migration_in_place_ends_at_either_space(collection, old, new):
    found = migration_scores(collection, old, new, (0.0, 0.5, 1.0), draws=2)
    pd.testing.assert_series_equal(found[0.0], scores_in(collection, new), check_names=False)
    asked_by_new = Space(old.documents, new.queries)
    pd.testing.assert_series_equal(found[1.0], scores_in(collection, asked_by_new), check_names=False)
    halves = mixed_scores(collection, old, new, 0.5, 2).mean(axis=1)
    pd.testing.assert_series_equal(found[0.5], halves, check_names=False)


def test_what_is_shown_of_the_old_half_would_be_half_were_scores_comparable(collection, old, new):
    assert share_of_old(collection, new, new, 0.5) == pytest.approx(0.5, abs=0.1)
    shifted = Space(np.zeros_like(old.documents), old.queries)
    assert share_of_old(collection, shifted, new, 0.5) < 0.1


def test_an_index_refuses_what_is_mixed_here(collection, old, new):
    vectors, _ = mixed_documents(old.documents, new.documents, 0.5, 0)
    ids = collection.corpus["doc_id"].tolist()
    # Whoever builds one must say whose vectors they are, and either answer is refused to the other model.
    for claimed, asking in ((OLD, NEW), (NEW, OLD)):
        with pytest.raises(IdentityError, match="vectors of two models must not be mixed"):
            Indexed(asking, build_index(vectors, ids, claimed.identity))
