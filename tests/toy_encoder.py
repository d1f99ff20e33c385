"""A deterministic encoder without a model, and a service on it. Used by tests and by their subprocesses."""

import time

import numpy as np
import pandas as pd

from embedlab.data import fold, stable_hash
from embedlab.models import EmbeddingIdentity
from embedlab.retrieval import Settings
from embedlab.rollout import (
    CollectionInfo,
    Document,
    Releases,
    State,
    create_collection,
    encode_documents,
    promote,
)

DIMENSIONS = 64

DOCUMENTS = pd.Series({f"d{i:03d}": f"document {i} about topic{i % 17} word{i * 7 % 101}" for i in range(100)})
"""Texts by document id."""


class ToyEncoder:
    """Encodes texts to unit vectors, bags of hashed words; ``seed`` makes another space, ``pause`` slows every call."""

    def __init__(self, name: str = "toy", seed: int = 0, pause: float = 0.0) -> None:
        self.name, self.seed, self.pause, self.texts = name, seed, pause, 0
        self.identity = EmbeddingIdentity(name, f"weights-{seed}", "config", DIMENSIONS, 256, "", "", "float32")

    def encode(self, texts, kind="document"):
        time.sleep(self.pause)
        self.texts += len(texts)
        return self.encode_uncached(texts, kind)

    def encode_uncached(self, texts, kind="document"):
        vectors = np.full((len(texts), DIMENSIONS), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in fold(text).split():
                vectors[row, stable_hash(self.seed, word) % DIMENSIONS] += 1
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


OLD, NEW = ToyEncoder("old"), ToyEncoder("new", seed=1)


def load_toy(model, precision="float32"):
    """Return the toy encoder of a name: how a service loads its models in tests."""
    return {"old": OLD, "new": NEW}[model]


def documents_of(texts):
    """Return documents from texts by id."""
    return [Document(doc_id, "", text, {"number": at % 3}) for at, (doc_id, text) in enumerate(texts.items())]


def toy_collection(address, encoder, texts=DOCUMENTS, settings=None):
    """Make a collection at an address, with one encoder's vectors of some texts."""
    settings = settings or Settings()
    collection = create_collection(str(address), CollectionInfo(encoder.identity, encoder.name, settings))
    collection.upsert(encode_documents(encoder, documents_of(texts), settings))
    return collection


def toy_release(state, name, encoder, texts=DOCUMENTS, settings=None):
    """Add a release of a new index beside the state file; it does not answer yet."""
    address = str(state.path.parent / name)
    toy_collection(address, encoder, texts, settings).close()
    return Releases(state).add(name, address)


def toy_service(folder, address=None, texts=DOCUMENTS):
    """Return the state of a service in a folder, whose live release is the old encoder's."""
    address = str(address or folder / "old")
    toy_collection(address, OLD, texts).close()
    state = State(folder / "service.db", create=True)
    Releases(state).add("old", address)
    promote(state, "old", "start")
    return state
