"""The sealed test: who may open it, the ledger of every opening, and how often dev was looked at."""

from __future__ import annotations

import json
import time
from typing import Any

from embedlab.chain.steps import Step
from embedlab.chain.store import Store
from embedlab.errors import IntegrityError, MissingInputError, SealedTestError
from embedlab.files import sha256_file

JUDGMENTS = "qrels_test.parquet"

LOOKS = "dev_looks.json"


def may_open(number: str) -> bool:
    """Return whether a step may read test judgments: 04 (no ranking), 05, and 15 onwards."""
    return number in ("01", "04", "05") or number >= "15"


def check_right(step: Step) -> None:
    """Raise a SealedTestError unless the step may read test judgments."""
    if not may_open(step.number):
        raise SealedTestError(
            f"step {step.name} asked for test judgments; they are sealed until step 15 "
            "(steps 04 and 05 may open them before): use the train or dev part"
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


def scored_model_sets(store: Store) -> int:
    """Return how many different sets of tuned models step 15 has scored on the test."""
    openings = (e for e in ledger(store) if e["step"] == "15" and e["kind"] == "opening" and e["models"])
    return len({tuple(sorted(e["models"])) for e in openings})


def verify(store: Store) -> str | None:
    """Return what is wrong with the seal, or None: changed content, or a forbidden opening."""
    try:
        sealed = store.read("04", "eval_set.json")["seal"]
        store.path("01", JUDGMENTS)
    except IntegrityError as error:
        return str(error)
    except MissingInputError:
        return "step 04 has not sealed the test judgments of step 01"
    found = sha256_file(store.folder / "artifacts/01_define_problem" / JUDGMENTS)
    if found != sealed:
        return f"test judgments changed after they were sealed: {found[:12]}, sealed {sealed[:12]}"
    wrong = [e["step"] for e in ledger(store) if e["kind"] == "opening" and not may_open(e["step"])]
    return f"opened by step {wrong[0]}, which has no right to it" if wrong else None


def problem(store: Store, allowed: int) -> str | None:
    """Return why the test is not to be trusted, or None; ``allowed`` is the contract's allowance."""
    used = scored_model_sets(store)
    if used > allowed:
        return f"{used} sets of tuned models were scored on the sealed test, {allowed} allowed"
    return verify(store)


def note_look(store: Store, step: Step, what: str) -> None:
    """Count a look at dev that chose something (a weight, a loss, a threshold, a candidate).

    What a step chose counts once, however often the step is executed.
    """
    looks = dev_looks(store)
    if {"step": step.number, "choice": what} not in looks:
        looks.append({"step": step.number, "choice": what})
        store.write(LOOKS, sorted(looks, key=lambda look: (look["step"], look["choice"])))


def dev_looks(store: Store, upto: str = "22") -> list[dict[str, str]]:
    """Return every choice that dev decided, ``step, choice``, those of steps after ``upto`` left out."""
    path = store.folder / LOOKS
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [look for look in found if look["step"] <= upto]
