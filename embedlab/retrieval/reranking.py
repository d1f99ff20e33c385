"""Reranking without a second model: late interaction over the encoder's own token vectors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import RUN, trec_order
from embedlab.models.cache import Vectors
from embedlab.models.encoder import BATCH, Encoder, Kind, normalize
from embedlab.progress import Progress
from embedlab.retrieval.base import top_k
from embedlab.retrieval.hybrid import fuse_scores

TOP = 20
"""Documents of each query that are reranked."""

CHUNK = 256
"""Documents whose token vectors are computed at a time."""

KEPT = 2000
"""Documents whose token vectors are kept: about 200 MB at 128 tokens of 384 dimensions."""

Half = NDArray[np.float16]


def has_token_vectors(encoder: Encoder) -> bool:
    """Return whether the model makes a vector for each token in context; static tables do not."""
    return encoder.identity.max_length > 0


def token_vectors(encoder: Encoder, texts: list[str], kind: Kind, tokens: int) -> list[Vectors]:
    """Return one matrix a text: unit vectors of its first ``tokens`` tokens, float32 ``[tokens, d]``."""
    model = encoder.model
    before, model.max_seq_length = model.max_seq_length, min(tokens, encoder.identity.max_length)
    try:
        rows = model.encode(
            texts,
            prompt=encoder.prompt(kind) or None,
            batch_size=BATCH,
            show_progress_bar=False,
            output_value="token_embeddings",
        )
    finally:
        model.max_seq_length = before
    return [normalize(row.float().cpu().numpy()) for row in rows]


class LateInteraction:
    """MaxSim (Khattab and Zaharia 2020) over one encoder's token vectors, averaged over the query's tokens.

    For each token of the query, the highest cosine to any token of the document. The token
    vectors of the first :data:`KEPT` documents met stay in memory, so that they are computed once.

    Args:
        encoder: the model whose last layer gives the token vectors.
        documents: texts by document id.
        tokens: tokens of a text that are read.
    """

    def __init__(self, encoder: Encoder, documents: pd.Series, tokens: int = 128) -> None:
        self.encoder, self.documents, self.tokens = encoder, documents, tokens
        self._known: dict[str, Half] = {}

    def scores(self, queries: pd.Series, run: pd.DataFrame) -> pd.DataFrame:
        """Return the run's pairs with their new score; cut the run to its top first.

        Args:
            queries: texts by query id.
            run: the pairs to score.
        """
        texts = queries[queries.index.isin(run["query_id"])]
        asked = dict(zip(texts.index, token_vectors(self.encoder, texts.tolist(), "query", self.tokens), strict=True))
        pairs = {str(d): sorted(q) for d, q in run.groupby("doc_id")["query_id"]}
        order = sorted(pairs, key=lambda d: (len(self.documents[d]), d))
        rows: list[tuple[str, str, float]] = []
        with Progress("Reranking documents", len(order)) as bar:
            for start in range(0, len(order), CHUNK):
                ids = order[start : start + CHUNK]
                for doc_id, matrix in zip(ids, self._matrices(ids), strict=True):
                    scores = _maxsim([asked[q] for q in pairs[doc_id]], matrix.astype(np.float32))
                    rows += [(q, doc_id, float(s)) for q, s in zip(pairs[doc_id], scores, strict=True)]
                bar.advance(len(ids))
        return trec_order(pd.DataFrame(rows, columns=RUN))

    def _matrices(self, ids: list[str]) -> list[Half]:
        new = [d for d in ids if d not in self._known]
        texts = [self.documents[d] for d in new]
        found = token_vectors(self.encoder, texts, "document", self.tokens) if new else []
        fresh = {d: m.astype(np.float16) for d, m in zip(new, found, strict=True)}
        matrices = [self._known[d] if d in self._known else fresh[d] for d in ids]
        self._known |= dict(list(fresh.items())[: max(0, KEPT - len(self._known))])
        return matrices


def _maxsim(queries: list[Vectors], document: Vectors) -> Vectors:
    """Return the mean over each query's tokens of the best inner product with the document's tokens."""
    best = (np.concatenate(queries) @ document.T).max(axis=1)
    starts = np.cumsum([0, *[len(q) for q in queries[:-1]]])
    lengths = np.array([len(q) for q in queries], dtype=np.float32)
    return np.asarray(np.add.reduceat(best, starts) / lengths, dtype=np.float32)


def rerank(run: pd.DataFrame, rescored: pd.DataFrame, weight: float, top: int = TOP) -> pd.DataFrame:
    """Reorder the first ``top`` documents of each query; the rest keep their order below.

    Args:
        run: the first stage.
        rescored: scores of (at least) its top documents.
        weight: share of the new score against the first stage's, both scaled to 0..1 a query.
        top: documents reranked.
    """
    ordered = trec_order(run)
    rank = ordered.groupby("query_id").cumcount()
    head = top_k(run, top)
    fresh = rescored.merge(head[["query_id", "doc_id"]], on=["query_id", "doc_id"])
    tail = ordered[rank >= top].assign(score=-(rank[rank >= top] + 1).astype(float))
    return trec_order(pd.concat([fuse_scores(fresh, head, weight, k=top), tail], ignore_index=True))
