"""The identity of a space covers all that decides a vector, each part by itself, and every door asks for it."""

import json
import os
import shutil
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from toy_encoder import DOCUMENTS, NEW, ToyEncoder

from embedlab.errors import IdentityError, IntegrityError
from embedlab.models import MINILM, WORDLLAMA, EmbeddingIdentity, load_model
from embedlab.models.files.resolve import resolve
from embedlab.models.identity import called
from embedlab.retrieval import Indexed, Settings, build_index, load_index
from embedlab.rollout import (
    CollectionInfo,
    Document,
    Shards,
    create_collection,
    encode_documents,
    encode_shards,
    open_collection,
)

OTHER = {
    "weights": "0" * 64,
    "config": "1" * 64,
    "dimensions": 63,
    "max_length": 128,
    "query_prompt": "query: ",
    "document_prompt": "passage: ",
    "precision": "bfloat16",
    "quantization": "int8",
    "tokenizer": "2" * 64,
    "pooling": "cls",
    "normalization": "in the model",
}
"""Another value of each field that decides a vector."""

each_field = pytest.mark.parametrize("field", OTHER)
TEXTS = [Document(doc_id, "", text) for doc_id, text in DOCUMENTS.items()]


class Changed(ToyEncoder):
    """The new toy encoder, but for one field."""

    def __init__(self, field):
        super().__init__("new", seed=1)
        self.identity = replace(NEW.identity, **{field: OTHER[field]})


def alone(field):
    """Return what a message says where this field differs and no other."""
    return rf"vectors of two models must not be mixed; differing: {called(field)} [^,]+\(here [^,]+\)$"


def test_every_field_but_the_name_decides():
    assert set(OTHER) == {field.name for field in fields(EmbeddingIdentity)} - {"name"}
    digests = {replace(NEW.identity, **{name: value}).digest for name, value in OTHER.items()}
    assert len(digests | {NEW.identity.digest}) == len(OTHER) + 1
    assert replace(NEW.identity, name="another").digest == NEW.identity.digest


# --- every door asks -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A folder with an index, a collection and shards of the new encoder's vectors."""
    folder = tmp_path_factory.mktemp("kept")
    build_index(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist(), NEW.identity).save(folder / "index")
    collection = create_collection(str(folder / "collection"), CollectionInfo(NEW.identity, "new"))
    collection.upsert(encode_documents(NEW, TEXTS, Settings()))
    collection.close()
    encode_shards(TEXTS, NEW, folder / "shards", Settings(), 40)
    return folder


@each_field
def test_an_index_is_opened_by_no_other_identity(kept, field):
    with pytest.raises(IdentityError, match=alone(field)):
        load_index(kept / "index", Changed(field).identity)


@each_field
def test_an_index_is_searched_by_no_other_encoder(kept, field):
    index = load_index(kept / "index", NEW.identity)
    with pytest.raises(IdentityError, match=alone(field)):
        Indexed(Changed(field), index)


@each_field
def test_shards_are_neither_read_nor_continued_by_another_encoder(kept, field):
    with pytest.raises(IdentityError, match=alone(field)):
        Shards(kept / "shards").require(Changed(field).identity, Settings())
    with pytest.raises(IdentityError, match=alone(field)):
        encode_shards(TEXTS, Changed(field), kept / "shards", Settings(), 40)


@each_field
def test_a_collection_takes_no_vectors_of_another_identity(kept, field):
    entries = encode_documents(Changed(field), TEXTS[:2], Settings())
    collection = open_collection(str(kept / "collection"))
    with pytest.raises(IdentityError):
        collection.upsert(entries)
    collection.close()


def test_mixing_vectors_of_two_models_with_the_same_dimension_raises(kept):
    old = ToyEncoder("old")
    assert old.identity.dimensions == NEW.identity.dimensions
    with pytest.raises(
        IdentityError, match=r"made by new, not by old; vectors of two models must not be mixed; .*weig"
    ):
        load_index(kept / "index", old.identity)
    mixed = encode_documents(NEW, TEXTS[:1], Settings()) + encode_documents(old, TEXTS[1:2], Settings())
    collection = open_collection(str(kept / "collection"))
    before = collection.version()
    with pytest.raises(IdentityError):
        collection.upsert(mixed)
    assert collection.version() == before
    collection.close()


# --- stamps on the disk ----------------------------------------------------------------------------

DOORS = {
    "index/identity.json": lambda folder: load_index(folder / "index", NEW.identity),
    "collection/identity.json": lambda folder: open_collection(str(folder / "collection")),
    "shards/shards.json": lambda folder: Shards(folder / "shards"),
}
each_door = pytest.mark.parametrize("stamp", DOORS)


def restamped(kept, folder, stamp, change):
    """Copy what is kept, with the identity in one stamp changed."""
    shutil.copytree(kept, folder)
    whole = json.loads((folder / stamp).read_text())
    whole["identity"] = change(whole["identity"])
    (folder / stamp).write_text(json.dumps(whole))
    return folder


@each_door
def test_a_stamp_from_before_a_field_was_recorded_is_no_stamp(kept, tmp_path, stamp):
    def as_it_was(identity):
        new = ("tokenizer", "pooling", "normalization")
        return {name: value for name, value in identity.items() if name not in new}

    folder = restamped(kept, tmp_path / "old", stamp, as_it_was)
    told = "does not say tokenizer, pooling, normalization: made before .* whose vectors these are cannot be known"
    with pytest.raises(IntegrityError, match=told):
        DOORS[stamp](folder)


