"""Searching whatever is live: every query looks up the release, and with it index, model and stages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embedlab.errors import ParameterError
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Encoder
from embedlab.retrieval.bm25 import BM25
from embedlab.retrieval.indexes.index import build_index
from embedlab.retrieval.pipeline import Pipeline
from embedlab.retrieval.systems import Settings
from embedlab.rollout.service.releases import Release, Releases
from embedlab.rollout.service.state import State
from embedlab.rollout.stores.base import Collection, Filter, Hit, entry_pages
from embedlab.rollout.stores.opened import Load, Opened

PAGE = 1000
"""Documents read at once."""

READINGS = 3
"""Readings of an index that is written to meanwhile, after which half of a write may be in what was read."""


class Reader:
    """Asks the live release of a service; safe beside writers, a backfill and a cut-over.

    Index and query encoder are those of one release, so a query is never encoded by one model and searched among
    the vectors of another. Dense search alone asks the store. A release with further stages (BM25, filter, rerank,
    threshold) runs them in this process over a copy of its index, made anew after each change of the content.

    Args:
        state: the service's state file.
        load: returns a model by its name and precision; None: :func:`~embedlab.models.load_model`.
    """

    def __init__(self, state: State, load: Load | None = None) -> None:
        self.state = state
        self.opened = Opened(load)
        self._pipelines: dict[str, tuple[str, Pipeline]] = {}

    def release(self) -> Release:
        """Return the release that answers now."""
        return Releases(self.state).live()

    def search(self, text: str, k: int = 10, where: Filter | None = None) -> list[Hit]:
        """Return the best ``k`` documents for a query.

        Args:
            text: the query.
            k: documents.
            where: metadata that they must have; a release that filters by a field takes its value from here.
        """
        return self.search_release(self.release(), text, k, where)

    def search_release(self, release: Release, text: str, k: int = 10, where: Filter | None = None) -> list[Hit]:
        """Return what a release answers, whether it is live or not; otherwise as :meth:`search`."""
        address = self.state.address(release.index)
        collection = self.opened.collection(address)
        if is_dense_alone(release.settings):
            vectors = self.opened.encoder(collection.info).encode_uncached([text], "query")
            return collection.search(vectors, k, where)[0]
        run = self.pipeline(release).answer(text, k, dict(where or {}))
        return [Hit(doc_id, float(score)) for doc_id, score in zip(run["doc_id"], run["score"], strict=True)]

    def pipeline(self, release: Release) -> Pipeline:
        """Return a release with all its stages over a copy of its index as it is now: for many queries at once."""
        collection = self.opened.collection(self.state.address(release.index))
        version = collection.version()
        known = self._pipelines.get(release.name)
        if known is None or known[0] != version:
            encoder = self.opened.encoder(collection.info)
            for _ in range(READINGS):
                known = version, pipeline_over(collection, encoder, release.settings)
                version = collection.version()
                if version == known[0]:
                    break
            assert known is not None
            self._pipelines[release.name] = known
        return known[1]

    def close(self) -> None:
        """Let go of files and connections."""
        self.opened.close()
        self.state.close()


def reader(state: str | Path, load: Load | None = None) -> Reader:
    """Return what asks a service's live release: ``reader(state).search("a query")``."""
    return Reader(State(state), load)


def is_dense_alone(settings: Settings) -> bool:
    """Return whether a query passes no stage beside the search among vectors."""
    return (settings.weight, settings.filter_field, settings.rerank_weight, settings.threshold) == (1.0, "", 0.0, None)


def pipeline_over(collection: Collection, encoder: Any, settings: Settings) -> Pipeline:
    """Return the stages of a release over a copy of its index in memory.

    Args:
        collection: with documents and vectors.
        encoder: its model.
        settings: the stages.

    Raises:
        IntegrityError: if an entry is damaged: it would answer wrongly without a word.
    """
    rows: list[Mapping[str, Any]] = []
    vectors: list[Vectors] = []
    owners: list[str] = []
    for entries in entry_pages(collection, PAGE):
        for entry in entries:
            entry.require_unchanged(collection.address)
            document = entry.document
            own = {"doc_id": document.doc_id, "title": document.title, "text": document.text}
            rows.append(dict(document.metadata) | own)
            vectors.append(entry.vectors)
            owners += [document.doc_id] * len(entry.vectors)
    corpus = pd.DataFrame(rows)
    if settings.filter_field and settings.filter_field not in corpus:
        raise ParameterError(
            f"{collection.address}: the release filters by {settings.filter_field!r}, which no document has: "
            "write the documents with it, or give the release other stages"
        )
    lexical = BM25(pd.Series((corpus["title"] + " " + corpus["text"]).str.strip().to_numpy(), corpus["doc_id"]))
    index = build_index(np.concatenate(vectors), owners, collection.info.identity, settings.index)
    whole: Encoder = encoder
    return Pipeline(whole, index, corpus, settings, lexical)
