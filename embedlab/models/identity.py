"""The identity of an embedding space: vectors of two identities are never compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from embedlab.errors import IdentityError
from embedlab.files import sha256_json


@dataclass(frozen=True)
class EmbeddingIdentity:
    """All that decides what vector a text gets.

    ``name`` is for people and does not count: the same files under another name are the same
    space.
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

    @property
    def digest(self) -> str:
        """A hash of every field but the name, in hex."""
        return sha256_json({k: v for k, v in asdict(self).items() if k != "name"})

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the digest, for JSON."""
        return asdict(self) | {"digest": self.digest}

    def require(self, other: EmbeddingIdentity, what: str) -> None:
        """Raise an IdentityError, naming the fields that differ, unless both are one space."""
        if self.digest == other.digest:
            return
        mine, theirs = asdict(self), asdict(other)
        differ = [f"{k} {_short(theirs[k])} (here {_short(mine[k])})" for k in mine if mine[k] != theirs[k]]
        raise IdentityError(
            f"{what} was made by {other.name}, not by {self.name}; vectors of two models must not be mixed; "
            f"differing: {', '.join(differ)}"
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}…"
