"""Kernels of the chain: they talk over files of the current user, not over the network."""

from __future__ import annotations

import secrets
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from traitlets import default


class IpcKernelManager(AsyncKernelManager):
    """Starts a kernel whose sockets are files in Jupyter's private runtime folder."""

    transport = "ipc"

    @default("ip")
    def _own_sockets(self) -> str:
        """Return the sockets' common path, unlike any other kernel's: jupyter's default is one for all."""
        from jupyter_core.paths import jupyter_runtime_dir

        folder = Path(jupyter_runtime_dir())
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return str(folder / f"embedlab-{secrets.token_hex(6)}")
