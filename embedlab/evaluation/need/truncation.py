"""Answers that the model never reads: they stand beyond the last token that it takes of a document."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from embedlab.models.encoder import Encoder
from embedlab.retrieval.chunks.cutting import Cutting, cut


def lost_to_truncation(
    encoder: Encoder,
    documents: pd.Series,
    queries: pd.Series,
    qrels: pd.DataFrame,
    run: pd.DataFrame,
    query_ids: Iterable[str],
    shown: int,
) -> dict[str, str]:
    """Return the failing queries whose answer would be shown if the text beyond the model's limit were read.

    Of each relevant document that is longer than the limit, what lies beyond it is cut into passages as long as the
    model reads, and each is encoded alone; a passage counts where its cosine would put it among the first ``shown``.

    Args:
        encoder: today's model.
        documents: texts by document id, as the run's search encoded them.
        queries: texts by query id.
        qrels: ``query_id, doc_id, relevance``.
        run: of exact search with this model, its scores cosines; at least ``shown`` documents a query.
        query_ids: of the failing queries.
        shown: results that a user sees.

    Returns:
        by query id which passage of which document would stand at which rank; of several the best.
    """
    limit = encoder.identity.max_length
    if not limit:
        return {}
    asked = sorted(set(query_ids))
    pairs = qrels[(qrels["relevance"] >= 1) & qrels["query_id"].isin(asked) & qrels["doc_id"].isin(documents.index)]
    beyond = _beyond(encoder, documents[sorted(pairs["doc_id"].unique())], limit)
    if beyond.empty:
        return {}
    vectors = encoder.encode(beyond.tolist(), "document")
    pairs = pairs[pairs["doc_id"].isin(beyond.index)]
    texts = queries[sorted(pairs["query_id"].unique())]
    vector_of = dict(zip(texts.index, encoder.encode(texts.tolist(), "query"), strict=True))
    scores_of = {query_id: rows for query_id, rows in run.groupby("query_id")}
    found: dict[str, tuple[int, str]] = {}
    for query_id, doc_id in zip(pairs["query_id"], pairs["doc_id"], strict=True):
        own = beyond.index == doc_id
        cosines = vectors[own] @ vector_of[query_id]
        others = scores_of[query_id][scores_of[query_id]["doc_id"] != doc_id]
        rank = 1 + int((others["score"] > cosines.max()).sum())
        place = int(np.argmax(cosines)) + 1
        said = f"{doc_id}: passage {place} of {own.sum()} beyond token {limit} would stand at rank {rank}"
        if rank <= shown and (query_id not in found or rank < found[query_id][0]):
            found[query_id] = (rank, said)
    return {query_id: said for query_id, (_, said) in found.items()}


def _beyond(encoder: Encoder, documents: pd.Series, limit: int) -> pd.Series:
    """Return the passages beyond the limit by document id; documents that fit have none."""
    counts = np.array(encoder.token_counts(documents.tolist()))
    long = documents[counts > limit]
    corpus = pd.DataFrame({"doc_id": long.index, "title": "", "text": long.to_numpy()})
    passages = cut(corpus, Cutting("fixed", limit, 0, title=False), encoder)
    # The first passage is what the model reads today.
    return passages[passages.groupby(level=0).cumcount().to_numpy() > 0]
