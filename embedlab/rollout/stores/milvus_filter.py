"""Filter expressions for Milvus.

Milvus reads a filter as a text, so whatever comes from outside must become a literal in it. Milvus has filter
parameters for that, Milvus Lite has not; literals work on both. What a literal cannot say is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from embedlab.errors import ParameterError, shown
from embedlab.rollout.stores.base import Filter, require_filter

# These escapes mean the same to Milvus, which reads them as Go does, and to Milvus Lite, which knows no others.
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})

# Milvus takes the name of a JSON field as it stands, without escapes, and parts a path at "][".
_NO_FIELD_NAME = re.compile(r'["\\\x00-\x1f\x7f\ud800-\udfff]|\]\[|^$')


def literal(value: str | int | float | bool) -> str:
    """Return a value as it stands in a filter."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return repr(value)


def any_of(field: str, values: Iterable[str]) -> str:
    """Return the filter of the rows whose field is one of some texts."""
    return f"{field} in [{', '.join(literal(value) for value in values)}]"


def equals(where: Filter) -> str:
    """Return the filter of the rows whose metadata have these values; blank for no condition.

    Raises:
        ParameterError: if a field or a value cannot be written in a filter.
    """
    require_filter(where)
    return " and ".join(f"{_path(field)} == {literal(value)}" for field, value in where.items())


def _path(field: str) -> str:
    if _NO_FIELD_NAME.search(field):
        raise ParameterError(
            f"Milvus cannot filter by a field named {shown(repr(field))}: a name must hold something, and no quote, "
            "backslash, control character or ']['"
        )
    return f'metadata["{field}"]'
