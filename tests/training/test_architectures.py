"""Transformers of several kinds are trained a step, saved, and loaded by sentence-transformers alone."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tiny_models import VOCABULARY, save_encoder, tiny_tokenizer, word_documents, word_rows
from transformers import (
    BertConfig,
    BertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    Qwen3Config,
    Qwen3Model,
)

import embedlab
from embedlab.training import Recipe, Trainer

RECIPE = Recipe(steps=1, documents=4, queries_per_document=2, hard_negatives=2, learning_rate=1e-2)

SHAPE = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 34,  # MPNet counts positions from 2
    "initializer_range": 0.5,
}
TOKENS = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}

KINDS = {
    "BERT": (BertModel, BertConfig(**SHAPE), "mean", "right"),
    "MPNet": (MPNetModel, MPNetConfig(**SHAPE, pad_token_id=0), "mean", "right"),
    "ModernBERT": (ModernBertModel, ModernBertConfig(**SHAPE, **TOKENS), "cls", "right"),
    "Qwen3": (Qwen3Model, Qwen3Config(**SHAPE, num_key_value_heads=1, head_dim=8), "lasttoken", "left"),
}
"""Of each kind its class, a shape of a few thousand weights, how it pools and where it pads."""

pytestmark = pytest.mark.model


@pytest.fixture(params=KINDS)
def base(request, tmp_path):
    """A base of random weights."""
    architecture, shape, pooling, side = KINDS[request.param]
    torch.manual_seed(0)
    architecture(shape).save_pretrained(tmp_path / "body")
    tiny_tokenizer(side=side).save_pretrained(tmp_path / "body")
    return embedlab.load_model(str(save_encoder(tmp_path / "body", tmp_path / "base", pooling)), "float32")


def test_what_a_step_of_training_saves_is_loaded_by_sentence_transformers_alone(base, tmp_path, capfd):
    texts = [*word_documents().tolist(), "otter"]  # of different lengths, so that there is padding
    before = base.encode(texts)
    trainer = Trainer(base, word_rows(), word_documents(), {}, RECIPE)
    trainer.fit()
    trained = trainer.frozen_encode()(texts, "document")
    assert np.abs(trained - before).max() > 1e-3
    trainer.save_model(tmp_path / "tuned")
    plain = SentenceTransformer(str(tmp_path / "tuned"), device="cpu", local_files_only=True)
    assert np.abs(plain.encode(texts, normalize_embeddings=True) - trained).max() < 1e-5
    alone = np.concatenate([plain.encode([text], normalize_embeddings=True) for text in texts])
    assert np.abs(alone - trained).max() < 1e-5
    printed = capfd.readouterr()
    assert "attention implementation" not in printed.out + printed.err  # MPNet knows one alone


def test_the_last_token_of_qwen_is_one_that_it_read(tmp_path):
    """Padded on the left, so that what is pooled is never padding."""
    architecture, shape, pooling, side = KINDS["Qwen3"]
    architecture(shape).save_pretrained(tmp_path / "body")
    tiny_tokenizer(side=side).save_pretrained(tmp_path / "body")
    encoder = embedlab.load_model(str(save_encoder(tmp_path / "body", tmp_path / "base", pooling)), "float32")
    features = Trainer(encoder, word_rows(), word_documents(), {}, RECIPE).reader.features(["otter", "a key"], "query")
    assert features["attention_mask"].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    assert encoder.identity.pooling == "lasttoken"