@each_door
@each_field
def test_a_field_that_was_changed_in_a_stamp_is_noticed(kept, tmp_path, stamp, field):
    folder = restamped(kept, tmp_path / "changed", stamp, lambda identity: identity | {field: OTHER[field]})
    with pytest.raises(IntegrityError, match="the identity of its vectors was changed after it was written"):
        DOORS[stamp](folder)


@each_door
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda identity: "new", "expected the identity of its vectors, found new"),
        (lambda identity: identity | {"dialect": 1}, r"says what is not known here \(dialect\)"),
        (lambda identity: {name: v for name, v in identity.items() if name != "digest"}, "was changed"),
    ],
    ids=["no object", "an unknown field", "no digest"],
)
def test_what_is_no_identity_is_named(kept, tmp_path, stamp, change, told):
    folder = restamped(kept, tmp_path / "odd", stamp, change)
    with pytest.raises(IntegrityError, match=told if stamp != "index/identity.json" else f"{told}|lacks entries"):
        DOORS[stamp](folder)


# --- from a model's files --------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path) -> Path:
    """The packaged model as a user's own folder; the weights are the same file."""
    source = resolve(MINILM).folder

    def link(path, target):
        # What is written anew below is copied: the package's own files stay as they are.
        return shutil.copy2(path, target) if Path(path).suffix == ".json" else os.symlink(path, target)

    return Path(shutil.copytree(source, tmp_path / "mine", copy_function=link))


def changed_json(path, **changes):
    whole = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(whole | changes))


def without_normalize(folder):
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[:2]))


def other_weights(folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    name = "embeddings.word_embeddings.weight"
    save_file(weights | {name: weights[name] * np.float32(1.01)}, folder / "model.safetensors")


CHANGES = {
    "weights": other_weights,
    "config": lambda folder: changed_json(folder / "config.json", layer_norm_eps=1e-6),
    "tokenizer": lambda folder: changed_json(folder / "tokenizer_config.json", do_lower_case=False),
    "pooling": lambda folder: changed_json(
        folder / "1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_cls_token=True
    ),
    "normalization": without_normalize,
    "max_length": lambda folder: changed_json(folder / "sentence_bert_config.json", max_seq_length=128),
    "query_prompt": lambda folder: changed_json(
        folder / "config_sentence_transformers.json", prompts={"query": "query: "}
    ),
    "document_prompt": lambda folder: changed_json(
        folder / "config_sentence_transformers.json", prompts={"document": "passage: "}
    ),
}


@pytest.mark.model
@pytest.mark.parametrize("field", CHANGES)
def test_one_change_in_a_models_folder_is_named_and_nothing_else(copied, field):
    before = load_model(str(copied), "float32").identity
    CHANGES[field](copied)
    after = load_model(str(copied), "float32").identity
    with pytest.raises(IdentityError, match=alone(field)):
        after.require(before, "the index")


@pytest.mark.model
def test_the_precision_is_named(copied):
    with pytest.raises(IdentityError, match=r"differing: dtype float32 \(here bfloat16\)$"):
        load_model(MINILM, "bfloat16").identity.require(load_model(MINILM, "float32").identity, "the index")


@pytest.mark.model
def test_a_model_says_how_it_pools_and_normalizes():
    minilm, static = load_model(MINILM, "float32").identity, load_model(WORDLLAMA, "float32").identity
    assert (minilm.pooling, minilm.normalization) == ("mean", "in the model")
    assert (static.pooling, static.normalization) == ("mean", "after the model")
    assert len({minilm.tokenizer, static.tokenizer, ""}) == 3


@pytest.mark.model
def test_two_ways_to_write_the_same_pooling_are_one(copied):
    before = load_model(str(copied), "float32").identity
    (copied / "1_Pooling/config.json").write_text(json.dumps({"embedding_dimension": 384, "pooling_mode": "mean"}))
    assert asdict(load_model(str(copied), "float32").identity) == asdict(before)


@pytest.mark.model
def test_an_unknown_setting_of_the_pooling_still_counts(copied):
    before = load_model(str(copied), "float32").identity
    changed_json(copied / "1_Pooling/config.json", layer=3)
    assert load_model(str(copied), "float32").identity.digest != before.digest


@pytest.mark.model
def test_a_vocabulary_counts_where_nothing_else_tells_the_tokens(copied):
    (copied / "tokenizer.json").unlink()
    before = load_model(str(copied), "float32").identity
    words = (copied / "vocab.txt").read_text()
    (copied / "vocab.txt").unlink()
    (copied / "vocab.txt").write_text(words + "otter\n")
    with pytest.raises(IdentityError, match=alone("tokenizer")):
        load_model(str(copied), "float32").identity.require(before, "the index")


def test_values_in_a_message_are_short_and_printable():
    odd = replace(NEW.identity, document_prompt="\x1b[31m" + "x" * 500, query_prompt=" ")
    (query, document) = odd.differences(NEW.identity)
    assert query == "prompt of queries '' (here ' ')"
    assert "\x1b" not in document
    assert len(document) < 80
