"""An index from documents: made once, continued where it was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from embedlab.errors import EmbedlabError
from embedlab.progress import Progress
from embedlab.retrieval.systems import Settings
from embedlab.rollout.encode.documents import encode_documents
from embedlab.rollout.stores.addresses import create_collection, has_collection, open_collection
from embedlab.rollout.stores.base import Collection, CollectionInfo, Document
from embedlab.rollout.stores.opened import Load, Opened, whole_name

BATCH = 256
"""Documents that are encoded and stored together: what is done again after a kill."""


@dataclass(frozen=True)
class Built:
    """What building an index did.

    Attributes:
        documents: in the index now.
        encoded: that were encoded this time.
        others: that it holds and the source does not have; they stay.
    """

    documents: int
    encoded: int
    others: int


def build_collection(
    address: str,
    model: str,
    documents: Sequence[Document],
    settings: Settings | None = None,
    load: Load | None = None,
) -> Built:
    """Build an index, or go on with one; documents that it holds with the same content are not encoded again.

    Args:
        address: of the index.
        model: a hub id, a packaged model or a folder.
        documents: with unique ids.
        settings: passages, kind of index and stages.
        load: returns a model by its name and precision; None: :func:`~embedlab.models.load_model`.

    Raises:
        EmbedlabError: if there is an index of another model or with other settings; it is never overwritten.
    """
    settings = settings or Settings()
    opened = Opened(load)
    encoder = opened.new_encoder(model)
    info = CollectionInfo(encoder.identity, whole_name(model), settings)
    collection = _own(address, info)
    encoded = 0
    with Progress("Building the index", len(documents)) as bar:
        for start in range(0, len(documents), BATCH):
            batch = documents[start : start + BATCH]
            due = _due(collection, batch)
            if due:
                collection.upsert(encode_documents(encoder, due, settings))
            encoded += len(due)
            bar.advance(len(batch))
    count = collection.count()
    collection.close()
    return Built(count, encoded, count - len(documents))


def _own(address: str, info: CollectionInfo) -> Collection:
    """Return a new collection, or the one that an interrupted build left."""
    if not has_collection(address):
        return create_collection(address, info)
    known = open_collection(address)
    info.identity.require(known.info.identity, f"the index {address}")
    if known.info.settings != info.settings:
        raise EmbedlabError(
            f"{address} was built with other settings ({known.info.settings.in_words()}); choose another --out"
        )
    return known


def _due(collection: Collection, documents: Sequence[Document]) -> list[Document]:
    """Return the documents that the collection lacks, or has with another content."""
    known = collection.get([document.doc_id for document in documents])
    return [d for d in documents if d.doc_id not in known or known[d.doc_id].document.content != d.content]


def documents_of(corpus: pd.DataFrame) -> list[Document]:
    """Return the rows of a corpus as documents.

    Args:
        corpus: ``doc_id, title, text``; every further column is metadata: texts, left out where they are missing.
    """
    fields = [name for name in corpus.columns if name not in ("doc_id", "title", "text")]
    documents = []
    for row in corpus.to_dict("records"):
        metadata = {name: row[name] for name in fields if isinstance(row[name], str)}
        documents.append(Document(row["doc_id"], row["title"], row["text"], metadata))
    return documents
