"""Notebook 17 over the toy collection: an interrupted re-embedding goes on, and what is wrong is told by name."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import open_step, toy_rows, write_beir, write_collection
from makers import evaluation, prices
from notebook_cells import run_cells
from safetensors.numpy import load_file, save_file

import embedlab
from embedlab import verdict
from embedlab.chain import FromCache, lab_model, tuned_model
from embedlab.chain.artifacts.choose_base_model import Choice
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.reembed_corpus import INDEX, MIXING, VECTOR_CHECKS, Reembedding
from embedlab.errors import DataError, IdentityError
from embedlab.files import sha256_file
from embedlab.models import MINILM
from embedlab.models.files.resolve import resolve
from embedlab.retrieval import System, load_index, units
from embedlab.rollout import documents_of, encode_shards
from embedlab.rollout.encode import shards as machinery

pytestmark = [pytest.mark.chain, pytest.mark.model]

SIZE = 8
"""Documents a shard: the 40 of the toy collection make five."""

VALUES = {"shard_documents": SIZE, "sample": 4, "timed_documents": 2, "draws": 2}


def save_tuned(folder, scale):
    """Write a model like the base, whose vectors for words are moved by a little noise; without any, the base."""
    shutil.copytree(resolve(MINILM).folder, folder, dirs_exist_ok=True)
    if not scale:
        return
    weights = load_file(folder / "model.safetensors")
    name = "embeddings.word_embeddings.weight"
    noise = np.random.default_rng(0).normal(size=weights[name].shape).astype(np.float32)
    save_file(weights | {name: weights[name] + scale * noise}, folder / "model.safetensors")


def begin(tmp_path, monkeypatch, scale=0.02):
    """Write what step 17 reads, with a tuned model that is not far from the base; return the run's store."""
    monkeypatch.setattr(verdict, "update_verdict", lambda lab: None)
    corpus, queries, judgments = toy_rows()
    parts = {"train": judgments[:12], "dev": judgments[12:26], "test": judgments[26:]}
    folder = write_beir(tmp_path / "toy", corpus, queries, parts)
    lab = open_step("01", source="beir", path=str(folder), precision="float32")
    write_collection(lab, embedlab.load_collection("beir", path=folder))
    lab.finish("written by a test")
    lab = open_step("03")
    lab.write(Choice(MINILM, embedlab.load_model(MINILM, "float32").identity, {}, 1.0))
    lab.finish("written by a test")
    lab = open_step("14")
    with lab.folder("models/tuned") as place:
        save_tuned(place, scale)
    lab.finish("written by a test")
    lab = open_step("15")
    proposed = evaluation().proposed
    settings = replace(proposed.settings, weight=1.0, rerank_weight=0.0)
    weights = sha256_file(lab.store.folder / "models/tuned/model.safetensors")
    lab.write(evaluation(proposed=System("tuned", "dense", "tuned", weights, settings)))
    lab.write(prices(production_documents=4_000_000))
    lab.finish("written by a test")
    return lab.store


@pytest.fixture
def evaluated(outputs, tmp_path, monkeypatch):
    return begin(tmp_path, monkeypatch)


class Interrupted(KeyboardInterrupt):
    """A user's Ctrl-C in the middle of a shard."""


def asked_of(monkeypatch, stop_at=None):
    """Count the texts that the shards ask for, and stop the work at one shard."""
    asked = []

    def counted(encoder, folder, plan, settings, number, documents):
        # The notebook's own demonstration, on a copy, is none of the work.
        if folder.name == "shards":
            if number == stop_at:
                raise Interrupted
            asked.extend(document.doc_id for document in documents)
        return encode_shard(encoder, folder, plan, settings, number, documents)

    encode_shard = machinery.encode_shard
    monkeypatch.setattr(machinery, "encode_shard", counted)
    return asked


def kept_shards(monkeypatch):
    """Keep what the notebook removes when it is done; return the bytes of the shards by name, read when asked."""
    removed = {}

    def instead(folder, **options):
        for path in folder.glob("shards/*"):
            if path.name != ".lock":
                removed[path.name] = path.read_bytes()
        return rmtree(folder, **options)

    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", instead)
    return removed


