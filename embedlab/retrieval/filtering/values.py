"""The values that a metadata column holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

LONGEST_ITEM = 60
"""Characters of one value in a list of values; what is longer is a text with commas."""

# Not within a number, such as 1,000.
_COMMA = re.compile(r"\s*(?:(?<!\d),|,(?!\d))\s*")


def values_of(column: pd.Series) -> list[frozenset[str]]:
    """Return the values in each row of a column; several where it holds lists such as ``Linux, Windows, macOS``.

    A column holds lists where commas separate things that are named again and again: items of at most
    :data:`LONGEST_ITEM` characters, of which there are fewer than whole values, or of which one at least in half of
    the lists stands in some row alone. ``Berlin, Germany`` and ``Paris, France`` are two values, and a comma within a
    number separates nothing.

    Args:
        column: texts, or missing.
    """
    texts = [str(value).strip() if is_there(value) else "" for value in column]
    # Of an empty text, and between two commas, nothing is a value.
    items = {text: [item for item in _COMMA.split(text) if item] for text in dict.fromkeys(texts)}
    are_lists = _are_lists(items)
    return [frozenset(items[text] if are_lists else [text] if text else []) for text in texts]


def _are_lists(items: Mapping[str, list[str]]) -> bool:
    """Return whether texts, here with the items between their commas, are lists by the rule of :func:`values_of`."""
    lists = [own for own in items.values() if len(own) > 1]
    distinct = {item for own in items.values() for item in own}
    if not lists or any(len(item) > LONGEST_ITEM for own in lists for item in own):
        return False
    alone = {own[0] for own in items.values() if len(own) == 1}
    known = sum(not alone.isdisjoint(own) for own in lists)
    whole = sum(bool(text) for text in items)
    return len(distinct) < whole or 2 * known >= len(lists)


def is_there(value: Any) -> bool:
    """Return whether a cell of a table is not missing."""
    return isinstance(value, str) or not pd.isna(value)
