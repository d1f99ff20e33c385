"""From documents to their vectors: the one way in which a re-indexing, shards and an application make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import pandas as pd

from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.retrieval.pipeline import units
from embedlab.retrieval.systems import Settings
from embedlab.rollout.stores.base import Document, Entry

if TYPE_CHECKING:
    from embedlab.models.encoder import Encoder


def passages_of(encoder: EncodesWithIdentity, documents: Sequence[Document], settings: Settings) -> list[list[str]]:
    """Return the texts of each document that get a vector, its title before each.

    Args:
        encoder: where ``settings.chunk`` is ``long``, an :class:`~embedlab.models.Encoder`: it counts tokens.
        documents: any number; equal ids are told apart.
        settings: how documents are cut into passages.

    Returns:
        a list a document, never empty: a document that is not cut, or has no text, is one passage.

    Raises:
        ParameterError: if the chunking is unknown, or passages would overlap by all their words.
    """
    if not documents:
        return []
    rows = [(at, document.title, document.text) for at, document in enumerate(documents)]
    corpus = pd.DataFrame(rows, columns=["doc_id", "title", "text"])
    found: list[list[str]] = [[] for _ in documents]
    # Only where documents are cut by the model's limit is it asked for more than its identity.
    counting = cast("Encoder", encoder)
    texts = units(counting, corpus, settings)
    for at, text in zip(texts.index, texts, strict=True):
        found[at].append(text)
    return found


def encode_documents(encoder: EncodesWithIdentity, documents: Sequence[Document], settings: Settings) -> list[Entry]:
    """Return the documents with their vectors, in order.

    All texts go to the model in one call: which texts stand in a batch decides the last bits of their vectors,
    so the same documents together get the same vectors each time.

    Args:
        encoder: the model.
        documents: as many as are to be held in memory at once.
        settings: how documents are cut into passages.

    Raises:
        ParameterError: as :func:`passages_of`.
        ModelError: if the model cannot be loaded, or its vectors are no numbers.
    """
    if not documents:
        return []
    passages = passages_of(encoder, documents, settings)
    texts = [text for own in passages for text in own]
    vectors = encoder.encode_uncached(texts, "document")
    space = encoder.identity.digest
    entries = []
    first = 0
    for document, own in zip(documents, passages, strict=True):
        last = first + len(own)
        entries.append(Entry.of(document, vectors[first:last], space))
        first = last
    return entries
