"""One writer a run folder: a lock that names its owner and dies with it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from embedlab.errors import EmbedlabError, LockedError

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
        host, started = socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S")
        owner = {"pid": os.getpid(), "host": host, "since": started, "token": token}
        held = file_lock(self.folder / ".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._publishing():
                held.acquire(blocking=False)
                (self.folder / ".lock").write_text(json.dumps(owner))
        except Timeout:
            raise LockedError(f"{self.folder} is being written by {self.owner()}; wait for it or stop it") from None
        except OSError as error:
            held.release()
            raise EmbedlabError(f"cannot write to {self.folder}: {error.strerror or error}") from error
        self._held = held
        return token

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._held is not None:
            self._held.release()
            self._held = None

    def owner(self) -> str:
        """Return the holder in words."""
        owner = self._written()
        if not {"pid", "host", "since"} <= set(owner):
            return "another process"
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"

    def _written(self) -> dict[str, Any]:
        """Return what the holder wrote about itself, nothing where that is damaged: the lock is what holds."""
        try:
            found = json.loads((self.folder / ".lock").read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

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
        held = _is_held(path)
        current = self._written().get("token") if held else None
        if token is None and not held:
            return
        if token is None or (held and token != current):
            raise LockedError(f"{self.folder} is being written by {self.owner()}; wait for it or stop it")
        if not held:
            raise LockedError(f"the run that started this kernel is gone; nothing was written to {self.folder}")

    def _publishing(self) -> FileLock:
        return file_lock(self.folder / ".publish")


def file_lock(path: Path) -> FileLock:
    """Return a lock of the operating system's own; any thread may release it, and its file stays.

    Kept files also rule out a lock that merely exists as a file, which would outlive its holder.
    """
    return FileLock(path, thread_local=False, poll_interval=0.01, preserve_lock_file=True)


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with file_lock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True
