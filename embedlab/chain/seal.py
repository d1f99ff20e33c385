"""The sealed test: who may open it, the ledger of every opening, and how often dev was looked at."""

from __future__ import annotations

import json
import time
from typing import Any

from embedlab.chain.steps import LAST, STEPS, Step
from embedlab.chain.store import Store
from embedlab.errors import SealedTestError

LOOKS = "dev_looks.json"

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
    path = store.folder / "seal_ledger.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


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
    store.write("seal_ledger.jsonl", "".join(json.dumps(e) + "\n" for e in entries))


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
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [look for look in found if look["step"] <= upto]
