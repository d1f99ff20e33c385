"""The full retrieval pipeline: passages, filter, index, BM25, fusion, rerank, threshold, prompt."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
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
from embedlab.retrieval.filters import Filter
from embedlab.retrieval.hybrid import best_weight, fuse_scores
from embedlab.retrieval.index import Indexed, VectorIndex, build_index
from embedlab.retrieval.reranking import TOP, LateInteraction, has_token_vectors, rerank
from embedlab.retrieval.systems import CHUNKING, Settings, Stages

NO_FILTER = "none"

RERANK_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8)


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
        if self.settings.rerank_weight > 0:
            late = self.late(queries, run)
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


Quality = Callable[[pd.DataFrame], float]
"""The measure of a run, such as its mean nDCG@10 on dev."""


def tune_stages(
    encoder: Encoder,
    corpus: pd.DataFrame,
    lexical: BM25,
    queries: pd.DataFrame,
    fields: list[str],
    quality: Quality,
    stages: Stages,
) -> tuple[Pipeline, pd.DataFrame]:
    """Choose every stage of a pipeline for one model, on dev queries: passages first, then as :func:`tune` does.

    Args:
        encoder: the model.
        corpus: ``doc_id, title, text`` and the fields.
        lexical: the lexical side over the same documents.
        queries: dev queries with their metadata.
        fields: metadata fields that a filter could use.
        quality: the measure to raise, of a run.
        stages: what may be tried.

    Returns:
        the pipeline with the chosen settings, and ``stage, setting, quality, chosen``.

    Raises:
        ParameterError: if chunking or index kind is unknown.
    """
    built, tried = {}, {}
    for chunk in dict.fromkeys(["none", stages.chunk]):
        built[chunk] = Pipeline.build(encoder, corpus, stages.settings(chunk), lexical)
        tried[chunk] = quality(built[chunk].candidates(queries)[0])
    chunk = _best(tried, stages.least_gain)
    pipeline, table = tune(built[chunk], queries, fields, quality, stages.least_gain)
    return pipeline, pd.concat([_stage("passages", tried, chunk), table], ignore_index=True)


def tune(
    pipeline: Pipeline, queries: pd.DataFrame, fields: list[str], quality: Quality, least_gain: float = 0.0
) -> tuple[Pipeline, pd.DataFrame]:
    """Choose filter, fusion weight and rerank weight one after another, on dev queries.

    A later or larger setting is taken only where it is better than the one before it.

    Args:
        pipeline: with its index built.
        queries: dev queries with their metadata.
        fields: metadata fields that a filter could use.
        quality: the measure to raise, of a run.
        least_gain: what the rerank, which costs time at every query, must add to be taken.

    Returns:
        the pipeline with the chosen settings, and ``stage, setting, quality, chosen``.
    """
    vectors = pipeline.encoder.encode(queries["text"].tolist(), "query")
    filters = {}
    for field in ["", *fields]:
        dense, _ = pipeline.using(filter_field=field).candidates(queries, vectors)
        filters[field] = quality(dense)
    pipeline = pipeline.using(filter_field=_best(filters))
    stages = [_stage("filter", filters, pipeline.settings.filter_field)]

    dense, lexical = pipeline.candidates(queries, vectors)
    weight, weights = best_weight(dense, lexical, quality)
    pipeline = pipeline.using(weight=weight)
    stages.append(_stage("dense weight", weights, weight))

    if has_token_vectors(pipeline.encoder):
        run = fuse_scores(dense, lexical, weight)
        # The late scores are the costly part and do not depend on the weight.
        late = pipeline.late(queries, run)
        reranks = {}
        for share in RERANK_WEIGHTS:
            reranks[share] = quality(rerank(run, late, share))
        pipeline = pipeline.using(rerank_weight=_best(reranks, least_gain))
        stages.append(_stage("rerank weight", reranks, pipeline.settings.rerank_weight))
    return pipeline, pd.concat(stages, ignore_index=True)


def chosen_settings(choices: pd.DataFrame, stages: Stages) -> Settings:
    """Return the settings that a table of :func:`tune_stages` says were chosen.

    Args:
        choices: ``stage, setting, chosen``.
        stages: what was tried.
    """
    chosen = choices[choices["chosen"]].set_index("stage")["setting"]
    field = str(chosen["filter"])
    return replace(
        stages.settings(str(chosen["passages"])),
        filter_field="" if field == NO_FILTER else field,
        weight=float(chosen["dense weight"]),
        # A model without token vectors was not tried as a reranker.
        rerank_weight=float(chosen.get("rerank weight", 0.0)),
    )


def _best(tried: Mapping[Any, float], least_gain: float = 0.0) -> Any:
    """Return the best setting of a stage; the first one unless the best gains at least so much over it."""
    first = next(iter(tried))
    # Among equals `max` takes the earliest: no filter, the smaller weight.
    best = max(tried, key=lambda setting: tried[setting])
    return best if tried[best] - tried[first] >= least_gain else first


def _stage(name: str, tried: Mapping[Any, float], chosen: Any) -> pd.DataFrame:
    """Return what was tried at one stage: ``stage, setting, quality, chosen``."""
    rows = []
    for setting, quality in tried.items():
        # No filter is the empty name of a field, which a table could not show.
        shown = str(setting) or NO_FILTER
        rows.append((name, shown, quality, setting == chosen))
    return pd.DataFrame(rows, columns=["stage", "setting", "quality", "chosen"])


def choose_threshold(cosines: pd.Series, relevant: pd.Series, keep: float) -> float:
    """Return the highest threshold that still shows a share ``keep`` of the relevant results.

    Args:
        cosines: of the results shown, on dev.
        relevant: whether each is relevant.
        keep: share of the relevant results that must stay, such as .98.
    """
    # No cosine is below -1: without a relevant result to go by, everything is shown.
    if not relevant.any():
        return -1.0
    # A value between two cosines, numpy's default, could lie above one that must stay.
    lowest_kept = np.quantile(cosines[relevant], 1 - keep, method="lower")
    # Rounded down for the same reason.
    return float(np.floor(lowest_kept * 1000) / 1000)
