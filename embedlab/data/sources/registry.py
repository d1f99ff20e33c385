"""The sources that a collection can be loaded from; a new one is registered here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedlab.data.raw import Raw
from embedlab.data.sources import attack, beir, hpo
from embedlab.errors import ParameterError, nearest


@dataclass(frozen=True)
class Source:
    """Where a collection comes from.

    Attributes:
        read: reads it; takes the options by name.
        options: the names of what ``read`` takes; sources may share a name, such as ``path``.
        package: the importable package that carries the data; None where the user brings it.
    """

    read: Callable[..., Raw]
    options: tuple[str, ...]
    package: str | None = None


SOURCES: Mapping[str, Source] = {
    "attack": Source(attack.read, ("techniques",), attack.PACKAGE),
    "beir": Source(beir.read, ("path",)),
    "hpo": Source(hpo.read, ("terms",), hpo.PACKAGE),
}
"""Every source by its name."""


def source_named(name: str) -> Source:
    """Return the source of this name.

    Raises:
        ParameterError: if there is none; names the nearest.
    """
    if not isinstance(name, str) or name not in SOURCES:
        place = "embedlab/data/sources/registry.py"
        raise ParameterError(
            f"unknown source {name!r}{nearest(str(name), list(SOURCES))} (register a new one in {place})"
        )
    return SOURCES[name]


def options_for(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the given options that this source takes; numbers and blanks for others are left out.

    So a caller that offers all of them, such as a parameters cell, need not know which is whose. A
    number says how much of other data to keep; a path names data that would not be read.

    Raises:
        ParameterError: if there is no such source, an option that no source takes, or a path for another source.
    """
    taken = source_named(name).options
    known = [option for source in SOURCES.values() for option in source.options]
    for option in given:
        if option not in known:
            raise ParameterError(f"source {name}: no source has an option {option!r}{nearest(option, known)}")
    for option, value in given.items():
        if option not in taken and isinstance(value, (str, Path)) and str(value):
            takers = ", ".join(other for other, source in SOURCES.items() if option in source.options)
            raise ParameterError(
                f"source {name} takes no {option}, found {option}={str(value)!r}: leave it out, or set source to one "
                f"that takes it: {takers}"
            )
    return {option: value for option, value in given.items() if option in taken}
