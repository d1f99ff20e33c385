"""Sparse encoders: loaded as safely as embedding models, SPLADE's weights for each word."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SparseEncoder
from tiny_models import VOCABULARY, save_tiny
from transformers import BertForMaskedLM, BertModel

import embedlab
from embedlab.errors import ModelError
from embedlab.models import load_sparse_encoder

TEXTS = ["otter swims", "car starts with a key", "", "fish"]


@pytest.fixture
def folder(tmp_path):
    return save_tiny(tmp_path / "masked", BertForMaskedLM)


@pytest.fixture
def saved(folder, tmp_path):
    """The same model as sentence-transformers saves it."""
    SparseEncoder(str(folder), device="cpu").save(str(tmp_path / "splade"), create_model_card=False)
    return tmp_path / "splade"


def test_weights_are_splades_formula_over_transformers_own_logits(saved, folder):
    encoder = load_sparse_encoder(str(saved), "float32")
    model = BertForMaskedLM.from_pretrained(folder).eval()
    found = encoder.encode(TEXTS)
    assert found.shape == (len(TEXTS), len(VOCABULARY))
    for row, text in zip(found.toarray(), TEXTS, strict=True):
        with torch.no_grad():
            logits = model(**encoder.model.tokenizer(text, return_tensors="pt")).logits[0]
        np.testing.assert_allclose(row, torch.log1p(torch.relu(logits)).max(dim=0).values.numpy(), atol=1e-5)


def test_a_masked_language_model_without_modules_is_read_as_splade(saved, folder):
    found, wanted = (load_sparse_encoder(str(path), "float32").encode(TEXTS).toarray() for path in (folder, saved))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_module_under_its_former_name_is_known(saved):
    rows = json.loads((saved / "modules.json").read_text())
    rows[0]["type"] = "sentence_transformers.sparse_encoder.models.MLMTransformer"
    wanted = load_sparse_encoder(str(saved), "float32").encode(TEXTS).toarray()
    (saved / "modules.json").write_text(json.dumps(rows))
    np.testing.assert_allclose(load_sparse_encoder(str(saved), "float32").encode(TEXTS).toarray(), wanted, atol=1e-6)


def test_no_text_has_no_vector(folder):
    assert load_sparse_encoder(str(folder), "float32").encode([]).shape[0] == 0


def test_each_kind_of_text_has_its_prompt(saved):
    file = saved / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": {"query": "river ", "document": "road "}}))
    encoder, bare = load_sparse_encoder(str(saved), "float32"), ["river fish", "road fish"]
    found = [encoder.encode(["fish"], kind).toarray()[0] for kind in ("query", "document")]
    without = SparseEncoder(str(saved), prompts={"query": "", "document": ""}, device="cpu")
    np.testing.assert_allclose(found, without.encode(bare, convert_to_sparse_tensor=False).numpy(), atol=1e-5)


def test_a_transformer_that_would_get_random_weights_is_refused(tmp_path):
    folder = save_tiny(tmp_path / "plain", BertModel)
    with pytest.raises(ModelError, match=rf"{folder}: no sparse encoder: neither a module SpladePooling"):
        load_sparse_encoder(str(folder))


def test_an_embedding_model_is_refused_by_what_its_folder_says(minilm, tmp_path):
    minilm.model.save(str(tmp_path / "dense"), create_model_card=False)
    with pytest.raises(ModelError, match="holds an embedding model, for load_model; expected a sparse encoder"):
        load_sparse_encoder(str(tmp_path / "dense"))


def test_a_sparse_encoder_is_refused_as_an_embedding_model(saved):
    with pytest.raises(ModelError, match="holds a sparse encoder, for load_sparse_encoder; expected an embedding"):
        embedlab.load_model(str(saved))


def test_a_module_that_routes_to_others_is_refused(saved):
    rows = json.loads((saved / "modules.json").read_text())
    rows[1]["type"] = "sentence_transformers.base.modules.router.Router"
    (saved / "modules.json").write_text(json.dumps(rows))
    with pytest.raises(ModelError, match=r"Router' is not among the classes .*SpladePooling"):
        load_sparse_encoder(str(saved))


def test_one_that_cannot_be_had_offline_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="'nobody/nothing' is neither a folder nor to be had from the hub"):
        load_sparse_encoder("nobody/nothing")
