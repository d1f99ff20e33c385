"""Which release answers: promoted, and back."""

from __future__ import annotations

import numpy as np

from embedlab.errors import EmbedlabError, IdentityError, MissingInputError
from embedlab.rollout.service.releases import Release, Releases
from embedlab.rollout.service.state import State
from embedlab.rollout.service.writes import cursor, last_write, set_cursor, written_to
from embedlab.rollout.stores.addresses import open_collection, split_address, store_of
from embedlab.rollout.stores.base import Collection

LIVE = "live"
"""The alias by which other programs find the index that answers, in its own store."""

PAGE = 1000
"""Documents that are compared at once."""


def promote(state: State, name: str, why: str, by: str = "") -> Release:
    """Let a release answer from now on; the one before it stays, and gets what is written meanwhile.

    Args:
        state: the state file.
        name: of the release.
        why: for the history.
        by: who; blank: this process.

    Raises:
        EmbedlabError: if its index lacks documents or writes that the present one has.
        IdentityError: if its index holds another model's vectors than the release says.
        IntegrityError: if its index is damaged.
        MissingInputError: if there is no such release, or its index is gone.
    """
    releases = Releases(state)
    release = releases.get(name)
    index = state.address(release.index)
    live = releases.current()
    joins = index not in written_to(state)
    if live is not None and joins:
        _require_same_documents(open_collection(state.address(live.index)), open_collection(index))
    _require_sound(release, open_collection(index))
    seen = last_write(state)
    with state.db.transaction():
        if joins and last_write(state) != seen:
            raise EmbedlabError(f"documents were written while {index} was compared with what answers now; do it again")
        if joins:
            set_cursor(state, index, seen, {})
        _require_up_to_date(state, index)
        releases.note(name, why, by)
    set_alias(index)
    state.backup()
    return release


def roll_back(state: State, why: str, by: str = "") -> Release:
    """Let the release answer that answered before the current one.

    Raises:
        MissingInputError: if there is none.
        EmbedlabError: as :func:`promote`.
    """
    releases = Releases(state)
    before = releases.previous()
    if before is None:
        raise MissingInputError(f"{state.path}: nothing to roll back to: {releases.live().name!r} was the first")
    return promote(state, before.name, why, by)


def set_alias(index: str) -> None:
    """Let the alias of a store name one of its indexes."""
    store_of(index).set_alias(LIVE, split_address(index)[1])


def _require_sound(release: Release, collection: Collection) -> None:
    """Raise an error unless an index is that of its release, and can be read as a whole."""
    identity = collection.info.identity
    if identity.digest != release.encoder:
        raise IdentityError(
            f"release {release.name!r} encodes queries by {release.encoder[:12]}, {collection.address} holds vectors "
            f"of {identity.name} ({identity.digest[:12]}); vectors of two models must not be mixed"
        )
    # A search reads all there is to be searched, and checks it.
    collection.search(np.zeros((1, identity.dimensions), dtype=np.float32), 1)
    collection.close()


def _require_up_to_date(state: State, index: str) -> None:
    at = cursor(state, index)
    lacking = last_write(state) - at["seq"]
    if lacking > 0:
        raise EmbedlabError(f"{index} lacks the last {lacking:,} writes; apply them with 'embedlab index upsert' first")
    if at["aside"]:
        doc_id, reason = next(iter(at["aside"].items()))
        raise EmbedlabError(f"{index} could not take {len(at['aside'])} documents, the first {doc_id!r}: {reason}")


def _require_same_documents(old: Collection, new: Collection) -> None:
    """Raise an EmbedlabError unless both hold the same documents with the same content; names the first other one."""
    after = ""
    while True:
        mine, theirs = old.documents(after, PAGE), new.documents(after, PAGE)
        for one, other in zip(mine, theirs, strict=False):
            if (one.doc_id, one.content) != (other.doc_id, other.content):
                first = min(one.doc_id, other.doc_id)
                raise EmbedlabError(f"{new.address} and {old.address} differ at document {first!r}: re-index into it")
        if len(mine) != len(theirs):
            raise EmbedlabError(
                f"{new.address} holds {new.count():,} documents, {old.address} {old.count():,}: re-index"
            )
        if not mine:
            return
        after = mine[-1].doc_id
