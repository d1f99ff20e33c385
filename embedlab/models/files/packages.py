"""A model that is too large for one package: a zip split over several, unpacked once into a cache folder."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from embedlab.errors import ModelError, shown
from embedlab.files import replace_folder, sha256_file
from embedlab.locks import file_lock

UNPACKED = ("README.md", "*.json", "*.safetensors", "*.txt")
"""Files of an archive that a model is made of; others are left in it."""


def cache_folder() -> Path:
    """Return where models are unpacked: ``EMBEDLAB_CACHE``, or ``embedlab`` in the user's folder of caches."""
    own, everybodys = os.environ.get("EMBEDLAB_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own)
    return (Path(everybodys) if everybodys else Path.home() / ".cache") / "embedlab"


def parts_of(packages: Sequence[str], pattern: str, extra: str) -> list[Path]:
    """Return the file of each package, found without importing any.

    Args:
        packages: as they are imported, in the order of the parts.
        pattern: what finds a package's one file in its folder.
        extra: the project's extra that installs them, for the message.

    Raises:
        ModelError: if one is not installed or holds no such file; names it.
    """
    found = []
    for package in packages:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(f"the package {package} is not installed: pip install -e '.[{extra}]'")
        folder = Path(spec.submodule_search_locations[0])
        files = sorted(folder.glob(pattern))
        if len(files) != 1:
            raise ModelError(f"{folder}: {len(files)} files {pattern}, expected one; install {package} again")
        found += files
    return found


def unpacked(name: str, parts: Sequence[Path], weights: str) -> Path:
    """Return the folder of a model from the parts of its zip; unpacked at the first call, whole or not at all.

    Args:
        name: of the folder in the cache.
        parts: the zip, cut into files.
        weights: expected sha256 of ``model.safetensors``, which is part of the folder's name: another model under the
            same name gets another folder.

    Raises:
        ModelError: if the zip is damaged, leads out of its folder or holds other weights; nothing is left then.
    """
    folder = cache_folder() / f"{name}-{weights[:12]}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():  # another process may have done it while this one waited
                _unpack_whole(parts, folder, weights)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written: {error}; set EMBEDLAB_CACHE to a folder that can") from error
    return folder


def _unpack_whole(parts: Sequence[Path], folder: Path, weights: str) -> None:
    with replace_folder(folder) as empty:
        _unpack(parts, empty)
        _check(empty / "model.safetensors", weights, parts)


def _unpack(parts: Sequence[Path], folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder.parent) as whole:
            for part in parts:
                with part.open("rb") as stream:
                    shutil.copyfileobj(stream, whole, 1 << 20)
            with zipfile.ZipFile(whole) as archive:
                for member in archive.infolist():
                    _extract(archive, member, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, zlib.error) as error:
        raise ModelError(f"{parts[0]} and its other parts cannot be unpacked: {error}; install them again") from None


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    """Write one file of an archive, without the outermost folder that all of them stand in."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in member.filename:
        raise ModelError(f"the zip's {shown(member.filename)!r} leads out of its folder; nothing of it is unpacked")
    if member.is_dir() or len(path.parts) < 2 or not any(path.match(kind) for kind in UNPACKED):
        return
    target = folder.joinpath(*path.parts[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as stream:
        shutil.copyfileobj(source, stream, 1 << 20)


def _check(file: Path, expected: str, parts: Sequence[Path]) -> None:
    found = sha256_file(file) if file.is_file() else "no such file"
    if found != expected:
        raise ModelError(
            f"{parts[0]}: its model.safetensors has sha256 {found}, expected {expected}; install the packages again"
        )
