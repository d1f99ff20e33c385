"""Per-query retrieval measures: ir-measures' names over trec_eval's own code, and a few of our own."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.findings import HIGHEST_GRADE
from embedlab.data.trec import trec_order
from embedlab.errors import ParameterError, shown

PRIMARY = "nDCG@10"

COUNTS = ("NumQ", "NumRel", "NumRet")
"""What trec_eval counts; every measure of ours lies between 0 and 1, as intervals suppose."""

LOWEST = {"cutoff": 1, "rel": 1, "recall": 0, "beta": 0}
"""The least value of each number that trec_eval takes; below it, it ends the process."""

LARGEST = 2**31 - 1

HIGHEST = {"cutoff": LARGEST, "rel": HIGHEST_GRADE, "beta": LARGEST}
"""The largest: a higher grade than there is has no document, and of one beyond all bounds trec_eval dies."""

LONGEST = 100
"""No measure's name has more characters."""

SWITCHES = ("relative",)

OWN_FILE = "embedlab/evaluation/metrics.py"
"""Where measures of our own are registered, for messages."""

SHOWN = 3
"""Query ids that a message names."""


@dataclass(frozen=True)
class Own:
    """A measure that trec_eval does not compute, at a cutoff; see :data:`OWN`."""

    NAME: str
    cutoff: int

    @property
    def params(self) -> dict[str, int]:
        """The cutoff, under the name that ir-measures gives it."""
        return {"cutoff": self.cutoff}


def judged(qrels: pd.DataFrame, run: pd.DataFrame, cutoff: int) -> pd.Series:
    """Return the share of the first ``cutoff`` documents that somebody judged, by query id; arguments as there."""
    top = trec_order(run).groupby("query_id").head(cutoff)
    graded = top.merge(qrels, on=["query_id", "doc_id"], how="left")
    known = graded["relevance"].notna()
    return known.groupby(top["query_id"].to_numpy()).mean()


OWN: dict[str, Callable[[pd.DataFrame, pd.DataFrame, int], pd.Series]] = {"Judged": judged}
"""Measures of our own by name: ``(qrels, run, cutoff)`` gives a value between 0 and 1 by query id.

A new one is registered here and nowhere else; ``NAME@k`` is then legal wherever a measure is named. A judged
query that the result lacks scores 0; one that is in the run alone is left out.
"""


def parse_measure(name: str) -> Any:
    """Return the measure of a name such as ``nDCG@10``, ``R@100``, ``RR@10``, ``AP``: ir-measures' or one of ours.

    Whatever ir-measures computes through trec_eval is a measure, but for its counts and for
    options that trec_eval itself does not know (``judged_only``, ``gains``).

    Raises:
        ParameterError: if there is no such measure, a cutoff is under 1, or one that needs a cutoff
            (``R``, ``P``, ``Success``) has none; names the nearest.
    """
    import ir_measures

    if not isinstance(name, str) or len(name) > LONGEST:
        raise ParameterError(f"unknown measure {shown(name)!r}; expected a name such as nDCG@10")
    stem, _, cutoff = name.partition("@")
    if stem in OWN and cutoff.isdecimal() and _is_legal("cutoff", int(cutoff)):
        return Own(stem, int(cutoff))
    try:
        measure = ir_measures.parse_measure(name)
        measure.validate_params()
    except (NameError, ValueError, TypeError, AssertionError):
        measure = None  # ir-measures has one of these for each fault
    if measure is None or not _scored_by_trec_eval(measure):
        own = ", ".join(f"{name}@10" for name in OWN)
        raise ParameterError(
            f"unknown measure {name!r}{_near(name)}; valid: nDCG@10, R@100, P@5, RR@10, AP, at any cutoff, what else "
            f"trec_eval computes: {', '.join(_names())}; and ours: {own}, registered in OWN of {OWN_FILE}"
        )
    return measure


def _scored_by_trec_eval(measure: Any) -> bool:
    import ir_measures

    if measure.NAME in COUNTS or not ir_measures.pytrec_eval.supports(_uncut(measure)):
        return False
    return all(_is_legal(name, value) for name, value in measure.params.items())


def _is_legal(name: str, value: Any) -> bool:
    """Whether trec_eval takes this value, and takes it for what it is."""
    if name in SWITCHES:
        return isinstance(value, bool)
    if name not in LOWEST or isinstance(value, bool):  # to Python, True is the number 1
        return False
    if name == "recall":
        return 0 <= value <= 1 and round(value, 2) == value  # it looks at hundredths alone
    return bool(LOWEST[name] <= value <= HIGHEST[name])


