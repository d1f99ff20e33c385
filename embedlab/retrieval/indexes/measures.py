"""What the ways to index some vectors cost, and how many of the exact neighbours each finds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.models.cache import Vectors
from embedlab.progress import Progress
from embedlab.retrieval.dense import exact_search
from embedlab.retrieval.indexes.index import one_thread, recall_against, trained
from embedlab.retrieval.indexes.settings import IndexSetting

MEASURED = "measured"

REPEATS = 3
"""Tries at each query; the fastest counts."""


def measure_settings(
    vectors: Vectors, queries: Vectors, settings: Sequence[IndexSetting], k: int = 10, timed: int = 20
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build an index in each of some ways, and measure what it finds and what it costs.

    Args:
        vectors: unit vectors of the documents, float32 ``[n, d]``; they train the kinds that learn.
        queries: unit vectors of the queries, ``[queries, d]``.
        settings: the ways.
        k: neighbours compared.
        timed: queries that are timed one by one, the first ones.

    Returns:
        a table a row a setting with ``recall`` (the share of the exact ``k`` neighbours that it finds), ``bytes`` on
        disk, ``memory`` in bytes, and ``status``: ``measured``, or ``not measured: `` and why, blank numbers beside;
        and, apart, for times are no results, ``build_s, p50_ms, p95_ms`` of those that were measured: the settings
        take turns at each query, on one thread, warm, and the best of a few tries counts.
    """
    exact, _ = exact_search(vectors, queries, min(k, len(vectors)))
    rows: dict[str, dict[str, Any]] = {}
    built: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    with Progress("Building indexes", len(settings)) as bar:
        for setting in settings:
            name = str(setting)
            misfit = setting.misfit(*vectors.shape)
            if misfit:
                rows[name] = {"status": f"not {MEASURED}: {misfit}"}
            else:
                begin = time.perf_counter()
                built[name] = trained(vectors, setting)
                seconds[name] = time.perf_counter() - begin
                rows[name] = _measured(built[name], queries, exact)
            bar.advance()
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["recall", "bytes", "memory", "status"])
    # Whole numbers, also where one is missing.
    table = table.astype({"recall": float, "bytes": "Int64", "memory": "Int64"})
    times = _times(built, queries[:timed], exact.shape[1])
    times.insert(0, "build_s", pd.Series(seconds, dtype=float))
    return table.rename_axis("setting"), times.rename_axis("setting")


def cheapest(table: pd.DataFrame, least_recall: float) -> list[str]:
    """Return the settings of fewest bytes among those that keep the recall: several if they tie, none if none does.

    Args:
        table: as :func:`measure_settings` returns it.
        least_recall: share of the exact neighbours that has to be found.
    """
    keeps = table[table["recall"] >= least_recall]
    return keeps.index[keeps["bytes"] == keeps["bytes"].min()].tolist()


def memory_bytes(index: Any) -> int:
    """Return the bytes of a FAISS index's arrays in memory: codes, graph, lists with their ids, centroids."""
    import faiss

    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexHNSW):
        graph: Any = index.hnsw
        links = 4 * graph.neighbors.size() + 8 * graph.offsets.size() + 4 * graph.levels.size()
        return int(memory_bytes(index.storage) + links)
    if isinstance(index, faiss.IndexIVF):
        entries = index.ntotal * (index.code_size + 8)
        return int(memory_bytes(index.quantizer) + entries + _learned(index))
    return int(index.codes.size() + _learned(index))


def _learned(index: Any) -> int:
    """Return the bytes of what an index learned of the vectors, its coarse centroids left out."""
    if hasattr(index, "pq"):
        return int(4 * index.pq.centroids.size())
    return int(4 * index.sq.trained.size()) if hasattr(index, "sq") else 0


def _measured(index: Any, queries: Vectors, exact: NDArray[np.int64]) -> dict[str, Any]:
    import faiss

    _, found = index.search(np.ascontiguousarray(queries), exact.shape[1])
    return {
        "recall": recall_against(found, exact),
        "bytes": int(faiss.serialize_index(index).nbytes),
        "memory": memory_bytes(index),
        "status": MEASURED,
    }


def _times(built: Mapping[str, Any], queries: Vectors, k: int) -> pd.DataFrame:
    """Return ``p50_ms, p95_ms`` of one query at a time by setting."""
    best = []
    # On a busy machine several threads wait for one another longer than they search.
    with one_thread():
        for query in [*queries[:1], *queries]:  # the first one warms up
            tries = [{name: _search_ms(index, query, k) for name, index in built.items()} for _ in range(REPEATS)]
            best.append(pd.DataFrame(tries, columns=list(built)).min())
    return pd.DataFrame(best[1:], columns=list(built)).quantile([0.5, 0.95]).T.set_axis(["p50_ms", "p95_ms"], axis=1)


def _search_ms(index: Any, query: Vectors, k: int) -> float:
    begin = time.perf_counter()
    index.search(np.ascontiguousarray(query[None]), k)
    return 1000 * (time.perf_counter() - begin)
