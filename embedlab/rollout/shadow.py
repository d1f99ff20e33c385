"""Shadow test: the same queries through two pipelines, and how far their answers agree."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import ParameterError
from embedlab.evaluation.results import Comparison
from embedlab.models.cache import Vectors
from embedlab.progress import Progress
from embedlab.retrieval.indexes.index import VectorIndex, build_index

REPEATS = 3
"""Tries at each query; the fastest counts."""

NOISE = 1.25
"""Ratio of two median latencies that one busy machine gives the same pipeline twice."""


LARGEST = 4e9
"""Bytes of vectors that are held at once to measure a search of production's size."""


class Answers(Protocol):
    """What answers one request: a pipeline, an opened index."""

    def answer(self, text: str) -> pd.DataFrame:
        """Return the run of one query, encoded anew."""
        ...


def latencies(services: Mapping[str, Answers], texts: Sequence[str]) -> pd.DataFrame:
    """Return the milliseconds of each query (row) in each service (column), asked one by one.

    The services take turns, one ahead and then the other, and the best of a few tries counts, so
    that what else the machine does weighs little and on all alike. The first query is asked once
    before, unmeasured, so that loading does not count.
    """
    names = list(services)
    rows = []
    with Progress("Timing queries", len(texts) + 1) as bar:
        for text in [*texts[:1], *texts]:
            tries = []
            for attempt in range(REPEATS):
                order = names if attempt % 2 == 0 else names[::-1]
                tries.append({name: _milliseconds(services[name], text) for name in order})
            rows.append(pd.DataFrame(tries)[names].min())
            bar.advance()
    return pd.DataFrame(rows[1:]).reset_index(drop=True)


def _milliseconds(service: Answers, text: str) -> float:
    begin = time.perf_counter()
    service.answer(text)
    return 1000 * (time.perf_counter() - begin)


def percentiles(times: pd.DataFrame) -> pd.DataFrame:
    """Return the median and the 95th percentile of each column, rows ``p50`` and ``p95``."""
    return times.quantile([0.5, 0.95]).set_axis(["p50", "p95"])


def within_budget(
    times: pd.DataFrame, budget: float, live: str = "base", candidate: str = "tuned", slower_by: float = NOISE
) -> bool | None:
    """Return whether the candidate's p95 keeps to the budget; None where production is about as slow.

    Over the budget only a median well above production's counts: the pipelines took turns, so a busy
    machine moves both medians alike, and p95 alone may be one hiccup.

    Args:
        times: milliseconds, as :func:`percentiles` returns them.
        budget: milliseconds at p95.
        live: the column of what is in production.
        candidate: the column of the candidate.
        slower_by: how many times production's median still is about as slow.
    """
    median, p95 = times.loc["p50"].astype(float), times.loc["p95"].astype(float)
    if p95[candidate] <= budget:
        return True
    about_as_slow = median[candidate] <= slower_by * median[live]
    return None if about_as_slow else False


def slower_at(index: VectorIndex, vectors: Vectors, count: int, k: int) -> NDArray[np.float64]:
    """Return by how many milliseconds a search of so many vectors takes longer, query by query.

    The vectors of the index are repeated until there are so many: what they are does not change how long an exact
    search takes. Fewer than there are add nothing.

    Args:
        index: a flat one.
        vectors: of the queries, ``[queries, dimensions]``.
        count: vectors in production.
        k: results a search.

    Raises:
        ParameterError: if the index is not flat, or so many vectors do not fit into :data:`LARGEST` bytes.
    """
    if index.kind != "flat":
        raise ParameterError(f"only a flat index can be measured on repeated vectors, found {index.kind!r}")
    size = 4 * count * index.identity.dimensions
    if size > LARGEST:
        raise ParameterError(f"{count:,} vectors take {size / 1e9:,.1f} GB; at most {LARGEST / 1e9:g} GB are measured")
    if count <= len(index.doc_ids):
        return np.zeros(len(vectors))
    times = -(-count // len(index.doc_ids))
    repeated = np.tile(index.vectors(), (times, 1))[:count]
    ids = np.tile(index.doc_ids, times)[:count].tolist()
    larger = build_index(repeated, ids, index.identity)
    tries = [[_search_ms(one, vector, k) for one in (index, larger)] for vector in vectors for _ in range(REPEATS)]
    best = np.array(tries).reshape(len(vectors), REPEATS, 2).min(axis=1)
    return np.maximum(best[:, 1] - best[:, 0], 0.0)


def _search_ms(index: VectorIndex, vector: Vectors, k: int) -> float:
    begin = time.perf_counter()
    index.search(vector[None], k)
    return 1000 * (time.perf_counter() - begin)


def latest(queries: pd.DataFrame, count: int) -> tuple[pd.DataFrame, bool]:
    """Return the latest queries by ``created``, oldest first, and whether there were dates.

    Without dates: all of them in the order of their ids.

    Args:
        queries: ``query_id`` and, where there are dates, ``created``.
        count: queries to return; those without a date are left out where others have one.
    """
    if "created" not in queries or queries["created"].isna().all():
        return queries.sort_values("query_id", ignore_index=True), False
    dated = queries[queries["created"].notna()].sort_values(["created", "query_id"], ignore_index=True)
    return dated.tail(count).reset_index(drop=True), True


def gate(comparison: Comparison, unanswered: int, in_time: bool | None, budget_ms: float) -> tuple[bool, str]:
    """Return whether the candidate may see users, and why.

    It fails when a query gets no answer, when its quality is lower with the whole interval below
    zero, or when its p95 latency exceeds the contract's budget and is well above production's.

    Args:
        comparison: of the candidate with production, on the same queries.
        unanswered: queries that production answers and the candidate does not.
        in_time: as :func:`within_budget` says.
        budget_ms: the contract's latency budget, at p95.
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
    latency = "the latency budget was kept"
    if in_time is None:
        latency = "production is as slow on this machine, so the latency budget decides nothing"
    change = f"{comparison.metric} changed by {comparison.delta:+.3f} [{low:+.3f}, {high:+.3f}]"
    return True, f"every query was answered; {latency}; {change}"
