"""The full retrieval pipeline: passages, filter, index, BM25, fusion, rerank, threshold, prompt."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from embedlab.errors import ParameterError, nearest
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Encoder
from embedlab.retrieval.base import DEPTH, top_k
from embedlab.retrieval.bm25 import BM25
from embedlab.retrieval.chunking import titled_passages
from embedlab.retrieval.filtering.filters import Filter
from embedlab.retrieval.hybrid import fuse_scores
from embedlab.retrieval.indexes.index import Indexed, VectorIndex, build_index
from embedlab.retrieval.rerankers.late import TOP, LateInteraction, rerank
from embedlab.retrieval.systems import CHUNKING, Settings


class Pipeline:
    """A corpus made searchable in one way by one model: what answers a user.

    ``build`` encodes the corpus; ``using`` gives the same index with other query-time settings.

    Args:
        encoder: the model of the dense side.
        index: the corpus' vectors, by that model.
        corpus: ``doc_id, title, text`` and, for a filter, its field.
        settings: what the pipeline does.
        lexical: the lexical side over the same documents; pipelines may share it.

    Raises:
        IdentityError: if the index is another model's.
    """

    def __init__(
        self, encoder: Encoder, index: VectorIndex, corpus: pd.DataFrame, settings: Settings, lexical: BM25
    ) -> None:
        self.encoder = encoder
        self.dense = Indexed(encoder, index)
        self.corpus = corpus
        self.settings = settings
        self.lexical = lexical
        # Documents, whatever was cut into passages: the candidates that it reorders are documents.
        whole = pd.Series(_whole_texts(corpus).to_numpy(), corpus["doc_id"])
        self.reranker = LateInteraction(encoder, whole, settings.rerank_tokens)
        # By metadata field what the documents have there: a service asks for it with every request.
        self._values: dict[str, Mapping[str, frozenset[str]]] = {}

    @classmethod
    def build(cls, encoder: Encoder, corpus: pd.DataFrame, settings: Settings, lexical: BM25) -> Pipeline:
        """Encode a corpus and index it.

        Raises:
            ParameterError: if chunking or index kind is unknown.
        """
        texts = units(encoder, corpus, settings)
        vectors = encoder.encode(texts.tolist(), "document")
        index = build_index(vectors, texts.index.tolist(), encoder.identity, settings.index)
        return cls(encoder, index, corpus, settings, lexical)

    @property
    def vectors(self) -> Vectors:
        """The vectors of the index, float32 ``[units, dimensions]``; passages of one document stand together."""
        return self.dense.vectors

    def using(self, **changes: Any) -> Pipeline:
        """Return a pipeline over the same index with some query-time settings changed."""
        other = copy.copy(self)
        other.settings = replace(self.settings, **changes)
        return other

    def candidates(self, queries: pd.DataFrame, vectors: Vectors | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the dense and the lexical run, filtered.

        Args:
            queries: ``query_id, text`` and, for a filter, its field.
            vectors: of the queries where they are already encoded.
        """
        return self._dense_run(queries, vectors), self._lexical_run(queries)

    def _dense_run(self, queries: pd.DataFrame, vectors: Vectors | None) -> pd.DataFrame:
        return self.dense.search(_texts_by_id(queries), DEPTH, self._where(queries), vectors)

    def _lexical_run(self, queries: pd.DataFrame) -> pd.DataFrame:
        return self.lexical.search(_texts_by_id(queries), DEPTH, self._where(queries))

    def _where(self, queries: pd.DataFrame) -> Filter | None:
        """Return which documents each query may find; None: all."""
        field = self.settings.filter_field
        if not field:
            return None
        if field not in self._values:
            self._values[field] = Filter.equal(field, queries, self.corpus).values
        asked = Filter.equal(field, queries, self.corpus.head(0))
        return replace(asked, values=self._values[field])

    def search(self, queries: pd.DataFrame, vectors: Vectors | None = None) -> pd.DataFrame:
        """Return the run of the queries through every stage; arguments as for :meth:`candidates`."""
        if vectors is None and self.asks_the_model:
            vectors = self.encoder.encode(queries["text"].tolist(), "query")
        run = self._first_stage(queries, vectors)
        late = self.late(queries, run) if self.settings.rerank_weight > 0 else None
        return self._last_stages(queries, vectors, run, late)

    def variants(self, queries: pd.DataFrame, ways: Mapping[str, Mapping[str, Any]]) -> dict[str, pd.DataFrame]:
        """Return the run of the queries in several ways; what they share, a rerank's scores too, is computed once.

        Args:
            queries: as for :meth:`candidates`.
            ways: by name which settings are changed, of the index and its texts too.
        """
        pipelines = {name: self._changed(changes) for name, changes in ways.items()}
        vectors = self.encoder.encode(queries["text"].tolist(), "query")
        runs = {name: pipeline._first_stage(queries, vectors) for name, pipeline in pipelines.items()}
        heads = [top_k(runs[name], TOP) for name, found in pipelines.items() if found.settings.rerank_weight > 0]
        late = None
        if heads:
            pairs = pd.concat(heads).drop_duplicates(["query_id", "doc_id"])
            late = self.reranker.scores(_texts_by_id(queries), pairs)
        return {name: found._last_stages(queries, vectors, runs[name], late) for name, found in pipelines.items()}

    def _changed(self, changes: Mapping[str, Any]) -> Pipeline:
        """Return a pipeline with some settings changed, over an index of its own where the texts or its kind change."""
        settings = replace(self.settings, **changes)
        indexed = ("chunk", "passage_words", "passage_overlap", "index")
        if all(getattr(settings, name) == getattr(self.settings, name) for name in indexed):
            return self.using(**changes)
        return Pipeline.build(self.encoder, self.corpus, settings, self.lexical)

    def _last_stages(
        self, queries: pd.DataFrame, vectors: Vectors | None, run: pd.DataFrame, late: pd.DataFrame | None
    ) -> pd.DataFrame:
        """Return what the rerank and the threshold leave of a first stage; ``late`` scores (at least) its top."""
        if late is not None and self.settings.rerank_weight > 0:
            run = rerank(run, late, self.settings.rerank_weight)
        # Fused scores are scaled for each query, so the threshold asks for the cosine instead.
        if self.settings.threshold is None or vectors is None:
            return run
        is_shown = self.cosines(queries, run, vectors) >= self.settings.threshold
        return run[is_shown].reset_index(drop=True)

    @property
    def asks_the_model(self) -> bool:
        """Whether a query has to be encoded: BM25 alone does without."""
        return self.settings.weight > 0 or self.settings.threshold is not None

    def _first_stage(self, queries: pd.DataFrame, vectors: Vectors | None) -> pd.DataFrame:
        """Return the run before the rerank; a side of no weight is not asked."""
        if self.settings.weight == 0:
            return self._lexical_run(queries)
        if self.settings.weight == 1:
            return self._dense_run(queries, vectors)
        return fuse_scores(*self.candidates(queries, vectors), self.settings.weight)

    def answer(self, text: str, k: int = DEPTH, metadata: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the run of one query, encoded anew: what a service does for one request.

        Args:
            text: of the query.
            k: documents.
            metadata: of the query; without the filter's field nothing is filtered.
        """
        row = {"query_id": "query", "text": text, **(metadata or {})}
        if self.settings.filter_field:
            row.setdefault(self.settings.filter_field, None)
        vectors = self.encoder.encode_uncached([text], "query") if self.asks_the_model else None
        return self.search(pd.DataFrame([row]), vectors).head(k)

    def late(self, queries: pd.DataFrame, run: pd.DataFrame) -> pd.DataFrame:
        """Return late-interaction scores of the run's top documents."""
        return self.reranker.scores(_texts_by_id(queries), top_k(run, TOP))

    def cosines(self, queries: pd.DataFrame, run: pd.DataFrame, vectors: Vectors) -> pd.Series:
        """Return the cosine of each row's query and document (its best passage): comparable across queries.

        Args:
            queries: those of the run.
            run: any run over the corpus.
            vectors: of the queries, ``[len(queries), dimensions]``.
        """
        owners = self.dense.index.doc_ids
        # The passages of a document stand together: its best one is the maximum from its first to the next one's.
        is_first = np.r_[True, owners[1:] != owners[:-1]]
        first = np.flatnonzero(is_first)
        number_of = {doc_id: number for number, doc_id in enumerate(owners[first])}
        documents = run["doc_id"].map(number_of).to_numpy()
        found = np.zeros(len(run), dtype=np.float32)
        rows_of = run.groupby("query_id").indices
        for query_id, vector in zip(queries["query_id"], vectors, strict=True):
            # A query may have no row left, such as where a filter removed all.
            if query_id in rows_of:
                cosines = self.vectors @ vector
                best = np.maximum.reduceat(cosines, first)
                rows = rows_of[query_id]
                found[rows] = best[documents[rows]]
        return pd.Series(found, index=run.index)


def units(encoder: Encoder, corpus: pd.DataFrame, settings: Settings) -> pd.Series:
    """Return the texts that get a vector, by the id of their document; passages of one document share its id.

    Raises:
        ParameterError: if the chunking is unknown.
    """
    if settings.chunk not in CHUNKING:
        hint = nearest(settings.chunk, list(CHUNKING))
        raise ParameterError(f"unknown chunking {settings.chunk!r}{hint}")
    is_cut = pd.Series(settings.chunk == "all", index=corpus.index)
    limit = encoder.identity.max_length
    # A static model has no limit and cuts nothing off.
    if settings.chunk == "long" and limit:
        lengths = encoder.token_counts(_whole_texts(corpus).tolist())
        is_cut = pd.Series(lengths, index=corpus.index) > limit
    return titled_passages(corpus, settings.passage_words, settings.passage_overlap, is_cut)


def _whole_texts(corpus: pd.DataFrame) -> pd.Series:
    """Return title and text of each document, by row of the corpus."""
    return (corpus["title"] + " " + corpus["text"]).str.strip()


def _texts_by_id(queries: pd.DataFrame) -> pd.Series:
    return pd.Series(queries["text"].to_numpy(), index=queries["query_id"].to_numpy())
