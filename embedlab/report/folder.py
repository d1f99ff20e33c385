"""The report of a run: one folder that opens from disk, without network and without scripts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.qualitative_review import PAGE, Changes
from embedlab.chain.steps import STEPS, Step
from embedlab.chain.store import FINISHED, Store
from embedlab.errors import ContractError, MissingInputError
from embedlab.report.content import contract_hash, front_page
from embedlab.report.notebooks import notebook_page
from embedlab.report.pages import page
from embedlab.verdict.facts import Facts
from embedlab.verdict.rule import read_verdict


def build(store: Store, standing: tuple[dict[str, Any], str] | None = None) -> Path:
    """Write ``report/`` anew from whatever the run has so far, and return its ``index.html``.

    The folder is replaced as a whole. Steps that have not run are shown as such, and a verdict that does not stand is
    not shown, but why it does not.

    Args:
        store: the run.
        standing: what :func:`standing_verdict` returns, where it is known already.

    Raises:
        MissingInputError: if the run folder does not exist.
        IntegrityError: if an artifact is not the one recorded, or another file of the run is damaged.
    """
    if not (store.folder / "manifest.json").exists():
        raise MissingInputError(f"there is no run in {store.folder}: embedlab run params/<your>.yaml")
    verdict, refused = standing or standing_verdict(store)
    with store.folder_for("report", {}) as folder:
        agreed = contract_hash(store)
        rendered = _notebooks(store, folder, agreed)
        review = _review(store, folder)
        front = page("index.html.j2", agreed, **front_page(store, verdict, refused, rendered, review))
        (folder / "index.html").write_text(front, encoding="utf-8")
    return store.folder / "report" / "index.html"


def standing_verdict(store: Store) -> tuple[dict[str, Any], str]:
    """Return the run's verdict as it is checked, or an empty one and why there is none: stale steps, say.

    Raises:
        IntegrityError: if an artifact, the verdict or another file of the run was damaged.
    """
    if not os.path.lexists(store.folder / "verdict.json") and not Facts(store).done(Evaluation.step):
        return {}, ""
    try:
        return read_verdict(store.folder), ""
    except (MissingInputError, ContractError) as error:
        return {}, str(error)


def _notebooks(store: Store, folder: Path, agreed: str) -> set[str]:
    """Render every executed notebook; return the numbers of the steps that have one."""
    found = [step for step in STEPS if executed(store, step).is_file()]
    (folder / "notebooks").mkdir()
    for position, step in enumerate(found):
        before = found[position - 1] if position else None
        after = found[position + 1] if position + 1 < len(found) else None
        text = notebook_page(executed(store, step), step, before, after, store.folder.name, agreed)
        (folder / "notebooks" / f"{step.number}.html").write_text(text, encoding="utf-8")
    return {step.number for step in found}


def executed(store: Store, step: Step) -> Path:
    """Return where a run keeps the executed notebook of a step."""
    return store.folder / "notebooks" / f"{step.name}.ipynb"


def _review(store: Store, folder: Path) -> bool:
    """Copy the side-by-side review where there is one."""
    entry = store.entry(Changes.step)
    if entry.get("status") not in FINISHED or not any(o["path"].endswith(PAGE) for o in entry["outputs"]):
        return False
    (folder / PAGE).write_text(store.read(Changes.step, PAGE), encoding="utf-8")
    return True
