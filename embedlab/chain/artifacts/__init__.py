"""What each step hands on, a module a step: an edit makes stale only the steps that use it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedlab.chain.artifacts.base import Artifact, Table


def module_of(slug: str) -> ModuleType:
    """Return the module with the artifacts of a step, such as ``evaluate``."""
    return import_module(f"{__name__}.{slug}")


def kinds_of(slug: str) -> list[type[Artifact]]:
    """Return the JSON artifacts of a step, in the order of their definition."""
    from embedlab.chain.artifacts.base import Artifact

    found = vars(module_of(slug)).values()
    return [v for v in found if isinstance(v, type) and issubclass(v, Artifact) and v is not Artifact]


def tables_of(slug: str) -> list[Table]:
    """Return the tables of a step that have a written schema, in the order of their definition."""
    from embedlab.chain.artifacts.base import Table

    return [v for v in vars(module_of(slug)).values() if isinstance(v, Table)]
