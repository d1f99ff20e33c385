"""A vector cache addressed by content: text hash and embedding identity."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedlab.errors import EmbedlabError
from embedlab.files import replace_file

Vectors = NDArray[np.float32]
"""One row a text, float32 ``[texts, dimensions]``."""


class PastCache:
    """Something that answers from what it kept, unless it is asked anew."""

    _past_cache = False

    @contextlib.contextmanager
    def past_cache(self) -> Iterator[None]:
        """Let everything be computed anew meanwhile: what times an answer may not take a kept one."""
        before, self._past_cache = self._past_cache, True
        try:
            yield
        finally:
            self._past_cache = before


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
        joined = b"".join(keys)
        stored = np.frombuffer(joined, dtype=np.uint8).reshape(len(keys), 32)

        def save(path: Path) -> None:
            with path.open("wb") as stream:  # a stream, for numpy would add its own suffix to a path
                np.savez(stream, keys=stored, vectors=vectors)

        try:
            replace_file(self.folder / f"{hashlib.sha256(joined).hexdigest()[:20]}.npz", save)
        except OSError as error:
            raise EmbedlabError(f"cannot keep vectors in {self.folder}: {error.strerror or error}") from error
