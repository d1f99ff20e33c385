"""The alias: one small file that says which index is live, whose queries it takes and in which stages.

Read without pandas or faiss.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedlab.errors import IntegrityError
from embedlab.files import loads
from embedlab.retrieval.systems import Settings

ALIAS, SETTINGS = "alias.json", "settings.json"

MEND = "put a copy of it back, or switch again"


@dataclass(frozen=True)
class Release:
    """An index, the model that encodes queries for it, and the stages around it: never switched apart.

    Attributes:
        index: the index's folder name.
        encoder: digest of the model's :class:`EmbeddingIdentity`.
        model: the model's name, for people.
        settings: what a query passes beside the index.
    """

    index: str
    encoder: str
    model: str
    settings: Settings


def read_alias(folder: Path) -> dict[str, Any]:
    """Return ``live`` and ``history`` of a registry's folder; nothing is live before the first switch.

    Raises:
        IntegrityError: if the file cannot be read.
    """
    path = folder / ALIAS
    if not path.exists():
        return {"live": None, "history": []}
    try:
        found = dict(loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{path.name} of {folder.name!r} is damaged: {error}; {MEND}") from None
    if "live" not in found or not isinstance(found.get("history"), list):
        raise IntegrityError(f"{path.name} of {folder.name!r} is damaged: it lacks 'live' or 'history'; {MEND}")
    return found


def live_release(folder: Path) -> Release | None:
    """Return the release that answers now, None before the first switch; raises as :func:`read_alias` does."""
    found = read_alias(folder)["live"]
    if found is None:
        return None
    try:
        release = Release(**found | {"settings": Settings(**found["settings"])})
    except (TypeError, KeyError) as error:
        raise IntegrityError(f"{ALIAS} of {folder.name!r} is damaged: no release: {error}; {MEND}") from None
    if not all(isinstance(name, str) for name in (release.index, release.encoder, release.model)):
        raise IntegrityError(f"{ALIAS} of {folder.name!r} is damaged: a name that is no text; {MEND}")
    return release


def read_settings(folder: Path) -> Settings:
    """Return the stages that a release was stored with; raises an IntegrityError where they cannot be read."""
    try:
        return Settings(**json.loads((folder / SETTINGS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise IntegrityError(f"index {folder.name!r}: {SETTINGS} cannot be read ({error}); build it again") from None
