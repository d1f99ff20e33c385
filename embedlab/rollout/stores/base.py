"""What every store does: documents with their vectors in collections, each of one embedding space.

Read without numpy, pandas, torch or faiss.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from embedlab.errors import DataError, IdentityError, IntegrityError, ParameterError, shown
from embedlab.files import sha256_json
from embedlab.models.identity import EmbeddingIdentity
from embedlab.retrieval.systems import Settings

if TYPE_CHECKING:
    from embedlab.models.cache import Vectors

Filter = Mapping[str, str | int | float | bool]
"""Metadata fields and the value that a document must have in each."""


@dataclass(frozen=True)
class Document:
    """What an application stores: id, title, text and any metadata that JSON can hold."""

    doc_id: str
    title: str = ""
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """A hash of all but the id, in hex: documents with one content need one vector."""
        return sha256_json([self.title, self.text, dict(self.metadata)])


@dataclass(frozen=True)
class Entry:
    """A document with its vectors, as a collection keeps it.

    Attributes:
        document: the document.
        vectors: float32 ``[passages, dimensions]``, unit length; one passage where it is not cut.
        space: digest of the :class:`EmbeddingIdentity` that made them; blank: nobody says.
        checksum: of all of the above when it was written.
    """

    document: Document
    vectors: Vectors
    space: str
    checksum: str

    @classmethod
    def of(cls, document: Document, vectors: Vectors, space: str) -> Entry:
        """Return an entry with its checksum."""
        import numpy as np

        whole = np.ascontiguousarray(vectors, dtype=np.float32)
        return cls(document, whole, space, checksum_of(document, whole, space))

    def require_unchanged(self, where: str) -> None:
        """Raise an IntegrityError, naming document and place, if it is not what was written."""
        found = checksum_of(self.document, self.vectors, self.space)
        if found != self.checksum:
            raise IntegrityError(
                f"{where}: document {self.document.doc_id!r} is not what was written: found {found[:12]}, "
                f"recorded {self.checksum[:12]}; write the document again"
            )


def checksum_of(document: Document, vectors: Vectors, space: str) -> str:
    """Return the checksum of a document, its vectors and their space: 32 hex digits."""
    import numpy as np

    digest = hashlib.blake2b(digest_size=16)
    for part in (document.doc_id, document.content, space):
        digest.update(f"{part}\x1f".encode())
    digest.update(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Hit:
    """A document found: its id and the inner product of its best passage with the query."""

    doc_id: str
    score: float


@dataclass(frozen=True)
class CollectionInfo:
    """What a collection says of itself; it never changes.

    Attributes:
        identity: the one embedding space of its vectors.
        model: how the model is loaded: a hub id, a packaged model or a folder.
        settings: how documents are cut into passages, the kind of index, and the stages around it.
        made_for: what created it, so that a repeated command knows its own; blank: a user.
    """

    identity: EmbeddingIdentity
    model: str
    settings: Settings = field(default_factory=Settings)
    made_for: str = ""

    def to_json(self) -> str:
        """Return it as JSON."""
        whole = asdict(self) | {"identity": self.identity.as_dict()}
        return json.dumps(whole, ensure_ascii=False, sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str, where: str) -> CollectionInfo:
        """Return what :meth:`to_json` wrote.

        Raises:
            IntegrityError: if it is damaged, or the identity is not the one that its digest says; names ``where``.
        """
        try:
            found = json.loads(text)
            identity = EmbeddingIdentity.from_dict(found["identity"], where, "build it again")
            return cls(identity, found["model"], Settings(**found["settings"]), found["made_for"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise IntegrityError(f"{where}: what it says of itself is damaged ({error}); build it again") from None


class Collection(Protocol):
    """Documents with the vectors of one model. Every method raises a StoreError where the store cannot be reached."""

    @property
    def address(self) -> str:
        """How a user names it."""
        ...

    @property
    def info(self) -> CollectionInfo:
        """What it says of itself."""
        ...

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Store entries, each in the place of what its id had before; done when this returns.

        Raises:
            IdentityError: if one is of another embedding space; nothing is stored then.
        """
        ...

    def delete(self, doc_ids: Sequence[str]) -> None:
        """Remove documents; unknown ids are no error."""
        ...

    def get(self, doc_ids: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of those ids that are there."""
        ...

    def search(self, queries: Vectors, k: int, where: Filter | None = None) -> list[list[Hit]]:
        """Return the best ``k`` documents of each query, best first, equal scores by id.

        Args:
            queries: float32 ``[n, dimensions]``.
            k: documents a query.
            where: metadata that they must have.

        Raises:
            ParameterError: if a filter asks for what cannot be compared.
        """
        ...

    def count(self) -> int:
        """Return the number of documents."""
        ...

    def ids(self) -> Iterator[str]:
        """Yield all ids in the order of their UTF-8 bytes."""
        ...

    def documents(self, after: str = "", limit: int = 256) -> list[Document]:
        """Return the next documents in the order of :meth:`ids`, without their vectors."""
        ...

    def version(self) -> str:
        """Return a text that is another one after every change of the content."""
        ...

    def size_bytes(self) -> int | None:
        """Return the bytes that it takes on the disk, None where the store does not say."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class VectorStore(Protocol):
    """A place that holds collections, and aliases that name one of them."""

    def create(self, name: str, info: CollectionInfo) -> Collection:
        """Make an empty collection.

        Raises:
            EmbedlabError: if the name is taken; a collection is never overwritten.
        """
        ...

    def open(self, name: str) -> Collection:
        """Return a collection; raises a MissingInputError where there is none."""
        ...

    def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        ...

    def drop(self, name: str) -> None:
        """Delete a collection; one that is not there is no error."""
        ...

    def alias(self, alias: str) -> str | None:
        """Return the collection that an alias names, None where there is none."""
        ...

    def set_alias(self, alias: str, name: str) -> None:
        """Let an alias name a collection, atomically."""
        ...

    def free_bytes(self) -> int | None:
        """Return the bytes that can still be written, None where the store does not say."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def require_space(entries: Sequence[Entry], info: CollectionInfo, where: str) -> None:
    """Raise an error unless every entry fits the collection: its space, its dimensions, numbers in its vectors.

    Raises:
        IdentityError: if one is of another space.
        DataError: if vectors have another length or hold what is no number; names the document.
    """
    import numpy as np

    space = info.identity.digest  # a hash, taken once and not for each document
    for entry in entries:
        if entry.space != space:
            raise IdentityError(
                f"{where} holds vectors of {info.identity.name} ({space[:12]}); document "
                f"{entry.document.doc_id!r} comes with one of {entry.space[:12] or 'nobody knows whose'}; "
                "vectors of two models must not be mixed"
            )
        shape = entry.vectors.shape
        if len(shape) != 2 or not shape[0] or shape[1] != info.identity.dimensions:
            raise DataError(
                f"{where}: document {entry.document.doc_id!r} comes with vectors {shape}, "
                f"expected [passages, {info.identity.dimensions}]"
            )
        if not np.isfinite(entry.vectors).all():
            raise DataError(f"{where}: a vector of document {entry.document.doc_id!r} holds NaN or infinity")


def entry_pages(collection: Collection, page: int) -> Iterator[list[Entry]]:
    """Yield all entries in the order of their ids, so many at a time."""
    documents = collection.documents("", page)
    while documents:
        found = collection.get([document.doc_id for document in documents])
        # One may have been deleted meanwhile.
        yield [found[document.doc_id] for document in documents if document.doc_id in found]
        documents = collection.documents(documents[-1].doc_id, page)


def require_filter(where: Filter) -> None:
    """Raise a ParameterError unless every store can compare the values: numbers of 64 bits, texts that UTF-8 holds."""
    for name, value in where.items():
        if isinstance(value, str):
            fits = not any("\ud800" <= character <= "\udfff" for character in value)
        elif isinstance(value, float):
            fits = math.isfinite(value)
        else:
            fits = isinstance(value, int) and abs(value) < 2**63
        if not fits:
            raise ParameterError(
                "a filter asks for a text, a finite number of 64 bits or a truth value; "
                f"{shown(repr(name))} is {shown(repr(value))}"
            )


def has_all(metadata: Mapping[str, Any], where: Filter) -> bool:
    """Return whether metadata have the values of a filter: 1 is 1.0, and true is not 1.

    What a store finds is asked again by this. Stores differ in such cases, and a filter may guard what a user may see.
    """
    for name, value in where.items():
        found = metadata.get(name)
        if found != value or isinstance(found, bool) != isinstance(value, bool):
            return False
    return True


def is_settled(best: Mapping[str, float], k: int, last: float) -> bool:
    """Return whether the best ``k`` documents are known, ties included.

    Args:
        best: scores of documents, best first.
        k: documents wanted.
        last: the lowest score that was looked at; another document may have it too.
    """
    return len(best) >= k and list(best.values())[k - 1] > last


def best_first(scores: Mapping[str, float], k: int) -> list[Hit]:
    """Return the best ``k`` documents; equal scores in the order of their ids."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Hit(doc_id, score) for doc_id, score in ranked[:k]]
