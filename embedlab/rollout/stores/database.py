"""SQLite as this package uses it: write-ahead log, whole transactions, sealed rows, and errors that say what to do."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from embedlab.errors import EmbedlabError, IntegrityError, MissingInputError, StoreError
from embedlab.files import replace_file, sync_folder, why_no_file

BUSY_SECONDS = 60
"""How long a writer waits for another process' transaction."""

CACHE_KIB = 8 * 1024
"""Pages that a connection keeps in memory, whatever the size of the file."""


class Database:
    """One SQLite file, opened for reading and writing by any number of processes.

    Reads see the file as of one moment; writes happen in :meth:`transaction` alone, one at a time over all
    processes, and are on the disk when it ends. A connection that was opened before a fork, or is used by two
    threads, is refused by SQLite.

    Args:
        path: the file.
        schema: statements that make the tables of a new file; blank opens a file that must exist.
        mend: what the user should do about a damaged file.
        frozen: nobody changes it any more: it is read where it lies, also from a disk that cannot be written, and
            no file beside it comes and goes.

    Raises:
        MissingInputError: if there is no such file and no schema is given.
        IntegrityError: if it is no SQLite file, or SQLite finds it damaged.
    """

    def __init__(self, path: Path, schema: str = "", mend: str = "put a copy of it back", frozen: bool = False) -> None:
        self.path, self._mend = path, mend
        is_new = not path.exists()
        if is_new and not schema:
            raise MissingInputError(f"{path}: {why_no_file(path)}")
        with self._faults():
            if frozen:
                self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
                self._connection.row_factory = sqlite3.Row
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            # With FULL a transaction outlives a power cut, not only the death of its process.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            if schema and not self._connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                # In one transaction, so that a reader never sees half of the tables.
                self._connection.executescript(f"BEGIN IMMEDIATE; {schema}; COMMIT")
        if is_new:
            sync_folder(path.parent)

    def require_sound(self) -> None:
        """Read the whole file; raises an IntegrityError where SQLite finds a page or an index damaged."""
        found = [row[0] for row in self.rows("PRAGMA integrity_check(1)")]
        if found != ["ok"]:
            raise IntegrityError(f"{self.path} is damaged: {found[0]}; {self._mend}")

    def rows(self, query: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._faults():
            return self._connection.execute(query, tuple(values)).fetchall()

    def row(self, query: str, values: Iterable[Any] = ()) -> sqlite3.Row | None:
        """Return the first row of a query, None where there is none."""
        with self._faults():
            found: sqlite3.Row | None = self._connection.execute(query, tuple(values)).fetchone()
            return found

    def stream(self, query: str, values: Iterable[Any] = ()) -> Iterator[sqlite3.Row]:
        """Yield the rows of a query one by one, so that none but the present one is in memory."""
        with self._faults():
            yield from self._connection.execute(query, tuple(values))

    def write(self, statement: str, values: Iterable[Any] = ()) -> int:
        """Change rows inside a transaction; return the number of the row that was inserted last."""
        assert self._connection.in_transaction, "changes are made in a transaction"
        with self._faults():
            return self._connection.execute(statement, tuple(values)).lastrowid or 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make a block's changes together or not at all; no other process writes meanwhile.

        Raises:
            StoreError: if the disk is full or the file cannot be written; nothing is changed then.
        """
        with self._faults():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._faults():
                self._connection.execute("COMMIT")
        finally:
            # Still open: the block or the commit failed, and nothing of it may stay.
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of a block see the file as of one moment."""
        with self._faults():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def copy_to(self, target: Path) -> None:
        """Write a copy as of this moment, as a whole."""
        with self._faults():
            replace_file(target, lambda path: self._connection.execute("VACUUM INTO ?", (str(path),)))

    def close(self) -> None:
        """Close the connection; the last one folds the write-ahead log into the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn SQLite's errors into ours: what is wrong with which file, and what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(error) from error
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from error

    def _named(self, error: sqlite3.Error) -> EmbedlabError:
        said = str(error)
        if "full" in said:
            return StoreError(f"{self.path}: the disk is full; nothing of this change was kept: free some space, go on")
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in said:
            return StoreError(f"{self.path}: {said}; nothing of this change was kept")
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
            return IntegrityError(f"{self.path} is damaged: {said}; {self._mend}")
        raise error


def seal(*values: Any) -> str:
    """Return a checksum of a row's values: what SQLite, which keeps none, would not notice is noticed by it."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
