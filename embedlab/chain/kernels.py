"""Kernels of the chain: forked from a process that has imported what is slow, and talking over private files."""

from __future__ import annotations

import logging
import multiprocessing
import os
import secrets
import sys
import threading
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from traitlets import default

PRELOAD = ["ipykernel.kernelapp", "pandas", "pyarrow.parquet", "scipy.stats", "torch", "sentence_transformers"]
"""Imported once by the process that kernels are forked from; nothing of embedlab, so that no stale code runs."""

PROVISIONER = "embedlab-forked"
"""The entry point's name; jupyter_client takes it from ``JUPYTER_DEFAULT_PROVISIONER_NAME``."""


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


class ForkedProvisioner(LocalProvisioner):
    """Forks a kernel from a server process that holds :data:`PRELOAD`, in a fraction of a second.

    Every kernel is a process of its own, as a stock one is. Linux only; elsewhere, and for kernels
    of another Python, a stock kernel is started. The server is the standard library's
    (``multiprocessing`` by ``forkserver``) and ends with the process that asked for it.
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel and return how to connect to it."""
        if sys.platform != "linux" or cmd[:3] != [sys.executable, "-m", "ipykernel_launcher"]:
            return await super().launch_kernel(cmd, **kwargs)
        self.process = _Forked(cmd[3:], kwargs.get("env") or dict(os.environ), kwargs.get("cwd"))
        self.pid, self.pgid = self.process.pid, None
        return self.connection_info


class _Forked:
    """A forked kernel in the terms of ``subprocess.Popen``, as far as a provisioner asks."""

    stdout = stderr = stdin = None

    def __init__(self, argv: list[str], env: dict[str, str], cwd: str | None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self._process = context.Process(target=_kernel, args=(argv, env, cwd), daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self.pid is not None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()


def _kernel(argv: list[str], env: dict[str, str], cwd: str | None) -> None:
    """Be a kernel, in the forked process, until it is told to stop or its owner is gone."""
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()  # an interrupt from the keyboard is for the runner, which then stops its kernels
    os.environ.clear()
    os.environ.update(env)
    if cwd:
        os.chdir(cwd)
    threading.Thread(target=_end_with_owner, daemon=True).start()
    sys.argv = ["ipykernel_launcher", *argv]
    # what the kernel itself would log at its end means nothing to the reader of the chain's progress
    IPKernelApp.launch_instance(argv=argv, parent_handle=os.getppid(), log_level=logging.CRITICAL)


def _end_with_owner() -> None:
    """Wait for the process that started this kernel to end, and end too."""
    owner = multiprocessing.parent_process()
    if owner is not None:
        owner.join()
        os._exit(1)
