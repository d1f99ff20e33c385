"""What the verdict stands on: JSON artifacts of finished steps, None where a step has not run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from embedlab.chain.artifacts.base import Kind, parse
from embedlab.chain.contract import under_contract
from embedlab.chain.seal import ledger
from embedlab.chain.steps import LAST
from embedlab.chain.store import FINISHED, TIME, Store
from embedlab.errors import IntegrityError, MissingInputError
from embedlab.files import read_json, read_text
from embedlab.models.identity import EmbeddingIdentity
from embedlab.retrieval.indexes.stamp import STAMP
from embedlab.rollout.service.releases import Release, Releases
from embedlab.rollout.service.state import SERVICE, State
from embedlab.rollout.stores.base import CollectionInfo


@dataclass(frozen=True)
class Service:
    """A service's folder as a step left it.

    Attributes:
        live: the release that answers; None where none was promoted.
        indexes: whose vectors each index holds, by its name.
        damaged: what contradicts itself, in words: an index that cannot say whose vectors it holds.
    """

    live: Release | None
    indexes: Mapping[str, EmbeddingIdentity]
    damaged: tuple[str, ...]


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
            found = self.store.read(step, name)
        except MissingInputError:
            return None
        if not isinstance(found, dict):
            raise IntegrityError(f"{self.store.place(step, name)}: expected an object; run step {step} again")
        return dict(under_contract(found, self.store, self.store.place(step, name)))

    def decision(self, step: str, name: str) -> Any:
        """Return what a step decided from measured times, or None where it did not, or not with this key."""
        path = self.store.folder / self.store.place(step, "decisions.json")
        if step > self.upto or not path.is_file():
            return None
        known = read_json(path, dict, IntegrityError, f"delete it and run step {step} again, by --force")
        return known.get(name) if known.get("key") == self.store.entry(step).get("key") else None

    def done(self, step: str) -> bool:
        """Return whether a step has finished."""
        return step <= self.upto and self.store.entry(step).get("status") in FINISHED

    # --- the order of things ----------------------------------------------------------------

    def seen_by(self, step: str, kind: type[Kind]) -> str | None:
        """Return the sha256 of another step's artifact as a step read it, or None where the manifest does not say."""
        inputs: Mapping[str, str] = self.store.entry(step).get("made_of", {}).get("inputs", {})
        return inputs.get(self.store.place(kind.step, kind.file))

    def written(self, kind: type[Kind]) -> str | None:
        """Return the sha256 of an artifact as its step wrote it."""
        return self.store.outputs((kind.step,)).get(self.store.place(kind.step, kind.file))

    def begun(self, step: str) -> datetime | None:
        """Return when the present results of a step were begun, or None where it has not finished."""
        if not self.done(step):
            return None
        entry = self.store.entry(step)
        return datetime.strptime(entry["finished_at"], TIME) - timedelta(seconds=float(entry["seconds"]))

    def first_opening(self, step: str) -> datetime | None:
        """Return when a step first opened the sealed test, or None where the ledger lists no opening by it."""
        openings = [e for e in ledger(self.store) if e["step"] == step and e["kind"] == "opening"]
        return datetime.strptime(openings[0]["time"], TIME) if openings else None

    # --- what is deployed -------------------------------------------------------------------

    def service(self, step: str, folder: str) -> Service | None:
        """Return the service that a step left in a folder, or None where it left none.

        Raises:
            IntegrityError: if a file is not the one that the step wrote.
        """
        recorded = [Path(path) for path in self.store.outputs((step,))]
        state = Path(folder) / SERVICE
        if not self.done(step) or state not in recorded:
            return None
        path = self.store.path(step, str(state))
        indexes, damaged = {}, []
        for stamp in recorded:
            if stamp.name == STAMP and stamp.parent.parent == Path(folder):
                text = read_text(self.store.path(step, str(stamp)), IntegrityError, f"run step {step} again")
                try:
                    indexes[stamp.parent.name] = CollectionInfo.from_json(text, f"index {stamp.parent.name!r}").identity
                except IntegrityError as error:
                    damaged.append(str(error))
        with closing(State(path, frozen=True)) as found:
            return Service(Releases(found).current(), indexes, tuple(damaged))
