"""Runs, judgments and groups: TREC's and BEIR's files, dicts and DataFrames, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embedlab.errors import DataError

RUN = ["query_id", "doc_id", "score"]

QRELS = ["query_id", "doc_id", "relevance"]

OTHER_NAMES = {
    "query_id": ("qid", "q_id", "query-id", "query"),
    "doc_id": ("docno", "docid", "corpus-id"),
    "relevance": ("label", "rel", "score"),
    "score": (),
}
"""What other tools call a column (PyTerrier, ranx, BEIR, trectools), the most telling name first."""


def run_text(run: pd.DataFrame, tag: str) -> str:
    """Return a run as TREC text: ``query Q0 document rank score tag`` a line.

    Lines stand in trec_eval's order: score descending, ties by document id descending. Nine
    digits tell any two float32 scores apart.
    """
    ordered = trec_order(run)
    rank = ordered.groupby("query_id", sort=False).cumcount() + 1
    rows = zip(ordered["query_id"], ordered["doc_id"], rank, ordered["score"], strict=True)
    return "".join(f"{q} Q0 {d} {r} {s:.9g} {tag}\n" for q, d, r, s in rows)


def trec_order(run: pd.DataFrame) -> pd.DataFrame:
    """Return a run sorted as trec_eval does: by query, score, then document id, both descending.

    trec_eval keeps scores in float32: what differs by less is a tie.
    """
    with np.errstate(over="ignore"):
        single = run["score"].to_numpy(dtype=np.float64).astype(np.float32)
    keyed = run.assign(_single=single).sort_values(
        ["query_id", "_single", "doc_id"], ascending=[True, False, False], ignore_index=True
    )
    return keyed.drop(columns="_single")


def parse_run(text: str, where: str = "run") -> pd.DataFrame:
    """Return a TREC run as a DataFrame ``query_id, doc_id, score``.

    Raises:
        DataError: names line and fault: fields, score, or a document twice for a query.
    """
    rows: dict[tuple[str, str], tuple[int, float]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            query, document, score = fields[0], fields[2], float(fields[4])
        except (IndexError, ValueError):
            raise DataError(f"{where}:{number}: expected 'query Q0 document rank score tag', found {line!r}") from None
        if not math.isfinite(score):
            raise DataError(f"{where}:{number}: score {fields[4]} is not a finite number")
        if (query, document) in rows:
            first = rows[query, document][0]
            raise DataError(f"{where}:{number}: query {query} has document {document} twice, first on line {first}")
        rows[query, document] = (number, score)
    return pd.DataFrame([(q, d, score) for (q, d), (_, score) in rows.items()], columns=RUN)


def check_run(run: pd.DataFrame, where: str = "run") -> pd.DataFrame:
    """Return the run if it has its columns, finite scores and no document twice for a query."""
    run = _named(run, RUN, where)
    found = pd.to_numeric(run["score"], errors="coerce").astype(float)
    for row in run[~np.isfinite(found)].itertuples():
        raise DataError(f"{where}: query {row.query_id}: score {row.score} is not finite (document {row.doc_id})")
    twice = run[run.duplicated(["query_id", "doc_id"])]
    if len(twice):
        raise DataError(f"{where}: query {twice['query_id'].iloc[0]} has document {twice['doc_id'].iloc[0]} twice")
    return run.assign(score=found)


def read_run(run: Any, where: str = "run") -> pd.DataFrame:
    """Return a run given as TREC file, dict of dicts, or DataFrame."""
    if isinstance(run, (str, Path)):
        return parse_run(_text(Path(run)), str(run))
    return check_run(_frame(run, RUN, where), where)


def read_qrels(qrels: Any) -> pd.DataFrame:
    """Return judgments given as TREC or BEIR file, dict of dicts, or DataFrame; equal repeats once.

    Raises:
        DataError: if there are none, a grade is no whole number, or two grades contradict.
    """
    where = str(qrels) if isinstance(qrels, (str, Path)) else "qrels"
    if isinstance(qrels, (str, Path)):
        found = pd.DataFrame(_qrels_rows(Path(qrels)), columns=QRELS)
    else:
        found = _named(_frame(qrels, QRELS, where), QRELS, where)
        grades = pd.to_numeric(found["relevance"], errors="coerce").astype(float)
        for row in found[~np.isfinite(grades) | (grades % 1 != 0)].itertuples():
            raise DataError(
                f"{where}: query {row.query_id}, document {row.doc_id}: "
                f"grade {row.relevance} is not a whole number, as trec_eval needs"
            )
        found["relevance"] = grades.astype(int)
    found = found.drop_duplicates(ignore_index=True)
    for row in found[found.duplicated(["query_id", "doc_id"])].itertuples():
        raise DataError(f"{where}: query {row.query_id} has document {row.doc_id} twice, with different grades")
    if found.empty:
        raise DataError(f"{where}: no judgments in it")
    return found


def _qrels_rows(path: Path) -> list[tuple[str, str, int]]:
    rows = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not fields or (number == 1 and fields[-1].strip() == "score"):
            continue
        try:
            query, document, grade = fields[0], fields[-2], float(fields[-1])
        except (IndexError, ValueError):
            grade = math.nan
        if not grade.is_integer():
            raise DataError(f"{path}:{number}: expected query, document and a whole-number grade, found {line!r}")
        rows.append((query, document, int(grade)))
    return rows


def read_groups(path: Path) -> dict[str, str]:
    """Return the group of each query from a TSV file with the header ``query-id``, ``group``.

    Raises:
        DataError: names file and line: no header, not two fields, or a query in two groups.
    """
    groups: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        fields = line.split("\t")
        if number == 1 and fields != ["query-id", "group"]:
            raise DataError(f"{path}:1: expected the header 'query-id<TAB>group', found {line!r}")
        if number == 1 or not line.strip():
            continue
        if len(fields) != 2:
            raise DataError(f"{path}:{number}: expected 'query-id<TAB>group', found {line!r}")
        query, group = fields
        if groups.setdefault(query, group) != group:
            raise DataError(f"{path}:{number}: query {query} is in group {group!r} and in {groups[query]!r}")
    return groups


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _frame(value: Any, columns: list[str], where: str) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, Mapping) and all(isinstance(docs, Mapping) for docs in value.values()):
        rows = [(q, d, v) for q, docs in value.items() for d, v in docs.items()]
        return pd.DataFrame(rows, columns=columns)
    raise DataError(f"{where}: expected a file, a dict of dicts or a DataFrame, found {type(value).__name__}")


def _named(frame: pd.DataFrame, columns: list[str], where: str) -> pd.DataFrame:
    """Return a copy with these columns under our names, ids as text."""
    known = {c: next((n for n in (c, *OTHER_NAMES[c]) if n in frame), None) for c in columns}
    missing = [c for c, name in known.items() if name is None]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing; found {list(frame.columns)}, expected {columns}")
    found = pd.DataFrame({c: frame[name].to_numpy() for c, name in known.items()})
    return found.assign(query_id=found["query_id"].astype(str), doc_id=found["doc_id"].astype(str))
