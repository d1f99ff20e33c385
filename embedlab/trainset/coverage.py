"""What each source covers, and how natural its phrasing is beside real queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from embedlab.data.text import fold, near_duplicates
from embedlab.evaluation.two_sample import PHRASING, distinguishability
from embedlab.retrieval.bm25 import BM25
from embedlab.trainset.rows import query_texts


def source_table(rows: pd.DataFrame, documents: Mapping[str, str], real: pd.DataFrame) -> pd.DataFrame:
    """Return one line a source.

    Args:
        rows: ``query_id, text, positive_ids, source`` of the store.
        documents: text by document id, the whole corpus.
        real: ``query_id, text`` of real queries about the same documents; other topics alone would
            already tell two sides apart.

    Returns:
        ``rows, queries, documents, never hit`` (share of the corpus), ``duplicates`` (rows that nearly
        repeat another source's), ``median words``, ``overlap`` (mean share of a query's words that its
        positives contain) and ``AUC against real`` (.5: cannot be told apart; NaN for the real queries
        themselves and where there are too few).
    """
    elsewhere = _in_other_sources(rows)
    found = []
    for source, part in rows.groupby("source"):
        hit = set(part["positive_ids"].explode())
        themselves = part["query_id"].isin(set(real["query_id"])).any()
        line: dict[str, object] = {
            "source": source,
            "rows": len(part),
            "queries": part["text"].map(fold).nunique(),
            "documents": len(hit),
            "never hit": 1 - len(hit) / len(documents),
            "duplicates": int(part["query_id"].isin(elsewhere).sum()),
            "median words": float(part["text"].map(lambda query: len(query.split())).median()),
            "overlap": _overlap(part, documents),
            "AUC against real": float("nan") if themselves else told_apart(part["text"], real["text"]),
        }
        found.append(line)
    return pd.DataFrame(found).set_index("source").round(4)


def _overlap(part: pd.DataFrame, documents: Mapping[str, str]) -> float:
    """Return the mean share of a query's words that its positives contain."""
    shares = []
    for query, ids in zip(part["text"], part["positive_ids"], strict=True):
        words = set(fold(query).split())
        there = set(fold(" ".join(documents.get(d, "") for d in ids)).split())
        shares.append(len(words & there) / max(len(words), 1))
    return sum(shares) / len(shares)


def _in_other_sources(rows: pd.DataFrame) -> set[str]:
    """Return the ids of queries that nearly stand in another source, too."""
    if rows["source"].nunique() < 2:
        return set()
    ids, sources = rows["query_id"].tolist(), rows["source"].tolist()
    found: set[str] = set()
    for same in near_duplicates(rows["text"].tolist()):
        if len({sources[i] for i in same}) > 1:
            found.update(ids[i] for i in same)
    return found


def rows_per_document(rows: pd.DataFrame) -> pd.Series:
    """Return how many rows want each document, the most wanted first; the index is the place, from 1."""
    counts = rows["positive_ids"].explode().value_counts()
    return pd.Series(counts.to_numpy(), index=range(1, len(counts) + 1), name="rows")


def nearest_rows(queries: pd.DataFrame, rows: pd.DataFrame, k: int = 1) -> pd.DataFrame:
    """Return the training rows whose queries share most words with each query, by BM25, the nearest first.

    Args:
        queries: ``query_id, text``.
        rows: ``query_id, text, positive_ids`` of the store.
        k: rows for each query; fewer where fewer share a word with it.

    Returns:
        ``query_id`` and, of the row, ``row_id``, ``nearest`` (its text), ``positive_ids`` and ``score``.
    """
    run = BM25(query_texts(rows)).search(query_texts(queries), k).rename(columns={"doc_id": "row_id"})
    of_rows = rows[["query_id", "text", "positive_ids"]].rename(columns={"query_id": "row_id", "text": "nearest"})
    return run.merge(of_rows, on="row_id")[["query_id", "row_id", "nearest", "positive_ids", "score"]]


def told_apart(texts: Iterable[str], real: Iterable[str]) -> float:
    """Return the cross-validated AUC of a classifier that tells texts from real queries; NaN for too few.

    Each text counts once, and both sides have the same number of texts, at most 500; see
    :func:`embedlab.evaluation.two_sample.distinguishability`.
    """
    found = distinguishability(texts, real, design=PHRASING)
    return float("nan") if found is None else found
