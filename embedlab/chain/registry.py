"""The registry: every opening of a sealed test on one chain of lines, outside the run folders.

A run folder can be copied, renamed or made anew with another seed, and its own ledger goes with it; this file stays.
Each line carries the hash of the line before it, so a line that was edited, taken out or moved is noticed. Nobody is
kept from writing a new file with hashes that fit: it makes omission visible, it does not stop forgery.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedlab.chain.artifacts.base import parse
from embedlab.chain.artifacts.evaluate import Opening
from embedlab.chain.contract import Contract
from embedlab.chain.lab import Lab
from embedlab.chain.paths import registry_path
from embedlab.chain.store import plain
from embedlab.errors import EmbedlabError, IntegrityError, shown
from embedlab.files import loads, sha256_json, sync_folder
from embedlab.locks import file_lock

FIRST = "0" * 64
"""What the first line carries in place of the hash of a line before it."""

OWN = ("when", "run", "seed", "contract", "terms", "hash")
"""What a line holds beside the opening, and beside ``before``, the hash of the line before it."""


@dataclass(frozen=True)
class Entry:
    """One line: an opening, by whom, when, and under which contract.

    Attributes:
        number: of the line, from 1.
        when: local time with its offset.
        run: name of the run.
        seed: of the run.
        contract: hash of its contract.
        terms: fields of the contract.
        opening: what was scored, on what, with what result.
        hash: of all the above and of the line before.
    """

    number: int
    when: str
    run: str
    seed: int
    contract: str
    terms: Mapping[str, Any]
    opening: Opening
    hash: str


def register(lab: Lab, opening: Opening) -> Entry:
    """Write an opening into the registry and return its line; one that stands there already adds none.

    Raises:
        IntegrityError: if the registry was edited or reordered.
        EmbedlabError: if it cannot be written.
    """
    contract = lab.contract
    return append(registry_path(), lab.store.folder.name, lab.settings.seed, contract, opening)


def append(path: Path, run: str, seed: int, contract: Contract, opening: Opening) -> Entry:
    """Add a line unless the same run has written one that says the same; raises as :func:`register` does."""
    terms = asdict(contract)
    content = plain({"run": run, "seed": seed, "contract": contract.hash, "terms": terms, **opening.as_dict()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(_lock_of(path)):
            entries = _entries(path.read_bytes() if path.is_file() else b"", path)
            for entry in entries:
                if (entry.run, entry.seed, entry.contract, entry.opening) == (run, seed, contract.hash, opening):
                    return entry
            before = entries[-1].hash if entries else FIRST
            line = {"when": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **content, "before": before}
            line["hash"] = sha256_json(line)
            _add(path, json.dumps(line, ensure_ascii=False) + "\n")
            return _entry(line, len(entries) + 1, path)
    except OSError as error:
        raise EmbedlabError(
            f"cannot write to the registry {path}: {error.strerror or error}; the opening is not registered; "
            "change its rights, or name another file in EMBEDLAB_REGISTRY"
        ) from error


def read(path: Path) -> list[Entry]:
    """Return every line, oldest first; none where there is no file.

    Raises:
        IntegrityError: if a line is damaged, was edited, or does not follow the one before it; names the line.
    """
    found = _content(path)
    if found and not found.endswith(b"\n"):
        # Another process may be in the middle of its line: it holds the lock until the line is whole.
        with file_lock(_lock_of(path)):
            found = _content(path)
    return _entries(found, path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise IntegrityError(
            f"the registry of openings, {path}, cannot be read: {error.strerror or error}; change its rights, or name "
            "the right one in EMBEDLAB_REGISTRY"
        ) from None


def _entries(text: bytes, path: Path) -> list[Entry]:
    """Return the lines of a registry's text, each checked by itself and against the one before it."""
    entries: list[Entry] = []
    before = FIRST
    for number, written in enumerate(text.splitlines(keepends=True), start=1):
        line = _parsed(written, number, path)
        digest = sha256_json({name: value for name, value in line.items() if name != "hash"})
        if digest != line["hash"]:
            raise _broken(path, number, f"it was edited: its hash is {digest[:12]}, written {line['hash']!s:.12}")
        if line["before"] != before:
            raise _broken(path, number, "it does not follow the line before it: lines were removed, added or reordered")
        entries.append(_entry(line, number, path))
        before = line["hash"]
    return entries


def _parsed(text: bytes, number: int, path: Path) -> dict[str, Any]:
    if not text.endswith(b"\n"):
        raise _broken(path, number, "it is cut off, as by a power cut; without it, step 15 registers its opening again")
    try:
        line = loads(text)
    except (ValueError, RecursionError) as error:
        raise _broken(path, number, f"it is not readable: {shown(error)}") from None
    if not isinstance(line, dict) or not {"before", *OWN} <= set(line):
        raise _broken(path, number, "it is no line of a registry")
    return line


def _entry(line: Mapping[str, Any], number: int, path: Path) -> Entry:
    kinds = {"when": str, "run": str, "seed": int, "contract": str, "terms": dict, "hash": str}
    for name, kind in kinds.items():
        if not isinstance(line[name], kind):
            raise _broken(path, number, f"its {name} is {shown(line[name])}")
    opening = parse(Opening, line, f"{path}, line {number}")
    return Entry(number=number, opening=opening, **{name: line[name] for name in OWN})


def _broken(path: Path, number: int, what: str) -> IntegrityError:
    return IntegrityError(
        f"the registry of openings, {path}, is broken in line {number}: {what}; put a copy of the whole file back, "
        "or name the right one in EMBEDLAB_REGISTRY"
    )


def _add(path: Path, line: str) -> None:
    """Append a line and make sure that it is on the disk."""
    with path.open("ab") as stream:
        stream.write(line.encode())
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(path.parent)


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")
