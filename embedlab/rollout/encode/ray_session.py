"""Ray as this package uses it: quiet, on this machine for this process alone, or a cluster that is there."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from embedlab.errors import EmbedlabError, StoreError, shown

KNOCK_SECONDS = 10
"""How long a cluster may take to answer at all."""

CLIENT = "ray://"

INSTALL = "pip install 'embedlab[ray]'"

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
"""For every use of Ray: nothing is reported to its makers, and little to the terminal."""

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""For Ray on this machine alone: it listens on 127.0.0.1 as it does on a Mac, and not on every network."""


def require_ray() -> None:
    """Raise an EmbedlabError that says how to get Ray where it is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise EmbedlabError(f"encoding by actors needs Ray: {INSTALL}")


def require_listening(address: str) -> None:
    """Raise a StoreError where nothing listens at ``HOST:PORT``; Ray itself would knock for minutes."""
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise StoreError(
            f"no Ray cluster answers at {address} ({error}): it is named HOST:PORT from one of its machines, such as "
            "10.0.0.5:6379, and ray://HOST:PORT from outside, such as ray://10.0.0.5:10001"
        ) from None


def is_outside(address: str | None) -> bool:
    """Return whether an address is one for clients that are no machine of the cluster."""
    return address is not None and address.startswith(CLIENT)


@contextlib.contextmanager
def connected(address: str | None, cores: int) -> Iterator[Any]:
    """Yield Ray, connected; a connection that was there before is used and stays.

    Args:
        address: ``HOST:PORT`` from a machine of the cluster, ``ray://HOST:PORT`` from elsewhere; None starts Ray here.
        cores: that Ray may use where it starts here.

    Raises:
        EmbedlabError: if Ray, or its client where that is asked for, is not installed.
        StoreError: if the cluster cannot be reached.
    """
    with _environment({**QUIET, **({} if address else _for_this_machine())}):
        ray = _import_ray()
        if ray.is_initialized():
            yield ray
            return
        _init(ray, address, cores)
    try:
        yield ray
    finally:
        ray.shutdown()


def _init(ray: Any, address: str | None, cores: int) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if address is None:
        # Numbers and checksums are all that passes between the processes.
        options |= {"include_dashboard": False, "object_store_memory": 100 * 2**20, "num_cpus": cores}
    try:
        # "local" starts anew, where None would join whatever cluster it finds on the machine.
        ray.init(address or "local", **options)
    except ImportError as error:
        raise EmbedlabError(f"{address} needs Ray's client ({error}): {INSTALL}") from error
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise StoreError(f"cannot reach Ray at {address or 'this machine'}: {shown(error, 400)}") from error


def _import_ray() -> Any:
    """Return Ray; an EmbedlabError says how to get it."""
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise EmbedlabError(f"encoding by actors needs Ray ({error}): {INSTALL}") from None
    hush()
    return ray


def hush() -> None:
    """Keep Ray Data from drawing bars of its own and telling its plans."""
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _for_this_machine() -> dict[str, str]:
    """Return the environment in which Ray serves this process alone."""
    # With a secret of our own Ray writes none into the user's home, where it would count for other clusters.
    return {**LOOPBACK, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _secret()}


@cache
def _secret() -> str:
    """Return what this process' Ray is asked with; one, for Ray reads it once."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment that are not set, for the processes that Ray starts."""
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
