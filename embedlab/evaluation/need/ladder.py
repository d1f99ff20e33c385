"""The ladder: what each remedy that is simpler than fine-tuning changes, for better and for worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from embedlab.errors import DataError
from embedlab.evaluation.comparison import compare_scores
from embedlab.evaluation.metrics import first_relevant_rank, per_query
from embedlab.evaluation.results import Comparison
from embedlab.evaluation.statistics.intervals import Groups

KINDS = (
    *("filter", "lexical", "hybrid", "rewriting", "reranking", "chunking", "sparse", "stronger base", "language model"),
    *("engine", "stack"),
)
"""Kinds of rungs, the cheapest first: what metadata and words do costs less than new vectors, and these less than
another model. A stack is several rungs at once."""

MEASURED = "measured"

LADDER = [
    *("rung", "kind", "score", "delta", "ci_low", "ci_high", "fixed", "broken", "net"),
    *("added_ms", "added_bytes", "status"),
]


@dataclass(frozen=True)
class Rung:
    """One remedy.

    Attributes:
        name: in tables and figures.
        kind: one of :data:`KINDS`.
        run: ``query_id, doc_id, score``; None where it could not be measured here.
        added_ms: milliseconds that it adds to a query; None where that was not measured.
        added_bytes: bytes that it adds to the index, over the whole corpus; None where that was not measured.
        status: :data:`MEASURED`, or ``not measured: why``.
    """

    name: str
    kind: str
    run: pd.DataFrame | None = None
    added_ms: float | None = None
    added_bytes: float | None = None
    status: str = MEASURED

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"rung {self.name!r}: kind {self.kind!r} is none of {', '.join(KINDS)}")
        if (self.run is None) == (self.status == MEASURED):
            raise DataError(f"rung {self.name!r}: a run is what makes it measured, found {self.status!r}")


def not_measured(name: str, kind: str, why: str) -> Rung:
    """Return a rung that could not be run here: it stands in every table, and nothing rests on it."""
    return Rung(name, kind, status=f"not measured: {why}")


def measured(rungs: Sequence[Rung]) -> dict[str, pd.DataFrame]:
    """Return the runs of the rungs that were measured, the cheapest first; of one kind in the order given."""
    found = {}
    for rung in sorted(rungs, key=lambda rung: KINDS.index(rung.kind)):
        if rung.run is not None:
            found[rung.name] = rung.run
    return found


def among(rungs: Sequence[Rung], doc_ids: Iterable[str]) -> list[Rung]:
    """Return the rungs as if these documents alone were searched: what a run says of others is left out.

    Of a run over all documents that is the beginning of the run over these, in the same order.
    """
    kept, found = set(doc_ids), []
    for rung in rungs:
        run = rung.run
        found.append(rung if run is None else replace(rung, run=run[run["doc_id"].isin(kept)]))
    return found


@dataclass(frozen=True)
class Ladder:
    """What was measured of all rungs against what is there today.

    Attributes:
        table: the columns of :data:`LADDER`, a row a rung, in the order given.
        gains: the paired comparison with today's search by rung, of those that were measured.
        scores: the measure by query id (rows) and rung; today's search is ``today``.
    """

    table: pd.DataFrame
    gains: Mapping[str, Comparison]
    scores: pd.DataFrame


TODAY = "today"


def climb(
    rungs: Sequence[Rung],
    today: pd.DataFrame,
    qrels: pd.DataFrame,
    metric: str,
    shown: int,
    groups: Groups | None = None,
    seed: int = 0,
) -> Ladder:
    """Compare every rung with today's search, query by query.

    Args:
        rungs: the remedies.
        today: the run that they have to better.
        qrels: ``query_id, doc_id, relevance``.
        metric: an ir-measures name.
        shown: a query fails where no relevant document is among so many results. Of a dozen noisy rungs some fix
            queries by chance, so what a rung breaks is counted too, and ``net`` is the difference.
        groups: group by query id, or several groupings by name.
        seed: of the resampling.

    Raises:
        DataError: if two rungs have one name, or a run lacks judged queries.
    """
    names = [rung.name for rung in rungs]
    if len(set(names)) < len(names):
        raise DataError(f"two rungs have one name: {max(names, key=names.count)!r}")
    runs = {TODAY: today} | {rung.name: rung.run for rung in rungs if rung.run is not None}
    scores = pd.DataFrame({name: per_query(qrels, run, [metric])[metric] for name, run in runs.items()})
    answered = pd.DataFrame({name: first_relevant_rank(qrels, run) <= shown for name, run in runs.items()})
    gains, rows = {}, []
    for rung in rungs:
        row: dict[str, Any] = {"rung": rung.name, "kind": rung.kind, "status": rung.status}
        if rung.run is not None:
            gain = compare_scores(scores[TODAY], scores[rung.name], metric, groups=groups, seed=seed)
            gains[rung.name] = gain
            row |= _counted(gain, answered[TODAY], answered[rung.name])
            row |= {"added_ms": rung.added_ms, "added_bytes": rung.added_bytes}
        rows.append(row)
    table = pd.DataFrame(rows, columns=LADDER)
    numbers = [name for name in LADDER if name not in ("rung", "kind", "status")]
    table[numbers] = table[numbers].astype(float)
    return Ladder(table, gains, scores)


def _counted(gain: Comparison, before: pd.Series, after: pd.Series) -> dict[str, float]:
    """Return the gain of a rung, and how many failing queries it fixes and passing ones it breaks."""
    fixed, broken = int((after & ~before).sum()), int((before & ~after).sum())
    return {
        "score": gain.candidate,
        "delta": gain.delta,
        "ci_low": gain.ci95[0],
        "ci_high": gain.ci95[1],
        "fixed": fixed,
        "broken": broken,
        "net": fixed - broken,
    }
