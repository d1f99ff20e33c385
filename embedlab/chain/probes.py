"""The cheap probe of a run: trained once, and kept by all that its scores depend on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from embedlab.chain.lab import Lab
from embedlab.data.trec import parse_run, run_text
from embedlab.files import sha256_json
from embedlab.models.encoder import Encoder, encoding_bar
from embedlab.progress import Progress
from embedlab.training.losses import LOSSES, TAUGHT
from embedlab.training.probes import probe as train_and_score
from embedlab.training.probes import probe_run as train_and_search
from embedlab.training.probes import validation_of, validation_on
from embedlab.training.recipe import Recipe
from embedlab.training.teachers import Teacher
from embedlab.training.validation import Validation


def probe(
    lab: Lab,
    encoder: Encoder,
    rows: pd.DataFrame,
    relatives: dict[str, str],
    recipe: Recipe,
    steps: int = 12,
    validation: Validation | None = None,
    teacher: Teacher | None = None,
) -> pd.Series:
    """Train briefly and return scores by query id; the same probe is never trained twice in a run.

    Args:
        lab: the open step.
        encoder: the base model.
        rows: training rows of the canonical store.
        relatives: family by document id.
        recipe: settings; ``steps`` replaces its number of steps.
        steps: how many steps to train.
        validation: what is scored; None for the dev part with the contract's measure.
        teacher: of the losses that learn from one; None for none.
    """
    short = replace(recipe, steps=steps)
    validation = validation or validation_on(lab.collection("dev"), lab.contract.primary_metric)
    path = f"probes/{_key(encoder, rows, relatives, short, validation, teacher)[:24]}.json"
    file = lab.store.folder / path
    if not file.exists():
        documents = lab.collection().document_texts()
        scores = train_and_score(encoder, rows, documents, relatives, short, validation, steps, teacher)
        lab.store.write(path, {str(q): float(v) for q, v in scores.items()})
    else:
        _show_again(short, validation)
    return pd.Series(json.loads(file.read_text()), name=recipe.loss).rename_axis("query_id")


def probe_run(
    lab: Lab,
    encoder: Encoder,
    rows: pd.DataFrame,
    relatives: dict[str, str],
    recipe: Recipe,
    steps: int = 12,
) -> pd.DataFrame:
    """Train briefly and return the run of the dev queries, over the documents that probes search; see :func:`probe`.

    The scores are kept as those of :func:`probe`, so that a later step that asks for them trains nothing.
    """
    short = replace(recipe, steps=steps)
    validation = validation_on(lab.collection("dev"), lab.contract.primary_metric)
    stem = f"probes/{_key(encoder, rows, relatives, short, validation)[:24]}"
    file = lab.store.folder / f"{stem}.run"
    if not file.exists():
        documents = lab.collection().document_texts()
        run = train_and_search(encoder, rows, documents, relatives, short, validation, steps)
        lab.store.write(f"{stem}.json", {str(q): float(v) for q, v in validation.judged(run).items()})
        lab.store.write(f"{stem}.run", run_text(run, short.loss))
    else:
        _show_again(short, validation)
    return parse_run(file.read_text(encoding="utf-8"), file.name)


def _show_again(recipe: Recipe, validation: Validation) -> None:
    """Show the bars of a probe that is kept, so that an executed notebook looks the same again."""
    shown = (
        (Progress(f"Training ({recipe.loss})", recipe.steps), recipe.steps),
        (encoding_bar("document", len(validation.documents)), len(validation.documents)),
        (encoding_bar("query", len(validation.queries)), len(validation.queries)),
    )
    for bar, count in shown:
        with bar:
            bar.advance(count)


def probe_by_seed(
    lab: Lab,
    encoder: Encoder,
    rows: pd.DataFrame,
    relatives: dict[str, str],
    recipe: Recipe,
    steps: int,
    seeds: Iterable[int],
) -> pd.DataFrame:
    """Return the scores of a probe on dev for each training seed: one column a seed, by query id; see :func:`probe`."""
    return pd.DataFrame({s: probe(lab, encoder, rows, relatives, replace(recipe, seed=s), steps) for s in seeds})


def _key(
    encoder: Encoder,
    rows: pd.DataFrame,
    relatives: dict[str, str],
    recipe: Recipe,
    validation: Validation,
    teacher: Teacher | None = None,
) -> str:
    """Return a hash of all that a probe's scores depend on, and of nothing else: so that steps share one."""
    seen = [name for name in ("text", "positive_ids", "known_ids", "weight") if name in rows]
    _, wants_hard = LOSSES.get(recipe.loss, (None, True))
    if wants_hard:
        seen.append("negatives")
    else:  # as in the trainer: mined negatives are neither drawn nor looked at
        recipe = replace(recipe, hard_negatives=0)
    content = rows[seen].to_json(orient="split", index=False, default_handler=str)
    asked = validation.queries.to_dict(), list(validation.documents.index), validation.metric
    judged = validation.qrels.to_json(orient="values")
    taught_by = [teacher.digest] if teacher is not None and recipe.loss in TAUGHT else []
    told = [encoder.identity.digest, recipe.as_dict(), content, sorted(relatives.items()), asked, judged, *taught_by]
    return sha256_json(told)


def split_probe(
    lab: Lab, encoder: Encoder, rows: pd.DataFrame, relatives: dict[str, str], recipe: Recipe, steps: int
) -> pd.DataFrame:
    """Train briefly on a split's train rows and score the base and the result on its validation rows.

    Args:
        lab: the open step; the contract's measure counts.
        encoder: the base model.
        rows: ``query_id, text, positive_ids, known_ids, group, part``.
        relatives: family by document id.
        recipe: settings; ``steps`` replaces its number of steps.
        steps: how many steps to train.

    Returns:
        ``base, tuned, group``, one row a validation query.
    """
    held = rows[rows["part"] == "validation"]
    validation = validation_of(held, lab.collection().corpus, lab.contract.primary_metric)
    train = rows[rows["part"] == "train"].reset_index(drop=True)
    tuned = probe(lab, encoder, train, relatives, recipe, steps, validation)
    base = validation.scores(encoder.encode).reindex(tuned.index)
    group = held.set_index("query_id")["group"].reindex(tuned.index)
    return pd.DataFrame({"base": base, "tuned": tuned, "group": group})
