"""embedlab: fine-tune an embedding model for retrieval, honestly, in 22 notebooks.

The public names are loaded when first used, so that ``import embedlab`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedlab.collection import load_collection as load_collection
    from embedlab.errors import EmbedlabError as EmbedlabError
    from embedlab.lab import start as start
    from embedlab.models import load_model as load_model
    from embedlab.negatives import mine_negatives as mine_negatives
    from embedlab.stats import compare as compare

__version__ = "0.1.0"

PUBLIC = {
    "EmbedlabError": "embedlab.errors",
    "compare": "embedlab.stats",
    "load_collection": "embedlab.collection",
    "load_model": "embedlab.models",
    "mine_negatives": "embedlab.negatives",
    "start": "embedlab.lab",
}

__all__ = ["EmbedlabError", "compare", "load_collection", "load_model", "mine_negatives", "start"]


def __getattr__(name: str) -> Any:
    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    raise AttributeError(f"module 'embedlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
