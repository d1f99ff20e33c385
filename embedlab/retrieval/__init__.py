"""Retrievers: BM25, dense, hybrid, filtered, chunked, reranked; one protocol."""

from __future__ import annotations

from embedlab.retrieval.base import Retriever as Retriever
from embedlab.retrieval.base import filter_by as filter_by
from embedlab.retrieval.base import top_k as top_k
from embedlab.retrieval.bm25 import BM25 as BM25
from embedlab.retrieval.dense import Chunked as Chunked
from embedlab.retrieval.dense import Dense as Dense
from embedlab.retrieval.hybrid import best_weight as best_weight
from embedlab.retrieval.hybrid import fuse_ranks as fuse_ranks
from embedlab.retrieval.hybrid import fuse_scores as fuse_scores

__all__ = ["BM25", "Chunked", "Dense", "Retriever", "best_weight", "filter_by", "fuse_ranks", "fuse_scores", "top_k"]
