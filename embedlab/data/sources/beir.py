"""Any folder in BEIR's layout: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/*.tsv``."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd

from embedlab.data.characters import id_fault, is_storable, printable
from embedlab.data.metadata import KIND, gathered
from embedlab.data.raw import Finding, Raw
from embedlab.data.trec import judgment_lines, parse_judgment
from embedlab.errors import DataError, ParameterError

RENAMED = {"validation": "dev", "valid": "dev", "val": "dev"}
"""What others call our parts."""

LAYOUT = "expected corpus.jsonl, queries.jsonl, qrels/*.tsv"

# Beyond any grade, and within what a whole number of 64 bits can hold.
_FARTHEST = 1e9


def read(path: str | Path = "") -> Raw:
    """Read a folder; whatever is wrong with its rows becomes a finding.

    A document or query is an object: its id ``_id`` (text or whole number), its texts, and further fields, its own or
    those of an object ``metadata``, which goes before.

    Args:
        path: the folder; files may be gzipped (``corpus.jsonl.gz``).

    Raises:
        ParameterError: if ``path`` names no folder.
        DataError: if the folder or one of its files is missing or cannot be read.
    """
    if not isinstance(path, (str, Path)):
        raise ParameterError(f"source beir: path must be a text or a Path, found {path!r} ({type(path).__name__})")
    if not str(path):
        raise ParameterError("source beir needs a folder: --set path=FOLDER with corpus.jsonl inside")
    folder = Path(path)
    findings: list[Finding] = []
    corpus = _records(_file(folder, "corpus.jsonl"), findings, "corpus", ("title", "text"))
    queries = _records(_file(folder, "queries.jsonl"), findings, "queries", ("text",))
    corpus = corpus.rename(columns={"_id": "doc_id"})
    queries = queries.rename(columns={"_id": "query_id"})
    judgments, given = _qrels(folder, findings)
    # A pair that is judged twice counts by its higher grade; validation lists it.
    known = judgments[judgments["query_id"].isin(queries["query_id"])]
    highest = known.groupby(["query_id", "doc_id"], sort=False)["relevance"].max()
    qrels = highest.clip(-_FARTHEST, _FARTHEST).astype(int).reset_index()
    return Raw(corpus, queries, qrels, findings, given, judgments=judgments, judgment_rows=len(judgments))


def read_corpus(path: str | Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Read the documents alone, from a folder's ``corpus.jsonl`` or from a file like it.

    Raises:
        DataError: if the file is missing or cannot be read.
    """
    findings: list[Finding] = []
    file = Path(path) if _is_file(Path(path)) else _file(Path(path), "corpus.jsonl")
    corpus = _records(file, findings, "corpus", ("title", "text"))
    return corpus.rename(columns={"_id": "doc_id"}), findings


