"""The identity of an embedding space: vectors of two identities are never compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from embedlab.errors import IdentityError, IntegrityError, shown
from embedlab.files import sha256_json

CALLED = {
    "config": "architecture",
    "max_length": "maximum length in tokens",
    "query_prompt": "prompt of queries",
    "document_prompt": "prompt of documents",
    "precision": "dtype",
}
"""What messages call a field whose name does not say it."""

SHOWN = 24
"""Characters of a value that a message shows whole; of a hash the first half of them tells two models apart."""


@dataclass(frozen=True)
class EmbeddingIdentity:
    """All that decides what vector a text gets.

    ``name`` is for people and does not count: the same files under another name are the same
    space. An encoder of your own leaves blank what it does not have.

    Attributes:
        name: of the model.
        weights: sha256 of them.
        config: sha256 of the architecture: what the model's files say beside all that is named here.
        dimensions: numbers of a vector.
        max_length: tokens at which a text is cut; 0: never.
        query_prompt: what stands before a query.
        document_prompt: what stands before a document.
        precision: dtype in which vectors are computed.
        quantization: how they are stored; ``none``: as float32.
        tokenizer: sha256 of its files.
        pooling: how the vectors of a text's tokens become one, such as ``mean`` or ``cls``.
        normalization: where vectors get unit length: ``in the model`` or ``after the model``.
    """

    name: str
    weights: str
    config: str
    dimensions: int
    max_length: int
    query_prompt: str
    document_prompt: str
    precision: str
    quantization: str = "none"
    tokenizer: str = ""
    pooling: str = ""
    normalization: str = ""

    @property
    def digest(self) -> str:
        """A hash of every field but the name, in hex."""
        return sha256_json({k: v for k, v in asdict(self).items() if k != "name"})

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the digest, for JSON."""
        return asdict(self) | {"digest": self.digest}

    @classmethod
    def from_dict(cls, found: Any, where: str, mend: str) -> EmbeddingIdentity:
        """Return what :meth:`as_dict` gave.

        A field that is missing is not taken for anything: whoever wrote it before the field was recorded may have had
        any value there, and two spaces would pass for one.

        Args:
            found: as read from a file.
            where: the file, for messages.
            mend: what to do, for messages.

        Raises:
            IntegrityError: if a field is missing or unknown, or the fields are not those that the digest was made of.
        """
        if not isinstance(found, Mapping):
            raise IntegrityError(f"{where}: expected the identity of its vectors, found {shown(found)}; {mend}")
        given = dict(found)
        recorded = given.pop("digest", None)
        names = [field.name for field in fields(cls)]
        missing = [called(name) for name in names if name not in given]
        if missing:
            raise IntegrityError(
                f"{where}: the identity of its vectors does not say {', '.join(missing)}: made before that was "
                f"recorded, or changed since; whose vectors these are cannot be known, so {mend}"
            )
        unknown = sorted(shown(name) for name in given if name not in names)
        if unknown:
            raise IntegrityError(
                f"{where}: the identity of its vectors says what is not known here ({', '.join(unknown)}): made by a "
                f"later version, or changed since; use that version, or {mend}"
            )
        identity = cls(**given)
        if identity.digest != recorded:
            raise IntegrityError(f"{where}: the identity of its vectors was changed after it was written; {mend}")
        return identity

    def differences(self, other: EmbeddingIdentity) -> list[str]:
        """Return each field in which another identity differs, in words: its value, and the one here."""
        found = []
        for name, mine in asdict(self).items():
            theirs = getattr(other, name)
            if name != "name" and mine != theirs:
                found.append(f"{called(name)} {_short(theirs)} (here {_short(mine)})")
        return found

    def require(self, other: EmbeddingIdentity, what: str) -> None:
        """Raise an IdentityError, naming the fields that differ, unless both are one space."""
        differ = self.differences(other)
        if not differ:
            return
        raise IdentityError(
            f"{what} was made by {other.name}, not by {self.name}; vectors of two models must not be mixed; "
            f"differing: {', '.join(differ)}"
        )


def called(name: str) -> str:
    """Return what messages call a field."""
    return CALLED.get(name, name)


def _short(value: object) -> str:
    text = str(value)
    # A prompt may be nothing, or differ by a blank at its end.
    if text != text.strip() or not text:
        return shown(repr(text), 2 * SHOWN)
    return shown(text) if len(text) <= SHOWN else f"{shown(text[: SHOWN // 2])}…"
