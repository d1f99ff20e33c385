"""The door for an application's own writes: each is written down first, then goes to every index that may answer.

Writes have numbers. Each index has a cursor: the number of the last write that is in it. So a write that was
interrupted, or an index that could not be reached, catches up in the order in which the writes came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from embedlab.errors import DataError, EmbedlabError, MissingInputError, StoreError, shown
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.retrieval.systems import Settings
from embedlab.rollout.encode.documents import encode_documents
from embedlab.rollout.service.job import WRITES_TO_BOTH, read_job
from embedlab.rollout.service.releases import Releases
from embedlab.rollout.service.state import State
from embedlab.rollout.stores.base import Collection, Document, Entry
from embedlab.rollout.stores.opened import Load, Opened

AT_ONCE = 64
"""Writes that are applied in one step."""


@dataclass(frozen=True)
class Written:
    """What became of a write.

    Attributes:
        number: of the last write.
        behind: why an index lacks writes yet, by its address; empty where all have all.
        aside: documents that an index could not take, by address.
    """

    number: int
    behind: Mapping[str, str] = field(default_factory=dict)
    aside: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pending:
    """Writes on their way to one index.

    Attributes:
        address: of the index.
        at: its cursor before them.
        last: number of the last of them.
        gone: documents that they delete.
        entries: that they insert or replace.
        refused: documents that the model does not take, and why.
    """

    address: str
    at: dict[str, Any]
    last: int
    gone: list[str]
    entries: list[Entry]
    refused: dict[str, str]


class Writer:
    """Writes to a service: to the index that answers, to the one before it, and to a re-indexing's.

    Args:
        state: the state file.
        load: returns a model by its name and precision; None: :func:`~embedlab.models.load_model`.
    """

    def __init__(self, state: State, load: Load | None = None, opened: Opened | None = None) -> None:
        self.state = state
        self.opened = Opened(load) if opened is None else opened

    def upsert(self, documents: Iterable[Document]) -> Written:
        """Insert or replace documents.

        Returns:
            once they are in the index that answers; what another one still lacks is said.

        Raises:
            DataError: if a document is none; nothing is written then.
            StoreError: if the index that answers cannot be reached. The write is kept, and goes there as soon as
                any command or writer finds it again.
        """
        rows = [_checked(document) for document in documents]
        return self._write([(d.doc_id, {"document": asdict(d)}) for d in rows])

    def delete(self, doc_ids: Iterable[str]) -> Written:
        """Delete documents; unknown ids are no error. Otherwise as :meth:`upsert`."""
        return self._write([(_checked_id(doc_id), {"document": None}) for doc_id in doc_ids])

    def _write(self, rows: Sequence[tuple[str, dict[str, Any]]]) -> Written:
        live = Releases(self.state).live()
        with self.state.db.transaction():
            for doc_id, body in rows:
                self.state.append("writes", body, doc_id=doc_id)
        written = self.catch_up()
        refused = written.aside.get(self.state.address(live.index), {})
        for doc_id, _ in rows:
            if doc_id in refused:
                raise DataError(
                    f"document {doc_id!r} cannot be stored: {refused[doc_id]}; write it again, or delete it"
                )
        return written

    def catch_up(self) -> Written:
        """Apply what the indexes still lack; returns and raises as :meth:`upsert` does."""
        live = self.state.address(Releases(self.state).live().index)
        behind: dict[str, str] = {}
        aside: dict[str, dict[str, str]] = {}
        for address in written_to(self.state):
            try:
                self._apply(address)
            except (StoreError, MissingInputError) as error:
                behind[address] = str(error)
            refused = cursor(self.state, address)["aside"]
            if refused:
                aside[address] = refused
        if live in behind:
            raise StoreError(f"{behind[live]}; the write is kept and follows as soon as the index is found again")
        self._trim()
        return Written(last_write(self.state), behind, aside)

    def settle(self) -> None:
        """Apply what the indexes still lack inside the caller's transaction, so that nobody writes until it ends.

        Raises:
            StoreError: if an index cannot be reached.
        """
        for address in written_to(self.state):
            pending = self._pending(address)
            while pending is not None:
                self._put(pending)
                pending = self._pending(address)

    def _apply(self, address: str) -> None:
        """Bring one index up to the last write; encodes while others may write."""
        pending = self._pending(address)
        while pending is not None:
            with self.state.db.transaction():
                # Another process may have applied them while this one encoded.
                if cursor(self.state, address) == pending.at:
                    self._put(pending)
            pending = self._pending(address)

    def _pending(self, address: str) -> _Pending | None:
        """Return the next writes that an index lacks, encoded by its model; None where it has all."""
        at = cursor(self.state, address)
        rows = self.state.db.rows("SELECT * FROM writes WHERE key > ? ORDER BY key LIMIT ?", [at["seq"], AT_ONCE])
        if not rows:
            return None
        # Of several writes of one document the last one stands.
        last = {row["doc_id"]: self.state.content("writes", row)["document"] for row in rows}
        documents = [Document(**body) for body in last.values() if body is not None]
        gone = [doc_id for doc_id, body in last.items() if body is None]
        info = self.opened.collection(address).info
        entries, refused = encode_or_refuse(self.opened.encoder(info), documents, info.settings)
        return _Pending(address, at, rows[-1]["key"], gone, entries, refused)

    def _put(self, pending: _Pending) -> None:
        """Store writes in their index and note that it has them, in a transaction."""
        collection = self.opened.collection(pending.address)
        if pending.gone:
            collection.delete(pending.gone)
        refused = pending.refused | store_or_refuse(collection, pending.entries)
        written = {*pending.gone, *pending.refused, *(entry.document.doc_id for entry in pending.entries)}
        still = {doc_id: why for doc_id, why in pending.at["aside"].items() if doc_id not in written}
        set_cursor(self.state, pending.address, pending.last, still | refused)

    def _trim(self) -> None:
        """Forget the writes that every index has; during a re-indexing they say what the backfill must not touch."""
        job = read_job(self.state)
        if job is not None and job.state in WRITES_TO_BOTH:
            return
        with self.state.db.transaction():
            least = min((cursor(self.state, address)["seq"] for address in written_to(self.state)), default=0)
            self.state.db.write("DELETE FROM writes WHERE key <= ?", [least])

    def close(self) -> None:
        """Let go of files and connections."""
        self.opened.close()
        self.state.close()


def writer(state: str | Path, load: Load | None = None) -> Writer:
    """Return the door for an application's own writes: ``writer(state).upsert([Document(…)])``.

    Args:
        state: the service's state file.
        load: returns a model by its name and precision; None: :func:`~embedlab.models.load_model`.
    """
    return Writer(State(state), load)


def encode_or_refuse(
    encoder: EncodesWithIdentity, documents: Sequence[Document], settings: Settings
) -> tuple[list[Entry], dict[str, str]]:
    """Return the entries of documents, and those that the model does not take, by id, with the reason."""
    try:
        return encode_documents(encoder, documents, settings), {}
    except EmbedlabError as error:
        if len(documents) == 1:
            return [], {documents[0].doc_id: str(error)}
    # One document may spoil it for all: which one shows when each is asked for alone.
    entries: list[Entry] = []
    refused: dict[str, str] = {}
    for document in documents:
        found, why = encode_or_refuse(encoder, [document], settings)
        entries += found
        refused |= why
    return entries, refused


def store_or_refuse(collection: Collection, entries: Sequence[Entry]) -> dict[str, str]:
    """Store entries; return those that the collection does not take, by id, with the reason.

    Raises:
        StoreError: if it cannot be reached.
    """
    if not entries:
        return {}
    try:
        collection.upsert(entries)
        return {}
    except StoreError:
        raise
    except EmbedlabError as error:
        if len(entries) == 1:
            return {entries[0].document.doc_id: str(error)}
    refused: dict[str, str] = {}
    for entry in entries:
        refused |= store_or_refuse(collection, [entry])
    return refused


def written_to(state: State) -> list[str]:
    """Return the addresses of the indexes that writes go to, the one that answers first."""
    releases = Releases(state)
    stored = [release.index for release in (releases.current(), releases.previous()) if release is not None]
    job = read_job(state)
    if job is not None and job.state in WRITES_TO_BOTH:
        stored += [job.source, job.target]
    return list(dict.fromkeys(state.address(index) for index in stored))


def last_write(state: State) -> int:
    """Return the number of the last write, 0 before the first."""
    found = state.db.row("SELECT seq FROM sqlite_sequence WHERE name = 'writes'")
    return 0 if found is None else int(found["seq"])


def cursor(state: State, address: str) -> dict[str, Any]:
    """Return how far an index is: ``seq``, and ``aside``: documents that it did not take, and why."""
    found = state.get("cursors", state.stored_address(address))
    return {"seq": 0, "aside": {}} if found is None else found


def set_cursor(state: State, address: str, seq: int, aside: Mapping[str, str]) -> None:
    """Note how far an index is, in a transaction."""
    state.put("cursors", state.stored_address(address), {"seq": seq, "aside": dict(aside)})


def written_since(state: State, seq: int, doc_ids: Sequence[str]) -> set[str]:
    """Return which of some documents were written after a number."""
    found: set[str] = set()
    for start in range(0, len(doc_ids), 500):  # SQLite takes a limited number of values
        part = doc_ids[start : start + 500]
        marks = ",".join("?" * len(part))
        query = f"SELECT DISTINCT doc_id FROM writes WHERE key > ? AND doc_id IN ({marks})"  # noqa: S608 - marks
        found |= {row["doc_id"] for row in state.db.rows(query, [seq, *part])}
    return found


def _checked(document: Document) -> Document:
    """Return a document; raises a DataError where it is none."""
    if not isinstance(document, Document):
        raise DataError(f"expected a Document, found {shown(repr(document))} ({type(document).__name__})")
    _checked_id(document.doc_id)
    for name in ("title", "text"):
        value = getattr(document, name)
        if not isinstance(value, str):
            raise DataError(f"document {document.doc_id!r}: {name} must be a text, found {shown(repr(value))}")
    try:
        _ = document.content.encode()
    except (TypeError, ValueError) as error:  # JSON takes no sets, UTF-8 no half characters
        raise DataError(f"document {document.doc_id!r}: {shown(error)}") from None
    return document


def _checked_id(doc_id: str) -> str:
    if not isinstance(doc_id, str) or not doc_id or any(character < " " for character in doc_id):
        raise DataError(f"a document's id must be a text without control characters, found {shown(repr(doc_id))}")
    return doc_id
