"""Per-query retrieval measures: ir-measures' names over trec_eval's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.trec import trec_order
from embedlab.errors import ParameterError

PRIMARY = "nDCG@10"

FIVE = ("R", "P", "RR", "AP", "nDCG")
"""Recall, precision, reciprocal rank, average precision, normalized discounted cumulative gain."""


def parse_measure(name: str) -> Any:
    """Return the ir-measures object of a name such as ``nDCG@10``, ``R@100``, ``RR@10``, ``AP``.

    Raises:
        ParameterError: if there is no such measure, a cutoff is under 1, or ``R`` or ``P`` has none.
    """
    import ir_measures

    try:
        measure = ir_measures.parse_measure(name)
    except (NameError, ValueError, TypeError):
        measure = None
    if measure is None or measure.NAME not in FIVE or not _scored_by_trec_eval(measure):
        raise ParameterError(f"unknown measure {name!r}; valid: nDCG@10, R@100, P@5, RR@10, AP, at any cutoff")
    return measure


def _scored_by_trec_eval(measure: Any) -> bool:
    """Whether trec_eval's code knows these parameters; a cutoff under 1 would end the process."""
    if set(measure.params) - {"cutoff", "rel"}:
        return False
    return measure.params["cutoff"] >= 1 if "cutoff" in measure.params else measure.NAME not in ("R", "P")


def per_query(qrels: pd.DataFrame, run: pd.DataFrame, measures: Sequence[str] = (PRIMARY,)) -> pd.DataFrame:
    """Score each judged query.

    A judged query that the run lacks, or that has no relevant document, scores 0, as in
    trec_eval with ``-c``. ``X@k`` cuts the run in trec_eval's order, ``RR@10`` included: it is
    recip_rank where that is 1/10 or more, and 0 elsewhere.

    Args:
        qrels: ``query_id, doc_id, relevance``.
        run: ``query_id, doc_id, score``.
        measures: ir-measures names.

    Returns:
        one row a judged query, sorted by id (the index), one float column a measure.
    """
    import ir_measures

    ids = sorted(qrels["query_id"].unique())
    parsed = {name: parse_measure(name) for name in measures}
    whole = {name: _uncut(measure) for name, measure in parsed.items()}
    values: dict[Any, dict[str, float]] = {measure: {} for measure in whole.values()}
    columns = run[["query_id", "doc_id", "score"]]
    for row in ir_measures.pytrec_eval.iter_calc(list(values), qrels, columns) if len(run) else ():
        values[row.measure][row.query_id] = row.value
    table = (
        pd.DataFrame({name: values[measure] for name, measure in whole.items()}, index=ids).fillna(0.0).astype(float)
    )
    for name, measure in parsed.items():
        if measure.NAME == "RR" and "cutoff" in measure.params:
            table[name] = table[name].where(table[name] * measure["cutoff"] >= 1 - 1e-9, 0.0)
    return table.rename_axis("query_id")


def _uncut(measure: Any) -> Any:
    """Return reciprocal rank without its cutoff, which its provider applies in another order."""
    import ir_measures

    if measure.NAME != "RR":
        return measure
    return ir_measures.RR(**{key: value for key, value in measure.params.items() if key != "cutoff"})


def first_relevant_rank(qrels: pd.DataFrame, run: pd.DataFrame) -> pd.Series:
    """Return the rank (1 = top) of the first relevant document by query id; NaN where none is found."""
    ordered = trec_order(run)
    ordered = ordered.assign(rank=ordered.groupby("query_id").cumcount() + 1)
    relevant = qrels.loc[qrels["relevance"] >= 1, ["query_id", "doc_id"]]
    best = relevant.merge(ordered, on=["query_id", "doc_id"]).groupby("query_id")["rank"].min()
    return best.reindex(sorted(qrels["query_id"].unique()))


def unjudged_share(qrels: pd.DataFrame, run: pd.DataFrame, cutoff: int = 10) -> float:
    """Return the share of the top ``cutoff`` documents that nobody judged."""
    top = trec_order(run).groupby("query_id").head(cutoff)
    judged = top.merge(qrels, on=["query_id", "doc_id"], how="left")["relevance"].notna()
    return float(1 - judged.mean()) if len(top) else 0.0


def mean_score(qrels: pd.DataFrame, run: pd.DataFrame, measure: str = PRIMARY) -> float:
    """Return the mean of a measure over the judged queries; arguments as for :func:`per_query`."""
    return float(per_query(qrels, run, [measure])[measure].mean())


def scores_of(qrels: pd.DataFrame, runs: Mapping[str, pd.DataFrame], measure: str = PRIMARY) -> pd.DataFrame:
    """Return one measure of several systems: a row a judged query (the index), a column a system.

    Args:
        qrels: ``query_id, doc_id, relevance``.
        runs: runs by system.
        measure: an ir-measures name.
    """
    return pd.DataFrame({system: per_query(qrels, run, [measure])[measure] for system, run in runs.items()})


def ranks_of(qrels: pd.DataFrame, runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return :func:`first_relevant_rank` of several systems: a row a judged query (the index), a column a system."""
    return pd.DataFrame({system: first_relevant_rank(qrels, run) for system, run in runs.items()})


def score_table(
    parts: Mapping[str, Collection], runs: Mapping[tuple[str, str], pd.DataFrame], measures: Sequence[str]
) -> pd.DataFrame:
    """Score every query of every part in every system, one row each, to be kept.

    Args:
        parts: queries and judgments by part.
        runs: by part and system.
        measures: ir-measures names, each once.

    Returns:
        ``part, system, query_id, group`` and one column a measure, sorted by the first three.
    """
    tables = []
    for part, system in sorted(runs):
        scored = per_query(parts[part].qrels, runs[part, system], measures).reset_index()
        group = scored["query_id"].map(parts[part].groups())
        tables.append(scored.assign(part=part, system=system, group=group))
    return pd.concat(tables, ignore_index=True)[["part", "system", "query_id", "group", *measures]]
