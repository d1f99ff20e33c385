"""What the verdict stands on: JSON artifacts of finished steps, None where a step has not run."""

from __future__ import annotations

import json
from typing import Any

from embedlab.chain.artifacts.base import Kind, parse
from embedlab.chain.contract import under_contract
from embedlab.chain.steps import LAST
from embedlab.chain.store import FINISHED, Store
from embedlab.errors import MissingInputError


class Facts:
    """Reads a run's JSON artifacts, hashes checked; steps after ``upto`` count as not run."""

    def __init__(self, store: Store, upto: str = LAST) -> None:
        self.store = store
        self.upto = upto

    def read(self, kind: type[Kind]) -> Kind | None:
        """Return a JSON artifact, or None where its step has not finished.

        Raises:
            ContractError: if it was made under another contract than the run has now.
        """
        found = self.json(kind.step, kind.file)
        return None if found is None else parse(kind, found, self.store.place(kind.step, kind.file))

    def json(self, step: str, name: str) -> dict[str, Any] | None:
        """Return a JSON artifact as it stands in its file; otherwise as :meth:`read`."""
        if step > self.upto:
            return None
        try:
            found = dict(self.store.read(step, name))
        except MissingInputError:
            return None
        return dict(under_contract(found, self.store, self.store.place(step, name)))

    def decision(self, step: str, name: str) -> Any:
        """Return what a step decided from measured times, or None where it did not, or not with this key."""
        path = self.store.folder / self.store.place(step, "decisions.json")
        if step > self.upto or not path.is_file():
            return None
        known = json.loads(path.read_text(encoding="utf-8"))
        return known.get(name) if known.get("key") == self.store.entry(step).get("key") else None

    def done(self, step: str) -> bool:
        """Return whether a step has finished."""
        return step <= self.upto and self.store.entry(step).get("status") in FINISHED
