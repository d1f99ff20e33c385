"""Search over passages: a document scores as its best one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from embedlab.retrieval.base import DEPTH, Encodes, as_run, top_k
from embedlab.retrieval.dense import exact_search


def passages(text: str, words: int, overlap: int) -> list[str]:
    """Cut a text into passages of ``words`` words that overlap by ``overlap``."""
    tokens = text.split()
    starts = range(0, max(len(tokens) - overlap, 1), words - overlap)
    return [" ".join(tokens[start : start + words]) for start in starts]


class Chunked:
    """Search over passages; a document scores as its best passage (MaxP, Dai and Callan 2019).

    Each passage is encoded with the document's title before it.
    """

    def __init__(self, encoder: Encodes, corpus: pd.DataFrame, words: int = 120, overlap: int = 30) -> None:
        self.name = f"{encoder.name}, passages"
        self.encoder = encoder
        cut = [passages(text, words, overlap) for text in corpus["text"]]
        self._owner = np.repeat(corpus["doc_id"].to_numpy(), [len(p) for p in cut])
        titled = [f"{t} {p}".strip() for t, ps in zip(corpus["title"], cut, strict=True) for p in ps]
        self.passages = pd.Series(titled, index=self._owner)
        self.vectors = encoder.encode(titled, "document")

    def search(self, queries: pd.Series, k: int = DEPTH) -> pd.DataFrame:
        """Return the run of the queries over documents."""
        vectors = self.encoder.encode(queries.tolist(), "query")
        positions, scores = exact_search(self.vectors, vectors, min(4 * k, len(self._owner)))
        run = as_run(queries.index.tolist(), self._owner, positions, scores)
        best = run.groupby(["query_id", "doc_id"])["score"].max().reset_index()
        return top_k(best, k)
