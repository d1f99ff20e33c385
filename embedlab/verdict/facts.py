"""What the verdict stands on: JSON artifacts of finished steps, None where a step has not run."""

from __future__ import annotations

import json
from typing import Any

from embedlab.chain.contract import under_contract
from embedlab.chain.steps import get_step
from embedlab.chain.store import FINISHED, Store
from embedlab.errors import MissingInputError


class Facts:
    """Reads a run's JSON artifacts by step, hashes checked; steps after ``upto`` count as not run."""

    def __init__(self, store: Store, upto: str = "22") -> None:
        self.store = store
        self.upto = upto

    def json(self, step: str, name: str) -> dict[str, Any] | None:
        """Return a JSON artifact, or None where its step has not finished.

        Raises:
            ContractError: if it was made under another contract than the run has now.
        """
        if step > self.upto:
            return None
        try:
            found = dict(self.store.read(step, name))
        except MissingInputError:
            return None
        return dict(under_contract(found, self.store, self.where(step, name)))

    def decision(self, step: str, name: str) -> Any:
        """Return what a step decided from measured times, or None where it did not, or not with this key."""
        path = self.store.folder / self.where(step, "decisions.json")
        if step > self.upto or not path.is_file():
            return None
        known = json.loads(path.read_text(encoding="utf-8"))
        return known.get(name) if known.get("key") == self.store.entry(step).get("key") else None

    def done(self, step: str) -> bool:
        """Return whether a step has finished."""
        return step <= self.upto and self.store.entry(step).get("status") in FINISHED

    @staticmethod
    def where(step: str, name: str) -> str:
        """Return an artifact's path inside the run folder."""
        return f"artifacts/{get_step(step).name}/{name}"
