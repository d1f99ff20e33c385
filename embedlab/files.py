"""Hashes of files and values, and files and folders that are replaced as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from embedlab.errors import DataError, EmbedlabError, shown

Kind = TypeVar("Kind")

POINTER = b"version https://git-lfs"
"""How a file begins that git-lfs left in place of the real one."""


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Return the sha256 of a value's canonical JSON, in hex."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_json(path: Path, kind: type[Kind], fault: type[EmbedlabError], mend: str) -> Kind:
    """Return what a JSON file holds.

    Args:
        path: the file.
        kind: what it must hold: ``dict``, ``list``, or ``object`` for anything.
        fault: the error to raise.
        mend: what the user should do about a damaged file.

    Raises:
        fault: if it cannot be read, is no JSON, or holds something else; names file, cause and ``mend``.
    """
    return parse_json(read_text(path, fault, mend), path, kind, fault, mend)


def parse_json(text: str, path: Path, kind: type[Kind], fault: type[EmbedlabError], mend: str) -> Kind:
    """Return what the text of a JSON file holds; as :func:`read_json`."""
    try:
        content = loads(text)
    except (ValueError, RecursionError) as error:  # too many brackets are a RecursionError
        raise fault(f"{_place(path)}: not readable as JSON: {shown(error)}; {mend}") from None
    if not isinstance(content, kind):
        raise fault(
            f"{_place(path)}: expected {JSON_NAMES[kind]}, found {JSON_NAMES.get(type(content), 'a number')}; {mend}"
        )
    return content


JSON_NAMES: dict[type, str] = {
    dict: "an object {…}",
    list: "a list […]",
    str: "a text",
    bool: "true or false",
    type(None): "null",
}


def loads(text: str | bytes) -> Any:
    """Return what JSON says; half a surrogate pair, which no file and no hash can hold, is a ValueError too."""
    content = json.loads(text)
    written = text if isinstance(text, str) else text.decode()
    if "\\u" in written:
        json.dumps(content, ensure_ascii=False).encode()
    return content


def read_text(path: Path, fault: type[EmbedlabError], mend: str) -> str:
    """Return the text of a UTF-8 file; arguments and errors as for :func:`read_json`."""
    why = why_no_file(path)
    if why:
        raise fault(f"{_place(path)}: cannot be read: {why}; {mend}")
    try:
        content = path.read_bytes()
        if content.startswith(POINTER):
            raise fault(
                f"{path}: it is a pointer of git-lfs and not the file itself: run 'git lfs pull' where it is from"
            )
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise fault(f"{_place(path)}: cannot be read: {shown(error)}; {mend}") from None


def _place(path: Path) -> str:
    """Return a path as a message names it: whole, but for one that no system would take."""
    return shown(path, 4096)


def why_no_file(path: Path) -> str:
    """Return why a path is no regular file, or nothing where it is one; a pipe would be waited for forever."""
    try:
        if path.is_file():
            return ""
        if path.is_dir():
            return "a folder stands where a file should be"
        return "it is no regular file" if os.path.lexists(path) else "there is no such file"
    except (OSError, ValueError) as error:  # a name that is too long, or has a NUL in it
        return f"no file can have this name: {shown(error)}"


def content_hash(path: Path) -> str | None:
    """Return one hash of a file, or of all files below a folder with their names; None where there is neither.

    Raises:
        DataError: if one of them cannot be read, or went away meanwhile; names it.
    """
    try:
        if path.is_file():
            return sha256_file(path)
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
        return sha256_json({str(file.relative_to(path)): sha256_file(file) for file in files}) if files else None
    except (OSError, ValueError) as error:  # a name that is no UTF-8 has no place in JSON
        raise DataError(
            f"{shown(path)}: what it holds counts, and cannot be read as a whole: {shown(error)}; give a folder that "
            "holds the data alone, with files that may be read"
        ) from None


def replace_file(target: Path, content: str | bytes | Callable[[Path], object]) -> str:
    """Write a file as a whole: who reads it sees the old one or the new one, even after a power cut.

    Args:
        target: the file; its folder is made where it is missing.
        content: text (stored as UTF-8), bytes, or a function that writes the file under the path it is given.

    Returns:
        the sha256 of the new file, in hex.

    Raises:
        OSError: if it cannot be written; the old file then stays as it was.
    """
    temporary = _beside(target, "tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            temporary.write_text(content, encoding="utf-8")
        elif isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            content(temporary)
        sync_file(temporary)
        digest = sha256_file(temporary)
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(target.parent)
    return digest


@contextlib.contextmanager
def replace_folder(target: Path, swapping: contextlib.AbstractContextManager[Any] | None = None) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``target`` when the block ends well; else it is removed.

    Args:
        target: the folder; its parents are made where they are missing.
        swapping: entered around the swap alone, such as a lock.

    Raises:
        OSError: if it cannot be written; the old folder then stays.
    """
    temporary, old = _beside(target, "tmp"), _beside(target, "old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                sync_file(path)
        with swapping or contextlib.nullcontext():
            # a folder with files in it cannot be renamed over: the old one steps aside first
            if os.path.lexists(target):
                target.rename(old)
            temporary.rename(target)
            sync_folder(target.parent)
        _remove(old)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a folder, or the link or file that stood where one should; what a link leads to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Make sure that a file's bytes are on the disk before anything refers to them."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make sure that a rename in a folder outlives a power cut, where the platform knows how."""
    # Windows opens no folder and some network disks sync none; the rename itself is done by then
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _beside(target: Path, suffix: str) -> Path:
    """Return a hidden name in the target's folder that no other process or thread uses."""
    return target.with_name(f".{target.name}.{os.getpid()}.{threading.get_native_id()}.{suffix}")
