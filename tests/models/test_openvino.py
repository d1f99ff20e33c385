"""OpenVINO runs the same model: nearly the same vectors, in a space of their own name."""

from importlib.util import find_spec

import numpy as np
import pytest

from embedlab.errors import IdentityError, ModelError
from embedlab.models import MINILM, WORDLLAMA, OpenVINOEncoder
from embedlab.models.files.resolve import resolve

TEXTS = ["Adversaries may dump credentials.", "The otter swims.", "", "word " * 400]

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


@pytest.fixture(scope="module")
def converted():
    return OpenVINOEncoder(resolve(MINILM)).load()


@needs_openvino
def test_its_vectors_are_those_of_torch_but_for_the_last_digits(converted, minilm):
    assert (converted.encode(TEXTS) * minilm.encode(TEXTS)).sum(axis=1).min() > 0.999


@needs_openvino
def test_one_text_at_a_time_gives_the_same(converted):
    alone = np.concatenate([converted.encode_uncached([text]) for text in TEXTS])
    assert (alone * converted.encode_uncached(TEXTS)).sum(axis=1).min() > 0.999


@needs_openvino
def test_its_vectors_are_not_mixed_with_torchs(converted, minilm):
    assert converted.name == f"{MINILM}@openvino"
    with pytest.raises(IdentityError, match="differing: dtype openvino bf16"):
        minilm.identity.require(converted.identity, "the index")


@needs_openvino
@pytest.mark.model
def test_a_table_of_word_vectors_is_refused():
    with pytest.raises(ModelError, match="a table of word vectors, for which OpenVINO does nothing"):
        OpenVINOEncoder(resolve(WORDLLAMA)).load()


def test_without_openvino_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("embedlab.models.openvino.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"openvino is not installed: pip install -e '\.\[openvino\]'"):
        OpenVINOEncoder(resolve(MINILM))
