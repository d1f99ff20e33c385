"""Why a query fails: one cause for each, decided from measurements, with the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from embedlab.evaluation.metrics import first_relevant_rank
from embedlab.evaluation.statistics.intervals import Groups, interval, labels_of

ABSENT = "not in the corpus"
TRUNCATED = "lost to truncation"
FILTERED = "filtered out by metadata"
FIXED = "fixed by a simpler rung"
WITHIN = "no rung, within reach"
BEYOND = "no rung, out of reach"

CAUSES = (ABSENT, TRUNCATED, FILTERED, FIXED, WITHIN, BEYOND)
"""In the order in which they are looked for; the last two speak for fine-tuning."""

ATTRIBUTION = ["query_id", "cause", "fixed_by", "evidence"]


@dataclass(frozen=True)
class Evidence:
    """What was measured about failing queries.

    Attributes:
        truncated: by query id, how the answer shows where the text beyond the model's limit is encoded alone.
        filtered: by query id, which value the filter asked for and which one the answer has.
        fixed_by: by query id, the rungs whose own run brings a relevant document among those shown, the cheapest first.
    """

    truncated: Mapping[str, str] = field(default_factory=dict)
    filtered: Mapping[str, str] = field(default_factory=dict)
    fixed_by: Mapping[str, Sequence[str]] = field(default_factory=dict)


def failing(qrels: pd.DataFrame, run: pd.DataFrame, shown: int) -> pd.Series:
    """Return the rank of the first relevant document of each query that fails: none among the first ``shown``.

    Args:
        qrels: ``query_id, doc_id, relevance``.
        run: of today's search.
        shown: results that a user sees.

    Returns:
        ranks by query id, NaN where the run holds no relevant document; queries without one to find are left out.
    """
    answerable = qrels.loc[qrels["relevance"] >= 1, "query_id"].unique()
    ranks = first_relevant_rank(qrels, run).reindex(sorted(answerable))
    return ranks[~(ranks <= shown)]


def absent(qrels: pd.DataFrame, doc_ids: Iterable[str]) -> dict[str, str]:
    """Return the queries none of whose relevant documents is in the corpus, with the ids that are missing."""
    there = set(doc_ids)
    found = {}
    for query_id, wanted in qrels[qrels["relevance"] >= 1].groupby("query_id")["doc_id"]:
        if there.isdisjoint(wanted):
            found[str(query_id)] = f"no document {', '.join(sorted(wanted)[:3])}"
    return found


def fixed_by(qrels: pd.DataFrame, runs: Mapping[str, pd.DataFrame], query_ids: Iterable[str], shown: int) -> pd.Series:
    """Return for each query the runs that bring a relevant document among the first ``shown``, in the runs' order.

    Args:
        qrels: ``query_id, doc_id, relevance``.
        runs: by rung, the cheapest first.
        query_ids: of the failing queries.
        shown: results that a user sees.
    """
    reached = pd.DataFrame({name: first_relevant_rank(qrels, run) <= shown for name, run in runs.items()})
    found = {}
    for query_id in query_ids:
        found[query_id] = [name for name in runs if reached.at[query_id, name]]
    return pd.Series(found, dtype=object)


def filtered_out(
    qrels: pd.DataFrame, unfiltered: pd.DataFrame, filtered: pd.DataFrame, query_ids: Iterable[str], shown: int
) -> dict[str, str]:
    """Return the queries whose answer today's filter removes: shown without the filter, gone from the run with it.

    Args:
        qrels: ``query_id, doc_id, relevance``.
        unfiltered: today's run without the filter.
        filtered: today's run.
        query_ids: of the failing queries.
        shown: results that a user sees.
    """
    relevant = qrels[qrels["relevance"] >= 1]
    top = unfiltered.groupby("query_id").head(shown).merge(relevant, on=["query_id", "doc_id"])
    left = set(zip(filtered["query_id"], filtered["doc_id"], strict=True))
    wanted, found = set(query_ids), {}
    for query_id, doc_ids in top.groupby("query_id")["doc_id"]:
        gone = [doc_id for doc_id in doc_ids if (query_id, doc_id) not in left]
        if query_id in wanted and gone:
            found[str(query_id)] = f"{gone[0]} is among the first {shown} until the filter removes it"
    return found


def attribute(
    ranks: pd.Series, qrels: pd.DataFrame, doc_ids: Iterable[str], evidence: Evidence, reach: int
) -> pd.DataFrame:
    """Return the one cause of each failing query: the first of :data:`CAUSES` that was measured for it.

    Args:
        ranks: of the failing queries; see :func:`failing`.
        qrels: ``query_id, doc_id, relevance``.
        doc_ids: of the corpus.
        evidence: what was measured about them.
        reach: an answer at this rank or before is within reach of a model that orders better.

    Returns:
        ``query_id, cause, fixed_by, evidence``, a row a failing query; ``fixed_by`` lists rungs, the cheapest first,
        also where another cause stands before them.
    """
    missing = absent(qrels, doc_ids)
    rows = []
    for query_id, rank in ranks.items():
        fixes = list(evidence.fixed_by.get(str(query_id), ()))
        found = _cause(str(query_id), rank, fixes, missing, evidence, reach)
        rows.append((query_id, found[0], fixes, found[1]))
    return pd.DataFrame(rows, columns=ATTRIBUTION)


def _cause(
    query_id: str, rank: float, fixes: list[str], missing: Mapping[str, str], evidence: Evidence, reach: int
) -> tuple[str, str]:
    """Return the cause of one query and what shows it."""
    for cause, found in ((ABSENT, missing), (TRUNCATED, evidence.truncated), (FILTERED, evidence.filtered)):
        if query_id in found:
            return cause, found[query_id]
    if fixes:
        return FIXED, f"{fixes[0]} shows it"
    if rank <= reach:
        return WITHIN, f"rank {int(rank)} today"
    return BEYOND, f"not among the first {reach} today"


def cause_shares(attribution: pd.DataFrame, groups: Groups | None, seed: int) -> pd.DataFrame:
    """Return how many failing queries each cause has, and its share with a 95 % interval.

    Args:
        attribution: see :func:`attribute`.
        groups: group by query id; queries of one rise and fall together.
        seed: of the resampling.

    Returns:
        ``queries, share, low, high`` by cause, in the order of :data:`CAUSES`; shares are of the failing queries.
    """
    labels = labels_of(pd.Index(attribution["query_id"]), groups)
    rows = {}
    for cause in CAUSES:
        has = np.array(attribution["cause"] == cause, dtype=np.float64)
        # Nothing fails: there is nothing to have a share of.
        share, (low, high) = np.nan, (np.nan, np.nan)
        if len(has):
            share, (low, high) = has.mean(), interval(has, labels, seed)
        rows[cause] = {"queries": int(has.sum()), "share": share, "low": max(low, 0.0), "high": min(high, 1.0)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("cause")
