"""Every kind of model on another device than the processor: the same numbers, or a plain word that it is not here."""

import numpy as np
import pytest
import torch
from tiny_causal import save_tiny_causal
from tiny_models import load_tiny, save_tiny, word_documents, word_rows
from transformers import BertForMaskedLM, BertForSequenceClassification, BertModel

import embedlab
from embedlab.errors import ModelError
from embedlab.models import LocalCausal, load_cross_encoder, load_sparse_encoder
from embedlab.models.hardware import Calibration, calibrate, precision_of
from embedlab.training import CrossEncoderSettings, Recipe, Trainer, train_cross_encoder

TEXTS = ["otter swims", "car starts with a key", "fish"]
PAIRS = [("otter", "otter swims a river"), ("car", "fish")]

DEVICES = [
    pytest.param(name, marks=pytest.mark.skipif(not getattr(torch, name).is_available(), reason=f"no {name} here"))
    for name in ("cuda", "mps")
]

pytestmark = pytest.mark.model


def cross_encoder(folder):
    return save_tiny(folder, BertForSequenceClassification, num_labels=1)


def sparse_encoder(folder):
    return save_tiny(folder, BertForMaskedLM)


LOADED = {
    "cross-encoder": (cross_encoder, lambda name, device: load_cross_encoder(name, "float32", device).scores(PAIRS)),
    "sparse encoder": (
        sparse_encoder,
        lambda name, device: load_sparse_encoder(name, "float32", device).encode(TEXTS).toarray(),
    ),
    "language model": (
        save_tiny_causal,
        lambda name, device: [
            ord(letter)
            for reply in LocalCausal(name, max_tokens=8, precision="float32", device=device).complete(TEXTS)
            for letter in reply.text
        ],
    ),
}
"""By kind: what saves a tiny one, and what loads it on a device and returns its numbers."""


@pytest.mark.parametrize(
    ("fp32", "bf16", "fp16", "chosen"),
    [
        (100, 100, 0, "float32"),
        (100, 140, 0, "bfloat16"),
        (100, 800, 810, "bfloat16"),
        (100, 40, 800, "float16"),
        (100, 40, 110, "float32"),
    ],
)
def test_the_shorter_number_is_taken_where_it_is_surely_faster(fp32, bf16, fp16, chosen):
    assert Calibration(fp32, bf16, 4, fp16).precision == chosen


def test_what_was_not_measured_is_no_figure_and_a_processor_computes_in_no_float16():
    assert set(calibrate(0.01).as_dict()) == {"fp32_gflops", "bf16_gflops", "threads"}
    with pytest.raises(ModelError, match="'float16' is for a CUDA device, found 'cpu'; take 'auto'"):
        precision_of("float16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no cuda here")
def test_in_float16_a_run_learns_as_in_float32(tmp_path):
    losses = []
    for precision in ("float32", "float16"):
        encoder = load_tiny(tmp_path / precision, device="cuda", precision=precision)
        recipe = Recipe(steps=6, documents=4, queries_per_document=2, hard_negatives=2, learning_rate=1e-3)
        losses.append(Trainer(encoder, word_rows(), word_documents(), {}, recipe).fit().loss)
    assert losses[1] == pytest.approx(losses[0], abs=0.05)


@pytest.mark.parametrize("kind", LOADED)
@pytest.mark.parametrize("device", DEVICES)
def test_a_model_says_on_another_device_what_it_says_on_the_processor(kind, device, tmp_path):
    save, numbers = LOADED[kind]
    name = str(save(tmp_path / "model"))
    np.testing.assert_allclose(numbers(name, device), numbers(name, "cpu"), atol=1e-4)


@pytest.mark.parametrize("kind", LOADED)
def test_a_device_that_is_not_here_is_told_before_anything_is_loaded(kind, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("cuda is here")
    save, numbers = LOADED[kind]
    name = str(save(tmp_path / "model"))
    with pytest.raises(ModelError, match="device 'cuda' is not here"):
        numbers(name, "cuda")


@pytest.mark.parametrize("device", DEVICES)
def test_a_cross_encoder_trained_on_another_device_is_that_of_the_processor(device, tmp_path):
    base = str(save_tiny(tmp_path / "bert", BertModel))
    settings = CrossEncoderSettings(steps=3, queries=2, negatives=1, max_tokens=16)
    scores = []
    for where in ("cpu", device):
        encoder = embedlab.load_model(base, "float32", device=where)
        folder = train_cross_encoder(encoder, word_rows(), word_documents(), settings, tmp_path / where)
        scores.append(load_cross_encoder(str(folder), "float32").scores(PAIRS))
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-2)
