"""What a model's card says of it: licence, languages and what kind of thing it encodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedlab.errors import shown

NOT_STATED = "not stated"

OTHER_KINDS = ("image", "audio", "video", "speech")
"""Words of a card's ``pipeline_tag`` by which a model does not encode texts alone."""


@dataclass(frozen=True)
class Card:
    """What the head of a model card says.

    Attributes:
        licence: as the card names it, or :data:`NOT_STATED`.
        languages: codes such as ``en``, or ``multilingual``; empty where it says none.
        modality: ``text``, or a word of :data:`OTHER_KINDS`.
    """

    licence: str = NOT_STATED
    languages: tuple[str, ...] = ()
    modality: str = "text"


def read_card(folder: Path) -> Card:
    """Return what ``README.md`` of a model's folder says; of one that is missing or damaged, nothing is known.

    Raises:
        OSError: if the file is there and cannot be read.
    """
    file = folder / "README.md"
    if not file.is_file():
        return Card()
    head = _head(file.read_text(encoding="utf-8", errors="replace"))
    tag = str(head.get("pipeline_tag") or "")
    modality = next((kind for kind in OTHER_KINDS if kind in tag), "text")
    licence = shown(_texts(head.get("license"))[0]) if _texts(head.get("license")) else NOT_STATED
    languages = tuple(shown(language) for language in _texts(head.get("language")))
    return Card(licence, languages, modality)


def _head(text: str) -> dict[str, Any]:
    """Return the YAML between the first two lines of ``---``; one without any, or with faults, says nothing."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    lines = text.splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in lines[1:]:
        return {}
    head = "\n".join(lines[1 : lines.index("---", 1)])
    try:
        found = YAML(typ="safe", pure=True).load(head)
    except (YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts(value: Any) -> list[str]:
    """Return one text or a list of them as a list; cards are written both ways."""
    values = value if isinstance(value, list) else [value]
    return [item.strip() for item in values if isinstance(item, str) and item.strip()]
