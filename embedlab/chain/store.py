"""The run folder: artifacts written atomically and read back by their recorded hash."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from embedlab.chain.artifacts.base import Kind, parse
from embedlab.chain.lock import RunLock
from embedlab.chain.steps import Step, get_step
from embedlab.errors import EmbedlabError, IntegrityError, MissingInputError, shown
from embedlab.files import (
    parse_json,
    read_json,
    read_text,
    replace_file,
    replace_folder,
    sha256_file,
    why_no_file,
)

FINISHED = ("done", "skipped")

TIME = "%Y-%m-%dT%H:%M:%S%z"
"""How manifest and ledger write a time: to the second."""

PARTS = ("params", "row", "package", "inputs", "files")
"""What a step is made of, beside its notebook's hash: each an object."""


class Store:
    """One run folder.

    ``manifest.json`` maps every step to its key and what that is made of, status, seconds, time of finish and
    outputs (path and sha256). It is replaced as a whole after each change of state.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = RunLock(folder)

    # --- manifest -------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """Return the manifest, an empty one where there is none yet; see :func:`read_manifest`."""
        return read_manifest(self.folder / "manifest.json")

    def entry(self, number: str) -> dict[str, Any]:
        """Return the manifest's entry of a step, empty where it never ran."""
        return dict(self.manifest()["steps"].get(number, {}))

    def update(self, number: str, **changes: Any) -> None:
        """Change a step's entry in the manifest."""
        with self.writing():
            manifest = self.manifest()
            entry = manifest["steps"].setdefault(number, {"key": None, "outputs": []})
            entry.update(changes)
            manifest["steps"] = dict(sorted(manifest["steps"].items()))
            self._replace("manifest.json", lambda path: path.write_text(json.dumps(manifest, indent=1)))

    def outputs(self, numbers: tuple[str, ...]) -> dict[str, str]:
        """Return path to sha256 of everything that these steps wrote, as recorded."""
        steps = self.manifest()["steps"]
        return {o["path"]: o["sha256"] for n in numbers for o in steps.get(n, {}).get("outputs", [])}

    def inputs(self, step: Step) -> dict[str, str]:
        """Return path to sha256 of what a step reads: outputs of others, and what people decided for it."""
        found = self.outputs(step.reads)
        if step.decisions and (self.folder / step.decisions).is_file():
            found[step.decisions] = sha256_file(self.folder / step.decisions)
        return found

    def finish(
        self, step: Step, key: str, made_of: Mapping[str, Any], seconds: float, outputs: Mapping[str, str]
    ) -> None:
        """Record a step as done; files it wrote before and no longer writes are removed."""
        stale = {o["path"] for o in self.entry(step.number).get("outputs", [])} - set(outputs)
        listed = [{"path": path, "sha256": digest} for path, digest in sorted(outputs.items())]
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.update(
            step.number,
            key=key,
            status="done",
            seconds=round(seconds, 2),
            finished_at=now,
            outputs=listed,
            made_of=dict(made_of),
        )
        for path in stale:
            # What somebody put in its place, such as a folder, is theirs.
            with contextlib.suppress(OSError):
                (self.folder / path).unlink(missing_ok=True)

    # --- files ----------------------------------------------------------------------------

    def write(self, path: str, value: Any) -> str:
        """Write a value under a path relative to the run folder and return its sha256.

        A DataFrame goes to ``.parquet``, text to any other suffix, bytes as they are, and
        anything else to ``.json``.
        """
        with self.writing():
            return self._replace(path, lambda target: _dump(value, target))

    @contextlib.contextmanager
    def folder_for(self, path: str, hashes: dict[str, str]) -> Iterator[Path]:
        """Yield an empty folder that takes the place of ``path`` when the block ends well.

        The sha256 of each of its files is added to ``hashes``.

        Raises:
            EmbedlabError: if the disk is full or the folder cannot be written; the old one stays.
        """
        target = self.folder / path
        try:
            with replace_folder(target, swapping=self.writing()) as temporary:
                yield temporary
        except OSError as error:
            raise EmbedlabError(f"cannot write {target}: {error.strerror or error}; nothing was changed") from error
        for file in sorted(p for p in target.rglob("*") if p.is_file()):
            hashes[str(file.relative_to(self.folder))] = sha256_file(file)

    def read(self, step: str, name: str) -> Any:
        """Return an artifact of a finished step, after checking its hash.

        Raises:
            MissingInputError: if the step has not finished; names the command that runs it.
            IntegrityError: if the file is gone or is not the one recorded.
        """
        return _load(self.path(step, name), self._again(get_step(step).number))

    def artifact(self, kind: type[Kind]) -> Kind:
        """Return a JSON artifact as what it is; raises as :meth:`read` does, and where a field is missing."""
        return parse(kind, self.read(kind.step, kind.file), f"{self.folder.name}: {self.place(kind.step, kind.file)}")

    def unwritten(self, step: Step) -> list[str]:
        """Return the files that a finished step's row lists and the step did not write."""
        recorded = {output["path"] for output in self.entry(step.number).get("outputs", [])}
        return [name for name in step.writes if self.place(step.number, name) not in recorded]

    @staticmethod
    def place(step: str, name: str) -> str:
        """Return an artifact's path inside the run folder."""
        return f"artifacts/{get_step(step).name}/{name}"

    def path(self, step: str, name: str) -> Path:
        """Return the checked path of an artifact; raises as :meth:`read` does."""
        found = get_step(step)
        relative = name if "/" in name else self.place(step, name)
        entry = self.entry(found.number)
        recorded = {o["path"]: o["sha256"] for o in entry.get("outputs", [])}
        if entry.get("status") not in FINISHED or relative not in recorded:
            raise MissingInputError(
                f"{self.folder.name}: {relative} does not exist yet (step {found.number} is "
                f"{entry.get('status', 'not run')}); run: embedlab run params/<your>.yaml "
                f"--set run={self.folder.name} --to {found.number}"
            )
        self.check(relative, recorded[relative], found.number)
        return self.folder / relative

    def check(self, relative: str, digest: str, number: str) -> None:
        """Raise an IntegrityError unless the file has this sha256."""
        path = self.folder / relative
        try:
            found = sha256_file(path) if path.is_file() else _instead_of_a_file(path)
        except OSError as error:
            found = f"a file that cannot be read ({error.strerror or error})"
        if found != digest:
            is_hash = len(found) == len(digest) and " " not in found
            raise IntegrityError(
                f"{path} is not what step {number} wrote: found {found[:12] if is_hash else found}, "
                f"recorded {digest[:12]}; {self._again(number)}"
            )

    def check_outputs(self, step: Step) -> None:
        """Raise an IntegrityError unless every output of a step is the file that was recorded."""
        for output in self.entry(step.number).get("outputs", []):
            self.check(output["path"], output["sha256"], step.number)

    def _again(self, number: str) -> str:
        return f"run it again: embedlab run {self.folder / 'params.yaml'} --only {number} --force"

    def _replace(self, path: str, dump: Callable[[Path], Any]) -> str:
        """Write a file as a whole; return its sha256."""
        target = self.folder / path
        try:
            return replace_file(target, dump)
        except OSError as error:
            raise EmbedlabError(f"cannot write {target}: {error.strerror or error}; nothing was changed") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Allow one change (see :meth:`RunLock.writing`); an unwritable folder is a clear error."""
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(self.lock.writing())
            except OSError as error:
                raise EmbedlabError(f"cannot write to {self.folder}: {error.strerror or error}") from error
            yield


def _dump(value: Any, target: Path) -> None:
    if hasattr(value, "to_parquet"):
        value.to_parquet(target, index=False, compression="zstd")
    elif isinstance(value, bytes):
        target.write_bytes(value)
    elif isinstance(value, str):
        target.write_text(value, encoding="utf-8")
    else:
        text = json.dumps(value, indent=1, ensure_ascii=False, default=_listed, allow_nan=False)
        target.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """Return a value as JSON would give it back: numpy's numbers as Python's, tuples as lists."""
    return json.loads(json.dumps(value, default=_listed, allow_nan=False))


def _listed(value: Any) -> Any:
    """Return numpy scalars and arrays as plain Python for JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"not JSON: {type(value).__name__}")


