"""A service's state file: what answers, what is being re-indexed, and every write on its way to an index.

Read without pandas, torch or faiss.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedlab.errors import EmbedlabError, IntegrityError, MissingInputError
from embedlab.locks import take
from embedlab.rollout.stores.addresses import whole_address
from embedlab.rollout.stores.database import Database, seal

SCHEMA = """
CREATE TABLE releases (key TEXT PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE history (key INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE job (key INTEGER PRIMARY KEY CHECK (key = 1), body TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE batches (key INTEGER PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE writes (
  key INTEGER PRIMARY KEY AUTOINCREMENT, doc_id TEXT NOT NULL, body TEXT NOT NULL, seal TEXT NOT NULL);
CREATE INDEX writes_by_document ON writes (doc_id, key);
CREATE TABLE cursors (key TEXT PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL);
"""

TABLES = ("releases", "history", "job", "batches", "writes", "cursors")

SERVICE = "service.db"
"""The usual name of a state file."""

BACKUP = ".backup"
"""Suffix of the copy that is made before and after every step of a roll-out."""


class State:
    """The rows of a state file; each is JSON under a key, with a checksum that covers both.

    Args:
        path: the file.
        create: make it where it is missing.
        frozen: nobody writes to it any more, see :class:`~embedlab.rollout.stores.database.Database`.

    Raises:
        MissingInputError: if it is missing and not to be made.
        IntegrityError: if anything in it is not what was written.
    """

    def __init__(self, path: str | Path, create: bool = False, frozen: bool = False) -> None:
        path = Path(path)
        if not create and not path.is_file():
            raise MissingInputError(f"{path}: there is no such state file; make one with 'embedlab reindex plan'")
        copy = path.with_name(path.name + BACKUP)
        mend = f"put its copy back: cp {copy} {path}" if copy.exists() else "put a copy of it back"
        self.path = path.absolute()
        self._mend = mend
        self.db = Database(self.path, SCHEMA if create else "", mend, frozen)
        try:
            self.require_sound()
        except EmbedlabError:
            # Else its copy could not be put back while this process lives.
            self.db.close()
            raise

    def require_sound(self) -> None:
        """Check every page and every row; raises an IntegrityError that names what is damaged."""
        self.db.require_sound()
        for table in TABLES:
            for row in self.db.stream(f"SELECT * FROM {table}"):  # noqa: S608 - a name of ours
                self.content(table, row)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    # --- rows -------------------------------------------------------------------------------

    def get(self, table: str, key: str | int) -> dict[str, Any] | None:
        """Return a row's content, None where there is none."""
        row = self.db.row(f"SELECT * FROM {table} WHERE key = ?", [key])  # noqa: S608 - a name of ours
        return None if row is None else self.content(table, row)

    def all(self, table: str) -> dict[Any, dict[str, Any]]:
        """Return the content of all rows by their key, in the order of the keys."""
        rows = self.db.rows(f"SELECT * FROM {table} ORDER BY key")  # noqa: S608 - a name of ours
        return {row["key"]: self.content(table, row) for row in rows}

    def put(self, table: str, key: str | int, body: dict[str, Any]) -> None:
        """Write a row, in a transaction."""
        text = json.dumps(body, ensure_ascii=False, sort_keys=True)
        statement = f"INSERT OR REPLACE INTO {table} (key, body, seal) VALUES (?, ?, ?)"  # noqa: S608 - a name of ours
        self.db.write(statement, [key, text, seal(table, key, text)])

    def append(self, table: str, body: dict[str, Any], **columns: str) -> int:
        """Write a row under the next number, in a transaction; return the number."""
        text = json.dumps(body, ensure_ascii=False, sort_keys=True)
        names = "".join(f"{name}, " for name in columns)
        marks = "?, " * len(columns)
        # The seal covers the number, which is known only after the insertion.
        statement = f"INSERT INTO {table} ({names}body, seal) VALUES ({marks}?, '')"  # noqa: S608 - names of ours
        key = self.db.write(statement, [*columns.values(), text])
        self.db.write(f"UPDATE {table} SET seal = ? WHERE key = ?", [seal(table, key, text), key])  # noqa: S608
        return key

    def content(self, table: str, row: sqlite3.Row) -> dict[str, Any]:
        """Return what a row holds, after checking it against its seal."""
        try:
            is_whole = row["seal"] == seal(table, row["key"], row["body"])
            content = dict(json.loads(row["body"])) if is_whole else {}
        except (ValueError, TypeError) as error:
            raise IntegrityError(
                f"{self.path}: row {row['key']!r} of {table} is damaged: {error}; {self._mend}"
            ) from None
        if not is_whole:
            raise IntegrityError(f"{self.path}: row {row['key']!r} of {table} was changed; {self._mend}")
        return content

    # --- around them ------------------------------------------------------------------------

    def address(self, stored: str) -> str:
        """Return a whole address: one below the state file's folder is stored from there on."""
        return whole_address(stored, self.path.parent)

    def stored_address(self, address: str) -> str:
        """Return an address as it is stored: from the state file's folder on where it lies below it."""
        whole = whole_address(address)
        below = f"{self.path.parent.resolve()}{os.sep}"
        return whole.removeprefix(below)

    def backup(self) -> None:
        """Copy the file beside itself, as of this moment."""
        self.db.copy_to(self.path.with_name(self.path.name + BACKUP))

    @contextlib.contextmanager
    def operating(self) -> Iterator[None]:
        """Let one operator alone change what is being re-indexed; raises a LockedError that names the other one."""
        held = take(self.path.with_name(self.path.name + ".lock"), str(self.path))
        try:
            yield
        finally:
            held.release()


def operator() -> str:
    """Return who runs this: user, host and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {os.getpid()})"
