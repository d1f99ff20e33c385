"""How well judged queries stand for a log of real ones, and scores reweighted to the log's mix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.text import fold
from embedlab.errors import DataError
from embedlab.evaluation.slices import text_slices
from embedlab.evaluation.statistics.intervals import worth_of

COLUMNS = ("query", "text")
"""What a log may call its queries, the more telling name first."""


def read_log(path: str | Path) -> pd.Series:
    """Return the queries of a log, blank ones left out.

    Args:
        path: a text file with one query a line, a ``.csv`` or ``.tsv`` with a column ``query`` or
            ``text``, or a ``.jsonl`` of objects with such a key.

    Raises:
        DataError: names file, line or columns, and what was expected.
    """
    file = Path(path)
    try:
        found = _queries_of(file)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"query_log {file}: cannot be read: {error}") from None
    stripped = [text.strip() for text in found]
    texts = pd.Series([text for text in stripped if text], dtype=str)
    if texts.empty:
        raise DataError(f"query_log {file}: no query in it; expected one a line, or a column 'query'")
    return texts


def _queries_of(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8-sig").splitlines()  # spreadsheets put a byte order mark first
    if file.suffix in (".csv", ".tsv"):
        separator = "," if file.suffix == ".csv" else "\t"
        # By itself pandas would take a query such as "null" or "NA" for a missing one.
        frame = pd.read_csv(file, sep=separator, dtype=str, keep_default_na=False)
        return frame[_column(file, list(frame.columns))].tolist()
    if file.suffix == ".jsonl":
        queries = []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                queries.append(_of_object(file, number, line))
        return queries
    return lines


def _column(file: Path, columns: list[str]) -> str:
    for name in COLUMNS:
        if name in columns:
            return name
    raise DataError(f"query_log {file}: expected a column 'query' or 'text', found {', '.join(columns)}")


def _of_object(file: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
        return str(row[_column(file, list(row))])
    except (ValueError, TypeError):
        raise DataError(
            f"query_log {file}:{number}: expected a JSON object with 'query', found {line[:80]!r}"
        ) from None


def mix(texts: pd.Series, vocabulary: set[str]) -> pd.Series:
    """Return what queries look like: shares of the text slices, words, and words that documents know.

    Args:
        texts: of the queries.
        vocabulary: every word of the documents, see :func:`vocabulary_of`.
    """

    def share_known(words: list[str]) -> float:
        return float(np.mean([word in vocabulary for word in words])) if words else 0.0

    words = texts.map(lambda text: fold(text).split())
    facts = {
        "words a query": words.str.len().mean(),
        "share of words that documents have": words.map(share_known).mean(),
    }
    return pd.concat([text_slices(texts).mean(), pd.Series(facts)]).astype(float)


def vocabulary_of(collection: Collection) -> set[str]:
    """Return every word of the documents."""
    return {word for text in collection.document_texts() for word in fold(text).split()}


def log_weights(queries: pd.Series, log: pd.Series) -> tuple[pd.Series, float]:
    """Return a weight for each query that brings their mix to the log's, and the log's share they cannot cover.

    Post-stratification over the cells that the text slices make (Holt and Smith 1979): a cell's
    weight is its share of the log over its share of the queries; the weights have mean 1.
    """
    cell, of_log = _cells(queries), _cells(log)
    share = cell.value_counts(normalize=True)
    wanted = of_log.value_counts(normalize=True)
    # A cell that the log lacks weighs 0; one that the queries lack can weigh nothing, and is uncovered.
    of_cell = wanted.reindex(share.index).fillna(0.0) / share
    weights = cell.map(of_cell.to_dict()).astype(float)
    is_covered = wanted.index.isin(share.index)
    uncovered = float(wanted[~is_covered].sum())
    if weights.sum() > 0:
        return weights / weights.mean(), uncovered
    # The log asks for nothing of what the queries are: weights would all be 0, so all count the same.
    return weights + 1.0, uncovered


def _cells(texts: pd.Series) -> pd.Series:
    """Return the cell of each text: a digit for each text slice, 1 where it is in it."""
    return text_slices(texts).astype(int).astype(str).agg("".join, axis=1)


def weighted_mean(scores: pd.Series, weights: pd.Series) -> tuple[float, float]:
    """Return the weighted mean of per-query scores, and how many equal queries that is worth (Kish 1965)."""
    w = weights.reindex(scores.index).fillna(0.0)
    mean = (scores * w).sum() / w.sum()
    return float(mean), worth_of(w.to_numpy())
