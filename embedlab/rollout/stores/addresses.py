"""How a user names a collection, and what is found there.

A folder is a collection in FAISS files. ``FILE.db#NAME`` is one in an embedded Milvus, ``http://HOST:PORT#NAME`` (or
``https``) one on a Milvus server or cluster; its token is taken from the environment variable ``MILVUS_TOKEN``.

Read without numpy, pandas, torch or faiss: a store is loaded where it is asked for.
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from embedlab.errors import ParameterError, shown

if TYPE_CHECKING:
    from embedlab.rollout.stores.base import Collection, CollectionInfo, VectorStore

TOKEN = "MILVUS_TOKEN"  # noqa: S105 - an environment variable's name

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names of collections that every version of Milvus takes."""


def split_address(address: str) -> tuple[str, str]:
    """Return the store and the collection's name of an address; the store of a folder is the folder around it.

    Raises:
        ParameterError: if it names neither.
    """
    place, mark, name = address.partition("#")
    if not mark:
        folder = Path(address).absolute()
        if not folder.name or "://" in address or address.endswith(".db"):
            raise ParameterError(
                f"{shown(address)!r} names no index: give a folder, FILE.db#NAME or http://HOST:PORT#NAME"
            )
        return str(folder.parent), folder.name
    if not NAME.fullmatch(name):
        raise ParameterError(
            f"{shown(address)!r}: the name after # must be letters, digits and underscores, found {shown(name)!r}"
        )
    return (place if "://" in place else str(Path(place).absolute())), name


def is_milvus(address: str) -> bool:
    """Return whether an address is of a Milvus collection."""
    return "#" in address


def whole_address(address: str, beside: Path | None = None) -> str:
    """Return an address that means the same from every working directory.

    Args:
        address: of an index.
        beside: what a relative one starts from; None: the working directory.
    """
    place, mark, name = address.partition("#")
    if "://" in place:
        return address
    return str(((beside or Path.cwd()) / place).resolve()) + mark + name


def store_of(address: str) -> VectorStore:
    """Return the store of an address.

    Raises:
        StoreError: if it is a Milvus, and ``pymilvus`` is not installed.
    """
    place, _ = split_address(address)
    if is_milvus(address):
        from embedlab.rollout.stores.milvus import MilvusStore

        return MilvusStore(place, os.environ.get(TOKEN, ""))
    from embedlab.rollout.stores.faiss import FaissStore

    return FaissStore(Path(place))


def open_collection(address: str) -> Collection:
    """Return a collection; raises a MissingInputError where there is none."""
    with closing(store_of(address)) as store:
        return store.open(split_address(address)[1])


def create_collection(address: str, info: CollectionInfo) -> Collection:
    """Make an empty collection; raises an EmbedlabError where one has this name: it is never overwritten."""
    with closing(store_of(address)) as store:
        return store.create(split_address(address)[1], info)


def has_collection(address: str) -> bool:
    """Return whether there is a collection."""
    with closing(store_of(address)) as store:
        return split_address(address)[1] in store.names()


def drop_collection(address: str) -> None:
    """Delete a collection; one that is not there is no error."""
    with closing(store_of(address)) as store:
        store.drop(split_address(address)[1])
