"""Small collections to mine from, with an encoder whose vectors are known."""

import numpy as np
import pandas as pd

import embedlab
from embedlab.data import Collection
from embedlab.trainset import (
    judged_rows,
)


class Table:
    """An encoder that looks a text's vector up."""

    name = "table"

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts, kind="document"):
        return np.array([self.vectors[t] for t in texts], dtype=np.float32).reshape(len(texts), -1)


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def made(documents=200, queries=30, seed=0, dimensions=8, families=20):
    """Return a collection, its encoder and a row a query: random vectors, families in turn, one positive each."""
    rng = np.random.default_rng(seed)
    names, asked = [f"d{i:03d}" for i in range(documents)], [f"q{i:03d}" for i in range(queries)]
    vectors = unit(rng.normal(size=(documents + queries, dimensions)) + 0.3)
    texts = [f"text {n}" for n in names] + [f"asks {q}" for q in asked]
    corpus = pd.DataFrame({
        "doc_id": names, "title": "", "text": texts[:documents],
        "family": [f"f{i % families}" for i in range(documents)],
    })  # fmt: skip
    answers = [names[i] for i in rng.choice(documents, queries, replace=False)]
    frame = pd.DataFrame({"query_id": asked, "text": texts[documents:], "part": "train", "group": asked})
    qrels = pd.DataFrame({"query_id": asked, "doc_id": answers, "relevance": 1})
    collection = Collection(corpus, frame, qrels)
    return collection, Table(dict(zip(texts, vectors, strict=True))), judged_rows(collection)


def nothing(rows):
    return {q: {} for q in rows["query_id"]}


def mine(data, names, exclude=None, **more):
    collection, encoder, rows = data
    excluded = nothing(rows) if exclude is None else exclude
    return embedlab.mine_negatives(collection, rows, names, encoder=encoder, exclude=excluded, **more)


def small(corpus=None, **columns):
    texts = ["zero", "one", "two", "three"]
    vectors = dict(zip(texts, np.eye(4), strict=True)) | {"x": [0.7, 0.6, 0.3, 0.1]}
    frame = pd.DataFrame({"doc_id": ["d0", "d1", "d2", "d3"], "title": "", "text": texts, **(corpus or {})})
    qrels = pd.DataFrame({"query_id": [], "doc_id": [], "relevance": []}, dtype=object)
    row = {"query_id": "q", "text": "x", "positive_ids": ["d0"], "known_ids": ["d0", "d1"], **columns}
    return Collection(frame, pd.DataFrame(), qrels), Table(vectors), pd.DataFrame([row])
