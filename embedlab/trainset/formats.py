"""Training formats, all rendered from the canonical store, and which loss takes which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embedlab.errors import ParameterError
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Encoder, Kind
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
"""By format: the sentence-transformers losses that take it; :func:`try_loss` finds the same by trying."""

OF_RERANKERS = FITS["labeled_list"]
"""Losses of a CrossEncoder, which reads a query with a document; the others are of embedding models."""

LOSSES = tuple(sorted({loss for losses in FITS.values() for loss in losses}))

CANDIDATES = 4

NEGATIVES = {"triplets": 1, "candidates": CANDIDATES, "labeled_list": 1}  # that a row needs to stand there

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
    for query, positives, negatives in zip(rows["text"], rows["positive_ids"], rows["negatives"], strict=True):
        hard = [documents[n["id"]] for n in negatives]
        if len(hard) < NEGATIVES.get(form, 0):
            continue
        if form == "labeled_list":
            found += _labeled(query, [documents[d] for d in positives], hard)
            continue
        for positive in positives:
            found += _RENDER[form](query, documents[positive], hard)
    return pd.DataFrame(found, columns=None if found else ["anchor", "positive"])


def left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a removal for each row and format that has too few negatives to hold it."""
    count, found = rows["negatives"].map(len), []
    for form, least in NEGATIVES.items():
        short = count[count < least].map(f"{{}} negatives, {least} needed".format)
        found.append(removal(rows.loc[short.index], f"not in {form}", [""] * len(short), short))
    return removals(found)


def _pairs(query: str, positive: str, hard: list[str]) -> list[dict[str, Any]]:
    return [{"anchor": query, "positive": positive}]


def _triplets(query: str, positive: str, hard: list[str]) -> list[dict[str, Any]]:
    return [{"anchor": query, "positive": positive, "negative": text} for text in hard]


def _scored(query: str, positive: str, hard: list[str]) -> list[dict[str, Any]]:
    texts = [(positive, 1.0), *((text, 0.0) for text in hard)]
    return [{"sentence1": query, "sentence2": text, "score": score} for text, score in texts]


def _candidates(query: str, positive: str, hard: list[str]) -> list[dict[str, Any]]:
    named = {f"negative_{i + 1}": text for i, text in enumerate(hard[:CANDIDATES])}
    return [{"anchor": query, "positive": positive, **named}]


def _labeled(query: str, positives: list[str], hard: list[str]) -> list[dict[str, Any]]:
    return [{"query": query, "docs": [*positives, *hard], "labels": [1] * len(positives) + [0] * len(hard)}]


_RENDER = {"pairs": _pairs, "triplets": _triplets, "scored_pairs": _scored, "candidates": _candidates}


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


def few_rows(table: pd.DataFrame, count: int = 4) -> pd.DataFrame:
    """Return rows that differ: of different queries or, where there are scores, of different scores.

    Empty where no two rows differ, so that nothing can be told from them.
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
        for column in table.columns.drop(list(LABEL_COLUMNS), errors="ignore"):
            texts["query" if column in QUERY_COLUMNS else "document"] |= set(table[column].explode())
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
    label = next((c for c in LABEL_COLUMNS if c in table), "")
    graded, columns = bool(label), [table[c].tolist() for c in table.columns if c != label]
    labels = table[label].tolist() if graded else [float(i % 2) for i in range(len(table))]
    compute = _list_loss if loss in OF_RERANKERS else _loss
    try:
        value, turned = (compute(loss, vectors, columns, given) for given in (labels, _turned(labels)))
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        return None, f"does not run: {str(error).splitlines()[0][:60]}"
    if not np.isfinite(value):
        return None, "its value is not finite"
    if (value != turned) != graded:
        return None, "overlooks the scores" if graded else "wants scores"
    return value, "fits"


def _turned(labels: list[Any]) -> list[Any]:
    return [_turned(found) if isinstance(found, list) else 1 - found for found in map(_plain, labels)]


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _loss(loss: str, vectors: Mapping[str, Vectors], columns: list[list[Any]], labels: list[Any]) -> float:
    """Compute a loss on vectors at hand: the model in front of it passes them through."""
    import torch
    from sentence_transformers.sentence_transformer import losses

    if any(not isinstance(text, str) for column in columns for text in column):
        raise TypeError("a field holds several texts; one vector a field is wanted")
    features = [{"sentence_embedding": torch.tensor(np.stack([vectors[t] for t in column]))} for column in columns]
    with torch.no_grad():
        return float(getattr(losses, loss)(torch.nn.Sequential())(features, torch.tensor(labels).float()))


def _list_loss(loss: str, vectors: Mapping[str, Vectors], columns: list[list[Any]], labels: list[Any]) -> float:
    """Compute a reranker's loss; the model in front of it scores a pair by the cosine of its vectors."""
    import torch
    from sentence_transformers.cross_encoder import losses

    class Cosines(torch.nn.Module):
        num_labels, device = 1, torch.device("cpu")

        def preprocess(self, pairs: list[tuple[str, str]], **_unused: Any) -> dict[str, Any]:
            return {"sides": torch.tensor(np.stack([[vectors[a], vectors[b]] for a, b in pairs]))}

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            return {"scores": (features["sides"][:, 0] * features["sides"][:, 1]).sum(dim=1)}

    several = isinstance(_plain(labels[0]), list)
    given = [torch.tensor(_plain(found)).float() for found in labels] if several else torch.tensor(labels).float()
    with torch.no_grad():
        return float(getattr(losses, loss)(Cosines())(columns, given))
