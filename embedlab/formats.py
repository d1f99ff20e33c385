"""Training formats, all rendered from the canonical store, and which loss takes which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import ParameterError
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Encoder, Kind

FITS: dict[str, tuple[str, ...]] = {
    "pairs": ("MultipleNegativesRankingLoss",),
    "triplets": ("MultipleNegativesRankingLoss", "TripletLoss"),
    "scored_pairs": ("CoSENTLoss", "CosineSimilarityLoss"),
    "candidates": ("MultipleNegativesRankingLoss",),
}
"""By format: the sentence-transformers losses that take it; :func:`try_loss` finds the same by trying."""

LOSSES = tuple(sorted({loss for losses in FITS.values() for loss in losses}))

CANDIDATES = 4
QUERY_COLUMNS = ("anchor", "sentence1")


def render(rows: pd.DataFrame, documents: Mapping[str, str], form: str) -> pd.DataFrame:
    """Render the store in one format.

    Args:
        rows: the canonical store.
        documents: text by document id.
        form: ``pairs`` (anchor, positive), ``triplets`` (anchor, positive, negative),
            ``scored_pairs`` (sentence1, sentence2, score 1 or 0) or ``candidates`` (anchor,
            positive, negative_1 … negative_4; rows with fewer negatives are left out).

    Raises:
        ParameterError: if there is no such format.
    """
    if form not in FITS:
        raise ParameterError(f"unknown format {form!r}; valid: {', '.join(FITS)}")
    found: list[dict[str, Any]] = []
    for query, positives, negatives in zip(rows["query"], rows["positive_ids"], rows["negatives"], strict=True):
        hard = [documents[n["id"]] for n in negatives]
        for positive in positives:
            found += _RENDER[form](query, documents[positive], hard)
    return pd.DataFrame(found, columns=None if found else ["anchor", "positive"])


def _pairs(query: str, positive: str, hard: list[str]) -> list[dict[str, Any]]:
    return [{"anchor": query, "positive": positive}]


def _triplets(query: str, positive: str, hard: list[str]) -> list[dict[str, Any]]:
    return [{"anchor": query, "positive": positive, "negative": text} for text in hard]


def _scored(query: str, positive: str, hard: list[str]) -> list[dict[str, Any]]:
    texts = [(positive, 1.0), *((text, 0.0) for text in hard)]
    return [{"sentence1": query, "sentence2": text, "score": score} for text, score in texts]


def _candidates(query: str, positive: str, hard: list[str]) -> list[dict[str, Any]]:
    if len(hard) < CANDIDATES:
        return []
    named = {f"negative_{i + 1}": text for i, text in enumerate(hard[:CANDIDATES])}
    return [{"anchor": query, "positive": positive, **named}]


_RENDER = {"pairs": _pairs, "triplets": _triplets, "scored_pairs": _scored, "candidates": _candidates}


def require_fit(form: str, loss: str) -> None:
    """Raise a ParameterError that names the formats that would fit, unless the loss takes this one."""
    if loss not in FITS.get(form, ()):
        fitting = [name for name, losses in FITS.items() if loss in losses]
        raise ParameterError(f"{loss} does not take {form}; formats that fit: {', '.join(fitting) or 'none'}")


def few_rows(table: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """Return rows that differ: of different queries or, where there are scores, of different scores.

    Empty where all rows are alike, so that nothing can be told from them.
    """
    if "score" in table:
        share = max(1, count // max(1, table["score"].nunique()))
        return table.groupby("score").head(share) if table["score"].nunique() > 1 else table.head(0)
    some = table.drop_duplicates(table.columns[0]).head(count)
    return some if len(some) > 1 else some.head(0)


def vectors_of(encoder: Encoder, tables: Iterable[pd.DataFrame]) -> dict[str, Vectors]:
    """Return one unit vector for each text of some rendered rows."""
    texts: dict[Kind, set[str]] = {"query": set(), "document": set()}
    for table in tables:
        for column in table.columns.drop("score", errors="ignore"):
            texts["query" if column in QUERY_COLUMNS else "document"] |= set(table[column])
    found: dict[str, Vectors] = {}
    for kind, members in texts.items():
        found |= dict(zip(sorted(members), encoder.encode(sorted(members), kind), strict=True))
    return found


def try_loss(vectors: Mapping[str, Vectors], loss: str, table: pd.DataFrame) -> tuple[float | None, str]:
    """Compute a sentence-transformers loss on a few rendered rows and say whether it fits them.

    A loss that runs may still not fit: one that overlooks the table's scores learns nothing from
    them, and one that wants scores makes them up where the table has none. Both show when the
    labels are turned round.

    Args:
        vectors: a unit vector for each text, on which the loss is computed.
        loss: one of ``LOSSES``.
        table: rows of one format; scores between 0 and 1.

    Returns:
        the value and ``fits``; or None and the reason why it does not fit.
    """
    graded = "score" in table
    labels = table["score"].to_numpy() if graded else (np.arange(len(table)) % 2).astype(float)
    columns = [np.stack([vectors[text] for text in table[c]]) for c in table.columns if c != "score"]
    try:
        value, turned = (_loss(loss, columns, given) for given in (labels, 1 - labels))
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        return None, f"does not run: {str(error).splitlines()[0][:60]}"
    if not np.isfinite(value):
        return None, "its value is not finite"
    if (value != turned) != graded:
        return None, "overlooks the scores" if graded else "wants scores"
    return value, "fits"


def _loss(loss: str, columns: list[Vectors], labels: NDArray[np.float64]) -> float:
    """Compute a loss on vectors at hand: the model in front of it passes them through."""
    import torch
    from sentence_transformers.sentence_transformer import losses

    features = [{"sentence_embedding": torch.tensor(v)} for v in columns]
    with torch.no_grad():
        return float(getattr(losses, loss)(torch.nn.Sequential())(features, torch.tensor(labels).float()))
