"""A vector cache addressed by content: text hash and embedding identity."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedlab.errors import EmbedlabError

Vectors = NDArray[np.float32]


class VectorCache:
    """Vectors of one embedding identity, kept in append-only files.

    Each file holds the keys and vectors of one finished batch of work and is written
    atomically; an unreadable file is left out, and its texts are encoded again.
    """

    def __init__(self, folder: Path | None, digest: str) -> None:
        self.folder = folder / digest[:16] if folder is not None else None
        self._known: dict[bytes, Vectors] = {}
        if self.folder is not None and self.folder.is_dir():
            for path in sorted(self.folder.glob("*.npz")):
                self._load(path)

    def _load(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as file:
                keys, vectors = file["keys"], file["vectors"]
        except (zipfile.BadZipFile, OSError, ValueError, KeyError):
            return
        self._known.update(zip((bytes(k) for k in keys), vectors, strict=True))

    @staticmethod
    def key(text: str, prompt: str) -> bytes:
        """Return the key of a text under a prompt: 32 bytes."""
        return hashlib.sha256(f"{prompt}\x1f{text}".encode()).digest()

    def __contains__(self, key: bytes) -> bool:
        return key in self._known

    def get(self, keys: list[bytes], dimensions: int) -> Vectors:
        """Return the vectors of known keys, float32 ``[len(keys), dimensions]``."""
        if not keys:
            return np.zeros((0, dimensions), dtype=np.float32)
        return np.stack([self._known[key] for key in keys])

    def add(self, keys: list[bytes], vectors: Vectors) -> None:
        """Remember vectors, float32 ``[len(keys), d]``, on disk too where there is a folder."""
        self._known.update(zip(keys, vectors, strict=True))
        if self.folder is None:
            return
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:20]
        temporary = self.folder / f".{name}.{os.getpid()}.tmp"
        stored = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), 32)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                np.savez(stream, keys=stored, vectors=vectors)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.folder / f"{name}.npz")
        except OSError as error:
            raise EmbedlabError(f"cannot keep vectors in {self.folder}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
