"""FAISS over files: a folder of collections, each one SQLite file with a FAISS index in memory over it.

FAISS searches; SQLite keeps: one change is one transaction, on the disk when it ends, whatever dies when. A process
reads the vectors when it first searches, and after that only what changed since.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedlab.errors import EmbedlabError, IntegrityError, MissingInputError
from embedlab.files import read_json, read_text, replace_file, sync_folder
from embedlab.models.cache import Vectors
from embedlab.retrieval.indexes.index import empty_index, search_parameters
from embedlab.retrieval.indexes.stamp import STAMP
from embedlab.rollout.stores.base import (
    CollectionInfo,
    Document,
    Entry,
    Filter,
    Hit,
    best_first,
    has_all,
    is_settled,
    require_filter,
    require_space,
)
from embedlab.rollout.stores.database import Database

DATA, ALIASES = "index.db", "aliases.json"

MEND = "build the index again, or put a copy of it back"

SCHEMA = """
CREATE TABLE IF NOT EXISTS changes (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL);
INSERT OR IGNORE INTO changes VALUES (1, 0);
CREATE TABLE IF NOT EXISTS entries (
  doc_id TEXT PRIMARY KEY, change INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, metadata TEXT NOT NULL,
  space TEXT NOT NULL, passages INTEGER NOT NULL, vectors BLOB NOT NULL, checksum TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_change ON entries (change);
CREATE TABLE IF NOT EXISTS deleted (doc_id TEXT PRIMARY KEY, change INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS deleted_by_change ON deleted (change);
"""

MOST_DEAD = 0.2
"""Share of vectors that stand for nothing any more, after which the index in memory is built anew."""


class FaissStore:
    """A folder of collections."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, name: str, info: CollectionInfo) -> FaissCollection:
        """Make an empty collection; as :class:`~embedlab.rollout.stores.base.VectorStore` says."""
        target = self.folder / name
        # Made under another name and then renamed: one that was killed half-way is no collection and in nobody's way.
        for left in self.folder.glob(f".{name}.*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        empty_index(info.identity.dimensions, info.settings.index)  # raises where the kind is unknown
        Database(temporary / DATA, SCHEMA).close()
        replace_file(temporary / STAMP, info.to_json())
        try:
            temporary.rename(target)
        except OSError:
            shutil.rmtree(temporary)
            if not target.exists():
                raise
            raise EmbedlabError(
                f"{target} exists already; an index is never overwritten: choose another name"
            ) from None
        sync_folder(self.folder)
        return FaissCollection(target)

    def open(self, name: str) -> FaissCollection:
        """Return a collection."""
        return FaissCollection(self.folder / name)

    def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        folders = [path.parent for path in self.folder.glob(f"*/{DATA}")]
        return sorted(f.name for f in folders if (f / STAMP).exists() and not f.name.startswith("."))

    def drop(self, name: str) -> None:
        """Delete a collection."""
        # Without its stamp it is no collection any more, whatever else is still there.
        (self.folder / name / STAMP).unlink(missing_ok=True)
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def alias(self, alias: str) -> str | None:
        """Return the collection that an alias names."""
        return self._aliases().get(alias)

    def set_alias(self, alias: str, name: str) -> None:
        """Let an alias name a collection, atomically."""
        aliases = self._aliases() | {alias: name}
        replace_file(self.folder / ALIASES, json.dumps(aliases, ensure_ascii=False, sort_keys=True, indent=1))

    def free_bytes(self) -> int | None:
        """Return the free bytes of its disk."""
        place = next(path for path in (self.folder.resolve(), *self.folder.resolve().parents) if path.exists())
        return shutil.disk_usage(place).free

    def close(self) -> None:
        """Hold nothing open: each collection has its own files."""

    def _aliases(self) -> dict[str, str]:
        path = self.folder / ALIASES
        if not path.exists():
            return {}
        return read_json(path, dict, IntegrityError, "set the alias again")


class FaissCollection:
    """One collection: ``identity.json`` says whose vectors it holds, ``index.db`` holds them.

    Raises:
        MissingInputError: if the folder holds no collection.
        IntegrityError: if a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / STAMP).is_file() or not (folder / DATA).is_file():
            raise MissingInputError(f"{folder} holds no index: it lacks {STAMP} or {DATA}; build it")
        self._info = CollectionInfo.from_json(read_text(folder / STAMP, IntegrityError, MEND), str(folder))
        self._data = Database(folder / DATA, mend=MEND)
        self._searched: _Searched | None = None

    @property
    def address(self) -> str:
        """Its folder."""
        return str(self.folder)

    @property
    def info(self) -> CollectionInfo:
        """What it says of itself."""
        return self._info

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Store entries in one transaction."""
        require_space(entries, self._info, self.address)
        with self._data.transaction():
            change = self._next_change()
            for entry in entries:
                self._data.write("DELETE FROM deleted WHERE doc_id = ?", [entry.document.doc_id])
                self._data.write("INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?,?,?,?)", _row(entry, change))

    def delete(self, doc_ids: Sequence[str]) -> None:
        """Remove documents in one transaction."""
        with self._data.transaction():
            change = self._next_change()
            for doc_id in doc_ids:
                self._data.write("DELETE FROM entries WHERE doc_id = ?", [doc_id])
                self._data.write("INSERT OR REPLACE INTO deleted VALUES (?, ?)", [doc_id, change])

    def _next_change(self) -> int:
        self._data.write("UPDATE changes SET number = number + 1")
        return self._change()

    def _change(self) -> int:
        found = self._data.row("SELECT number FROM changes")
        if found is None:
            raise IntegrityError(f"{self.address}: {DATA} does not say how often it was changed; {MEND}")
        return int(found["number"])

    def get(self, doc_ids: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of those ids that are there."""
        found = {}
        for start in range(0, len(doc_ids), 500):  # SQLite takes a limited number of values
            part = doc_ids[start : start + 500]
            marks = ",".join("?" * len(part))
            for row in self._data.rows(f"SELECT * FROM entries WHERE doc_id IN ({marks})", part):  # noqa: S608 - marks
                found[row["doc_id"]] = self._entry(row)
        return found

    def count(self) -> int:
        """Return the number of documents."""
        found = self._data.row("SELECT count(*) AS n FROM entries")
        return int(found["n"]) if found else 0

    def ids(self) -> Iterator[str]:
        """Yield all ids in order."""
        for row in self._data.stream("SELECT doc_id FROM entries ORDER BY doc_id"):
            yield row["doc_id"]

    def documents(self, after: str = "", limit: int = 256) -> list[Document]:
        """Return the next documents in order."""
        query = "SELECT doc_id, title, text, metadata FROM entries WHERE doc_id > ? ORDER BY doc_id LIMIT ?"
        return [self._document(row) for row in self._data.rows(query, [after, limit])]

    def version(self) -> str:
        """Return the number of changes so far."""
        return str(self._change())

    def size_bytes(self) -> int | None:
        """Return the size of its files."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    def require_sound(self) -> None:
        """Raise an IntegrityError where SQLite finds its file damaged."""
        self._data.require_sound()

    def close(self) -> None:
        """Close the file and let go of what is in memory."""
        self._data.close()
        self._searched = None

    def search(self, queries: Vectors, k: int, where: Filter | None = None) -> list[list[Hit]]:
        """Return the best documents of each query, as of one moment."""
        with self._data.snapshot():
            searched = self._refreshed()
            allowed = None if not where else self._matching(where)
        return searched.search(queries, k, allowed)

    def _matching(self, where: Filter) -> set[str]:
        """Return the ids of the documents that have a value in each field; texts of a filter are values to SQLite."""
        require_filter(where)
        # To SQLite a text in JSON ends at NUL: it cannot look for one, and takes what stands before it for the whole.
        asked = {field: value for field, value in where.items() if "\0" not in f"{field}{value}"}
        has_value = "EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ? AND value = ?)"
        condition = " AND ".join([has_value] * len(asked)) or "1"
        rows = self._data.stream(
            f"SELECT doc_id, metadata FROM entries WHERE {condition}",  # noqa: S608 - marks
            [part for pair in asked.items() for part in pair],
        )
        return {row["doc_id"] for row in rows if has_all(json.loads(row["metadata"]), where)}

    def _refreshed(self) -> _Searched:
        """Return the index in memory with all changes in it."""
        known = self._searched
        if known is None or known.dead_share > MOST_DEAD:
            known = _Searched(self._info.identity.dimensions, self._info.settings.index)
        change = self._change()
        if known.change < change:
            for row in self._data.stream("SELECT doc_id FROM deleted WHERE change > ?", [known.change]):
                known.remove(row["doc_id"])
            entries = self._data.stream("SELECT * FROM entries WHERE change > ? ORDER BY doc_id", [known.change])
            known.add(self._unchanged(row) for row in entries)
            known.change = change
        self._searched = known
        return known

    def _unchanged(self, row: sqlite3.Row) -> Entry:
        """Return an entry that is searched from now on: a damaged one would answer wrongly without a word."""
        entry = self._entry(row)
        entry.require_unchanged(self.address)
        return entry

    def _entry(self, row: sqlite3.Row) -> Entry:
        shape = (row["passages"], self._info.identity.dimensions)
        if len(row["vectors"]) != 4 * shape[0] * shape[1]:
            raise IntegrityError(
                f"{self.address}: document {row['doc_id']!r} has {len(row['vectors'])} bytes of vectors, "
                f"expected {shape[0]} of {shape[1]} numbers; {MEND}"
            )
        vectors = np.frombuffer(row["vectors"], dtype="<f4").reshape(shape)
        return Entry(self._document(row), vectors, row["space"], row["checksum"])

    def _document(self, row: sqlite3.Row) -> Document:
        try:
            metadata = dict(json.loads(row["metadata"]))
        except (ValueError, TypeError) as error:
            raise IntegrityError(
                f"{self.address}: metadata of {row['doc_id']!r} are damaged ({error}); {MEND}"
            ) from None
        return Document(row["doc_id"], row["title"], row["text"], metadata)


def _row(entry: Entry, change: int) -> list[Any]:
    document = entry.document
    metadata = json.dumps(dict(document.metadata), ensure_ascii=False, sort_keys=True)
    vectors = np.ascontiguousarray(entry.vectors, dtype="<f4")
    texts = [document.doc_id, change, document.title, document.text, metadata]
    return [*texts, entry.space, len(vectors), vectors.tobytes(), entry.checksum]


class _Searched:
    """A FAISS index over the entries of a collection, in memory; what is replaced or deleted is passed over."""

    ADDED_AT_ONCE = 4096

    def __init__(self, dimensions: int, kind: str) -> None:
        self.change = 0
        self._kind = kind
        self._faiss = empty_index(dimensions, kind)
        self._owners: list[str] = []
        self._rows: dict[str, range] = {}
        # By vector, 1 where it stands for a document and 0 where that was replaced or deleted.
        self._alive = bytearray()
        self._dead = 0

    @property
    def dead_share(self) -> float:
        """Share of the vectors that stand for nothing any more."""
        return self._dead / max(len(self._owners), 1)

    def remove(self, doc_id: str) -> None:
        """Pass a document over from now on."""
        rows = self._rows.pop(doc_id, range(0))
        self._dead += len(rows)
        for row in rows:
            self._alive[row] = 0

    def add(self, entries: Iterator[Entry]) -> None:
        """Add entries, each in the place of what its id had before."""
        waiting: list[Vectors] = []
        for entry in entries:
            doc_id = entry.document.doc_id
            self.remove(doc_id)
            first, count = len(self._owners), len(entry.vectors)
            self._rows[doc_id] = range(first, first + count)
            self._owners += [doc_id] * count
            self._alive += b"\x01" * count
            waiting.append(entry.vectors)
            if len(waiting) == self.ADDED_AT_ONCE:
                self._faiss.add(np.concatenate(waiting))
                waiting = []
        if waiting:
            self._faiss.add(np.concatenate(waiting))

    def search(self, queries: Vectors, k: int, allowed: set[str] | None) -> list[list[Hit]]:
        """Return the best documents of each query among those allowed; None: all."""
        mask = np.frombuffer(bytes(self._alive), dtype=np.uint8)
        documents = len(self._rows)
        if allowed is not None:
            mask, documents = self._only(allowed)
        vectors = int(mask.sum())
        wanted = min(k, documents)
        if not len(queries) or wanted < 1:
            return [[] for _ in range(len(queries))]
        selected = None if vectors == len(self._owners) else _selector(mask)
        # A document may hold several of the places, and others may share the score of the last one: look deeper until
        # enough documents are found.
        depth = min((wanted if vectors == documents else 4 * wanted) + 1, vectors)
        while True:
            found, last = self._best(queries, depth, selected)
            if depth == vectors or all(map(is_settled, found, repeat(wanted), last)):
                return [best_first(scores, k) for scores in found]
            depth = min(2 * depth, vectors)

    def _only(self, allowed: set[str]) -> tuple[NDArray[np.uint8], int]:
        """Return which vectors may be found, and of how many documents they are."""
        mask = np.zeros(len(self._owners), dtype=np.uint8)
        known = allowed & self._rows.keys()
        for doc_id in known:
            rows = self._rows[doc_id]
            mask[rows.start : rows.stop] = 1
        return mask, len(known)

    def _best(self, queries: Vectors, depth: int, selected: Any) -> tuple[list[dict[str, float]], list[float]]:
        """Return the best score of each document among the first ``depth`` vectors of each query, and their last."""
        parameters = search_parameters(self._kind, selected, depth)
        scores, positions = self._faiss.search(np.ascontiguousarray(queries, np.float32), depth, params=parameters)
        found = []
        for line, at in zip(scores.tolist(), positions.tolist(), strict=True):
            best: dict[str, float] = {}
            for score, position in zip(line, at, strict=True):
                if position >= 0:
                    best.setdefault(self._owners[position], score)
            found.append(best)
        return found, scores[:, -1].tolist()


def _selector(mask: NDArray[np.uint8]) -> Any:
    import faiss

    return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))  # type: ignore[call-arg, arg-type]
