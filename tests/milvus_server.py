"""A Milvus Lite server in a process of its own, which a test can kill and start again."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

STARTING_SECONDS = 60


class MilvusServer:
    """A server over a folder, on one free port for all of its life: what it served is there again after a restart.

    Use it as a context manager, or call :meth:`start` and :meth:`kill`.

    Args:
        folder: where it keeps its files; its log stands beside it.
        workers: its threads. With more than one, Milvus Lite 3.2 loses what two clients write to one collection.
        memory: bytes of changes that it holds before it writes them into files of their own; None: its own 128 MB.
    """

    def __init__(self, folder: Path, workers: int = 1, memory: int | None = None) -> None:
        self.folder, self.workers, self.memory = folder, workers, memory
        self.port = free_port()
        self._process: subprocess.Popen | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process and wait until it takes connections."""
        assert self._process is None, "it runs already"
        command = [Path(sys.executable).parent / "milvus-lite", "server", "--data-dir", self.folder]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--max-workers", str(self.workers)]
        memory = {"MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES": str(self.memory)} if self.memory else {}
        log = self.folder.with_name(f"{self.folder.name}.log")
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **memory})
        end = time.monotonic() + STARTING_SECONDS
        while not is_open(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"the Milvus Lite server did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def kill(self, with_signal: int = signal.SIGKILL) -> None:
        """End the process, by default without giving it time to write anything."""
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let the process hang: connections stay open, nothing is answered until :meth:`resume` or :meth:`kill`."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let the process go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> "MilvusServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def is_open(port: int) -> bool:
    """Return whether something listens on a port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
