"""How well judged queries stand for a log of real ones, and scores reweighted to the log's mix."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.text import fold, stable_hash
from embedlab.errors import DataError
from embedlab.evaluation.slices import text_slices

COLUMNS = ("query", "text")

MOST = 1000
"""At most so many texts of each side go into the classifier."""

FEWEST = 20
"""With fewer texts on a side nothing is said."""


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
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".csv", ".tsv"):
            frame = pd.read_csv(file, sep="," if file.suffix == ".csv" else "\t", dtype=str, keep_default_na=False)
            found = frame[_column(file, list(frame.columns))].tolist()
        elif file.suffix == ".jsonl":
            found = [_of_object(file, n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
        else:
            found = text.splitlines()
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"query_log {file}: cannot be read: {error}") from None
    texts = pd.Series([t.strip() for t in found if t.strip()], dtype=str)
    if texts.empty:
        raise DataError(f"query_log {file}: no query in it; expected one a line, or a column 'query'")
    return texts


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
    """Return what queries look like: shares of the text slices, words, and words that documents know."""
    words = texts.map(lambda text: fold(text).split())
    known = words.map(lambda w: float(np.mean([x in vocabulary for x in w])) if w else 0.0)
    facts = {"words a query": words.str.len().mean(), "share of words that documents have": known.mean()}
    return pd.concat([text_slices(texts).mean(), pd.Series(facts)]).astype(float)


def vocabulary_of(collection: Collection) -> set[str]:
    """Return every word of the documents."""
    return {word for text in collection.document_texts() for word in fold(text).split()}


def distinguishability(ours: pd.Series, theirs: pd.Series, seed: int = 0) -> float | None:
    """Return how well a classifier tells two sets of queries apart, as AUC: .5 it cannot, 1 it always can.

    Logistic regression on word and character n-grams, five-fold cross-validated; copies of one text
    stay in one fold (the classifier two-sample test, Lopez-Paz and Oquab 2017). None with too few texts.
    """
    if min(ours.map(fold).nunique(), theirs.map(fold).nunique()) < FEWEST:
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline, make_union

    samples = [sorted(side, key=lambda text: stable_hash(seed, text))[:MOST] for side in (ours, theirs)]
    texts, side = samples[0] + samples[1], np.repeat([0, 1], [len(s) for s in samples])
    features = make_union(
        TfidfVectorizer(sublinear_tf=True), TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    )
    model = make_pipeline(features, LogisticRegression(class_weight="balanced", max_iter=1000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    groups = [fold(text) for text in texts]
    scores = cross_val_predict(model, texts, side, groups=groups, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(side, scores))


def log_weights(queries: pd.Series, log: pd.Series) -> tuple[pd.Series, float]:
    """Return a weight for each query that brings their mix to the log's, and the log's share they cannot cover.

    Post-stratification over the cells that the text slices make (Holt and Smith 1979): a cell's
    weight is its share of the log over its share of the queries; the weights have mean 1.
    """
    ours, theirs = _cells(queries), _cells(log)
    share, wanted = ours.value_counts(normalize=True), theirs.value_counts(normalize=True)
    weights = ours.map((wanted.reindex(share.index).fillna(0.0) / share).to_dict()).astype(float)
    uncovered = float(wanted[~wanted.index.isin(share.index)].sum())
    return (weights / weights.mean() if weights.sum() > 0 else weights + 1.0), uncovered


def _cells(texts: pd.Series) -> pd.Series:
    return text_slices(texts).astype(int).astype(str).agg("".join, axis=1)


def weighted_mean(scores: pd.Series, weights: pd.Series) -> tuple[float, float]:
    """Return the weighted mean of per-query scores, and how many equal queries that is worth (Kish 1965)."""
    w = weights.reindex(scores.index).fillna(0.0)
    return float((scores * w).sum() / w.sum()), float(w.sum() ** 2 / (w**2).sum())
