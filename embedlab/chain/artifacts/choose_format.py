"""Step 10: the shapes that the data supports."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import Artifact
from embedlab.chain.artifacts.training_store import removed_by


@dataclass(frozen=True)
class Formats(Artifact, step="10", file="formats.json"):
    """What the store can be rendered as.

    Attributes:
        rows: number of examples by format, of formats that the data supports.
        examples_of: rows of the store that the example files render.
        store: rows of the store.
        fits: by format the sentence-transformers losses that take it.
        prompts: by format what the model wants before each column's texts.
    """

    rows: dict[str, int]
    examples_of: int
    store: int
    fits: dict[str, list[str]]
    prompts: dict[str, dict[str, str]]


REMOVED = removed_by("10")
