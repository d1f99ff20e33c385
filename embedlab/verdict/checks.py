"""What the checklist and the mistakes have in common: how an item is decided, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from embedlab.chain.steps import proof_of
from embedlab.verdict.facts import Facts

Item = tuple[bool | None, str]
"""Whether it holds (a mistake: whether it was made), None for "cannot tell", and the evidence in words."""


@dataclass(frozen=True)
class Check:
    """An item of the checklist, or a common mistake.

    Attributes:
        decide: decides it from artifacts; its name is the item's id.
        red_when: what would make it red, as the end of a sentence that begins "Red when".
    """

    decide: Callable[[Facts], Item]
    red_when: str

    @property
    def id(self) -> str:
        """The item's id, in ``verdict.json`` and in the table of steps."""
        return self.decide.__name__


def place_of(check: str) -> str:
    """Return the path, inside the run folder, of the artifact that decides a check."""
    step, name = proof_of(check)
    return f"artifacts/{step.name}/{name}"


def not_run(check: str) -> Item:
    """Return what is said of a check whose step has not run."""
    step, _ = proof_of(check)
    return None, f"step {step.number} has not run"


def decided(checks: Sequence[Check], key: str, facts: Facts) -> list[dict[str, Any]]:
    """Return of each check ``id``, what it decides under ``key``, ``evidence``, ``red_when`` and ``artifact``.

    ``artifact`` is the path, in the run folder, of what decides it.
    """
    found = []
    for check in checks:
        value, why = check.decide(facts)
        said = {"evidence": why, "red_when": check.red_when, "artifact": place_of(check.id)}
        found.append({"id": check.id, key: value, **said})
    return found
