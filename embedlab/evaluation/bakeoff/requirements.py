"""What a base model must keep to, and what of it a candidate fails: a gate is passed or not, however good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embedlab.errors import shown

TORCH, OPENVINO, SERVICE = "torch", "openvino", "service"

RUNTIMES = (TORCH, OPENVINO, SERVICE)
"""What may run a model: torch or OpenVINO on this machine, or somebody's service."""

ANY_LANGUAGE = ("multilingual", "mul")
"""What cards of models for many languages name instead of them."""


@dataclass(frozen=True)
class Requirements:
    """What the base model must keep to; what is empty, or None, asks for nothing.

    Attributes:
        languages: of the queries, as codes such as ``en``.
        licences: those that may be used, as cards write them; case does not matter.
        runtimes: of :data:`RUNTIMES`.
        query_ms: most for the 95th percentile of one query, in milliseconds.
        index_mb: most megabytes of index.
        truncated: largest share of the documents that may be cut off, from 0 to 1.
        memory_mb: most megabytes of weights.
        million_queries: most that encoding a million queries may cost.
        modality: what is encoded.
    """

    languages: Sequence[str] = ()
    licences: Sequence[str] = ()
    runtimes: Sequence[str] = ()
    query_ms: float | None = None
    index_mb: float | None = None
    truncated: float | None = None
    memory_mb: float | None = None
    million_queries: float | None = None
    modality: str = "text"


@dataclass(frozen=True)
class Suitability:
    """What is known of a candidate; None, or empty, where it cannot be told.

    The attributes are those of :class:`Requirements`, as its card says or as they were measured.
    """

    languages: Sequence[str] = ()
    licence: str = ""
    runtime: str = TORCH
    query_ms: float | None = None
    index_mb: float | None = None
    truncated: float | None = None
    memory_mb: float | None = None
    million_queries: float | None = None
    modality: str = "text"


LIMITS = {
    "query_ms": ("a query takes", "{:.1f} ms (p95)"),
    "index_mb": ("its index takes", "{:,.1f} MB"),
    "truncated": ("of the documents it cuts off", "{:.1%}"),
    "memory_mb": ("its weights take", "{:,.0f} MB"),
    "million_queries": ("a million queries cost", "{:,.2f}"),
}
"""The requirements that are the most of something: how they are said, and how their numbers are."""


def failed_gates(found: Suitability, wanted: Requirements) -> list[str]:
    """Return why a candidate may not be used, a text a gate that it fails; empty where it passes all.

    What cannot be told is not failed; :func:`open_gates` names it.
    """
    failed = []
    if found.modality != wanted.modality:
        failed.append(f"it encodes {found.modality}, not {wanted.modality}")
    missing = _missing_languages(found, wanted)
    if found.languages and missing:
        failed.append(f"its card names {_listed(found.languages)}, not {_listed(missing)}")
    if wanted.licences and found.licence and not _one_of(found.licence, wanted.licences):
        failed.append(f"its licence is {shown(found.licence)}, allowed: {_listed(wanted.licences)}")
    if wanted.runtimes and found.runtime not in wanted.runtimes:
        failed.append(f"it runs on {found.runtime}, allowed: {_listed(wanted.runtimes)}")
    for name, (said, number) in LIMITS.items():
        value, most = getattr(found, name), getattr(wanted, name)
        if value is not None and most is not None and value > most:
            failed.append(f"{said} {number.format(value)}, allowed: {number.format(most)}")
    return failed


def open_gates(found: Suitability, wanted: Requirements) -> list[str]:
    """Return which requirements a candidate can neither be said to keep nor to fail."""
    unknown = []
    if wanted.languages and not found.languages:
        unknown.append("languages")
    if wanted.licences and not found.licence:
        unknown.append("licence")
    unknown += [name for name in LIMITS if getattr(wanted, name) is not None and getattr(found, name) is None]
    return unknown


def _missing_languages(found: Suitability, wanted: Requirements) -> list[str]:
    """Return the languages wanted that are not named; ``en`` is named by ``en-US`` too."""
    named = {language.casefold() for language in found.languages}
    if named & set(ANY_LANGUAGE):
        return []
    named |= {language.partition("-")[0] for language in named}
    return [language for language in wanted.languages if language.casefold() not in named]


def _one_of(text: str, allowed: Sequence[str]) -> bool:
    return text.casefold() in {item.casefold() for item in allowed}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in names)