def _names() -> list[str]:
    """Return the names of all measures that trec_eval computes, without parameters."""
    import ir_measures

    supported = {measure.NAME for measure in ir_measures.pytrec_eval.SUPPORTED_MEASURES}
    return sorted(supported - set(COUNTS), key=str.lower)


def _near(name: str) -> str:
    """Return ``"; did you mean nDCG?"`` for the names that are nearest, whatever their case; or nothing."""
    stem = name.split("@")[0].split("(")[0]
    by_lower_case = {known.lower(): known for known in [*_names(), *OWN]}
    nearest = difflib.get_close_matches(stem.lower(), list(by_lower_case))
    close = [by_lower_case[found] for found in nearest]
    # A name that is there already needs no other: then its cutoff or an option is the fault.
    if not close or stem in close:
        return ""
    return f"; did you mean {' or '.join(close)}?"


def per_query(qrels: pd.DataFrame, run: pd.DataFrame, measures: Sequence[str] = (PRIMARY,)) -> pd.DataFrame:
    """Score each judged query.

    A judged query that the run lacks, or that has no relevant document, scores 0, as in
    trec_eval with ``-c``. ``X@k`` cuts the run in trec_eval's order, ``RR@10`` included: it is
    recip_rank where that is 1/10 or more, and 0 elsewhere.

    Args:
        qrels: ``query_id, doc_id, relevance``.
        run: ``query_id, doc_id, score``.
        measures: ir-measures names, or ours such as ``Judged@10``.

    Returns:
        one row a judged query, sorted by id (the index), one float column a measure.

    Raises:
        ParameterError: if there is no such measure, or one of ours gives something else than a value between
            0 and 1 by query id.
    """
    parsed = {name: parse_measure(name) for name in measures}
    uncut = {name: _uncut(measure) for name, measure in parsed.items()}
    # Several names can come down to one measure, as RR@5 and RR@10 do: trec_eval computes it once.
    wanted = dict.fromkeys(uncut.values())
    values = _values(qrels, run, [measure for measure in wanted if not isinstance(measure, Own)])
    for measure in wanted:
        if isinstance(measure, Own):
            values[measure] = _own_values(measure, qrels, run) if len(run) else {}
    ids = sorted(qrels["query_id"].unique())
    table = pd.DataFrame({name: values[measure] for name, measure in uncut.items()}, index=ids)
    table = table.fillna(0.0).astype(float)
    for name, measure in parsed.items():
        if measure.NAME == "RR" and "cutoff" in measure.params:
            # The rank is within the cutoff where 1/rank is 1/cutoff or more, but for rounding.
            within = table[name] * measure["cutoff"] >= 1 - 1e-9
            table[name] = table[name].where(within, 0.0)
    return table.rename_axis("query_id")


def _own_values(measure: Own, qrels: pd.DataFrame, run: pd.DataFrame) -> dict[str, float]:
    """Return the value of a measure of ours by query id, once it is sure that it gives what was agreed."""
    found: object = OWN[measure.NAME](qrels, run, measure.cutoff)
    name = f"measure {measure.NAME}@{measure.cutoff}"
    mend = f"; mend its function, registered in OWN of {OWN_FILE}"
    expected = f"{name}: expected a Series of scores by query id, found"
    if not isinstance(found, pd.Series):
        raise ParameterError(f"{expected} {type(found).__name__}{mend}")
    ids = [str(query_id) for query_id in found.index]
    known = {str(query_id) for frame in (qrels, run) for query_id in frame["query_id"].unique()}
    unknown = [query_id for query_id in ids if query_id not in known]
    if unknown:
        such = f"which are not among the query ids, such as {min(known)!r}"
        raise ParameterError(f"{expected} {_some(unknown)} in its index, {such}{mend}")
    twice = [query_id for query_id, times in Counter(ids).items() if times > 1]
    if twice:
        raise ParameterError(f"{expected} more than one score of {_some(twice)}{mend}")
    for query_id, value in zip(ids, found, strict=True):
        if not _is_score(value):
            raise ParameterError(
                f"{name}: query {query_id!r} scores {value!r}, expected a number between 0 and 1; a query that the "
                f"Series leaves out scores 0{mend}"
            )
    return {query_id: float(value) for query_id, value in zip(ids, found, strict=True)}


