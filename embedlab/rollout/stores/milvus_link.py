"""A process's link to a Milvus: opened when it is needed, with a time limit, and errors that say what to do."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from embedlab.errors import EmbedlabError, MissingInputError, StoreError, shown

SECONDS, SCAN_SECONDS, LOAD_SECONDS = 10, 60, 300
"""How long an answer may take: usually, where all rows are looked at, and where an index is read into memory."""

# Codes of Milvus (pkg/util/merr) that Milvus Lite sends too: what is not there, and what is not in memory.
_NO_COLLECTION, _NO_ALIAS = 100, 1600
_NOT_LOADED = (101, 103)
_NO_CONNECTION = 2
_NO_ACCESS = (1400, 1401)

# A channel of its own for every connection: else gRPC waits, longer each time, before it tries an address again that
# any channel of the process could not reach.
_CHANNEL = {"grpc.use_local_subchannel_pool": 1}

_CREDENTIALS = re.compile(r"(?<=//)[^/@]*@")

# Milvus Lite answers with ten threads, but two of them that write to one collection, or first open it, destroy it.
_EMBEDDED = threading.RLock()
_holders: dict[str, int] = {}

# Milvus Lite reads this when it is imported. It searches what it has not yet written into a file of its own row by
# row in Python: with 50,000 documents of 384 dimensions 2.4 s a search at its own limit of 128 MB, 0.04 s at this.
_UNWRITTEN = ("MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES", str(8 * 2**20))


class NotLoadedError(StoreError):
    """The collection is not in Milvus' memory: it must be loaded before it can be read."""


class Link:
    """A connection to one Milvus. Several links to one embedded Milvus share it; the last one that closes ends it.

    Args:
        uri: ``FILE.db`` or ``http://HOST:PORT``.
        token: for servers that ask for one; never shown.

    Raises:
        StoreError: if ``pymilvus``, or ``milvus-lite`` for a file, is not installed.
    """

    def __init__(self, uri: str, token: str = "") -> None:
        self.is_embedded = uri.endswith(".db") and "://" not in uri
        self._uri = str(Path(uri).absolute()) if self.is_embedded else uri
        self._token = token
        self._client: Any = None
        self._lock = _EMBEDDED if self.is_embedded else threading.RLock()
        for module in ("pymilvus", "milvus_lite") if self.is_embedded else ("pymilvus",):
            if find_spec(module) is None:
                raise StoreError(f"{self.name}: {module} is not installed: pip install 'embedlab[milvus]'")

    @property
    def name(self) -> str:
        """How a message names it: without user and password."""
        return _CREDENTIALS.sub("", self._uri)

    @property
    def folder(self) -> Path | None:
        """Where an embedded Milvus keeps its files; None for a server."""
        return Path(self._uri) if self.is_embedded else None

    def again(self) -> Link:
        """Return another link to the same Milvus."""
        return Link(self._uri, self._token)

    def call(self, method: str, *args: Any, seconds: float = SECONDS, **named: Any) -> Any:
        """Call a method of ``MilvusClient``.

        Args:
            method: its name.
            *args: what it takes.
            seconds: until the answer must be there.
            **named: what it takes.

        Raises:
            MissingInputError: if there is no such collection or alias.
            NotLoadedError: if the collection is not in memory.
            StoreError: if Milvus cannot be reached, does not answer in time, or refuses. A later call tries again.
        """
        with self._faults(seconds), self._lock if self.is_embedded else contextlib.nullcontext():
            return getattr(self._connected(), method)(*args, timeout=seconds, **named)

    def close(self) -> None:
        """Close the connection, and an embedded Milvus that nobody else in this process uses; a call opens it again."""
        with self._lock:
            if self._client is None:
                return
            self._client.close()
            self._client = None
            if self.is_embedded:
                _let_go(self._uri)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                from pymilvus import MilvusClient

                os.environ.setdefault(*_UNWRITTEN)
                _keep_off_the_terminal()
                self._client = MilvusClient(
                    uri=self._uri, token=self._token, timeout=SECONDS, dedicated=True, grpc_options=_CHANNEL
                )
                if self.is_embedded:
                    _holders[self._uri] = _holders.get(self._uri, 0) + 1
            return self._client

    @contextlib.contextmanager
    def _faults(self, seconds: float) -> Iterator[None]:
        """Turn the errors of pymilvus and gRPC into ours."""
        import grpc
        from pymilvus.exceptions import ConnectionConfigException, MilvusException

        try:
            yield
        except ConnectionConfigException as error:
            raise StoreError(self._why_not_open(error.message)) from error
        except (MilvusException, grpc.RpcError) as error:
            raise self._told(error, seconds) from error

    def _told(self, error: Any, seconds: float) -> EmbedlabError:
        """Return the error that says what an error of pymilvus or gRPC means."""
        from grpc import StatusCode

        code = error.code() if callable(error.code) else error.code
        said = shown(getattr(error, "message", "") or str(error), 300)
        if code in (_NO_COLLECTION, _NO_ALIAS):
            return MissingInputError(f"{self.name}: {said}")
        if code in _NOT_LOADED:
            return NotLoadedError(f"{self.name}: {said}")
        if code == StatusCode.DEADLINE_EXCEEDED:
            return StoreError(f"{self.name} did not answer within {seconds:g} seconds; the same command may work later")
        if code in (StatusCode.UNAVAILABLE, _NO_CONNECTION):
            doubt = " or does not accept the token" if self._token else ""
            return StoreError(
                f"{self.name} cannot be reached{doubt}: start the server or mend the address, and repeat the command"
            )
        if code in (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED, *_NO_ACCESS):
            return StoreError(f"{self.name} refuses access: {said}; set the environment variable MILVUS_TOKEN")
        return StoreError(f"{self.name} refused this: {said}")

    def _why_not_open(self, said: str) -> str:
        """Return why an embedded Milvus cannot be opened: pymilvus writes it into its log alone."""
        if not self.is_embedded:
            return f"{self.name}: {shown(said)}"
        from milvus_lite import DataDirLockedError, MilvusLite, MilvusLiteError

        try:
            MilvusLite(self._uri).close()
        except DataDirLockedError:
            return (
                f"{self.name} is held by another process, and only one at a time can open it; wait for that one, or "
                f"let several share it: milvus-lite server --data-dir {self.name} --host 127.0.0.1 --max-workers 1, "
                "and use http://127.0.0.1:19530 in its place"
            )
        except (OSError, MilvusLiteError) as error:
            return f"{self.name} cannot be opened: {error}"
        return f"{self.name} could not be opened: {shown(said)}; repeat the command"


def _let_go(uri: str) -> None:
    """End an embedded Milvus with its last link, so that another process can open the file."""
    _holders[uri] -= 1
    if not _holders[uri]:
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(uri)


def _keep_off_the_terminal() -> None:
    """Take away the handlers that pymilvus gives its loggers; who configured logging still gets what it logs."""
    for name in ("pymilvus", "pymilvus.milvus_client", "pymilvus.bulk_writer", "milvus_lite"):
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = True
