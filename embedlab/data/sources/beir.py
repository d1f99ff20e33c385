"""Any folder in BEIR's layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/*.tsv``."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd

from embedlab.data.raw import Finding, Raw
from embedlab.errors import DataError, ParameterError

RENAMED = {"validation": "dev", "valid": "dev", "val": "dev"}


def read(path: str | Path = "", **_unused: Any) -> Raw:
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
    known = judgments[judgments["query_id"].isin(queries["query_id"])]
    grades = known.groupby(["query_id", "doc_id"], sort=False)["relevance"].max().astype(int)
    return Raw(
        corpus, queries, grades.reset_index(), findings, given, judgments=judgments, judgment_rows=len(judgments)
    )


def _file(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    here = ", ".join(sorted(p.name for p in folder.iterdir())[:10]) if folder.is_dir() else "no such folder"
    raise DataError(f"{folder / name} is missing (found: {here}); expected corpus.jsonl, queries.jsonl, qrels/*.tsv")


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of the lines that are not blank."""
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8: {error.reason} at byte {error.start}; save the file as UTF-8") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path}: not a readable gzip file: {error}") from None


def _records(path: Path, findings: list[Finding], texts: tuple[str, ...]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for number, line in _lines(path):
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
        rows.append(_flat(row) | {"_id": identifier} | {t: str(row.get(t) or "") for t in texts})
    return pd.DataFrame(rows, columns=None if rows else ["_id", *texts])


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with BEIR's ``metadata`` object as columns; nested values are dropped."""
    extra = row.get("metadata") if isinstance(row.get("metadata"), dict) else {}
    joined = {**row, **(extra or {})}
    plain = {k: v for k, v in joined.items() if isinstance(v, (str, int, float, bool))}
    return {k: v for k, v in plain.items() if k not in {"part", "group", "doc_id", "query_id"}}


def _qrels(folder: Path, findings: list[Finding]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return every judgment with its file and line, and the split that each query is first judged in."""
    files = sorted(p for p in (folder / "qrels").glob("*.tsv*") if p.name.endswith((".tsv", ".tsv.gz")))
    if not files:
        raise DataError(f"{folder / 'qrels'}: no .tsv file; expected lines of query-id, corpus-id, score")
    rows: list[tuple[str, str, float, str]] = []
    given: dict[str, str] = {}
    for path in files:
        split = path.name.split(".")[0]
        for number, line in _lines(path):
            fields = line.rstrip("\n").split("\t")
            if number == 1 and fields[-1].strip() == "score":
                continue
            try:
                rows.append((fields[0], fields[1], _grade(fields[2]), f"{path}:{number}"))
                given.setdefault(fields[0], RENAMED.get(split, split))
            except (IndexError, ValueError):
                detail = f"expected query-id, corpus-id and an integer score between tabs, found {fields!r}"
                findings.append(Finding("malformed", "error", f"{path}:{number}", "", detail))
    frame = pd.DataFrame(rows, columns=["query_id", "doc_id", "relevance", "where"])
    return frame.astype({"relevance": float}), given if len(files) > 1 else {}


def _grade(text: str) -> float:
    grade = float(text)
    if not math.isfinite(grade):
        raise ValueError
    return grade
