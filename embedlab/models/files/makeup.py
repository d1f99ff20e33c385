"""What decides a model's vectors beside its weights, as its files say it: tokenizer, pooling, normalization, the rest.

Read without torch. Each is told apart, so that a message can say which of them differs between two models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embedlab.files import sha256_file, sha256_json
from embedlab.models.files.folder import MODES, Module, json_of, modules_of

TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json"),
)
"""JSON files of a tokenizer, wherever in the folder they lie."""

VOCABULARY = ("vocab.txt", "merges.txt", "*.model")
"""Files of a tokenizer that count only where there is no ``tokenizer.json``: otherwise nobody reads them."""

NO_MATTER = ("config_sentence_transformers.json", "data_config.json", "trainer_state.json", "embedlab.json")
"""JSON files that decide no vector; the prompts, which stand in the first, are told by themselves."""

WIDTH = ("embedding_dimension", "word_embedding_dimension")

IN_MODEL, AFTER_MODEL = "in the model", "after the model"
"""Where vectors get unit length: by its own last module, or by whoever asks it, as embedlab always does."""


def tokenizer_of(folder: Path) -> str:
    """Return the sha256 over the files of a model's tokenizer, blank where there are none."""
    files = [path for name in TOKENIZER for path in _files(folder, name)]
    if not any(path.name == "tokenizer.json" for path in files):
        files += [path for name in VOCABULARY for path in _files(folder, name)]
    return hash_of(files, folder) if files else ""


def hash_of(files: list[Path], folder: Path) -> str:
    """Return a hash of what files hold and of where in a folder they lie."""
    return sha256_json({str(path.relative_to(folder)): sha256_file(path) for path in sorted(files)})


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in folder.rglob(pattern) if path.is_file())


def pooling_of(folder: Path) -> str:
    """Return how the vectors of a text's tokens become one: ``mean``, ``cls``, or several ways joined by ``+``."""
    kinds = {module.kind: module for module in modules_of(folder)}
    if "Pooling" in kinds:
        return _pooling(kinds["Pooling"].config)
    # Without a module of its own, sentence-transformers pools by the mean; so does a table of token vectors.
    return "mean"


def _pooling(config: Mapping[str, Any]) -> str:
    mode = config.get("pooling_mode")
    if mode is None:
        chosen = [name for name in MODES if config.get(name) is True]
        mode = [name.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token") for name in chosen]
    ways = "+".join(str(way) for way in mode) if isinstance(mode, list) else str(mode)
    without = "" if config.get("include_prompt", True) else ", without the prompt"
    return (ways or "mean") + without


def normalization_of(folder: Path) -> str:
    """Return where vectors get unit length: ``in the model`` or ``after the model``."""
    return IN_MODEL if modules_of(folder)[-1].kind == "Normalize" else AFTER_MODEL


def architecture_of(folder: Path) -> str:
    """Return a hash of all that the JSON files say and that neither tokenizer, pooling, length nor prompts cover.

    Raises:
        ModelError: if one is damaged.
    """
    modules = modules_of(folder)
    told = {module.folder / "config.json" for module in modules if module.kind == "Pooling"}
    told |= {folder / "modules.json"} | {module.folder / "sentence_bert_config.json" for module in modules}
    skipped = (*TOKENIZER, *NO_MATTER)
    files = [path for path in _files(folder, "*.json") if path.name not in skipped and path not in told]
    return sha256_json([hash_of(files, folder), _remainders(modules)])


def _remainders(modules: list[Module]) -> list[list[Any]]:
    """Return each module's kind, with what its settings say beyond the limit of tokens and the way of pooling."""
    # A last module that normalizes is told by itself.
    inner = modules[:-1] if modules[-1].kind == "Normalize" else modules
    found: list[list[Any]] = []
    for module in inner:
        beyond = json_of(module.folder / "sentence_bert_config.json")
        beyond.pop("max_seq_length", None)
        if module.kind == "Pooling":
            named = (*MODES, *WIDTH, "pooling_mode", "include_prompt")
            beyond |= {name: value for name, value in module.config.items() if name not in named}
        found.append([module.kind, beyond])
    return found