def _file(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if _is_file(candidate):
            return candidate
    raise DataError(f"{folder / name} {_instead(folder, folder / name)}; {LAYOUT}")


def _is_file(path: Path) -> bool:
    """Return whether a path is a file that can be looked at; a pipe is none, and would be waited for."""
    try:
        return path.is_file()
    except OSError:
        return False


def _instead(folder: Path, path: Path) -> str:
    """Return what stands where a file was expected."""
    try:
        if path.is_dir():
            return "is a folder, no file"
        if not folder.is_dir():
            return f"is missing (found: {'a file' if folder.exists() else 'no such folder'})"
        return f"is missing (found: {', '.join(sorted(p.name for p in folder.iterdir())[:10])})"
    except OSError as error:
        return f"is missing ({error.strerror})"


def _open(path: Path) -> IO[str]:
    # Some editors put a byte order mark first, which is no part of the first line.
    return gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open(encoding="utf-8-sig")


def _lines(path: Path) -> Iterator[str]:
    try:
        with _open(path) as stream:
            yield from stream
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8: {error.reason}{_hint(path)}; save the file as UTF-8") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a readable gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _hint(path: Path) -> str:
    """Return what a file that is not UTF-8 looks like, or where its first such line stands."""
    if path.suffix == ".gz":
        return ""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1 and line.startswith(b"\x1f\x8b"):
                return f" (it looks gzipped: call it {path.name}.gz)"
            if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                return " (it looks like UTF-16)"
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f" on line {number}"
    return ""


class _Record(NamedTuple):
    """A document or query as it is read: its place, id and texts by name, and what else it has."""

    place: str
    own: dict[str, str]
    further: dict[str, Any]


def _records(path: Path, findings: list[Finding], where: str, texts: tuple[str, ...]) -> pd.DataFrame:
    """Return the objects of a JSONL file as rows: ``_id``, the texts (blank where missing), and what else they have."""
    records: list[_Record] = []
    seen: dict[str, int] = {}
    for number, record in _parsed(path, findings, texts):
        identifier = record.own["_id"]
        before = seen.setdefault(identifier, number)
        if before != number:
            detail = f"_id {identifier!r} stands already on line {before}; ids must be unique"
            findings.append(Finding("duplicate id", "error", record.place, identifier, detail))
            continue
        records.append(record)
    further = [record.further for record in records]
    findings += _shadowed(further, where, ("_id", *texts))
    fields, found = gathered(further, where)
    findings += found
    columns = {name: [record.own[name] for record in records] for name in ("_id", *texts)}
    # As objects: half a surrogate pair is no text that a column of texts could hold, and is looked for later.
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in (columns | fields).items()})


def _parsed(path: Path, findings: list[Finding], texts: tuple[str, ...]) -> Iterator[tuple[int, _Record]]:
    """Yield number and content of each line that holds a usable object; the others become findings."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        place = f"{printable(str(path))}:{number}"
        try:
            row = _object(line)
            own = {"_id": _identifier(row)} | {name: _text(row, name) for name in texts}
        except ValueError as error:
            findings.append(Finding("malformed", "error", place, "", str(error)))
            continue
        findings += _numbers(row, texts, place, own["_id"])
        yield number, _Record(place, own, _fields(row, texts))


def _object(line: str) -> dict[str, Any]:
    """Return the object of a line.

    Raises:
        ValueError: if there is none, or one without ``_id``; says what was found.
    """
    try:
        # Without its end, which in a text that is cut off would be called an invalid character.
        row = json.loads(line.rstrip("\r\n"))
    except RecursionError:
        raise ValueError("not JSON that can be read: it is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}: character {error.pos + 1} of the line; one object a line") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected an object with the key '_id', found {_kind(row)}; one object a line")
    if "_id" not in row:
        found = ", ".join(repr(name[:40]) for name in list(row)[:10])
        raise ValueError(f"expected an object with the key '_id', found {f'the keys {found}' if found else 'no key'}")
    return row


def _identifier(row: dict[str, Any]) -> str:
    """Return an object's id as text.

    Raises:
        ValueError: if it is neither a text nor a whole number, or no text that can be an id.
    """
    value = row["_id"]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"_id is {_kind(value)}; expected a text or a whole number")
    identifier = str(value)
    fault = id_fault(identifier)
    if fault:
        raise ValueError(f"_id {identifier[:80]!a} {fault}")
    return identifier


def _text(row: dict[str, Any], name: str) -> str:
    """Return a text of an object, blank where it has none; a number is taken as its digits.

    Raises:
        ValueError: if it is nested, a truth value, or no finite number.
    """
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{name} is {_kind(value)}; expected a text, blank where there is none")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}, which is no number of JSON; expected a text, blank where there is none")
    return str(value)


def _kind(value: Any) -> str:
    """Return what a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def _numbers(row: dict[str, Any], texts: tuple[str, ...], place: str, identifier: str) -> Iterator[Finding]:
    """Yield a warning for each text of an object that is a number."""
    for name in texts:
        if isinstance(row.get(name), (int, float)):
            detail = f"{name} is the number {row[name]!r}: taken as text"
            yield Finding("number as text", "warning", place, identifier, detail)


