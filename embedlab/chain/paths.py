"""Where the project, its notebooks and the run folders are."""

from __future__ import annotations

import os
import re
from pathlib import Path

from embedlab.chain.steps import Step
from embedlab.errors import ParameterError

PROJECT = Path(__file__).resolve().parents[2]

NOTEBOOKS = PROJECT / "notebooks"

REGISTRY = "test_openings.jsonl"
"""The registry of openings of sealed tests, in the project's folder unless ``EMBEDLAB_REGISTRY`` names another file."""

LONGEST_NAME = 100

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""Names that are safe as a folder, in a shell, in a URL and on a page."""


def plain_name(run: str) -> str:
    """Return the name of a run, if it may be one.

    Raises:
        ParameterError: if it holds more than ASCII letters, digits and ``._-``, begins with ``.`` or ``-``, or is too
            long.
    """
    if len(run) > LONGEST_NAME or not PLAIN_NAME.fullmatch(run):
        raise ParameterError(
            f"run must be a plain name such as 'attack' (ASCII letters, digits, '.', '_' and '-', of which neither '.' "
            f"nor '-' comes first, at most {LONGEST_NAME}), found {run!r}; to put run folders elsewhere set "
            "EMBEDLAB_OUTPUTS"
        )
    return run


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
    """Return the folder of a run by its name.

    Raises:
        ParameterError: if it may not be one; see :func:`plain_name`.
    """
    return outputs_root() / plain_name(run)


def registry_path() -> Path:
    """Return the file in which openings of sealed tests are registered: ``EMBEDLAB_REGISTRY``, or the project's own."""
    return Path(os.environ.get("EMBEDLAB_REGISTRY") or PROJECT / REGISTRY).resolve()
