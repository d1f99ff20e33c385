"""Training formats, all rendered from the canonical store, and which loss takes which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from embedlab.errors import ParameterError

FITS: dict[str, tuple[str, ...]] = {
    "pairs": ("MultipleNegativesRankingLoss",),
    "triplets": ("MultipleNegativesRankingLoss", "TripletLoss"),
    "scored_pairs": ("CoSENTLoss", "CosineSimilarityLoss"),
    "candidates": ("MultipleNegativesRankingLoss",),
}
"""By format: the sentence-transformers losses that take it."""

CANDIDATES = 4


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


def start_loss(model: Any, form: str, loss: str, table: pd.DataFrame) -> float:
    """Compute a sentence-transformers loss on a rendered table and return its value.

    Raises:
        ParameterError: if the loss does not take the format.
    """
    import torch
    from sentence_transformers.sentence_transformer import losses

    require_fit(form, loss)
    texts = [c for c in table.columns if c != "score"]
    features = [model.preprocess(table[c].tolist()) for c in texts]
    labels = torch.tensor(table["score"].to_numpy()).float() if "score" in table else torch.zeros(len(table))
    with torch.no_grad():
        return float(getattr(losses, loss)(model)(features, labels))
