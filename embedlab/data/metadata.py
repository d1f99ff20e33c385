"""Metadata: what documents and queries have beside their ids and texts, under one rule for every source.

**The rule.** A value is a text of one line, or it is missing.

- Truth values become ``True`` and ``False``, numbers their shortest form (``2019`` for 2019.0 too), dates the ISO form;
  texts lose white space at their ends, runs of it within, and characters that no file can hold. Where a field mixes
  kinds, it is text all the same.
- Missing are null, NaN and blank texts. What is nested (lists, objects), infinite, or longer than
  :data:`LONGEST_VALUE` characters says nothing that two rows could share: it is left out, which is missing too.
- A field without a value is dropped. So is one whose name is ours, blank, too long or not printable, and of more
  than :data:`MOST_FIELDS` fields those that fewest rows have.

Slices, filters and sibling documents only ask whether two values are the same, so text is all that they need, and one
kind of value is what every file and every later step can hold. Where more was done than writing a value as text, a
finding names the field.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from embedlab.data.characters import REPLACEMENT, has_control, mended, printable
from embedlab.data.raw import Finding

LONGEST_VALUE = 1_000
"""Characters of a value; a longer one is a text that nobody filters by."""

LONGEST_NAME = 100
"""Characters of a field's name."""

MOST_FIELDS = 100
"""Fields of documents, and of queries."""

OURS = {"part", "group", "doc_id", "query_id"}
"""Columns that loading makes; a collection's own fields of these names are dropped."""

KIND = "metadata"
"""The kind of all findings about fields."""

MISSING, TEXT, NUMBER, FLAG = "missing", "text", "number", "truth value"
NESTED, INFINITE, LONG = "nested", "infinite", f"longer than {LONGEST_VALUE:,} characters"
"""What a value is; the last three are left out."""

MENDED = "mended"
"""A text of which characters were replaced."""


def gathered(rows: Sequence[Mapping[str, Any]], where: str) -> tuple[dict[str, list[Any]], list[Finding]]:
    """Return the fields that rows have, each with a value a row, None where one lacks it; and what was dropped.

    Rows of any number of different fields are bounded here, before a table of all fields by all rows is made.

    Args:
        rows: the fields of each document or query, without its id and texts.
        where: ``corpus`` or ``queries``.
    """
    counts: Counter[Any] = Counter()
    for row in rows:
        counts.update(row.keys())
    kept, findings = _kept(counts, where)
    return {name: [row.get(name) for row in rows] for name in kept}, findings


def plain_metadata(frame: pd.DataFrame, where: str, own: Iterable[str]) -> tuple[pd.DataFrame, list[Finding]]:
    """Return a frame whose metadata follows the rule above, and a finding for each field where more was done.

    Args:
        frame: corpus or queries as a source read them.
        where: ``corpus`` or ``queries``.
        own: its columns that are no metadata: ids and texts.
    """
    columns = {name: frame[name] for name in own}
    fields = {name: _as_text(frame[name].tolist()) for name in frame.columns if name not in columns}
    filled = Counter({name: len(frame) - kinds[MISSING] for name, (kinds, _) in fields.items()})
    kept, findings = _kept(filled, where)
    for name in kept:
        kinds, texts = fields[name]
        findings += _about(name, kinds, where)
        if any(text is not None for text in texts):
            columns[name] = pd.Series(texts, index=frame.index)
    return pd.DataFrame(columns, index=frame.index), findings


def plain_value(value: Any) -> tuple[str, str | None]:
    """Return what a value is, and the text that it becomes; None where it is missing or left out."""
    if value is None or value is pd.NA or value is pd.NaT:
        return MISSING, None
    if isinstance(value, str):
        return _line(value, TEXT)
    if isinstance(value, (bool, np.bool_)):
        return FLAG, str(bool(value))
    if isinstance(value, Integral):
        return _whole(int(value))
    if isinstance(value, Real):
        return _number(float(value))
    if isinstance(value, (date, time)):
        return TEXT, value.isoformat()
    return NESTED, None


def _line(text: str, kind: str) -> tuple[str, str | None]:
    # The length is looked at first, so that a text of a million characters is not gone through.
    if len(text) > LONGEST_VALUE:
        return LONG, None
    line = " ".join(mended(text).split())
    return (kind, line) if line else (MISSING, None)


def _whole(value: int) -> tuple[str, str | None]:
    # A decimal digit is worth over three bits. Python itself refuses to write a number of very many digits.
    if value.bit_length() > 3 * LONGEST_VALUE:
        return LONG, None
    return NUMBER, str(value)


def _number(value: float) -> tuple[str, str | None]:
    if math.isnan(value):
        return MISSING, None
    if math.isinf(value):
        return INFINITE, None
    # A gap turns whole numbers of a table into floats; they are the same numbers still.
    return NUMBER, str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _as_text(values: Iterable[Any]) -> tuple[Counter[str], list[str | None]]:
    """Return how many values are of which kind, and the texts that they become."""
    kinds: Counter[str] = Counter()
    texts = []
    for value in values:
        kind, text = plain_value(value)
        kinds[kind] += 1
        if text is not None and REPLACEMENT in text and REPLACEMENT not in str(value):
            kinds[MENDED] += 1
        texts.append(text)
    return kinds, texts


def _about(name: str, kinds: Counter[str], where: str) -> Iterator[Finding]:
    """Yield what was done to a field beside writing its values as text."""
    mixed = [kind for kind in (TEXT, NUMBER, FLAG) if kinds[kind]]
    if len(mixed) > 1:
        counts = ", ".join(f"{kinds[kind]:,} {kind}{'s' if kinds[kind] > 1 else ''}" for kind in mixed)
        yield Finding(KIND, "warning", where, name, f"mixed types ({counts}): kept as text, so that 1 and '1' are one")
    for kind in (NESTED, INFINITE, LONG):
        if kinds[kind]:
            value = "value is" if kinds[kind] == 1 else "values are"
            detail = f"{kinds[kind]:,} {value} {kind}: left out, as if missing"
            yield Finding(KIND, "warning", where, name, detail)
    if kinds[MENDED]:
        detail = (
            f"characters that no file can hold (NUL, half surrogate pairs) were replaced in {kinds[MENDED]:,} values"
        )
        yield Finding(KIND, "warning", where, name, detail)


def _kept(counts: Counter[Any], where: str) -> tuple[list[str], list[Finding]]:
    """Return the names of the fields to keep, in their order, and findings about the others."""
    findings = []
    usable = []
    for name in counts:
        fault = _name_fault(name)
        if fault:
            shown = printable(str(name)[:LONGEST_NAME])
            findings.append(Finding(KIND, "warning", where, shown, f"the field {shown!r} is left out: {fault}"))
        else:
            usable.append(name)
    # Python's sort keeps what came first first among fields of as many rows.
    commonest = set(sorted(usable, key=lambda name: -counts[name])[:MOST_FIELDS])
    if len(usable) > MOST_FIELDS:
        detail = f"{len(usable):,} fields: the {MOST_FIELDS} that most rows have are kept, the others left out"
        findings.append(Finding(KIND, "warning", where, "", detail))
    return [name for name in usable if name in commonest], findings


def _name_fault(name: Any) -> str:
    if not isinstance(name, str):
        return f"its name is {name!r} ({type(name).__name__}); expected a text"
    if not name.strip():
        return "its name is blank"
    if name in OURS:
        return "loading makes a column of this name"
    if len(name) > LONGEST_NAME:
        return f"its name has {len(name):,} characters; expected at most {LONGEST_NAME}"
    if has_control(name):
        return "its name holds a control character"
    return ""
