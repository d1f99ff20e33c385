"""Kernels of the chain: they talk over files of the current user, not over the network."""

from __future__ import annotations

from jupyter_client.manager import AsyncKernelManager


class IpcKernelManager(AsyncKernelManager):
    """Starts a kernel whose sockets are files in Jupyter's private runtime folder."""

    transport = "ipc"
