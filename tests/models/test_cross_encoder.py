"""Cross-encoders: loaded as safely as embedding models, one number a pair."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder
from tiny_models import save_tiny
from transformers import BertForSequenceClassification, BertModel

import embedlab
from embedlab.errors import ModelError
from embedlab.models import MINILM, WORDLLAMA, load_cross_encoder

PAIRS = [("otter", "otter swims a river"), ("car", "fish"), ("otter", "car starts with a key")]


@pytest.fixture
def folder(tmp_path):
    return save_tiny(tmp_path / "cross", BertForSequenceClassification, num_labels=1)


@pytest.fixture
def saved(folder, tmp_path):
    """The same model as sentence-transformers saves it."""
    CrossEncoder(str(folder), device="cpu").save(str(tmp_path / "saved"), create_model_card=False)
    return tmp_path / "saved"


def change(folder, name, **values):
    known = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(known | values))


def test_scores_are_the_logits_of_transformers_own(folder):
    scorer = load_cross_encoder(str(folder), "float32")
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        wanted = [float(model(**scorer.model.tokenizer(*pair, return_tensors="pt")).logits) for pair in PAIRS]
    np.testing.assert_allclose(scorer.scores(PAIRS), wanted, atol=1e-5)
    assert len(set(wanted)) == 3


def test_a_folder_of_sentence_transformers_scores_as_that_of_transformers(folder, saved):
    found = load_cross_encoder(str(saved), "float32").scores(PAIRS)
    np.testing.assert_allclose(found, load_cross_encoder(str(folder), "float32").scores(PAIRS), atol=1e-6)


def test_tokens_beyond_the_limit_are_not_read(folder):
    scorer = load_cross_encoder(str(folder), "float32")
    long = [("otter", "fish " + "car " * 60), ("otter", "fish car car " + "key " * 60)]
    whole, cut = scorer.scores(long), scorer.scores(long, max_tokens=7)
    assert scorer.max_length == 32
    assert cut[0] == pytest.approx(cut[1], abs=1e-6)
    assert abs(whole[0] - whole[1]) > 1e-3


def test_in_bf16_the_last_layer_still_tells_scores_apart(folder):
    words = ["otter", "swims", "eats", "fish", "car", "engine"]
    pairs = [(one, f"{two} {three}") for one in words for two in words for three in words]
    exact = load_cross_encoder(str(folder), "float32").scores(pairs)
    found = load_cross_encoder(str(folder), "bfloat16").scores(pairs)
    assert np.corrcoef(found, exact)[0, 1] > 0.99
    assert len(torch.tensor(exact).to(torch.bfloat16).unique()) < 0.9 * len(pairs)
    assert len(np.unique(found)) > 0.98 * len(pairs)


def test_the_digest_tells_models_and_precisions_apart(folder, tmp_path):
    other = save_tiny(tmp_path / "other", BertForSequenceClassification, seed=1, num_labels=1)
    made = [load_cross_encoder(str(path), how) for path in (folder, other) for how in ("float32", "bfloat16")]
    assert len({scorer.digest for scorer in made}) == 4
    assert load_cross_encoder(str(folder), "float32").digest == made[0].digest


@pytest.mark.parametrize("kind", ["folder", "saved"])
def test_a_classifier_of_several_classes_is_refused(kind, tmp_path):
    folder = save_tiny(tmp_path / "cross", BertForSequenceClassification, num_labels=3)
    if kind == "saved":
        CrossEncoder(str(folder), device="cpu").save(str(tmp_path / "saved"), create_model_card=False)
        folder = tmp_path / "saved"
    with pytest.raises(ModelError, match=rf"{folder}: it gives 3 numbers for a pair .*expected one"):
        load_cross_encoder(str(folder), "float32").load()


def test_an_embedding_model_is_refused_by_what_its_folder_says(minilm, tmp_path):
    minilm.model.save(str(tmp_path / "dense"), create_model_card=False)
    with pytest.raises(ModelError, match="holds an embedding model, for load_model; expected a cross-encoder"):
        load_cross_encoder(str(tmp_path / "dense"))


def test_a_cross_encoder_is_refused_as_an_embedding_model(saved):
    with pytest.raises(ModelError, match="holds a cross-encoder, for load_cross_encoder; expected an embedding model"):
        embedlab.load_model(str(saved))


def test_a_transformer_without_the_head_is_refused(tmp_path):
    folder = save_tiny(tmp_path / "headless", BertModel, num_labels=1)
    with pytest.raises(ModelError, match=r"stand in no file and would be drawn at random, such as \S*classifier"):
        load_cross_encoder(str(folder), "float32").load()


@pytest.mark.parametrize("name", [MINILM, WORDLLAMA])
def test_a_packaged_embedding_model_is_no_cross_encoder(name):
    with pytest.raises(ModelError, match="is an embedding model, for load_model; expected a cross-encoder"):
        load_cross_encoder(name)


def test_an_activation_that_the_folder_names_is_not_called(saved, tmp_path):
    change(saved, "config_sentence_transformers.json", activation_fn="torch.os.getcwd")
    change(saved, "config.json", sentence_transformers={"activation_fn": "torch.os.abort"})
    scorer = load_cross_encoder(str(saved), "float32")
    assert isinstance(scorer.model.activation_fn, torch.nn.Identity)


def test_a_module_that_is_code_of_the_folder_is_refused(saved):
    rows = json.loads((saved / "modules.json").read_text())
    (saved / "modules.json").write_text(json.dumps([rows[0] | {"type": "modeling.Evil"}]))
    with pytest.raises(ModelError, match=r"'modeling\.Evil' is not among the classes .*LogitScore"):
        load_cross_encoder(str(saved))


def test_pickled_weights_are_refused(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no \.safetensors file; embedlab loads weights from safetensors only"):
        load_cross_encoder(str(folder))


def test_weights_that_are_no_numbers_are_told(folder):
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights \S*classifier\.weight hold NaN"):
        load_cross_encoder(str(folder), "float32").load()


def test_one_that_cannot_be_had_offline_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="'nobody/nothing' is neither a folder nor to be had from the hub"):
        load_cross_encoder("nobody/nothing")
