"""The cheap probe: what would tuning give, from a dozen real steps, without a full run."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.text import stable_hash
from embedlab.models.encoder import Encoder
from embedlab.training.recipe import Recipe
from embedlab.training.teachers import Teacher
from embedlab.training.trainer import Trainer
from embedlab.training.validation import Validation

MOST_DOCUMENTS = 2000


def validation_on(collection: Collection, metric: str, documents: int = MOST_DOCUMENTS) -> Validation:
    """Return a collection's queries over their relevant documents and a fixed sample of others.

    Args:
        collection: the part whose queries are scored.
        metric: an ir-measures name.
        documents: at most so many documents are searched, all relevant ones included.
    """
    texts = collection.document_texts()
    relevant = set(collection.qrels.loc[collection.qrels["relevance"] >= 1, "doc_id"])
    others = sorted(set(texts.index) - relevant, key=lambda d: stable_hash("sample", d))
    searched = relevant | set(others[: max(0, documents - len(relevant))])
    keep = [d for d in texts.index if d in searched]
    return Validation(collection.query_texts(), collection.qrels, texts[keep], metric)


def validation_of(rows: pd.DataFrame, corpus: pd.DataFrame, metric: str) -> Validation:
    """Return training rows as queries to be scored: positives have grade 2, other known answers grade 1.

    Args:
        rows: ``query_id, text, positive_ids, known_ids, group`` of the canonical store.
        corpus: the documents.
        metric: an ir-measures name.
    """
    graded = []
    for column, grade in (("positive_ids", 2), ("known_ids", 1)):
        judged = rows[["query_id", column]].explode(column).rename(columns={column: "doc_id"})
        graded.append(judged.dropna().assign(relevance=grade))
    # Positives stand first, so a document that is known as well keeps their grade.
    qrels = pd.concat(graded).drop_duplicates(["query_id", "doc_id"]).reset_index(drop=True)
    queries = rows[["query_id", "text", "group"]]
    return validation_on(Collection(corpus, queries, qrels), metric)


def probe(
    encoder: Encoder,
    rows: pd.DataFrame,
    documents: pd.Series,
    relatives: dict[str, str],
    recipe: Recipe,
    validation: Validation,
    steps: int = 12,
    teacher: Teacher | None = None,
) -> pd.Series:
    """Train briefly and return scores by query id; arguments as for :func:`probe_run`."""
    return validation.judged(probe_run(encoder, rows, documents, relatives, recipe, validation, steps, teacher))


def probe_run(
    encoder: Encoder,
    rows: pd.DataFrame,
    documents: pd.Series,
    relatives: dict[str, str],
    recipe: Recipe,
    validation: Validation,
    steps: int = 12,
    teacher: Teacher | None = None,
) -> pd.DataFrame:
    """Train briefly and return the run of the validation queries.

    Args:
        encoder: the base model.
        rows: training rows of the canonical store.
        documents: document texts by id.
        relatives: family by document id.
        recipe: settings; ``steps`` replaces its number of steps.
        validation: what is scored.
        steps: how many steps to train.
        teacher: see :class:`~embedlab.training.Trainer`.
    """
    trainer = Trainer(encoder, rows, documents, relatives, replace(recipe, steps=steps), teacher=teacher)
    trainer.fit()
    return validation.run(trainer.frozen_encode())