def _is_score(value: object) -> bool:
    """Whether this is a number between 0 and 1, but for rounding; NaN is not."""
    return isinstance(value, Real) and -1e-9 <= float(value) <= 1 + 1e-9


def _some(ids: Sequence[str]) -> str:
    """Return the first ids, and how many more there are."""
    shown = ", ".join(repr(query_id) for query_id in ids[:SHOWN])
    return shown if len(ids) <= SHOWN else f"{shown} and {len(ids) - SHOWN} more"


def _values(qrels: pd.DataFrame, run: pd.DataFrame, measures: list[Any]) -> dict[Any, dict[str, float]]:
    """Return trec_eval's value of each measure by query id; of an empty run, which it does not take, none."""
    import ir_measures

    values: dict[Any, dict[str, float]] = {measure: {} for measure in measures}
    # Of a query all of whose grades are negative trec_eval writes beyond its memory; it scores 0 anyway.
    highest = qrels.groupby("query_id")["relevance"].transform("max")
    usable = qrels[highest >= 0]
    if len(run) and len(usable):
        judgments, scored = _by_query(usable, "relevance"), _by_query(run, "score")
        for row in ir_measures.pytrec_eval.iter_calc(measures, judgments, scored):
            values[row.measure][row.query_id] = row.value
    return values


def _by_query(frame: pd.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    """Return a column by query and document, as trec_eval takes it; ir-measures would go row by row, which is slow."""
    found: dict[str, dict[str, Any]] = {}
    columns = (frame[name].to_numpy(dtype=object) for name in ("query_id", "doc_id", column))
    for query_id, doc_id, value in zip(*columns, strict=True):
        found.setdefault(query_id, {})[doc_id] = value
    return found


def _uncut(measure: Any) -> Any:
    """Return reciprocal rank without its cutoff, which its provider applies in another order."""
    import ir_measures

    if measure.NAME != "RR":
        return measure
    kept = {key: value for key, value in measure.params.items() if key != "cutoff"}
    return ir_measures.RR(**kept)


def first_relevant_rank(qrels: pd.DataFrame, run: pd.DataFrame) -> pd.Series:
    """Return the rank (1 = top) of the first relevant document by query id; NaN where none is found."""
    ordered = trec_order(run)
    ordered["rank"] = ordered.groupby("query_id").cumcount() + 1
    relevant = qrels.loc[qrels["relevance"] >= 1, ["query_id", "doc_id"]]
    found = relevant.merge(ordered, on=["query_id", "doc_id"])
    best = found.groupby("query_id")["rank"].min()
    return best.reindex(sorted(qrels["query_id"].unique()))


def unjudged_share(qrels: pd.DataFrame, run: pd.DataFrame, cutoff: int = 10) -> float:
    """Return the share of the top ``cutoff`` documents that nobody judged."""
    top = trec_order(run).groupby("query_id").head(cutoff)
    graded = top.merge(qrels, on=["query_id", "doc_id"], how="left")
    known = graded["relevance"].notna()
    return float(1 - known.mean()) if len(top) else 0.0


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
    """Return the rank of each query's first relevant document in several systems, blank where none is found.

    Args:
        qrels: ``query_id, doc_id, relevance``.
        runs: runs by system.

    Returns:
        a row a judged query (the index), a column of whole numbers a system.
    """
    ranks = {system: first_relevant_rank(qrels, run) for system, run in runs.items()}
    return pd.DataFrame(ranks).astype("Int64")


def score_table(
    collection: Collection, runs: Mapping[str, pd.DataFrame], measures: Sequence[str] = (PRIMARY,)
) -> pd.DataFrame:
    """Return what several systems score on each judged query, in one long table.

    Args:
        collection: the judgments, and part and group of the queries.
        runs: runs by system.
        measures: ir-measures names.

    Returns:
        ``query_id``, a column a measure, ``part, system, group``: one system after the other by name, the
        queries of each by id.
    """
    queries = collection.queries.set_index("query_id")
    groups = pd.Series(collection.groups(), name="group", dtype=str)
    tables = []
    for system in sorted(runs):
        scores = per_query(collection.qrels, runs[system], measures)
        # Column by column, for the order in which they are added is that of the table.
        scores = scores.join(queries["part"])
        scores["system"] = system
        tables.append(scores.join(groups))
    return pd.concat(tables).reset_index()
