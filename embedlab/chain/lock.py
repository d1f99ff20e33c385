"""One writer a run folder: a lock that names its owner and dies with it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from embedlab.errors import EmbedlabError, LockedError
from embedlab.locks import file_lock, is_held, owner_in_words, take, written_owner

TOKEN = "EMBEDLAB_LOCK_TOKEN"  # noqa: S105 - an environment variable's name
"""Set by a runner for its kernels: what they write counts only while that runner holds the lock."""


class RunLock:
    """The lock of one run folder.

    The operating system releases it when its holder dies, however it dies. ``.lock`` is held
    for a whole run; ``.publish`` for the moment of one change, so that a new holder and an old
    kernel can never write at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: FileLock | None = None

    def acquire(self) -> str:
        """Take the lock for a whole run and return its token.

        Raises:
            LockedError: names the process that holds it.
            EmbedlabError: if the folder cannot be written.
        """
        token = secrets.token_hex(8)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._publishing():
                self._held = take(self.folder / ".lock", str(self.folder), token=token)
        except OSError as error:
            raise EmbedlabError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        return token

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._held is not None:
            self._held.release()
            self._held = None

    def owner(self) -> str:
        """Return the holder in words."""
        return owner_in_words(self.folder / ".lock")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Allow one change of the run folder, if this process has the right to it.

        The holder may, and kernels with the holder's token; a process without a token may
        while nobody holds the lock.

        Raises:
            LockedError: if somebody else holds the lock, or this kernel's runner is gone.
        """
        with self._publishing():
            if self._held is None:
                self._check_right()
            yield

    def _check_right(self) -> None:
        token = os.environ.get(TOKEN)
        path = self.folder / ".lock"
        held = is_held(path)
        current = written_owner(path).get("token") if held else None
        if token is None and not held:
            return
        if token is None or (held and token != current):
            raise LockedError(f"{self.folder} is being written by {self.owner()}; wait for it or stop it")
        if not held:
            raise LockedError(f"the run that started this kernel is gone; nothing was written to {self.folder}")

    def _publishing(self) -> FileLock:
        return file_lock(self.folder / ".publish")
