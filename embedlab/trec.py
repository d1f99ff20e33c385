"""Runs and judgments in TREC's and BEIR's file formats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embedlab.errors import DataError

RUN = ["query_id", "doc_id", "score"]
QRELS = ["query_id", "doc_id", "relevance"]


def run_text(run: pd.DataFrame, tag: str) -> str:
    """Return a run as TREC text: ``query Q0 document rank score tag`` a line.

    Lines stand in trec_eval's order: score descending, ties by document id descending.
    """
    ordered = trec_order(run)
    rank = ordered.groupby("query_id", sort=False).cumcount() + 1
    rows = zip(ordered["query_id"], ordered["doc_id"], rank, ordered["score"], strict=True)
    return "".join(f"{q} Q0 {d} {r} {s:.8g} {tag}\n" for q, d, r, s in rows)


def trec_order(run: pd.DataFrame) -> pd.DataFrame:
    """Return a run sorted as trec_eval does: by query, score, then document id, both descending."""
    return run.sort_values(["query_id", "score", "doc_id"], ascending=[True, False, False], ignore_index=True)


def parse_run(text: str, where: str = "run") -> pd.DataFrame:
    """Return a TREC run as a DataFrame ``query_id, doc_id, score``.

    Raises:
        DataError: names line and fault: fields, score, or a document twice for a query.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            score = float(fields[4])
        except (IndexError, ValueError):
            raise DataError(f"{where}:{number}: expected 'query Q0 document rank score tag', found {line!r}") from None
        if not math.isfinite(score):
            raise DataError(f"{where}:{number}: score {fields[4]} is not a finite number")
        rows.append((fields[0], fields[2], score))
    return check_run(pd.DataFrame(rows, columns=RUN), where)


def check_run(run: pd.DataFrame, where: str = "run") -> pd.DataFrame:
    """Return the run if it has its columns, finite scores and no document twice for a query."""
    missing = [c for c in RUN if c not in run]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing; found {list(run.columns)}, expected {RUN}")
    bad = run[~run["score"].map(math.isfinite)]
    if len(bad):
        raise DataError(f"{where}: query {bad['query_id'].iloc[0]}: score {bad['score'].iloc[0]} is not finite")
    twice = run[run.duplicated(["query_id", "doc_id"])]
    if len(twice):
        raise DataError(f"{where}: query {twice['query_id'].iloc[0]} has document {twice['doc_id'].iloc[0]} twice")
    return run[RUN]


def read_run(run: Any) -> pd.DataFrame:
    """Return a run given as TREC file, dict of dicts, or DataFrame."""
    if isinstance(run, (str, Path)):
        return parse_run(_text(Path(run)), str(run))
    return check_run(_frame(run, RUN))


def read_qrels(qrels: Any) -> pd.DataFrame:
    """Return judgments given as TREC or BEIR file, dict of dicts, or DataFrame."""
    if not isinstance(qrels, (str, Path)):
        return _frame(qrels, QRELS)
    rows = []
    for number, line in enumerate(_text(Path(qrels)).splitlines(), start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not fields or (number == 1 and fields[-1].strip() == "score"):
            continue
        try:
            rows.append((fields[0], fields[-2], int(float(fields[-1]))))
        except (IndexError, ValueError):
            raise DataError(f"{qrels}:{number}: expected query, document and grade, found {line!r}") from None
    return pd.DataFrame(rows, columns=QRELS)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _frame(value: Any, columns: list[str]) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, Mapping):
        rows = [(str(q), str(d), v) for q, docs in value.items() for d, v in docs.items()]
        return pd.DataFrame(rows, columns=columns)
    raise DataError(f"expected a file, a dict of dicts or a DataFrame, found {type(value).__name__}")
