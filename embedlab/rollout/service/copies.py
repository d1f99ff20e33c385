"""A service as a folder to hand on: its releases, their indexes, and the order in which they answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from embedlab.errors import EmbedlabError
from embedlab.rollout.service.releases import Releases
from embedlab.rollout.service.state import State
from embedlab.rollout.service.switching import set_alias
from embedlab.rollout.service.writes import cursor, last_write, written_to
from embedlab.rollout.stores.addresses import create_collection, is_milvus, open_collection
from embedlab.rollout.stores.base import entry_pages

PAGE = 1000
"""Documents that are in memory at once."""


def copy_service(source: Path, target: Path) -> None:
    """Copy what answers and what can be gone back to; no program may write to the service meanwhile.

    Equal services give equal files, byte for byte, whatever way they came to what they hold: who switched and when,
    a re-indexing under way and the numbers of writes are left out.

    Args:
        source: the service's state file.
        target: a folder without a service; it gets a state file of the same name, and a folder an index.

    Raises:
        EmbedlabError: if the folder holds a service, an index does not lie in the service's folder, or one of those
            that writes go to lacks some.
        IntegrityError: if anything is damaged.
    """
    if (target / source.name).exists():
        raise EmbedlabError(f"{target} holds a service already; choose another folder")
    state = State(source)
    copy = None
    try:
        _require_up_to_date(state)
        releases = Releases(state)
        known = [releases.get(name) for name in releases.names()]
        for index in dict.fromkeys(release.index for release in known):
            if Path(index).is_absolute() or is_milvus(index):
                raise EmbedlabError(f"{index} does not lie in {source.parent}, the service's folder: it is not copied")
            _copy_index(state.address(index), str(target / index))
        copy = State(target / source.name, create=True)
        with copy.db.transaction():
            for release in known:
                Releases(copy).put(release)
            for entry in releases.history():
                copy.append("history", {"release": entry["release"], "by": "", "at": "", "why": entry["why"]})
        set_alias(str(target / Releases(copy).live().index))
    finally:
        state.close()
        if copy is not None:
            copy.close()


def _require_up_to_date(state: State) -> None:
    for index in written_to(state):
        at = cursor(state, index)
        if at["seq"] < last_write(state) or at["aside"]:
            raise EmbedlabError(f"{index} lacks writes, or could not take some; write them again before it is copied")


def _copy_index(source: str, target: str) -> None:
    collection = open_collection(source)
    copy = create_collection(target, replace(collection.info, made_for=""))
    for entries in entry_pages(collection, PAGE):
        for entry in entries:
            entry.require_unchanged(source)
        copy.upsert(entries)
    copy.close()
    collection.close()
