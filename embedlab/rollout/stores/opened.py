"""Collections and models at hand: each is opened once and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from embedlab.errors import MissingInputError, ParameterError, StoreError
from embedlab.models.encoder import load_model
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.rollout.stores.addresses import open_collection
from embedlab.rollout.stores.base import Collection, CollectionInfo

Load = Callable[[str, str], EncodesWithIdentity]
"""Returns a model by its name and precision."""


def whole_name(model: str) -> str:
    """Return a model's name as it means the same from every working directory: a folder's in full."""
    return str(Path(model).absolute()) if Path(model).is_dir() else model


class Opened:
    """Collections by address and models by embedding space.

    Args:
        load: returns a model by its name and precision; None: :func:`~embedlab.models.load_model`.
    """

    def __init__(self, load: Load | None = None) -> None:
        self._load = load_model if load is None else load
        self._collections: dict[str, Collection] = {}
        self._encoders: dict[str, EncodesWithIdentity] = {}

    def collection(self, address: str) -> Collection:
        """Return a collection; raises a MissingInputError where there is none."""
        if address not in self._collections:
            self._collections[address] = open_collection(address)
        return self._collections[address]

    def encoder(self, info: CollectionInfo) -> EncodesWithIdentity:
        """Return the model of a collection; raises an IdentityError where it is another one than made its vectors."""
        digest = info.identity.digest
        if digest not in self._encoders:
            # In the precision that its vectors were made with, whatever is faster here.
            encoder = self._load(info.model, info.identity.precision)
            encoder.identity.require(info.identity, "the index")
            self._encoders[digest] = encoder
        return self._encoders[digest]

    def new_encoder(self, model: str, precision: str = "auto") -> EncodesWithIdentity:
        """Return a model that no collection was made with yet; ``auto`` is the precision that is faster here."""
        encoder = self._load(model, precision)
        return self._encoders.setdefault(encoder.identity.digest, encoder)

    def own_encoder(self, address: str) -> EncodesWithIdentity | None:
        """Return the model that an index names itself, None where it names none or is no collection."""
        try:
            return self.encoder(self.collection(address).info)
        except (MissingInputError, ParameterError):
            return None

    def forget(self, address: str) -> None:
        """Close a collection, so that it is opened anew when it is asked for."""
        known = self._collections.pop(address, None)
        if known is not None:
            known.close()

    def close(self) -> None:
        """Close all collections."""
        for address in list(self._collections):
            try:
                self.forget(address)
            except StoreError:
                continue  # a store that is gone holds nothing open
