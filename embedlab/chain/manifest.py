"""What stands in a run's ``manifest.json``, checked before anything rests on it: anyone can edit a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from embedlab.errors import IntegrityError, shown
from embedlab.files import parse_json, read_text, why_no_file

TIME = "%Y-%m-%dT%H:%M:%S%z"
"""How manifest and ledger write a time: to the second."""

PARTS = ("params", "row", "package", "inputs", "files")
"""What a step is made of, beside its notebook's hash: each an object."""


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
    if entry.get("status") in ("done", "skipped") and "outputs" not in entry:
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
