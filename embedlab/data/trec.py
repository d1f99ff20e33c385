"""Runs, judgments and groups: TREC's and BEIR's files, dicts and DataFrames, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
    lines = []
    for query_id, doc_id, place, score in rows:
        lines.append(f"{query_id} Q0 {doc_id} {place} {score:.9g} {tag}\n")
    return "".join(lines)


def trec_order(run: pd.DataFrame) -> pd.DataFrame:
    """Return a run sorted as trec_eval does: by query, score, then document id, both descending.

    trec_eval keeps scores in float32: what differs by less is a tie.
    """
    # A score beyond float32 becomes infinite, and ties with its like, without a warning.
    with np.errstate(over="ignore"):
        single = run["score"].to_numpy(dtype=np.float64).astype(np.float32)
    keyed = run.assign(_single=single)
    keyed = keyed.sort_values(["query_id", "_single", "doc_id"], ascending=[True, False, False], ignore_index=True)
    return keyed.drop(columns="_single")


def parse_run(text: str, where: str = "run") -> pd.DataFrame:
    """Return a TREC run as a DataFrame ``query_id, doc_id, score``.

    Raises:
        DataError: names line and fault: fields, score, or a document twice for a query.
    """
    rows: list[tuple[str, str, float]] = []
    line_of: dict[tuple[str, str], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        # The rank in the fourth field is not read: as in trec_eval, the score alone gives the order.
        try:
            query, document, score = fields[0], fields[2], float(fields[4])
        except (IndexError, ValueError):
            raise DataError(f"{where}:{number}: expected 'query Q0 document rank score tag', found {line!r}") from None
        if not math.isfinite(score):
            raise DataError(f"{where}:{number}: score {fields[4]} is not a finite number")
        first = line_of.setdefault((query, document), number)
        if first != number:
            raise DataError(f"{where}:{number}: query {query} has document {document} twice, first on line {first}")
        rows.append((query, document, score))
    return pd.DataFrame(rows, columns=RUN)


def check_run(run: pd.DataFrame, where: str = "run") -> pd.DataFrame:
    """Return the run if it has its columns, finite scores and no document twice for a query."""
    run = _named(run, RUN, where)
    found = pd.to_numeric(run["score"], errors="coerce").astype(float)
    unusable = run[~np.isfinite(found)]
    for row in unusable.itertuples():  # the first is enough
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
    if isinstance(qrels, (str, Path)):
        where = str(qrels)
        found = _qrels_of_file(Path(qrels))
    else:
        where = "qrels"
        given = _named(_frame(qrels, QRELS, where), QRELS, where)
        found = _whole_grades(given, where)
    found = found.drop_duplicates(ignore_index=True)
    # Equal rows are gone, so a pair that is left twice has two grades.
    contradicting = found[found.duplicated(["query_id", "doc_id"])]
    for row in contradicting.itertuples():
        raise DataError(f"{where}: query {row.query_id} has document {row.doc_id} twice, with different grades")
    if found.empty:
        raise DataError(f"{where}: no judgments in it")
    return found


def _qrels_of_file(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in judgment_lines(_text(path).splitlines()):
        try:
            query_id, doc_id, grade = parse_judgment(line)
        except ValueError:
            raise DataError(
                f"{path}:{number}: expected query, document and a whole-number grade, found {line!r}"
            ) from None
        rows.append((query_id, doc_id, int(grade)))
    return pd.DataFrame(rows, columns=QRELS)


def _whole_grades(qrels: pd.DataFrame, where: str) -> pd.DataFrame:
    grades = pd.to_numeric(qrels["relevance"], errors="coerce").astype(float)
    is_whole = np.isfinite(grades) & (grades % 1 == 0)
    for row in qrels[~is_whole].itertuples():
        raise DataError(
            f"{where}: query {row.query_id}, document {row.doc_id}: "
            f"grade {row.relevance} is not a whole number, as trec_eval needs"
        )
    return qrels.assign(relevance=grades.astype(int))


class Judgment(NamedTuple):
    """One line of a file of judgments."""

    query_id: str
    doc_id: str
    grade: float


def judgment_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of the lines that hold a judgment: no blank one, and no header on the first.

    Args:
        lines: of a file in TREC's or BEIR's format, with or without their line ends.
    """
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        is_header = number == 1 and fields[-1:] == ["score"]
        if fields and not is_header:
            yield number, line


def parse_judgment(line: str, whole: bool = True) -> Judgment:
    """Return what a line of judgments says: the one place that knows their forms.

    A line has four fields, ``query iteration document grade`` (TREC), or three, ``query document
    grade`` (BEIR). Fields stand between tabs where the line has any, else between spaces.

    Args:
        line: with or without its line end.
        whole: refuse a grade such as 0.5, which trec_eval cannot use.

    Raises:
        ValueError: if there are other fields, or the grade is no finite number, or not whole.
    """
    text = line.rstrip("\r\n")
    fields = text.split("\t") if "\t" in text else text.split()
    if len(fields) not in (3, 4):
        raise ValueError(f"expected three or four fields, found {len(fields)}")
    grade = float(fields[-1])
    if not math.isfinite(grade) or (whole and not grade.is_integer()):
        raise ValueError(f"expected a whole number as the grade, found {fields[-1]}")
    # Counted from the end, where the two formats agree.
    return Judgment(fields[0], fields[-2], grade)


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
    # Some editors put a byte order mark first, which would become part of the first id.
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _frame(value: Any, columns: list[str], where: str) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, Mapping) and all(isinstance(documents, Mapping) for documents in value.values()):
        rows = []
        for query_id, documents in value.items():
            for doc_id, number in documents.items():
                rows.append((query_id, doc_id, number))
        return pd.DataFrame(rows, columns=columns)
    raise DataError(f"{where}: expected a file, a dict of dicts or a DataFrame, found {type(value).__name__}")


def _named(frame: pd.DataFrame, columns: list[str], where: str) -> pd.DataFrame:
    """Return a copy with these columns under our names, ids as text."""
    names: dict[str, str] = {}
    for column in columns:
        for name in (column, *OTHER_NAMES[column]):
            if name in frame:
                names[column] = name
                break
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing; found {list(frame.columns)}, expected {columns}")
    # Plain arrays leave the row labels of the caller behind.
    found = pd.DataFrame({column: frame[name].to_numpy() for column, name in names.items()})
    # Other tools read ids such as 17 as numbers.
    return found.assign(query_id=found["query_id"].astype(str), doc_id=found["doc_id"].astype(str))
