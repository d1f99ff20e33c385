"""The cheap probe: what would tuning give, from a dozen real steps, without a full run."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd

from embedlab.collection import Collection
from embedlab.keys import sha256_json
from embedlab.lab import Lab
from embedlab.models.encoder import Encoder
from embedlab.progress import Progress
from embedlab.text import stable_hash
from embedlab.training.recipe import Recipe
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
    others = sorted((d for d in texts.index if d not in relevant), key=lambda d: stable_hash("sample", d))
    keep = [d for d in texts.index if d in relevant | set(others[: max(0, documents - len(relevant))])]
    return Validation(collection.query_texts(), collection.qrels, texts[keep], metric)


def probe(
    lab: Lab, encoder: Encoder, rows: pd.DataFrame, relatives: dict[str, str], recipe: Recipe, steps: int = 12
) -> pd.Series:
    """Train briefly and return dev scores by query id; cached in the run by all that they depend on.

    Args:
        lab: the open step; its dev part is scored with the contract's measure.
        encoder: the base model.
        rows: training rows of the canonical store.
        relatives: family by document id.
        recipe: settings; ``steps`` replaces its number of steps.
        steps: how many steps to train.
    """
    short = replace(recipe, steps=steps)
    validation = validation_on(lab.collection("dev"), lab.contract["primary_metric"])
    content = rows[["query", "positive_ids", "negatives"]].to_json(orient="values", default_handler=str)
    asked = validation.queries.to_dict(), list(validation.documents.index), validation.metric
    key = sha256_json([encoder.identity.digest, short.as_dict(), content, asked])
    path = f"probes/{key[:24]}.json"
    file = lab.store.folder / path
    if not file.exists():
        trainer = Trainer(encoder, rows, lab.collection().document_texts(), relatives, short)
        trainer.fit()
        scores = validation.scores(trainer.frozen_encode())
        lab.store.write(path, {str(q): float(v) for q, v in scores.items()})
    else:  # show the same bar as the first time, so that an executed notebook looks the same again
        with Progress(f"Training ({short.loss})", short.steps) as bar:
            bar.advance(short.steps)
    return pd.Series(json.loads(file.read_text()), name=recipe.loss).rename_axis("query_id")


def relatives_of(corpus: pd.DataFrame) -> dict[str, str]:
    """Return family by document id, empty where the corpus has no families."""
    if "family" not in corpus:
        return {}
    return dict(zip(corpus["doc_id"], corpus["family"], strict=True))
