"""The full retrieval pipeline: passages, filter, index, BM25, fusion, rerank, threshold, prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from embedlab.errors import ParameterError, nearest
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Encoder
from embedlab.retrieval.base import DEPTH, filter_by, top_k
from embedlab.retrieval.bm25 import BM25
from embedlab.retrieval.chunking import passages
from embedlab.retrieval.hybrid import WEIGHTS, fuse_scores
from embedlab.retrieval.index import Indexed, build_index
from embedlab.retrieval.reranking import TOP, LateInteraction, has_token_vectors, rerank

CHUNKING = ("none", "long", "all")

DEEP = 1000
"""Documents retrieved before a filter removes some."""

RERANK_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Settings:
    """What a pipeline does; each model gets its own.

    Attributes:
        chunk: ``none``: whole documents; ``long``: passages of what the model would cut off; ``all``.
        filter_field: the metadata field that a result must share with its query; empty: none.
        index: ``flat`` or ``hnsw``.
        weight: share of the dense score in the fusion with BM25; 1 is dense alone.
        rerank_weight: share of the late-interaction score in the top 20; 0 is no rerank.
        threshold: smallest cosine of a result that is still shown; None shows all.
        passage_words: words in a passage.
        passage_overlap: words that neighbouring passages share.
        rerank_tokens: tokens of a document that the reranker reads.
    """

    chunk: str = "none"
    filter_field: str = ""
    index: str = "flat"
    weight: float = 1.0
    rerank_weight: float = 0.0
    threshold: float | None = None
    passage_words: int = 120
    passage_overlap: int = 30
    rerank_tokens: int = 64

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def units(encoder: Encoder, corpus: pd.DataFrame, settings: Settings) -> pd.Series:
    """Return the texts that get a vector, by the id of their document; a title stands before each passage.

    Raises:
        ParameterError: if the chunking is unknown.
    """
    if settings.chunk not in CHUNKING:
        raise ParameterError(f"unknown chunking {settings.chunk!r}{nearest(settings.chunk, list(CHUNKING))}")
    whole = (corpus["title"] + " " + corpus["text"]).str.strip()
    limit = encoder.identity.max_length
    cut = pd.Series(settings.chunk == "all", index=whole.index)
    if settings.chunk == "long" and limit:
        cut = pd.Series(encoder.token_counts(whole.tolist()), index=whole.index) > limit
    rows: list[tuple[str, str]] = []
    for doc_id, title, text, full, is_cut in zip(
        corpus["doc_id"], corpus["title"], corpus["text"], whole, cut, strict=True
    ):
        parts = passages(text, settings.passage_words, settings.passage_overlap) if is_cut else []
        rows += [(doc_id, f"{title} {part}".strip()) for part in parts] or [(doc_id, full)]
    return pd.Series([text for _, text in rows], index=[doc_id for doc_id, _ in rows])


class Pipeline:
    """A corpus made searchable in one way by one model.

    ``using`` gives the same index with other query-time settings.
    """

    def __init__(self, encoder: Encoder, corpus: pd.DataFrame, settings: Settings, lexical: BM25) -> None:
        self.encoder, self.corpus, self.settings = encoder, corpus, settings
        self.units = units(encoder, corpus, settings)
        self.vectors = encoder.encode(self.units.tolist(), "document")
        index = build_index(self.vectors, self.units.index.tolist(), encoder.identity, settings.index)
        self.dense, self.lexical = Indexed(encoder, index), lexical
        whole = pd.Series((corpus["title"] + " " + corpus["text"]).str.strip().to_numpy(), corpus["doc_id"])
        self.reranker = LateInteraction(encoder, whole, settings.rerank_tokens)

    def using(self, **changes: Any) -> Pipeline:
        """Return a pipeline over the same index with some query-time settings changed."""
        other: Pipeline = object.__new__(Pipeline)
        other.__dict__ = self.__dict__ | {"settings": replace(self.settings, **changes)}
        return other

    def candidates(self, queries: pd.DataFrame, vectors: Vectors | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the dense and the lexical run, filtered.

        Args:
            queries: ``query_id, text`` and, for a filter, its field.
            vectors: of the queries where they are already encoded.
        """
        texts = pd.Series(queries["text"].to_numpy(), index=queries["query_id"].to_numpy())
        field = self.settings.filter_field
        depth = min(DEEP, len(self.corpus)) if field else DEPTH
        found = [self.dense.search(texts, depth, vectors), self.lexical.search(texts, depth)]
        if field:
            found = [top_k(filter_by(run, queries, self.corpus, field), DEPTH) for run in found]
        return found[0], found[1]

    def search(self, queries: pd.DataFrame, vectors: Vectors | None = None) -> pd.DataFrame:
        """Return the run of the queries through every stage."""
        if vectors is None:
            vectors = self.encoder.encode(queries["text"].tolist(), "query")
        run = fuse_scores(*self.candidates(queries, vectors), self.settings.weight)
        if self.settings.rerank_weight > 0:
            run = rerank(run, self.late(queries, run), self.settings.rerank_weight)
        if self.settings.threshold is None:
            return run
        return run[self.cosines(queries, run, vectors) >= self.settings.threshold].reset_index(drop=True)

    def late(self, queries: pd.DataFrame, run: pd.DataFrame) -> pd.DataFrame:
        """Return late-interaction scores of the run's top documents."""
        texts = pd.Series(queries["text"].to_numpy(), index=queries["query_id"].to_numpy())
        return self.reranker.scores(texts, top_k(run, TOP))

    def cosines(self, queries: pd.DataFrame, run: pd.DataFrame, vectors: Vectors) -> pd.Series:
        """Return the cosine of each row's query and document (its best passage): comparable across queries."""
        owners = self.units.index.to_numpy()
        starts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
        column = {doc_id: i for i, doc_id in enumerate(owners[starts])}
        found = np.zeros(len(run), dtype=np.float32)
        columns = run["doc_id"].map(column).to_numpy()
        rows_of = run.groupby("query_id").indices
        for position, query_id in enumerate(queries["query_id"]):
            rows = rows_of.get(query_id, np.zeros(0, dtype=np.int64))
            best = np.maximum.reduceat(self.vectors @ vectors[position], starts)
            found[rows] = best[columns[rows]]
        return pd.Series(found, index=run.index)


