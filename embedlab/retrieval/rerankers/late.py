"""Reranking without a second model: late interaction over the encoder's own token vectors."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import RUN, trec_order
from embedlab.models.cache import Vectors
from embedlab.models.encoder import ALONE, BATCH, Encoder, Kind, normalize
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
    # The library takes the limit from the model alone, so it is set there and put back; nobody else may ask meanwhile.
    with ALONE:
        usual = model.max_seq_length
        model.max_seq_length = min(tokens, encoder.identity.max_length)
        try:
            rows = model.encode(
                texts,
                prompt=encoder.prompt(kind) or None,
                batch_size=BATCH,
                show_progress_bar=False,
                output_value="token_embeddings",
            )
        finally:
            model.max_seq_length = usual
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
        self.encoder = encoder
        self.documents = documents
        self.tokens = tokens
        self._known: dict[str, Half] = {}

    def scores(self, queries: pd.Series, run: pd.DataFrame) -> pd.DataFrame:
        """Return the run's pairs with their new score; cut the run to its top first.

        Args:
            queries: texts by query id.
            run: the pairs to score.
        """
        asked = queries[queries.index.isin(run["query_id"])]
        vectors = token_vectors(self.encoder, asked.tolist(), "query", self.tokens)
        query_tokens = dict(zip(asked.index, vectors, strict=True))
        # Document by document, so that the tokens of each are compared with all its queries at once.
        askers: dict[str, list[str]] = {}
        for doc_id, query_ids in run.groupby("doc_id")["query_id"]:
            askers[str(doc_id)] = sorted(query_ids)
        # Texts of like length are encoded together, so that little of a batch is padding.
        order = sorted(askers, key=lambda doc_id: (len(self.documents[doc_id]), doc_id))
        rows: list[tuple[str, str, float]] = []
        with Progress("Reranking documents", len(order)) as bar:
            for start in range(0, len(order), CHUNK):
                doc_ids = order[start : start + CHUNK]
                documents = self._document_tokens(doc_ids)
                for doc_id, document in zip(doc_ids, documents, strict=True):
                    asking = [query_tokens[query_id] for query_id in askers[doc_id]]
                    scores = _maxsim(asking, document.astype(np.float32))
                    for query_id, score in zip(askers[doc_id], scores, strict=True):
                        rows.append((query_id, doc_id, float(score)))
                bar.advance(len(doc_ids))
        return trec_order(pd.DataFrame(rows, columns=RUN))

    def _document_tokens(self, doc_ids: list[str]) -> list[Half]:
        """Return the token vectors of some documents, and keep the new ones while there is room."""
        missing = [doc_id for doc_id in doc_ids if doc_id not in self._known]
        fresh: dict[str, Half] = {}
        if missing:
            texts = [self.documents[doc_id] for doc_id in missing]
            vectors = token_vectors(self.encoder, texts, "document", self.tokens)
            # All go through half precision, so that a document scores the same whether it was kept or not.
            for doc_id, matrix in zip(missing, vectors, strict=True):
                fresh[doc_id] = matrix.astype(np.float16)
        at_hand = self._known | fresh
        found = [at_hand[doc_id] for doc_id in doc_ids]
        room = max(0, KEPT - len(self._known))
        self._known.update(islice(fresh.items(), room))
        return found


def _maxsim(queries: list[Vectors], document: Vectors) -> Vectors:
    """Return the mean over each query's tokens of the best inner product with the document's tokens."""
    # One product for all queries; each then reduces its own stretch of the rows.
    lengths = [len(query) for query in queries]
    starts = np.cumsum([0, *lengths[:-1]])
    best = (np.concatenate(queries) @ document.T).max(axis=1)
    sums = np.add.reduceat(best, starts)
    return np.asarray(sums / np.array(lengths, dtype=np.float32), dtype=np.float32)


def rerank(run: pd.DataFrame, rescored: pd.DataFrame, weight: float, top: int = TOP) -> pd.DataFrame:
    """Reorder the first ``top`` documents of each query; the rest keep their order below.

    Args:
        run: the first stage.
        rescored: scores of (at least) its top documents.
        weight: share of the new score against the first stage's, both scaled to 0..1 a query.
        top: documents reranked.
    """
    head = top_k(run, top)
    # More may have been scored than is reranked here.
    fresh = rescored.merge(head[["query_id", "doc_id"]], on=["query_id", "doc_id"])
    reordered = fuse_scores(fresh, head, weight, k=top)
    ordered = trec_order(run)
    rank = ordered.groupby("query_id").cumcount() + 1
    # Fused scores lie in 0..1, so a negative rank keeps the tail below them and in its order.
    ranked = ordered.assign(score=-rank.astype(float))
    tail = ranked[rank > top]
    return trec_order(pd.concat([reordered, tail], ignore_index=True))