# --- the manifest, checked before anything rests on it: anyone can edit a file --------------------


def read_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest; an empty one where there is none yet.

    Raises:
        IntegrityError: if it cannot be read, or is no manifest; names the place and what to do.
    """
    again = f"embedlab run {path.parent / 'params.yaml'}"
    mend = f"put a copy of it back, or delete it and let every step run anew: {again}"
    if why_no_file(path) == "there is no such file":
        return {"steps": {}}
    text = read_text(path, IntegrityError, mend)
    found = parse_json(text, path, dict, IntegrityError, mend)
    fault = _fault_in(text)
    if fault:
        raise IntegrityError(f"{path}: {fault}; {mend}")
    return found


@lru_cache(maxsize=4)
def _fault_in(text: str) -> str:
    """Return what is wrong with a manifest that is an object, or nothing; it is read hundreds of times in a run."""
    steps = json.loads(text).get("steps")
    if not isinstance(steps, dict):
        return "'steps' is missing or no object: this is no manifest of embedlab's"
    for number, entry in steps.items():
        fault = "it is no object" if not isinstance(entry, dict) else _fault(entry)
        if fault:
            return f"step {shown(number)}: {fault}"
    return ""


def _fault(entry: Mapping[str, Any]) -> str:
    """Return what is wrong with the entry of a step, or nothing."""
    kinds: dict[str, tuple[type, ...]] = {
        "key": (str, type(None)),
        "status": (str,),
        "seconds": (int, float),
        "outputs": (list,),
        "made_of": (dict,),
        "finished_at": (str,),
    }
    for name, kind in kinds.items():
        if name in entry and not isinstance(entry[name], kind):
            return f"{name} is {shown(entry[name])}"
    if entry.get("status") in FINISHED and "outputs" not in entry:
        return "it is finished, but lists no outputs"
    for output in entry.get("outputs", []):
        if not _is_output(output):
            return f"an output is {shown(output)}, expected 'path' inside the run folder and 'sha256'"
    for part in PARTS:
        if not isinstance(entry.get("made_of", {}).get(part, {}), dict):
            return f"{part} of what it is made of is no object"
    return _fault_of_time(entry)


def _is_output(output: Any) -> bool:
    """Whether this names a file inside the run folder: a step removes what it wrote before and no longer writes."""
    if not isinstance(output, dict) or not all(isinstance(output.get(name), str) for name in ("path", "sha256")):
        return False
    path = PurePosixPath(output["path"])
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in output["path"]


def _fault_of_time(entry: Mapping[str, Any]) -> str:
    if "finished_at" in entry:
        try:
            datetime.strptime(entry["finished_at"], TIME)
        except ValueError:
            return f"finished_at is {shown(entry['finished_at'])}, no time"
    return ""


# --- artifacts ------------------------------------------------------------------------------------


def _instead_of_a_file(path: Path) -> str:
    """Return in words what stands where a file should be."""
    if path.is_dir():
        return "a folder"
    return "a link that leads nowhere" if path.is_symlink() else "no file"


def _load(path: Path, mend: str) -> Any:
    """Return what a file holds; one whose hash somebody wrote into the manifest may hold anything."""
    if path.suffix == ".parquet":
        import pandas as pd

        return pd.read_parquet(path)
    if path.suffix == ".json":
        return read_json(path, object, IntegrityError, mend)
    return read_text(path, IntegrityError, mend)
