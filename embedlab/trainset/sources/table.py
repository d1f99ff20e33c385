"""CSV, JSONL and parquet files in chunks: what every source of training data is read through."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import pandas as pd

from embedlab.data.raw import Finding
from embedlab.errors import DataError, ParameterError, nearest

CHUNK = 50_000
"""Rows that are in memory at a time."""

DELIMITERS = ",;\t|"

MANY = "|"
"""What separates several document ids in one field."""

Row = tuple[int, dict[str, Any]]


@dataclass
class Table:
    """A file that a source reads.

    Attributes:
        source: the parameter that names the file, such as ``click_log``.
        path: CSV, TSV or JSONL (gzipped or not) or parquet, by its suffix.
        required: columns that must be there, by the names that the source uses.
        optional: columns that may be there; blank where they are not.
        names: the file's own name of a column, where it differs.
        delimiter: of CSV files; a TSV file has tabs.
        findings: rows that cannot be used are added here, with file and row.
    """

    source: str
    path: Path
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ","
    findings: list[Finding] = field(default_factory=list)
    rows_read: int = 0

    def fault(self, kind: str, row: int, identifier: str, detail: str) -> None:
        """Note a row that cannot be used."""
        self.findings.append(Finding(kind, "warning", f"{self.path}:{row}", identifier, detail))

    def _malformed(self, row: int, detail: str) -> None:
        """Note a row that cannot even be read; it counts as read all the same."""
        self.rows_read += 1
        self.fault("malformed", row, "", detail)

    def chunks(self, size: int = CHUNK) -> Iterator[pd.DataFrame]:
        """Yield frames of at most ``size`` rows: text columns, and ``row``, the row or line in the file.

        Raises:
            DataError: if the file is missing, of another kind, lacks a column, or cannot be decoded.
        """
        rows = self._rows()
        while part := list(islice(rows, size)):
            self.rows_read += len(part)
            columns = [*self.required, *self.optional]
            frame = pd.DataFrame({c: [_plain(r.get(self._name(c))) for _, r in part] for c in columns}, dtype=object)
            yield frame.assign(row=[number for number, _ in part])

    def _name(self, column: str) -> str:
        return self.names.get(column, column)

    def _rows(self) -> Iterator[Row]:
        kind = Path(self.path.name.removesuffix(".gz")).suffix
        if not self.path.is_file():
            raise DataError(f"{self.path} ({self.source}): no such file")
        readers = {
            ".csv": lambda: self._csv(self.delimiter),
            ".tsv": lambda: self._csv("\t"),
            ".jsonl": self._jsonl,
            ".parquet": self._parquet,
        }
        if kind not in readers:
            raise DataError(f"{self.path} ({self.source}): expected one of {', '.join(readers)}")
        return readers[kind]()

    def _require(self, found: Iterable[str], hint: str = "") -> None:
        have = list(found)
        listed = ", ".join(map(repr, have))
        for column in self.required:
            if self._name(column) not in have:
                raise DataError(
                    f"{self.path}:1: column {self._name(column)!r} is missing; found {listed}{hint}; "
                    f'name another one with columns: ["{self.source}.{column}=NAME"]'
                )

    def _csv(self, delimiter: str) -> Iterator[Row]:
        """Strict CSV; a record is named by the line that it starts on."""
        reader = csv.reader(lines(self.path), delimiter=delimiter, strict=True)
        start = 1
        try:
            header = next(reader, None)
            if header is None:
                raise DataError(f"{self.path}: the file is empty; expected a header with {', '.join(self.required)}")
            self._require(header, _other_delimiter(header, delimiter))
            start = reader.line_num + 1
            for fields in reader:
                if len(fields) == len(header):
                    yield start, dict(zip(header, fields, strict=True))
                elif fields:
                    detail = f"{len(fields)} fields where the header has {len(header)}: {str(fields)[:80]}"
                    self._malformed(start, detail)
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{self.path}:{start}: not CSV: {error}; is a quote not closed in this row?") from None

    def _jsonl(self) -> Iterator[Row]:
        for number, line in enumerate(lines(self.path), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("expected an object")
            except ValueError as error:
                self._malformed(number, f"not JSON: {error}: {line[:80]!r}")
                continue
            if number == 1:  # a first row without a column is a file of another kind
                self._require(row)
            missing = [self._name(c) for c in self.required if self._name(c) not in row]
            if missing:
                self._malformed(number, f"keys {missing} are missing")
            else:
                yield number, row

    def _parquet(self) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(self.path)
            self._require(file.schema_arrow.names)
            wanted = [self._name(c) for c in (*self.required, *self.optional)]
            columns = [c for c in wanted if c in file.schema_arrow.names]
            batches = file.iter_batches(batch_size=CHUNK, columns=columns)
            yield from enumerate(chain.from_iterable(batch.to_pylist() for batch in batches), start=1)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: not readable as parquet: {error}") from None


def _other_delimiter(header: list[str], delimiter: str) -> str:
    """Return a hint where a header of one field looks as if something else separated it."""
    if len(header) == 1:
        for other in DELIMITERS:
            if other != delimiter and other in header[0]:
                return f"; it is separated by {other!r}, not {delimiter!r}: set delimiter"
    return ""


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, gzipped or not.

    Raises:
        DataError: if the file cannot be read; names the line that is not UTF-8.
    """
    try:
        with _open(path) as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    yield line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    where = f"{path}:{number}: not UTF-8: byte {line[error.start]:#04x} at column {error.start + 1}"
                    raise DataError(f"{where}; save the file as UTF-8") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _open(path: Path) -> gzip.GzipFile | IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _plain(value: Any) -> str:
    """Return a value as text: lists joined by ``|``, whole numbers without a fraction, null as blank."""
    if value is None or value != value:
        return ""
    if isinstance(value, list):
        return MANY.join(_plain(v) for v in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def split_ids(text: str) -> list[str]:
    """Return the document ids of a field, which ``|`` separates, each once and in order."""
    return list(dict.fromkeys(i.strip() for i in text.split(MANY) if i.strip()))


def renamed(columns: Iterable[str], known: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """Return column names by source from texts such as ``click_log.query=q``.

    Args:
        columns: the texts.
        known: the columns of each source.

    Raises:
        ParameterError: if a text has another form, or names an unknown source or column.
    """
    found: dict[str, dict[str, str]] = {source: {} for source in known}
    for text in columns:
        key, equals, name = text.partition("=")
        source, dot, column = key.strip().partition(".")
        if not (equals and dot and name.strip()):
            raise ParameterError(f'columns: expected "source.column=name of the column in the file", found {text!r}')
        if source not in known:
            raise ParameterError(f"columns: {text!r}: no source {source!r}{nearest(source, list(known))}")
        if column not in known[source]:
            raise ParameterError(f"columns: {text!r}: no column {column!r}{nearest(column, list(known[source]))}")
        found[source][column] = name.strip()
    return found
