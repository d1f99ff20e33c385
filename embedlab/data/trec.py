"""Runs, judgments and groups: TREC's and BEIR's files, dicts and DataFrames, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from embedlab.data.characters import is_storable
from embedlab.data.findings import HIGHEST_GRADE
from embedlab.errors import DataError, shown
from embedlab.files import read_text

RUN = ["query_id", "doc_id", "score"]

QRELS = ["query_id", "doc_id", "relevance"]

OTHER_NAMES = {
    "query_id": ("qid", "q_id", "query-id", "query"),
    "doc_id": ("docno", "docid", "corpus-id"),
    "relevance": ("label", "rel", "score"),
    "score": (),
}
"""What other tools call a column (PyTerrier, ranx, BEIR, trectools), the most telling name first."""

LOWEST_GRADE = -HIGHEST_GRADE
"""Below 0 a document is irrelevant in some special way, such as spam; trec_eval takes it for not relevant."""

_FIELD = re.compile(r"[^ \t\f\v]+")
"""Fields stand between blanks of ASCII: other scripts' spaces may be part of an id."""


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
    checked: set[str] = set()
    for number, line in enumerate(lines_of(text), start=1):
        fields = _FIELD.findall(line)
        if not fields:
            continue
        # The rank in the fourth field is not read: as in trec_eval, the score alone gives the order.
        try:
            query, document, score = fields[0], fields[2], number_of(fields[4])
        except (IndexError, ValueError):
            expected = "expected 'query Q0 document rank score tag'"
            raise DataError(f"{where}:{number}: {expected}, found '{shown(line)}'") from None
        if not math.isfinite(score):
            raise DataError(f"{where}:{number}: score {shown(fields[4])} is not a finite number")
        for identifier in {query, document} - checked:
            _check_id(identifier, f"{where}:{number}")
            checked.add(identifier)
        first = line_of.setdefault((query, document), number)
        if first != number:
            raise DataError(
                f"{where}:{number}: query {shown(query)} has document {shown(document)} twice, first on line {first}"
            )
        rows.append((query, document, score))
    return pd.DataFrame(rows, columns=RUN)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, whatever system wrote their ends; some other characters end a line for Python."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def number_of(text: str) -> float:
    """Return a number as other tools read it; raises a ValueError at what only Python takes for one, such as 1_0."""
    if "_" in text or not text.isascii():
        raise ValueError(f"expected a number, found {shown(text)}")
    return float(text)


def _check_id(identifier: str, where: str) -> None:
    if not identifier.strip() or not is_storable(identifier):
        what = "a NUL or half a surrogate pair in it" if identifier.strip() else "nothing but blanks"
        raise DataError(f"{where}: '{shown(identifier)}' is no id: {what}; expected a text that a file can hold")


def check_run(run: pd.DataFrame, where: str = "run") -> pd.DataFrame:
    """Return the run if it has its columns, finite scores and no document twice for a query."""
    run = _named(run, RUN, where)
    found = _numbers(run["score"])
    unusable = run[~np.isfinite(found)]
    for row in unusable.itertuples():  # the first is enough
        pair = f"query {shown(row.query_id)}: score {shown(row.score)} is not finite (document {shown(row.doc_id)})"
        raise DataError(f"{where}: {pair}")
    twice = run[run.duplicated(["query_id", "doc_id"])]
    for row in twice.itertuples():
        raise DataError(f"{where}: query {shown(row.query_id)} has document {shown(row.doc_id)} twice")
    return run.assign(score=found)


def _numbers(values: pd.Series) -> pd.Series:
    """Return values as float64, NaN where one is no number: an object of any kind may stand in a dict or a frame."""
    if values.dtype.kind in "iufb":
        return values.astype(float)
    return pd.Series([_number(value) for value in values], index=values.index, dtype=float)


