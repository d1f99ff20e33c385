"""Training formats, all rendered from the canonical store, and which loss takes which."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from embedlab.errors import ParameterError
from embedlab.models.encoder import Encoder
from embedlab.trainset.rows import removal, removals

if TYPE_CHECKING:
    from datasets import Dataset


FITS: dict[str, tuple[str, ...]] = {
    "pairs": ("MultipleNegativesRankingLoss",),
    "triplets": ("MultipleNegativesRankingLoss", "TripletLoss"),
    "scored_pairs": ("CoSENTLoss", "CosineSimilarityLoss"),
    "candidates": ("MultipleNegativesRankingLoss",),
    "labeled_list": ("LambdaLoss", "ListNetLoss"),
}
"""By format: the sentence-transformers losses that take it.

The tests try every loss on every format. A labeled list trains a CrossEncoder, which reads a query with
a document; the others train embedding models.
"""

CANDIDATES = 4
"""Negatives beside a positive in ``candidates``."""

NEGATIVES_NEEDED = {"triplets": 1, "candidates": CANDIDATES, "labeled_list": 1}
"""By format: the negatives that a row needs to stand in it; none where the format is not named."""

QUERY_COLUMNS = ("anchor", "sentence1", "query")

LABEL_COLUMNS = ("score", "labels")


def render(rows: pd.DataFrame, documents: Mapping[str, str], form: str) -> pd.DataFrame:
    """Render the store in one format.

    Args:
        rows: the canonical store.
        documents: text by document id.
        form: ``pairs`` (anchor, positive), ``triplets`` (anchor, positive, negative),
            ``scored_pairs`` (sentence1, sentence2, score 1 or 0), ``candidates`` (anchor, positive,
            negative_1 … negative_4; rows with fewer negatives are left out) or ``labeled_list``
            (query, docs, labels: one row a query with all its positives, labels 1 and 0).

    Raises:
        ParameterError: if there is no such format.
    """
    if form not in FITS:
        raise ParameterError(f"unknown format {form!r}; valid: {', '.join(FITS)}")
    found: list[dict[str, Any]] = []
    least = NEGATIVES_NEEDED.get(form, 0)
    for query, positives, negatives in zip(rows["text"], rows["positive_ids"], rows["negatives"], strict=True):
        hard = [documents[n["id"]] for n in negatives]
        if len(hard) >= least:
            found += _RENDER[form](query, [documents[d] for d in positives], hard)
    return pd.DataFrame(found, columns=None if found else ["anchor", "positive"])


def left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a removal for each row and format that has too few negatives to hold it."""
    count = rows["negatives"].map(len)
    found = []
    for form, least in NEGATIVES_NEEDED.items():
        short = rows[count < least]
        evidence = [f"{len(negatives)} negatives, {least} needed" for negatives in short["negatives"]]
        found.append(removal(short, f"not in {form}", [""] * len(short), evidence))
    return removals(found)


def _pairs(query: str, positives: list[str], hard: list[str]) -> list[dict[str, Any]]:
    return [{"anchor": query, "positive": positive} for positive in positives]


def _triplets(query: str, positives: list[str], hard: list[str]) -> list[dict[str, Any]]:
    pairs = product(positives, hard)
    return [{"anchor": query, "positive": positive, "negative": negative} for positive, negative in pairs]


def _scored(query: str, positives: list[str], hard: list[str]) -> list[dict[str, Any]]:
    found = []
    for positive in positives:
        found.append({"sentence1": query, "sentence2": positive, "score": 1.0})
        found += [{"sentence1": query, "sentence2": negative, "score": 0.0} for negative in hard]
    return found


def _candidates(query: str, positives: list[str], hard: list[str]) -> list[dict[str, Any]]:
    named = {f"negative_{i}": text for i, text in enumerate(hard[:CANDIDATES], start=1)}
    return [{"anchor": query, "positive": positive, **named} for positive in positives]


def _labeled(query: str, positives: list[str], hard: list[str]) -> list[dict[str, Any]]:
    labels = [1] * len(positives) + [0] * len(hard)
    return [{"query": query, "docs": positives + hard, "labels": labels}]


_RENDER = {
    "pairs": _pairs,
    "triplets": _triplets,
    "scored_pairs": _scored,
    "candidates": _candidates,
    "labeled_list": _labeled,
}


def require_fit(form: str, loss: str) -> None:
    """Raise a ParameterError that names the formats that would fit, unless the loss takes this one."""
    if loss not in FITS.get(form, ()):
        fitting = [name for name, losses in FITS.items() if loss in losses]
        raise ParameterError(f"{loss} does not take {form}; formats that fit: {', '.join(fitting) or 'none'}")


def dataset(table: pd.DataFrame) -> Dataset:
    """Return rendered rows as a Hugging Face dataset that sentence-transformers trains on as it is."""
    from datasets import Dataset

    return Dataset.from_pandas(table, preserve_index=False)


def column_prompts(encoder: Encoder, table: pd.DataFrame) -> dict[str, str]:
    """Return by column what the model wants before its texts: the ``prompts`` of sentence-transformers' trainer.

    The same that :class:`Encoder` puts before queries and documents in evaluation and serving;
    empty where the model wants none.
    """
    columns = [str(c) for c in table if c not in LABEL_COLUMNS]
    found = {c: encoder.prompt("query" if c in QUERY_COLUMNS else "document") for c in columns}
    return {column: prompt for column, prompt in found.items() if prompt}