def _fields(row: dict[str, Any], texts: tuple[str, ...]) -> dict[str, Any]:
    """Return what an object has beside its id and texts, BEIR's ``metadata`` object unfolded."""
    own = {"_id", *texts}
    further = {name: value for name, value in row.items() if name not in own}
    nested = further.get("metadata")
    if isinstance(nested, dict):
        del further["metadata"]
        further |= nested
    return further


def _shadowed(further: list[dict[str, Any]], where: str, own: tuple[str, ...]) -> Iterator[Finding]:
    """Take out the metadata that bears the name of the id or of a text, and yield a warning for each name."""
    for name in own:
        shadowed = [fields for fields in further if name in fields]
        for fields in shadowed:
            del fields[name]
        if shadowed:
            detail = f"the field {name!r} of {len(shadowed):,} metadata objects is left out: the object's own counts"
            yield Finding(KIND, "warning", where, name, detail)


class _Judged(NamedTuple):
    query_id: str
    doc_id: str
    relevance: float
    where: str


def _qrels(folder: Path, findings: list[Finding]) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return every judgment with its file and line, and the split that each query is first judged in."""
    files = _qrels_files(folder / "qrels")
    rows: list[_Judged] = []
    given: dict[str, str] = {}
    for path in files:
        split = path.name.split(".")[0].lower()
        split = RENAMED.get(split, split)
        twice: set[str] = set()
        for row in _judgments(path, findings):
            rows.append(row)
            first = given.setdefault(row.query_id, split)
            if first != split and row.query_id not in twice:
                twice.add(row.query_id)
                detail = f"{row.query_id} is judged in {first} and again in {split}: it counts as {first}"
                findings.append(Finding("query in two splits", "warning", row.where, row.query_id, detail))
    frame = pd.DataFrame(rows, columns=_Judged._fields).astype({"relevance": float})
    # One file alone is a collection without parts, whatever the file is called.
    return frame, given if len(files) > 1 else {}


def _qrels_files(folder: Path) -> list[Path]:
    """Return the files of judgments, hidden ones apart, in the order of their names.

    Raises:
        DataError: if there is none; says what stands there instead.
    """
    try:
        there = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    files = []
    for path in there:
        if path.name.endswith((".tsv", ".tsv.gz")) and not path.name.startswith("."):
            if not _is_file(path):
                raise DataError(f"{path} is no file that can be read; expected lines of query-id, corpus-id, score")
            files.append(path)
    if not files:
        found = f" (found: {', '.join(path.name for path in there[:10])})" if there else ""
        raise DataError(f"{folder}: no .tsv file{found}; expected lines of query-id, corpus-id, score")
    return files


def _judgments(path: Path, findings: list[Finding]) -> Iterator[_Judged]:
    """Yield the judgments of a file; a grade that is not whole stays, for validation to name its row."""
    for number, line in judgment_lines(_lines(path)):
        where = f"{printable(str(path))}:{number}"
        fields = line.rstrip("\n").split("\t")
        try:
            if len(fields) == 1:
                raise ValueError("no tabs")
            query_id, doc_id, grade = parse_judgment(line, whole=False)
        except ValueError:
            shown = [field[:80] for field in fields[:6]]
            header = "; a header must end in 'score'" if number == 1 else ""
            detail = f"expected query-id, corpus-id and an integer score between tabs, found {shown!r}{header}"
            findings.append(Finding("malformed", "error", where, "", detail))
            continue
        if not is_storable(query_id + doc_id):
            detail = f"the ids {query_id[:80]!r} and {doc_id[:80]!r}: NUL stands in one of them, which no id may hold"
            findings.append(Finding("unusable id", "error", where, "", detail))
            continue
        yield _Judged(query_id, doc_id, grade, where)
