"""The sealed test: who may open it, the ledger of every opening, and how often dev was looked at."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from typing import Any

from embedlab.chain.steps import BY_NUMBER, LAST, STEPS, Step
from embedlab.chain.store import TIME, Store
from embedlab.errors import IntegrityError, SealedTestError, shown
from embedlab.files import loads, read_json, read_text

LEDGER, LOOKS = "seal_ledger.jsonl", "dev_looks.json"

MEND = "put a copy of it back; without one, delete the run folder and run again"
"""What to do about a damaged record of what was looked at: nothing writes it anew."""

GUARD = "guard.parquet"
"""What step 04 writes of the held-out queries; every read by a step that guards is logged."""


def check_right(step: Step) -> None:
    """Raise a SealedTestError unless the step may read test judgments."""
    if step.test == "none":
        openers = ", ".join(s.number for s in STEPS if s.test in ("seal", "score"))
        raise SealedTestError(
            f"step {step.name} asked for test judgments; they are sealed, and only steps {openers} may open them: "
            "use the train or dev part"
        )


def ledger(store: Store) -> list[dict[str, Any]]:
    """Return every opening, oldest first."""
    path = store.folder / LEDGER
    if not os.path.lexists(path):
        return []
    found = []
    for number, line in enumerate(read_text(path, IntegrityError, MEND).split("\n"), start=1):
        if line.strip():
            found.append(_opening(line, f"{path}:{number}"))
    return found


def _opening(line: str, where: str) -> dict[str, Any]:
    """Return one line of the ledger, checked: it says who opened the test, so what is damaged is not passed over."""
    try:
        entry = loads(line)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where}: not readable as JSON: {shown(error)}; {MEND}") from None
    texts = ("step", "key", "kind", "time")
    is_entry = isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in texts)
    if not is_entry or entry["step"] not in BY_NUMBER or not _are_texts(entry.get("models")):
        raise IntegrityError(f"{where}: no opening of the test: {shown(line)}; {MEND}")
    try:
        datetime.strptime(entry["time"], TIME)
    except ValueError:
        raise IntegrityError(f"{where}: no time: {shown(entry['time'])}; {MEND}") from None
    return entry


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def record(store: Store, step: Step, key: str, reason: str, kind: str, models: list[str]) -> None:
    """Append an opening to the ledger; the same step with the same key is no second one.

    ``kind`` is ``opening``, or ``guard`` for a read that only masks, excludes or counts leaks;
    ``models`` holds the weights hashes of the tuned models that are scored.
    """
    entries = ledger(store)
    same = [e for e in entries if (e["step"], e["key"], e["kind"]) == (step.number, key, kind)]
    if any(set(models) <= set(e["models"]) for e in same):
        return
    entry = {"step": step.number, "key": key, "kind": kind, "reason": reason, "models": models}
    entries.append(entry | {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
    store.write(LEDGER, "".join(json.dumps(e) + "\n" for e in entries))


def note_look(store: Store, step: Step, what: str) -> None:
    """Count a look at dev that chose something (a weight, a loss, a threshold, a candidate).

    What a step chose counts once, however often the step is executed.
    """
    looks = dev_looks(store)
    if {"step": step.number, "choice": what} not in looks:
        looks.append({"step": step.number, "choice": what})
        store.write(LOOKS, sorted(looks, key=lambda look: (look["step"], look["choice"])))


def dev_looks(store: Store, upto: str = LAST) -> list[dict[str, str]]:
    """Return every choice that dev decided, ``step, choice``, those of steps after ``upto`` left out."""
    path = store.folder / LOOKS
    if not os.path.lexists(path):
        return []
    found = read_json(path, list, IntegrityError, MEND)
    for look in found:
        if not isinstance(look, dict) or not _are_texts([look.get("step"), look.get("choice")]):
            raise IntegrityError(f"{path}: no look at dev: {shown(look)}; {MEND}")
    return [look for look in found if look["step"] <= upto]
