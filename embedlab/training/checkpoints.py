"""Checkpoints of a training run: whole or not there, checked before they are read, refused where a run is another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedlab.errors import IntegrityError
from embedlab.files import read_json, replace_folder, sha256_file

SEAL = "embedlab.json"
"""File of a checkpoint that says what the run is made from, what it has seen, and the sha256 of every other file."""

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run.

    Attributes:
        folder: where they lie, one folder each.
        made_from: a hash of everything that the run is made from, by what it is.
    """

    folder: Path
    made_from: Mapping[str, str]

    def of(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.folder / f"checkpoint-{step:06d}"

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, the first one first."""
        return sorted(int(path.parent.name.rpartition("-")[2]) for path in self.folder.glob(f"checkpoint-*/{SEAL}"))

    def keep(self, step: int, written: Path, seen: Mapping[str, Any]) -> None:
        """Take over what was written of a step, as a whole.

        Args:
            step: its number.
            written: a folder on the same file system; it is emptied.
            seen: what the run has seen so far, for JSON.

        Raises:
            OSError: if it cannot be written; the checkpoints before it stay.
        """
        files = sorted(file for file in written.iterdir() if file.is_file())
        with replace_folder(self.of(step)) as folder:
            hashes = {file.name: sha256_file(file) for file in files}
            for file in files:
                file.rename(folder / file.name)
            seal = {"made_from": dict(self.made_from), "files": hashes, "seen": dict(seen)}
            (folder / SEAL).write_text(json.dumps(seal))

    def read(self, step: int) -> dict[str, Any]:
        """Check a step's checkpoint and return what the run had seen by then.

        Raises:
            IntegrityError: if a file is not the one that was written, or the checkpoint is of a run that was made from
                something else; names what differs with both hashes.
        """
        folder = self.of(step)
        mend = f"delete {self.folder} to train from the start"
        seal = read_json(folder / SEAL, dict, IntegrityError, mend)
        for name, was in seal["made_from"].items():
            now = self.made_from.get(name, "none")
            if now != was:
                raise IntegrityError(
                    f"{folder}: made from other {name}: sha256 {was} then, {now} now; {mend}, or give a new folder"
                )
        for name, expected in seal["files"].items():
            found = sha256_file(folder / name) if (folder / name).is_file() else "no such file"
            if found != expected:
                raise IntegrityError(f"{folder / name}: sha256 {found}, expected {expected}; {mend}")
        seen: dict[str, Any] = seal["seen"]
        return seen

    def weights(self, step: int) -> Path:
        """Return the file of a step's weights, checked as by :meth:`read`."""
        self.read(step)
        return self.of(step) / WEIGHTS

    def prune(self, wanted: set[int]) -> None:
        """Delete the checkpoints of all other steps."""
        for step in set(self.steps()) - wanted:
            shutil.rmtree(self.of(step))
