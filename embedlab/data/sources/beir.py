"""Any folder in BEIR's layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/*.tsv``."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd

from embedlab.data.raw import Finding, Raw
from embedlab.data.trec import judgment_lines, parse_judgment
from embedlab.errors import DataError, ParameterError

RENAMED = {"validation": "dev", "valid": "dev", "val": "dev"}
"""What others call our parts."""

OURS = {"part", "group", "doc_id", "query_id"}
"""Columns that loading makes; a collection's own fields of these names are dropped."""


def read(path: str | Path = "") -> Raw:
    """Read a folder; whatever is wrong with its rows becomes a finding.

    Args:
        path: the folder; files may be gzipped (``corpus.jsonl.gz``).

    Raises:
        DataError: if the folder or one of its files is missing.
    """
    if not str(path):
        raise ParameterError("source beir needs a folder: --set path=FOLDER with corpus.jsonl inside")
    folder = Path(path)
    findings: list[Finding] = []
    corpus = _records(_file(folder, "corpus.jsonl"), findings, ("title", "text"))
    queries = _records(_file(folder, "queries.jsonl"), findings, ("text",))
    if corpus.empty:
        findings.append(Finding("empty", "error", str(_file(folder, "corpus.jsonl")), "", "the corpus is empty"))
    corpus = corpus.rename(columns={"_id": "doc_id"})
    queries = queries.rename(columns={"_id": "query_id"})
    judgments, given = _qrels(folder, findings)
    # A pair that is judged twice counts by its higher grade; validation lists it.
    known = judgments[judgments["query_id"].isin(queries["query_id"])]
    qrels = known.groupby(["query_id", "doc_id"], sort=False)["relevance"].max().astype(int).reset_index()
    return Raw(corpus, queries, qrels, findings, given, judgments=judgments, judgment_rows=len(judgments))


def _file(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    here = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) if folder.is_dir() else "no such folder"
    raise DataError(f"{folder / name} is missing (found: {here}); expected corpus.jsonl, queries.jsonl, qrels/*.tsv")


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _lines(path: Path) -> Iterator[str]:
    try:
        with _open(path) as stream:
            yield from stream
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8: {error.reason} at byte {error.start}; save the file as UTF-8") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path}: not a readable gzip file: {error}") from None


def _records(path: Path, findings: list[Finding], texts: tuple[str, ...]) -> pd.DataFrame:
    """Return the objects of a JSONL file as rows: ``_id``, the texts (blank where missing), and what else they have."""
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
            identifier = str(row["_id"])
        except ValueError as error:
            findings.append(Finding("malformed", "error", where, "", f"not JSON: {error}"))
            continue
        except (KeyError, TypeError):
            findings.append(Finding("malformed", "error", where, "", "expected an object with the key '_id'"))
            continue
        if identifier in seen:
            detail = f"_id {identifier!r} stands already on line {seen[identifier]}; ids must be unique"
            findings.append(Finding("duplicate id", "error", where, identifier, detail))
            continue
        seen[identifier] = number
        rows.append(_flat(row) | {"_id": identifier} | {name: str(row.get(name) or "") for name in texts})
    return pd.DataFrame(rows, columns=None if rows else ["_id", *texts])


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with BEIR's ``metadata`` object as columns; nested values are dropped."""
    extra = row.get("metadata")
    joined = row | extra if isinstance(extra, dict) else row
    plain = {}
    for name, value in joined.items():
        if isinstance(value, (str, int, float, bool)) and name not in OURS:
            plain[name] = value
    return plain


class _Judged(NamedTuple):
    query_id: str
    doc_id: str
    relevance: float
    where: str


def _qrels(folder: Path, findings: list[Finding]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return every judgment with its file and line, and the split that each query is first judged in."""
    files = sorted(p for p in (folder / "qrels").glob("*.tsv*") if p.name.endswith((".tsv", ".tsv.gz")))
    if not files:
        raise DataError(f"{folder / 'qrels'}: no .tsv file; expected lines of query-id, corpus-id, score")
    rows: list[_Judged] = []
    given: dict[str, str] = {}
    for path in files:
        split = path.name.split(".")[0]
        for row in _judgments(path, findings):
            rows.append(row)
            given.setdefault(row.query_id, RENAMED.get(split, split))
    frame = pd.DataFrame(rows, columns=_Judged._fields).astype({"relevance": float})
    # One file alone is a collection without parts, whatever the file is called.
    return frame, given if len(files) > 1 else {}


def _judgments(path: Path, findings: list[Finding]) -> Iterator[_Judged]:
    """Yield the judgments of a file; a grade that is not whole stays, for validation to name its row."""
    for number, line in judgment_lines(_lines(path)):
        where = f"{path}:{number}"
        fields = line.rstrip("\n").split("\t")
        try:
            if len(fields) == 1:
                raise ValueError("no tabs")
            query_id, doc_id, grade = parse_judgment(line, whole=False)
        except ValueError:
            detail = f"expected query-id, corpus-id and an integer score between tabs, found {fields!r}"
            findings.append(Finding("malformed", "error", where, "", detail))
            continue
        yield _Judged(query_id, doc_id, grade, where)
