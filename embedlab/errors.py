"""The errors that users see: each says what, where and what to do."""

from __future__ import annotations


class EmbedlabError(Exception):
    """Something the user can act on; printed without a traceback on the command line."""


class ParameterError(EmbedlabError):
    """An unknown parameter, a wrong type or an illegal value."""


class DataError(EmbedlabError):
    """A collection that cannot be used as it is: names file and row."""


class MissingInputError(EmbedlabError):
    """A step was opened before the artifacts it reads exist."""


class IntegrityError(EmbedlabError):
    """A file is not the one that was recorded: its hash differs."""


class SealedTestError(EmbedlabError):
    """The sealed test was asked for by a step that has no right to it."""


class ContractError(EmbedlabError):
    """Numbers that were made under different contracts met."""


class LockedError(EmbedlabError):
    """Another process is writing this run folder, or this process lost its right to."""


class IdentityError(EmbedlabError):
    """Vectors or an index belong to another embedding model."""


class StoreError(EmbedlabError):
    """A store cannot be reached or written now; the same command may work later."""


class TrainingError(EmbedlabError):
    """A training run that cannot go on, such as one whose loss is no number any more."""


class ModelError(EmbedlabError):
    """A model cannot be resolved, loaded or verified."""


def shown(value: object, length: int = 120) -> str:
    """Return a value as a message quotes it: on one line, printable, cut where it is long."""
    text = value if isinstance(value, str) else str(value)
    printable = "".join(character if character.isprintable() else _escaped(character) for character in text[:length])
    return printable if len(text) <= length else f"{printable}… ({len(text):,} characters)"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def nearest(name: str, valid: list[str], listed: list[str] | None = None) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest valid name, or the list of all, or of those ``listed``."""
    import difflib

    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; valid: {', '.join(listed or sorted(valid))}"
