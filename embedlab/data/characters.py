"""Characters: what no file can hold is replaced in texts and refused in ids, and what nobody sees is named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace

import pandas as pd

from embedlab.data.raw import Finding

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

LONGEST_ID = 1_000
"""An id stands in every line of every run: a longer one is a text that slipped into its place."""

# NUL ends a text in the C code that scores, and half of a surrogate pair has no form in UTF-8.
_NOWHERE = re.compile(r"[\x00\ud800-\udfff]")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# Soft hyphens, spaces of no width, byte order marks, and marks that turn the direction of writing.
_INVISIBLE = re.compile(r"[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")

_UNPRINTABLE = re.compile(f"{_NOWHERE.pattern}|{_CONTROL.pattern}|{_INVISIBLE.pattern}")


def is_storable(text: str) -> bool:
    """Return whether every file can hold the text: no NUL, which ends it in C, and no half surrogate pair in it."""
    return not _NOWHERE.search(text)


def mended(text: str) -> str:
    """Return the text with a replacement character for each that no file can hold: NUL and half a surrogate pair."""
    return _NOWHERE.sub(REPLACEMENT, text)


def printable(text: str) -> str:
    """Return the text with an escape for each character that a terminal obeys, hides or cannot print."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def has_control(text: str) -> bool:
    """Return whether a control character, NUL or half a surrogate pair is in the text."""
    return bool(_CONTROL.search(text)) or not is_storable(text)


def is_partly_invisible(text: str) -> bool:
    """Return whether two texts that look like this one may differ."""
    return bool(_INVISIBLE.search(text))


def id_fault(identifier: str) -> str:
    """Return why a text cannot be an id, blank where it can.

    Whatever is no white space and no control character may stand in one: slashes, quotes, emoji.
    """
    if not identifier.strip():
        return "is blank"
    if not is_storable(identifier):
        return "holds NUL or half of a surrogate pair, which no file can hold"
    if identifier.split() != [identifier]:
        return "holds white space, which parts the fields of a run file; put another character in its place"
    if _CONTROL.search(identifier):
        return "holds a control character"
    if len(identifier) > LONGEST_ID:
        return f"has {len(identifier):,} characters; expected at most {LONGEST_ID:,}"
    return ""


def mended_texts(frame: pd.DataFrame, where: str, key: str, texts: Iterable[str]) -> tuple[pd.DataFrame, list[Finding]]:
    """Return a frame whose ids and texts every file can hold, and a finding for each text that was changed.

    Ids are changed too, without a finding: :func:`id_faults` refuses what they were, and is to be asked before.

    Args:
        frame: of a source, as it was read.
        where: ``corpus`` or ``queries``.
        key: the column with the ids.
        texts: the columns with the texts.
    """
    findings: list[Finding] = []
    if frame.empty:  # a column made of no values would be one of numbers
        return frame, findings
    ids = [mended(identifier) for identifier in frame[key].tolist()]
    columns = {key: ids}
    for name in texts:
        given = frame[name].tolist()
        columns[name] = [mended(text) for text in given]
        for identifier, before, after in zip(ids, given, columns[name], strict=True):
            if before != after:
                count = len(_NOWHERE.findall(before))
                detail = f"{name}: characters that no file can hold (NUL, half surrogate pairs) were replaced: {count}"
                findings.append(Finding("unusable character", "warning", where, identifier, detail))
    return frame.assign(**columns), findings


def id_faults(frame: pd.DataFrame, where: str, key: str) -> Iterator[Finding]:
    """Yield an error for each id that cannot be one, and a warning for each that holds what nobody sees."""
    for identifier in frame[key].tolist():
        fault = id_fault(identifier)
        if fault:
            yield Finding("unusable id", "error", where, identifier, f"the id {identifier[:80]!r} {fault}")
        elif is_partly_invisible(identifier):
            detail = f"the id {identifier!a} holds a character that nobody sees; judgments must hold it too"
            yield Finding("invisible character", "warning", where, identifier, detail)


def printable_finding(finding: Finding) -> Finding:
    """Return the finding as it can be printed and stored."""
    texts = {field.name: printable(getattr(finding, field.name)) for field in fields(finding)}
    return replace(finding, **texts)