def test_an_interrupted_reembedding_goes_on_encodes_nothing_twice_and_ends_byte_identical(
    evaluated, tmp_path, monkeypatch
):
    """About 10 s: the model is loaded, and the notebook runs once as a whole."""
    with monkeypatch.context() as first:
        before = asked_of(first, stop_at=2)
        with pytest.raises(Interrupted):
            run_cells("17", **VALUES)
    assert len(before) == 2 * SIZE
    with monkeypatch.context() as second:
        after, continued = asked_of(second), kept_shards(second)
        names = run_cells("17", **VALUES)
    assert len(after) == 3 * SIZE
    assert set(before) | set(after) == set(names["ordered"]["doc_id"])
    assert (names["counting"].asked, names["changed"]) == (SIZE, [])
    whole = tmp_path / "never interrupted"
    settings = names["proposed"].settings
    encode_shards(documents_of(names["ordered"]), FromCache(names["tuned"]), whole, settings, SIZE)
    assert len(continued) == 7
    assert continued == {path.name: path.read_bytes() for path in whole.iterdir() if path.name != ".lock"}


def test_what_it_writes_says_what_was_found(evaluated):
    names = run_cells("17", **VALUES)
    lab = names["lab"]
    found, checks, mixing = lab.read(Reembedding), lab.read(VECTOR_CHECKS), lab.read(MIXING)
    assert found.passed, found.reason
    assert checks["passed"].all()
    assert (found.documents, found.vectors, found.shards, found.dimensions) == (40, 40, 5, 384)
    assert 0.5 < found.cosine_to_base < 0.999
    assert abs(found.cosine_to_rotated) < 0.1
    assert found.mixed is not None
    wanted = names["scores_in"](names["dev"], names["spaces"]["tuned"], lab.contract.primary_metric).mean()
    assert found.mixed.baseline == pytest.approx(wanted)
    assert mixing["against"].tolist() == ["tuned", "base", "rotated"]
    rotated = mixing.set_index("against").loc["rotated"]
    assert rotated["high"] < 0
    assert names["kept"]["rotated"] > 0.99
    assert names["bill"].loc["production", "documents"] == 4_000_000
    assert not lab.scratch.exists()


def test_the_index_holds_the_tuned_models_vectors_and_opens_for_no_other(evaluated):
    lab = run_cells("17", **VALUES)["lab"]
    tuned, base = tuned_model(lab), lab_model(lab)
    index = load_index(lab.store.folder / INDEX, tuned.identity)
    ordered = lab.collection().corpus.sort_values("doc_id")
    assert index.doc_ids.tolist() == ordered["doc_id"].tolist()
    texts = units(tuned, ordered, lab.read(Evaluation).proposed.settings)
    np.testing.assert_array_equal(index.vectors(), tuned.encode(texts.tolist()))
    assert base.identity.dimensions == tuned.identity.dimensions
    with pytest.raises(IdentityError, match=r"vectors of two models must not be mixed; differing: weights [^,]+$"):
        load_index(lab.store.folder / INDEX, base.identity)


def test_a_vector_that_is_no_number_is_told_by_its_document_and_its_shard(evaluated, monkeypatch):
    encode = FromCache.encode_uncached

    def broken(self, texts, kind="document"):
        vectors = encode(self, texts, kind)
        return np.where([["Report 31676" in text] for text in texts], np.nan, vectors)

    monkeypatch.setattr(FromCache, "encode_uncached", broken)
    with pytest.raises(DataError, match=r"shard-\d{6}\.parquet: a vector of document 'd4' holds NaN or infinity"):
        run_cells("17", **VALUES)


def test_a_model_that_was_kept_is_one_space_with_the_base(outputs, tmp_path, monkeypatch):
    begin(tmp_path, monkeypatch, scale=0.0)
    names = run_cells("17", **VALUES)
    found = names["lab"].read(Reembedding)
    assert (found.same_space_as_base, found.wrong_model_refused, found.passed) == (True, False, True)
    assert (found.neighbour_overlap, found.mixed.delta) == (1.0, 0.0)
    assert found.cosine_to_base == pytest.approx(1.0, abs=1e-5)