Quality = Callable[[pd.DataFrame], float]


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
    tried: list[tuple[str, Any, float]] = []
    vectors = pipeline.encoder.encode(queries["text"].tolist(), "query")
    for field in ["", *fields]:
        tried.append(("filter", field, quality(pipeline.using(filter_field=field).candidates(queries, vectors)[0])))
    pipeline = pipeline.using(filter_field=_best(tried, "filter"))
    dense, lexical = pipeline.candidates(queries, vectors)
    tried += [("dense weight", w, quality(fuse_scores(dense, lexical, w))) for w in WEIGHTS]
    pipeline = pipeline.using(weight=_best(tried, "dense weight"))
    if has_token_vectors(pipeline.encoder):
        run = fuse_scores(dense, lexical, pipeline.settings.weight)
        late = pipeline.late(queries, run)
        tried += [("rerank weight", w, quality(rerank(run, late, w))) for w in RERANK_WEIGHTS]
        pipeline = pipeline.using(rerank_weight=_best(tried, "rerank weight", least_gain))
    taken = pipeline.settings
    chosen = {"filter": taken.filter_field, "dense weight": taken.weight, "rerank weight": taken.rerank_weight}
    table = pd.DataFrame(tried, columns=["stage", "setting", "quality"])
    table["chosen"] = [setting == chosen[stage] for stage, setting, _ in tried]
    return pipeline, table.assign(setting=table["setting"].map(lambda v: str(v) or "none"))


def _best(tried: list[tuple[str, Any, float]], stage: str, least_gain: float = 0.0) -> Any:
    """Return the best setting of a stage; the first one unless the best gains at least so much over it."""
    rows = [row for row in tried if row[0] == stage]
    best = max(rows, key=lambda row: row[2])
    return best[1] if best[2] - rows[0][2] >= least_gain else rows[0][1]


def choose_threshold(cosines: pd.Series, relevant: pd.Series, keep: float) -> float:
    """Return the highest threshold that still shows a share ``keep`` of the relevant results.

    Args:
        cosines: of the results shown, on dev.
        relevant: whether each is relevant.
        keep: share of the relevant results that must stay, such as .98.
    """
    if not relevant.any():
        return -1.0
    return float(np.floor(np.quantile(cosines[relevant], 1 - keep, method="lower") * 1000) / 1000)
