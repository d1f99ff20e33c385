"""Where the project, its notebooks and the run folders are."""

from __future__ import annotations

import os
from pathlib import Path

from embedlab.chain.steps import Step
from embedlab.errors import ParameterError

PROJECT = Path(__file__).resolve().parents[2]

NOTEBOOKS = PROJECT / "notebooks"

REGISTRY = "test_openings.jsonl"
"""The registry of openings of sealed tests, in the project's folder unless ``EMBEDLAB_REGISTRY`` names another file."""


def notebook_path(step: Step) -> Path:
    """Return the stored notebook of a step."""
    return NOTEBOOKS / f"{step.name}.ipynb"


def outputs_root() -> Path:
    """Return the folder that holds the run folders.

    ``EMBEDLAB_OUTPUTS`` where it is set; otherwise the parent of the run folder that the
    working directory lies in (an executed notebook opened from its run); otherwise the
    project's ``outputs/``.
    """
    if "EMBEDLAB_OUTPUTS" in os.environ:
        return Path(os.environ["EMBEDLAB_OUTPUTS"]).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "manifest.json").is_file() and (folder / "params.yaml").is_file():
            return folder.parent
    return PROJECT / "outputs"


def run_folder(run: str) -> Path:
    """Return the folder of a run by its name (a plain folder name, no path).

    Raises:
        ParameterError: if the name is empty, hidden or contains a path separator.
    """
    if not run or run.startswith(".") or "/" in run or "\\" in run:
        raise ParameterError(
            f"run must be a plain folder name such as 'attack', found {run!r}; "
            "to put run folders elsewhere set EMBEDLAB_OUTPUTS"
        )
    return outputs_root() / run


def registry_path() -> Path:
    """Return the file in which openings of sealed tests are registered: ``EMBEDLAB_REGISTRY``, or the project's own."""
    return Path(os.environ.get("EMBEDLAB_REGISTRY") or PROJECT / REGISTRY).resolve()
