"""All faces with their rows, in the order in which the page in the docs shows them."""

from __future__ import annotations

from types import ModuleType

from faulty import collections, compared, comparisons, loading, models, parameters, run_folders, slices

FACES: tuple[ModuleType, ...] = (
    parameters,
    collections,
    loading,
    slices,
    models,
    comparisons,
    compared,
    run_folders,
)
"""Modules with ``FACE`` (what is asked), ``ROWS`` and ``prepare(row, folder)``, which returns the act."""
