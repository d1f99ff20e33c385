"""Whose vectors an index holds, as the index says itself: read without pandas, numpy or faiss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from embedlab.errors import IntegrityError
from embedlab.files import loads
from embedlab.models.identity import EmbeddingIdentity

INDEX, STAMP, IDS = "index.faiss", "identity.json", "doc_ids.json"
"""Files of an index; one without its stamp was never finished."""


def read_stamp(folder: Path) -> dict[str, Any]:
    """Return what ``identity.json`` says of an index; raises an IntegrityError where it cannot be read."""
    try:
        stamp = dict(loads((folder / STAMP).read_text(encoding="utf-8")))
    except OSError:
        raise IntegrityError(f"{folder.name!r} holds no {STAMP}: no index, or one never finished; build it") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(f"index {folder.name!r}: {STAMP} is damaged ({error}); build it again") from None
    has_entries = {"identity", "kind", "vectors", "files"} <= set(stamp)
    are_objects = all(isinstance(stamp.get(name), dict) for name in ("identity", "files"))
    if not has_entries or not are_objects or set(stamp["files"]) != {INDEX, IDS}:
        raise IntegrityError(f"index {folder.name!r}: {STAMP} lacks entries; build it again")
    return stamp


def stamped_identity(stamp: dict[str, Any], folder: Path) -> EmbeddingIdentity:
    """Return the identity in a stamp, after checking it; raises an IntegrityError as its ``from_dict`` does."""
    where = f"index {folder.name!r}: {STAMP}"
    return EmbeddingIdentity.from_dict(stamp["identity"], where, "build the index again")
