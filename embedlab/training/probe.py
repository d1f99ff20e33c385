"""The cheap probe: what would tuning give, from a dozen real steps, without a full run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pandas as pd

from embedlab.collection import Collection
from embedlab.keys import sha256_json
from embedlab.lab import Lab
from embedlab.models.encoder import Encoder
from embedlab.progress import Progress
from embedlab.text import Groups, near_duplicates, stable_hash
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
    lab: Lab,
    encoder: Encoder,
    rows: pd.DataFrame,
    relatives: dict[str, str],
    recipe: Recipe,
    steps: int = 12,
    validation: Validation | None = None,
) -> pd.Series:
    """Train briefly and return scores by query id; cached in the run by all that they depend on.

    Args:
        lab: the open step.
        encoder: the base model.
        rows: training rows of the canonical store.
        relatives: family by document id.
        recipe: settings; ``steps`` replaces its number of steps.
        steps: how many steps to train.
        validation: what is scored; None for the dev part with the contract's measure.
    """
    short = replace(recipe, steps=steps)
    validation = validation or validation_on(lab.collection("dev"), lab.contract["primary_metric"])
    content = rows[["query", "positive_ids", "negatives"]].to_json(orient="values", default_handler=str)
    asked = validation.queries.to_dict(), list(validation.documents.index), validation.metric
    judged = validation.qrels.to_json(orient="values")
    key = sha256_json([encoder.identity.digest, short.as_dict(), content, sorted(relatives.items()), asked, judged])
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


def split_probe(
    lab: Lab, encoder: Encoder, rows: pd.DataFrame, relatives: dict[str, str], recipe: Recipe, steps: int
) -> pd.DataFrame:
    """Train briefly on a split's train rows and score the base and the result on its validation rows.

    Args:
        lab: the open step; the contract's measure counts.
        encoder: the base model.
        rows: ``query_id, query, positive_ids, known_ids, group, split``; positives have grade 2,
            other known answers grade 1.
        relatives: family by document id.
        recipe: settings; ``steps`` replaces its number of steps.
        steps: how many steps to train.

    Returns:
        ``base, tuned, group``, one row a validation query.
    """
    held, corpus = rows[rows["split"] == "validation"], lab.collection().corpus
    known, best = (held[["query_id", name]].explode(name).set_axis(["query_id", "doc_id"], axis=1)
                   for name in ("known_ids", "positive_ids"))  # fmt: skip
    graded = pd.concat([best.assign(relevance=2), known.assign(relevance=1)]).dropna(subset=["doc_id"])
    qrels = graded.drop_duplicates(["query_id", "doc_id"]).reset_index(drop=True)
    queries = held.rename(columns={"query": "text"})[["query_id", "text", "group"]]
    validation = validation_on(Collection(corpus, queries, qrels), lab.contract["primary_metric"])
    train = rows[rows["split"] == "train"].reset_index(drop=True)
    tuned = probe(lab, encoder, train, relatives, recipe, steps, validation)
    base = validation.scores(encoder.encode).reindex(tuned.index)
    return pd.DataFrame({"base": base, "tuned": tuned, "group": queries.set_index("query_id")["group"]}).loc[
        tuned.index
    ]


def relatives_of(corpus: pd.DataFrame) -> dict[str, str]:
    """Return by document id the name of its relatives: its family, joined with near-duplicate documents.

    A document without a family and without a near-duplicate is left out.
    """
    ids = corpus["doc_id"].tolist()
    groups = Groups()
    if "family" in corpus:
        for doc_id, family in zip(ids, corpus["family"], strict=True):
            groups.join([("family", family), doc_id])
    for clique in near_duplicates((corpus["title"] + " " + corpus["text"]).tolist()):
        groups.join(ids[i] for i in clique)
    names: dict[object, str] = {}
    found = {d: names.setdefault(groups.find(d), d) for d in ids}
    sizes = Counter(found.values())
    return found if "family" in corpus else {d: name for d, name in found.items() if sizes[name] > 1}
