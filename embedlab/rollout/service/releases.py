"""Releases: what answers queries, as one unit that is switched together, with the history of who, when and why.

Read without pandas, torch or faiss.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from embedlab.errors import EmbedlabError, IntegrityError, MissingInputError, ParameterError, nearest
from embedlab.retrieval.systems import Settings
from embedlab.rollout.service.clock import now
from embedlab.rollout.service.state import State, operator
from embedlab.rollout.stores.addresses import open_collection, whole_address


@dataclass(frozen=True)
class Release:
    """An index, the model that encodes queries for it, and the stages around it: never switched apart.

    Attributes:
        name: of the release.
        index: address of the collection with its vectors.
        encoder: digest of the model's :class:`EmbeddingIdentity`.
        model: how the model is loaded.
        lexical: address of the collection over whose documents BM25 searches.
        settings: the stages that a query passes, thresholds included.
    """

    name: str
    index: str
    encoder: str
    model: str
    lexical: str
    settings: Settings

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Release:
        """Return what ``asdict`` gave; raises an IntegrityError where it is no release."""
        try:
            return cls(**body | {"settings": Settings(**body["settings"])})
        except (TypeError, KeyError) as error:
            raise IntegrityError(
                f"a release in the state file is damaged: {error}; put a copy of the file back"
            ) from None


class Releases:
    """The releases in a state file. The last entry of the history says which one is current."""

    def __init__(self, state: State) -> None:
        self.state = state

    def names(self) -> list[str]:
        """Return the names of all releases, sorted."""
        return list(self.state.all("releases"))

    def get(self, name: str) -> Release:
        """Return a release; raises a MissingInputError where there is none, naming the nearest."""
        body = self.state.get("releases", name)
        if body is None:
            known = self.names()
            hint = nearest(name, known) if known else "; there is none yet"
            raise MissingInputError(f"{self.state.path}: there is no release {name!r}{hint}")
        return Release.from_dict(body)

    def add(self, name: str, index: str, settings: Settings | None = None) -> Release:
        """Add a release, which does not make it current.

        Args:
            name: a new one, or that of an equal release.
            index: address of its collection.
            settings: the stages around it; None: those that the collection was built with.

        Raises:
            EmbedlabError: if the name is taken by another release; a release never changes.
            ParameterError: if the stages ask for other passages or another kind of index than were built.
        """
        # As a user names it: from the working directory on, not from the state file's folder as it is stored.
        collection = open_collection(whole_address(index))
        info = collection.info
        collection.close()
        settings = info.settings if settings is None else settings
        _require_built_so(settings, info.settings, index)
        stored = self.state.stored_address(index)
        release = Release(name, stored, info.identity.digest, info.model, stored, settings)
        with self.state.db.transaction():
            self.put(release)
        return release

    def put(self, release: Release) -> None:
        """Write a release, in a transaction; raises an EmbedlabError where its name is taken by another one."""
        known = self.state.get("releases", release.name)
        if known is not None and Release.from_dict(known) != release:
            raise EmbedlabError(f"release {release.name!r} exists already and is another one; choose a new name")
        self.state.put("releases", release.name, asdict(release))

    def history(self) -> list[dict[str, Any]]:
        """Return every change, oldest first: ``number, release, by, at, why``, and ``ms`` where it was measured."""
        return [{"number": number} | body for number, body in self.state.all("history").items()]

    def current(self) -> Release | None:
        """Return the release that answers now, None before the first promotion."""
        last = self.state.db.row("SELECT max(key) AS key FROM history")
        if last is None or last["key"] is None:
            return None
        return self.get(self._entry(last["key"])["release"])

    def live(self) -> Release:
        """Return the release that answers now; raises a MissingInputError before the first promotion."""
        found = self.current()
        if found is None:
            raise MissingInputError(f"{self.state.path}: no release answers yet; promote one of {self.names()}")
        return found

    def previous(self) -> Release | None:
        """Return the release that answered before the current one and is still there, None where there is none."""
        names = [entry["release"] for entry in self.history()]
        known = set(self.names())
        before = [name for name in names if name != names[-1] and name in known]
        return self.get(before[-1]) if before else None

    def note(self, name: str, why: str, by: str = "", began: float | None = None) -> None:
        """Make a release current, in a transaction: this one row is the switch.

        Args:
            name: of the release.
            why: for the history.
            by: who; blank: this process.
            began: when the switch was asked for, on this process' own clock; noted as ``ms``, how long it took.
        """
        entry: dict[str, Any] = {"release": name, "by": by or operator(), "at": now().in_words, "why": why}
        if began is not None:
            entry["ms"] = round(1000 * (time.monotonic() - began), 1)
        self.state.append("history", entry)

    def remove(self, index: str) -> None:
        """Remove the releases of an index that is deleted, in a transaction; the history keeps their names.

        Raises:
            EmbedlabError: if the current release searches it.
        """
        live = self.current()
        if live is not None and self.state.address(live.index) == self.state.address(index):
            raise EmbedlabError(
                f"{index} answers now ({live.name}): it cannot be deleted; promote another release first"
            )
        for name in self.names():
            if self.state.address(self.get(name).index) == self.state.address(index):
                self.state.db.write("DELETE FROM releases WHERE key = ?", [name])

    def _entry(self, number: int) -> dict[str, Any]:
        found = self.state.get("history", number)
        if found is None:
            raise IntegrityError(f"{self.state.path}: entry {number} of the history is missing; put a copy of it back")
        return found


def _require_built_so(asked: Settings, built: Settings, index: str) -> None:
    """Raise a ParameterError where stages need another index than the one that there is."""
    for name in ("chunk", "index", "passage_words", "passage_overlap"):
        mine, theirs = getattr(asked, name), getattr(built, name)
        if mine != theirs:
            raise ParameterError(
                f"{index} was built with {name} {theirs!r}; the release asks for {mine!r}: build it so"
            )
