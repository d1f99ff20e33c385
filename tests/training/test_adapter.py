"""A map of query vectors: what it learns, what it leaves alone, and what it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from toy_encoder import DIMENSIONS, ToyEncoder

from embedlab.data import stable_hash
from embedlab.errors import DataError, IdentityError, ModelError, ParameterError
from embedlab.models import load_model
from embedlab.models.encoder import normalize
from embedlab.training import (
    Adapted,
    AdapterSettings,
    BatchSampler,
    QueryAdapter,
    Recipe,
    Trainer,
    Validation,
    fit_adapter,
)

DOCUMENTS = pd.Series({f"d{at:02d}": f"topic{at} of chapter{at % 5} in book{at % 3}" for at in range(40)})

ROTATION = np.linalg.qr(np.random.default_rng(0).standard_normal((DIMENSIONS, DIMENSIONS)))[0].astype(np.float32)


class Rotated(ToyEncoder):
    """A model whose queries lie in a space that is turned against that of its documents."""

    def encode(self, texts, kind="document"):
        vectors = super().encode(texts, kind)
        return normalize(vectors @ ROTATION) if kind == "query" else vectors


def rows_of(doc_ids, words=("asked", "wanted", "sought")):
    """Return three queries a document: its own words and one more."""
    made = [
        {
            "query_id": f"{word}-{doc_id}",
            "text": f"{word} {DOCUMENTS[doc_id]}",
            "positive_ids": [doc_id],
            "negatives": [],
        }
        for doc_id in doc_ids
        for word in words
    ]
    return pd.DataFrame(made)


def validation_of(rows):
    qrels = rows.explode("positive_ids").rename(columns={"positive_ids": "doc_id"})[["query_id", "doc_id"]]
    return Validation(rows.set_index("query_id")["text"], qrels.assign(relevance=1), DOCUMENTS, "nDCG@10")


ROWS, HELD = rows_of(DOCUMENTS.index[:30]), validation_of(rows_of(DOCUMENTS.index, ("looked",)))

SETTINGS = AdapterSettings(steps=60, pairs=64, learning_rate=3e-2, decays=(0.1, 1.0), check_every=20)


def test_it_learns_how_queries_are_turned_against_documents():
    fitted = fit_adapter(Rotated(), ROWS, DOCUMENTS, {}, HELD, SETTINGS)
    scores = fitted.curve.set_index(["decay", "step"])["validation"]
    assert scores[0.0, 0] < 0.3
    assert scores[fitted.decay, fitted.step] == scores.max() > 0.8
    assert len(scores) == 1 + 2 * 3
    after = HELD.scores(Adapted(Rotated(), fitted.adapter).encode).mean()
    assert after == pytest.approx(scores.max())


def test_where_labels_are_shuffled_nothing_is_changed():
    shuffled = ROWS.assign(positive_ids=np.random.default_rng(0).permutation(ROWS["positive_ids"]))
    fitted = fit_adapter(ToyEncoder(), shuffled, DOCUMENTS, {}, HELD, SETTINGS)
    assert (fitted.decay, fitted.step) == (0.0, 0)
    assert np.array_equal(fitted.adapter.matrix, np.eye(DIMENSIONS))


def test_documents_keep_their_vectors_and_queries_stay_of_unit_length():
    fitted = fit_adapter(Rotated(), ROWS, DOCUMENTS, {}, HELD, SETTINGS)
    adapted, texts = Adapted(Rotated(), fitted.adapter), ROWS["text"].tolist()
    assert np.array_equal(adapted.encode(texts), Rotated().encode(texts))
    assert np.linalg.norm(adapted.encode(texts, "query"), axis=1) == pytest.approx(1, abs=1e-6)


def test_the_same_settings_give_the_same_matrix_and_another_seed_another_one():
    one, two = (fit_adapter(Rotated(), ROWS, DOCUMENTS, {}, HELD, SETTINGS).adapter.matrix for _ in range(2))
    assert np.array_equal(one, two)
    other = AdapterSettings(**{**vars(SETTINGS), "seed": 1})
    assert not np.array_equal(fit_adapter(Rotated(), ROWS, DOCUMENTS, {}, HELD, other).adapter.matrix, one)


def test_it_is_saved_with_the_model_that_it_belongs_to(tmp_path):
    adapter = QueryAdapter(ROTATION, ToyEncoder().identity.digest)
    adapter.save(tmp_path)
    found = QueryAdapter.load(tmp_path, ToyEncoder())
    assert np.array_equal(found.matrix, ROTATION)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    with pytest.raises(IdentityError, match=rf"made for the vectors of model {found.base}, not for .* \(other\)"):
        QueryAdapter.load(tmp_path, ToyEncoder("other", seed=1))


def test_everything_holds_each_pair_once_with_the_mask_of_the_batches():
    unlike = [stable_hash("text", at) for at in range(len(ROWS))]  # nearly the same queries share their answers
    known = ROWS.assign(known_ids=[["d00", "d01"]] * len(ROWS), text=[f"{number:x}" for number in unlike])
    sampler = BatchSampler(known, {"d02": "family", "d03": "family"}, Recipe())
    whole = sampler.everything()
    assert len(whole.queries) == len(ROWS)
    assert whole.documents == list(DOCUMENTS.index[:30])
    for row, target, allowed in zip(whole.rows, whole.target, whole.allowed, strict=True):
        own = ROWS["positive_ids"][row][0]
        assert whole.documents[target] == own
        masked = {doc_id for doc_id, is_allowed in zip(whole.documents, allowed, strict=True) if not is_allowed}
        family = {"d02", "d03"} if own in {"d02", "d03"} else set()
        assert masked == ({"d00", "d01"} | family) - {own}


def test_a_gradient_flows_to_the_matrix_alone():
    encoder = Rotated()
    before = encoder.encode(ROWS["text"].tolist(), "query")
    fit_adapter(encoder, ROWS, DOCUMENTS, {}, HELD, SETTINGS)
    assert np.array_equal(encoder.encode(ROWS["text"].tolist(), "query"), before)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"pairs": 0}, {"check_every": 0}, {"decays": ()}])
def test_illegal_settings_are_named(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        AdapterSettings(**wrong)


def test_one_document_is_too_few():
    with pytest.raises(DataError, match="2 or more are needed"):
        fit_adapter(ToyEncoder(), ROWS.head(2), DOCUMENTS, {}, HELD, SETTINGS)


# --- within a model -------------------------------------------------------------------------------


@pytest.fixture
def routed(minilm, tmp_path):
    """MiniLM with a route of its own for queries, as it is saved and loaded again, and the adapter on it."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((384, 384)))[0].astype(np.float32)
    adapter = QueryAdapter(turn, minilm.identity.digest)
    texts = {"d0": "An otter swims in the river.", "d1": "A car needs an engine."}
    rows = pd.DataFrame({"query_id": ["a", "b"], "text": ["otter", "engine"], "positive_ids": [["d0"], ["d1"]]})
    trainer = Trainer(minilm, rows.assign(negatives=[[], []]), pd.Series(texts), {}, Recipe(hard_negatives=0))
    trainer.save_model(tmp_path / "routed", adapter)
    return load_model(str(tmp_path / "routed"), "float32"), adapter


