"""Shadow test: the same queries through two pipelines, and how far their answers agree."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from embedlab.evaluation.results import Comparison
from embedlab.models.encoder import Encoder
from embedlab.retrieval.base import DEPTH, as_run
from embedlab.retrieval.bm25 import BM25
from embedlab.retrieval.dense import Dense
from embedlab.retrieval.hybrid import fuse_scores

REPEATS = 3

NOISE = 1.25
"""Ratio of two median latencies that one busy machine gives the same pipeline twice."""


class Pipeline:
    """What answers a user: dense search and BM25 fused by a weight chosen on dev.

    Args:
        name: for tables.
        encoder: the model of the dense side.
        documents: texts by document id.
        lexical: the lexical side, shared by both pipelines.
        weight: of the dense side, 0 to 1.
    """

    def __init__(self, name: str, encoder: Encoder, documents: pd.Series, lexical: BM25, weight: float) -> None:
        import faiss

        self.name, self.encoder, self.lexical, self.weight = name, encoder, lexical, weight
        self.dense = Dense(encoder, documents)
        self._ids = documents.index.to_numpy()
        self._index = faiss.IndexFlatIP(self.dense.vectors.shape[1])
        self._index.add(np.ascontiguousarray(self.dense.vectors))

    def search(self, queries: pd.Series, k: int = DEPTH) -> pd.DataFrame:
        """Return the fused run of the queries (texts by id)."""
        return fuse_scores(self.dense.search(queries, k), self.lexical.search(queries, k), self.weight, k)

    def answer(self, text: str, k: int = DEPTH) -> pd.DataFrame:
        """Return the run of one query, encoded anew: what a service does for one request."""
        vector = self.encoder.encode_uncached([text], "query")
        scores, positions = self._index.search(vector, min(k, len(self._ids)))
        dense = as_run(["query"], self._ids, positions, scores)
        return fuse_scores(dense, self.lexical.search(pd.Series({"query": text}), k), self.weight, k)


def latencies(pipelines: Mapping[str, Pipeline], texts: Sequence[str]) -> pd.DataFrame:
    """Return the milliseconds of each query (row) in each pipeline (column), asked one by one.

    The pipelines take turns, one ahead and then the other, and the best of a few tries counts, so
    that what else the machine does weighs little and on all alike. The first query is asked once
    before, unmeasured, so that loading does not count.
    """
    names, rows = list(pipelines), []
    for text in [*texts[:1], *texts]:
        orders = [names[:: 1 if attempt % 2 == 0 else -1] for attempt in range(REPEATS)]
        tries = [{name: _milliseconds(pipelines[name], text) for name in order} for order in orders]
        rows.append(pd.DataFrame(tries)[names].min())
    return pd.DataFrame(rows[1:]).reset_index(drop=True)


def _milliseconds(pipeline: Pipeline, text: str) -> float:
    begin = time.perf_counter()
    pipeline.answer(text)
    return 1000 * (time.perf_counter() - begin)


def within_budget(times: pd.DataFrame, budget: float) -> bool | None:
    """Return whether the candidate's p95 keeps to the budget; None where production is about as slow.

    Over the budget only a median well above production's counts: the pipelines took turns, so a busy
    machine moves both medians alike, and p95 alone may be one hiccup.

    Args:
        times: milliseconds, rows ``p50`` and ``p95``, columns ``base`` and ``tuned``.
        budget: milliseconds at p95.
    """
    (base, tuned), (_, tuned_p95) = times.loc[["p50", "p95"], ["base", "tuned"]].to_numpy(dtype=float)
    if tuned_p95 <= budget:
        return True
    return None if tuned <= NOISE * base else False


def latest(queries: pd.DataFrame, count: int) -> tuple[pd.DataFrame, bool]:
    """Return the latest queries by ``created``, oldest first, and whether there were dates.

    Without dates: all of them in the order of their ids.
    """
    dated = "created" in queries and bool(queries["created"].notna().any())
    if not dated:
        return queries.sort_values("query_id", ignore_index=True), False
    ordered = queries[queries["created"].notna()].sort_values(["created", "query_id"], ignore_index=True)
    return ordered.tail(count).reset_index(drop=True), True


def gate(comparison: Comparison, unanswered: int, in_time: bool | None, budget_ms: float) -> tuple[bool, str]:
    """Return whether the candidate may see users, and why.

    It fails when a query gets no answer, when its quality is lower with the whole interval below
    zero, or when its p95 latency exceeds the contract's budget and is well above production's.
    """
    low, high = comparison.ci95
    faults = []
    if unanswered:
        faults.append(f"{unanswered} queries got no answer from the candidate")
    if high < 0:
        faults.append(f"{comparison.metric} fell by {-comparison.delta:.3f} [{low:+.3f}, {high:+.3f}]")
    if in_time is False:
        faults.append(f"the candidate's p95 latency exceeds the contract's {budget_ms:g} ms")
    if faults:
        return False, "; ".join(faults)
    slow = "production is as slow on this machine, so the latency budget decides nothing"
    return True, (
        f"every query was answered; {'the latency budget was kept' if in_time else slow}; {comparison.metric} changed "
        f"by {comparison.delta:+.3f} [{low:+.3f}, {high:+.3f}]"
    )
