"""``embedlab export``: a run's tuned model for a runtime without torch, compared with the original."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedlab.chain.artifacts.define_problem import CORPUS, QRELS, QUERIES
from embedlab.chain.artifacts.train import TUNED, Training
from embedlab.chain.store import Store
from embedlab.commands.terminal import out, safe
from embedlab.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from embedlab.models.encoder import Kind
    from embedlab.models.export import Export

COMPARED = 64
"""Queries, and documents, of the run whose vectors are compared."""


def export_tuned(store: Store, to: str, target: Path | None = None, force: bool = False) -> bool:
    """Export the model that step 14 wrote, or say that it was; return whether its vectors are those of the original.

    Args:
        store: of a run in which step 14 is done.
        to: ``onnx`` or ``openvino``.
        target: where to; None for beside the model's folder, whose files are hashed as they are.
        force: write anew what was exported before.

    Raises:
        MissingInputError: if the run has no tuned model yet.
        IntegrityError: if one of the model's files is not the one that was recorded.
        ParameterError: if there is no such runtime, the target lies in the model's folder, or what was exported to it
            before is of another model and is not to be written anew.
        ModelError: if something else stands at the target, or the model cannot be exported.
    """
    from embedlab.models.encoder import load_model
    from embedlab.models.export import Export, export_model

    folder = _place(store, to, target)
    encoder = load_model(str(_tuned(store)), "float32")
    before = Export.read(folder)
    if before is None or force:
        found = export_model(encoder, to, folder, compared_texts(store))
        out.print(f"{found.title}: {safe(folder)}")
    elif (before.to, before.identity) != (to, encoder.identity.digest):
        raise ParameterError(
            f"{folder}: exported before, from {before.identity} to {before.to}, not from this run's tuned model "
            f"({encoder.identity.digest}) to {to}; --force writes it anew, --out names another folder"
        )
    else:
        found = before
        out.print(f"It is there already; --force writes it anew: {safe(folder)}")
    _say(store, found)
    return found.is_faithful


def _place(store: Store, to: str, target: Path | None) -> Path:
    """Return where an export goes: never into the folder of the model itself."""
    tuned = (store.folder / TUNED).resolve()
    folder = target or store.folder / f"{TUNED}.{to}"
    if tuned in (folder.resolve(), *folder.resolve().parents):
        raise ParameterError(
            f"--out {folder} lies in the model's own folder, whose files are hashed as they are; name another"
        )
    return folder


def _tuned(store: Store) -> Path:
    """Return the folder of the tuned model, every file of which is the one recorded."""
    # Where the step did not run, this says so.
    store.artifact(Training)
    for file in store.outputs((Training.step,)):
        if file.startswith(f"{TUNED}/"):
            store.path(Training.step, file)
    return store.folder / TUNED


def compared_texts(store: Store) -> dict[Kind, list[str]]:
    """Return some queries and documents of a run, of every length; no query is of the test, and no text is blank."""
    from embedlab.data.collection import Collection

    corpus, queries, qrels = (table.read(store.path(table.step, table.file)) for table in (CORPUS, QUERIES, QRELS))
    collection = Collection(corpus, queries, qrels).part("train", "dev")
    return {"query": _spread(collection.query_texts()), "document": _spread(collection.document_texts())}


def _spread(texts: pd.Series) -> list[str]:
    """Return at most :data:`COMPARED` texts, evenly spread over all of them in the order of their length."""
    import numpy as np

    ordered = sorted(texts[texts.str.strip() != ""], key=lambda text: (len(text), text))
    places = np.linspace(0, len(ordered) - 1, min(COMPARED, len(ordered)))
    return [ordered[place] for place in places.astype(int)]


def _say(store: Store, found: Export) -> None:
    """Print how near an export is to the original, and what is odd about it."""
    from embedlab.models.export import LEAST_COSINE, README

    for kind, one in found.cosines.items():
        told = f"lowest {one.lowest:.6f}, mean {one.mean:.6f} over {one.texts} texts"
        out.print(safe(f"{kind:<10}cosine to the original: {told}"))
    if store.artifact(Training).kept == "base":
        out.print("[yellow]![/] Step 14 kept the base model: this is the base, not a tuned model.")
    if not found.is_faithful:
        out.print(f"[red]Not the same model:[/] a cosine lies below {LEAST_COSINE}; do not use it")
    else:
        out.print(f"Its {README} says how it is loaded.")
