"""All faces with their rows, in the order in which the page in the docs shows them."""

from __future__ import annotations

from types import ModuleType

from faulty import compared, comparisons, models, run_folders

FACES: tuple[ModuleType, ...] = (models, comparisons, compared, run_folders)
"""Modules with ``FACE`` (what is asked), ``ROWS`` and ``prepare(row, folder)``, which returns the act."""
