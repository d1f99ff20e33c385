"""Variants of a model: their vectors are what a compressed store gives back, and their space is their own."""

import faiss
import numpy as np
import pandas as pd
import pytest
from toy_encoder import DIMENSIONS, DOCUMENTS, ToyEncoder

from embedlab.errors import IdentityError, ParameterError
from embedlab.models import Variant, bytes_per_vector, split_variant
from embedlab.retrieval import Dense

TEXTS = DOCUMENTS.tolist()
QUERIES = pd.Series({"q1": "topic3 word21", "q2": "document 5", "q3": "word49"})


def of(form, encoder=None):
    return Variant(encoder or ToyEncoder(), form, TEXTS)


def scores(run):
    """Return the scores of a run by query, best first, whatever documents have them."""
    return np.array([group["score"].to_numpy() for _, group in run.groupby("query_id", sort=False)])


def test_int8_search_is_that_of_a_scalar_quantized_index():
    index = faiss.IndexScalarQuantizer(DIMENSIONS, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    vectors = ToyEncoder().encode(TEXTS)
    index.train(vectors)
    index.add(vectors)
    expected, _ = index.search(ToyEncoder().encode(QUERIES.tolist(), "query"), 10)
    assert scores(Dense(of("int8"), DOCUMENTS).search(QUERIES, k=10)) == pytest.approx(expected, abs=1e-6)
    assert not np.array_equal(of("int8").encode(TEXTS), vectors), "something is lost"


def test_int8_leaves_queries_as_they_are_and_learns_its_ranges_on_the_corpus_alone():
    variant = of("int8")
    assert np.array_equal(variant.encode(TEXTS[:3], "query"), ToyEncoder().encode(TEXTS[:3], "query"))
    assert np.array_equal(variant.encode(TEXTS[:3]), of("int8").encode(TEXTS)[:3])


def test_binary_search_is_that_of_hamming_distances():
    vectors, asked = ToyEncoder().encode(TEXTS), ToyEncoder().encode(QUERIES.tolist(), "query")
    index = faiss.IndexBinaryFlat(DIMENSIONS)
    index.add(np.packbits(vectors > 0, axis=1))
    distances, _ = index.search(np.packbits(asked > 0, axis=1), 10)
    expected = 1 - 2 * distances / DIMENSIONS
    assert scores(Dense(of("binary"), DOCUMENTS).search(QUERIES, k=10)) == pytest.approx(expected, abs=1e-6)


def test_binary_vectors_hold_one_number_up_to_its_sign():
    vectors = of("binary").encode(TEXTS)
    assert np.unique(np.abs(vectors)) == pytest.approx([1 / np.sqrt(DIMENSIONS)])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_fewer_dimensions_are_the_first_ones_at_unit_length():
    vectors, whole = of("16").encode(TEXTS), ToyEncoder().encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert vectors[0] == pytest.approx(whole[0, :16] / np.linalg.norm(whole[0, :16]))


def test_fewer_dimensions_and_then_fewer_bits():
    variant = of("binary", of("20"))
    assert (variant.name, variant.identity.dimensions, variant.identity.quantization) == ("toy@20@binary", 20, "binary")
    assert bytes_per_vector(variant.identity) == 3


@pytest.mark.parametrize(("form", "size"), [("int8", 64), ("binary", 8), ("16", 64)])
def test_a_variant_says_how_many_bytes_a_vector_takes(form, size):
    assert bytes_per_vector(ToyEncoder().identity) == 256
    assert bytes_per_vector(of(form).identity) == size


@pytest.mark.parametrize("form", ["int8", "binary", "16"])
def test_a_variant_is_a_space_of_its_own(form):
    with pytest.raises(IdentityError, match=r"made by toy@.*differing: .*(quantization|dimensions)"):
        ToyEncoder().identity.require(of(form).identity, "the index")


def test_a_variant_asks_the_model_for_nothing_that_it_knows():
    encoder = ToyEncoder()
    variant = of("binary", encoder)
    variant.encode(TEXTS[:5])
    assert encoder.texts == 5


@pytest.mark.parametrize("form", ["int8", "binary", "16"])
def test_no_text_is_no_vector(form):
    variant = of(form)
    assert variant.encode([]).shape == (0, variant.identity.dimensions)


def test_a_vector_is_not_quantized_twice_and_not_cut_afterwards():
    for form in ("binary", "16"):
        with pytest.raises(ParameterError, match="int8 already; dimensions come first and one quantization last"):
            of(form, of("int8"))


def test_more_dimensions_than_there_are_are_refused():
    with pytest.raises(ParameterError, match="toy@64: the model has 64 dimensions; expected fewer, found 64"):
        of("64")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model", ("model", [])),
        ("org/model@int8", ("org/model", ["int8"])),
        ("model@128@binary", ("model", ["128", "binary"])),
        ("served:http://me@host/v1#text@v2", ("served:http://me@host/v1#text@v2", [])),
        ("served:http://host/v1#text@v2@int8", ("served:http://host/v1#text@v2", ["int8"])),
    ],
)
def test_forms_stand_behind_the_models_name(name, expected):
    assert split_variant(name) == expected


def test_a_folder_may_have_the_sign_in_its_name(tmp_path):
    (tmp_path / "model@2").mkdir()
    assert split_variant(str(tmp_path / "model@2")) == (str(tmp_path / "model@2"), [])
    assert split_variant(f"{tmp_path}/model@2@int8") == (f"{tmp_path}/model@2", ["int8"])


def test_a_form_that_there_is_not_is_refused_by_name():
    with pytest.raises(ParameterError, match="'int4' is no form of a model's vectors; did you mean 'int8'"):
        split_variant("model@int4")
