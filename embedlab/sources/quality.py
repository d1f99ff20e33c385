"""What each source covers, and how natural its phrasing is beside real queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from embedlab.text import fold, near_duplicates, stable_hash

SAMPLE = 500
"""Queries of each side that the classifier sees."""

FOLDS = 5


def source_table(rows: pd.DataFrame, documents: Mapping[str, str], real: pd.DataFrame) -> pd.DataFrame:
    """Return one line a source, and one for the real queries.

    Args:
        rows: ``query_id, query, positive_ids, source`` of the store.
        documents: text by document id, the whole corpus.
        real: ``query, positive_ids`` of real queries that are no training rows.

    Returns:
        ``rows, queries, documents, never hit`` (share of the corpus), ``duplicates`` (rows that nearly
        repeat another source's), ``median words``, ``overlap`` (mean share of a query's words that its
        positives contain) and ``AUC against real`` (.5: cannot be told apart).
    """
    copies = _in_other_sources(rows)
    found = {}
    for source, part in rows.groupby("source"):
        hit = {d for ids in part["positive_ids"] for d in ids}
        found[str(source)] = {
            "rows": len(part),
            "queries": part["query"].map(fold).nunique(),
            "documents": len(hit),
            "never hit": 1 - len(hit) / len(documents),
            "duplicates": int(part["query_id"].isin(copies).sum()),
            **_phrasing(part, documents),
            "AUC against real": told_apart(part["query"], real["query"]),
        }
    found["real queries (dev)"] = {"rows": len(real), **_phrasing(real, documents)}
    return pd.DataFrame(found).T.rename_axis("source").round(4)


def _phrasing(part: pd.DataFrame, documents: Mapping[str, str]) -> dict[str, float]:
    shares = []
    for query, ids in zip(part["query"], part["positive_ids"], strict=True):
        words = set(fold(query).split())
        there = {w for d in ids for w in fold(documents.get(d, "")).split()}
        shares.append(len(words & there) / max(len(words), 1))
    return {"median words": float(part["query"].str.split().str.len().median()), "overlap": _mean(shares)}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _in_other_sources(rows: pd.DataFrame) -> set[str]:
    ids, sources = rows["query_id"].tolist(), rows["source"].tolist()
    cliques = near_duplicates(rows["query"].tolist()) if rows["source"].nunique() > 1 else []
    return {ids[i] for clique in cliques if len({sources[i] for i in clique}) > 1 for i in clique}


def told_apart(texts: Iterable[str], real: Iterable[str]) -> float:
    """Return the cross-validated AUC of a classifier that tells texts from real queries; NaN for too few.

    Logistic regression on character 2- to 4-grams, a classifier two-sample test (Lopez-Paz and Oquab
    2017); both sides have the same number of texts, at most 500.
    """
    sides = [sorted(set(map(fold, side)), key=lambda t: stable_hash("auc", t))[:SAMPLE] for side in (texts, real)]
    size = min(map(len, sides))
    if size < 2 * FOLDS:
        return float("nan")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True), LogisticRegression(C=10)
    )
    both, label = [*sides[0][:size], *sides[1][:size]], [1] * size + [0] * size
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return float(cross_val_score(model, both, label, scoring="roc_auc", cv=folds).mean())