def _number(value: Any) -> float:
    try:
        return number_of(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def read_run(run: Any, where: str = "run") -> pd.DataFrame:
    """Return a run given as TREC file, dict of dicts, or DataFrame."""
    if isinstance(run, (str, Path)):
        return parse_run(_text(Path(run)), shown(run))
    return check_run(_frame(run, RUN, where), where)


def read_qrels(qrels: Any) -> pd.DataFrame:
    """Return judgments given as TREC or BEIR file, dict of dicts, or DataFrame; equal repeats once.

    Raises:
        DataError: if there are none, a grade is no whole number within the range, or two grades contradict.
    """
    if isinstance(qrels, (str, Path)):
        where = shown(qrels)
        found = _qrels_of_file(Path(qrels))
    else:
        where = "qrels"
        given = _named(_frame(qrels, QRELS, where), QRELS, where)
        found = _whole_grades(given, where)
    found = found.drop_duplicates(ignore_index=True)
    # Equal rows are gone, so a pair that is left twice has two grades.
    contradicting = found[found.duplicated(["query_id", "doc_id"])]
    for row in contradicting.itertuples():
        pair = f"query {shown(row.query_id)} has document {shown(row.doc_id)} twice"
        raise DataError(f"{where}: {pair}, with different grades")
    if found.empty:
        raise DataError(f"{where}: no judgments in it")
    return found


def _qrels_of_file(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in judgment_lines(lines_of(_text(path))):
        where = f"{shown(path)}:{number}"
        try:
            query_id, doc_id, grade = parse_judgment(line)
        except ValueError:
            expected = "expected query, document and a whole-number grade"
            raise DataError(f"{where}: {expected}, found '{shown(line)}'") from None
        _check_id(query_id, where)
        _check_id(doc_id, where)
        _check_grade(grade, where)
        rows.append((query_id, doc_id, int(grade)))
    return pd.DataFrame(rows, columns=QRELS)


def _whole_grades(qrels: pd.DataFrame, where: str) -> pd.DataFrame:
    grades = _numbers(qrels["relevance"])
    is_whole = np.isfinite(grades) & (grades % 1 == 0)
    for row in qrels[~is_whole].itertuples():
        raise DataError(
            f"{where}: query {shown(row.query_id)}, document {shown(row.doc_id)}: "
            f"grade {shown(row.relevance)} is not a whole number, as trec_eval needs"
        )
    for row in qrels[(grades > HIGHEST_GRADE) | (grades < LOWEST_GRADE)].itertuples():
        _check_grade(row.relevance, f"{where}: query {shown(row.query_id)}, document {shown(row.doc_id)}")
    return qrels.assign(relevance=grades.astype(int))


def _check_grade(grade: Any, where: str) -> None:
    """Raise a DataError at a grade out of range: of a huge one trec_eval would count every grade below."""
    if not LOWEST_GRADE <= float(grade) <= HIGHEST_GRADE:
        raise DataError(
            f"{where}: grade {shown(grade)} is not between {LOWEST_GRADE} and {HIGHEST_GRADE}; is it an id or a score?"
        )


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
    fields = text.split("\t") if "\t" in text else _FIELD.findall(text)
    if len(fields) not in (3, 4):
        raise ValueError(f"expected three or four fields, found {len(fields)}")
    grade = number_of(fields[-1])
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
    name = shown(path)
    for number, line in enumerate(lines_of(_text(path)), start=1):
        fields = line.split("\t")
        if number == 1 and fields != ["query-id", "group"]:
            raise DataError(f"{name}:1: expected the header 'query-id<TAB>group', found '{shown(line)}'")
        if number == 1 or not line.strip():
            continue
        if len(fields) != 2 or not fields[1].strip():
            raise DataError(f"{name}:{number}: expected 'query-id<TAB>group', found '{shown(line)}'")
        query, group = fields
        _check_id(query, f"{name}:{number}")
        if groups.setdefault(query, group) != group:
            both = f"{shown(group)!r} and in {shown(groups[query])!r}"
            raise DataError(f"{name}:{number}: query {shown(query)} is in group {both}")
    return groups


def _text(path: Path) -> str:
    """Return a file's text; some editors put a byte order mark first, which would become part of the first id."""
    return read_text(path, DataError, "expected a file of UTF-8 text")


def _frame(value: Any, columns: list[str], where: str) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        twice = [shown(name) for name in value.columns[value.columns.duplicated()]]
        if twice:
            raise DataError(f"{where}: the column {twice[0]} stands twice in it")
        return value
    if isinstance(value, Mapping) and all(isinstance(documents, Mapping) for documents in value.values()):
        rows = []
        for query_id, documents in value.items():
            for doc_id, number in documents.items():
                rows.append((query_id, doc_id, number))
        return pd.DataFrame(rows, columns=columns, dtype=object)
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
        known = shown(list(frame.columns))
        raise DataError(f"{where}: columns {missing} are missing; found {known}, expected {columns}")
    # Plain arrays leave the row labels of the caller behind; pandas would take some objects for texts, and fail.
    plain = {column: frame[name].to_numpy() for column, name in names.items()}
    found = pd.DataFrame({column: pd.Series(values, dtype=values.dtype) for column, values in plain.items()})
    return found.assign(**{column: _ids(found[column], where) for column in ("query_id", "doc_id")})


def _ids(values: pd.Series, where: str) -> pd.Series:
    """Return ids as text, each checked; other tools read ids such as 17 as numbers."""
    blank = values.isna().to_numpy()
    if blank.any():
        raise DataError(f"{where}: row {int(blank.argmax())} has no {values.name}")
    texts = [str(value) for value in values]
    for identifier in dict.fromkeys(texts):
        _check_id(identifier, where)
    return pd.Series(texts, index=values.index, dtype=str)