TEXTS = ["An otter swims.", "What eats fish in a river?", "An engine that does not start"]


@pytest.mark.model
def test_a_route_turns_queries_and_leaves_documents(routed, minilm):
    model, adapter = routed
    assert np.abs(model.encode(TEXTS) - minilm.encode(TEXTS)).max() < 1e-5
    expected = adapter.turned(minilm.encode(TEXTS, "query"))
    assert np.abs(model.encode(TEXTS, "query") - expected).max() < 1e-5
    assert np.abs(expected - minilm.encode(TEXTS, "query")).max() > 0.01


@pytest.mark.model
def test_sentence_transformers_itself_gives_the_same_vectors(routed):
    from sentence_transformers import SentenceTransformer

    model, _ = routed
    plain = SentenceTransformer(str(model.files.folder), device="cpu", local_files_only=True)
    assert np.abs(plain.encode_query(TEXTS) - model.encode(TEXTS, "query")).max() < 1e-5
    assert np.abs(plain.encode_document(TEXTS) - model.encode(TEXTS)).max() < 1e-5


@pytest.mark.model
def test_a_route_is_part_of_the_identity_and_of_the_weights(routed, minilm):
    model, _ = routed
    assert model.identity.weights != minilm.identity.weights
    assert model.identity.dimensions == 384
    file = next(model.files.folder.rglob("query_0_Dense/*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert load_model(str(model.files.folder), "float32").identity.digest != model.identity.digest


@pytest.mark.model
def test_a_model_with_routes_is_not_tuned_again(routed):
    rows = pd.DataFrame({"query_id": ["a", "b"], "text": ["otter", "engine"], "positive_ids": [["d0"], ["d1"]]})
    with pytest.raises(ModelError, match="it was tuned before; train its base"):
        Trainer(routed[0], rows.assign(negatives=[[], []]), pd.Series({"d0": "a", "d1": "b"}), {}, Recipe())


@pytest.mark.model
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told["types"].update(query_0_Dense="evil.module.Dense"), "not among the classes"),
        (lambda told: told["types"].update({"../out": "sentence_transformers.models.Dense"}), "leads out of the model"),
        (lambda told: told["types"].update(query_0_Dense="sentence_transformers.models.Transformer"), "not among"),
        (lambda told: told["structure"].pop("document"), "expected 'types' and a 'structure' of the routes"),
        (lambda told: told.pop("types"), "expected 'types'"),
    ],
)
def test_a_router_that_leads_elsewhere_is_refused(routed, change, said):
    folder = routed[0].files.folder
    file = next(folder.rglob("router_config.json"))
    told = json.loads(file.read_text())
    change(told)
    file.write_text(json.dumps(told))
    with pytest.raises(ModelError, match=said):
        load_model(str(folder))


@pytest.mark.model
def test_a_route_with_weights_in_a_pickle_is_refused(routed):
    folder = routed[0].files.folder
    file = next(folder.rglob("query_0_Dense/*.safetensors"))
    file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(ModelError, match=r"query_0_Dense: no \.safetensors file"):
        load_model(str(folder))


@pytest.mark.model
def test_vectors_that_the_same_weights_gave_elsewhere_are_not_computed_again(routed, minilm, tmp_path, monkeypatch):
    model, _ = routed
    folder = str(model.files.folder)
    load_model(folder, "float32", tmp_path / "cache").remember(TEXTS, minilm.encode(TEXTS))
    again = load_model(folder, "float32", tmp_path / "cache")
    as_queries = again.encode(TEXTS, "query")  # a query takes another route: nothing is remembered of these
    assert np.abs(as_queries - model.encode(TEXTS, "query")).max() < 1e-5
    monkeypatch.setattr(again, "encode_uncached", None)
    np.testing.assert_array_equal(again.encode(TEXTS), minilm.encode(TEXTS))
