"""Locks of the operating system's own: whoever dies lets go of them."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from embedlab.errors import EmbedlabError, LockedError


def file_lock(path: Path) -> FileLock:
    """Return a lock of the operating system's own; any thread may release it, and its file stays.

    Kept files also rule out a lock that merely exists as a file, which would outlive its holder.
    """
    return FileLock(path, thread_local=False, poll_interval=0.01, preserve_lock_file=True)


def is_held(path: Path) -> bool:
    """Return whether some process holds the lock of this file."""
    if not path.exists():
        return False
    try:
        with file_lock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True


def this_process() -> dict[str, Any]:
    """Return what a holder writes about itself into the file of its lock."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def written_owner(path: Path) -> dict[str, Any]:
    """Return what the holder wrote about itself, nothing where that is damaged: the lock is what holds."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def owner_in_words(path: Path) -> str:
    """Return who holds the lock of a file, such as ``process 12 on a host since 2026-01-01 10:00:00``."""
    owner = written_owner(path)
    if not {"pid", "host", "since"} <= set(owner):
        return "another process"
    return f"process {owner['pid']} on {owner['host']} since {owner['since']}"


def take(path: Path, what: str, **more: str) -> FileLock:
    """Return the lock of a file, held, with this process named in it.

    Args:
        path: the lock's file.
        what: what it protects, for the message.
        more: what the holder writes into the file beside what :func:`this_process` says.

    Raises:
        LockedError: names the process that holds it.
        EmbedlabError: if the file cannot be written.
    """
    held = file_lock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(blocking=False)
        path.write_text(json.dumps(this_process() | more))
    except Timeout:
        raise LockedError(f"{what} is being written by {owner_in_words(path)}; wait for it or stop it") from None
    except OSError as error:
        held.release()
        raise EmbedlabError(f"cannot write to {path.parent}: {error.strerror or error}") from error
    return held
