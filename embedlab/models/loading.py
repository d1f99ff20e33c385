"""From a model's files to a loaded model, and to the identity of its vectors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedlab.errors import ModelError
from embedlab.models.identity import EmbeddingIdentity
from embedlab.models.resolve import ModelFiles

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_sentence_transformer(files: ModelFiles) -> SentenceTransformer:
    """Load a model in fp32, from safetensors only and without remote code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    if files.is_static:
        return _static(files)
    return SentenceTransformer(
        str(files.folder), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
    )


def _static(files: ModelFiles) -> SentenceTransformer:
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    table = next(iter(load_file(next(files.folder.glob("*.safetensors"))).values()))
    tokenizer = Tokenizer.from_file(str(tokenizer_file(files)))
    module = StaticEmbedding(tokenizer, embedding_weights=table.astype(np.float32))
    return SentenceTransformer(modules=[module], device="cpu")


def tokenizer_file(files: ModelFiles) -> Path:
    """Return the file of a model's fast tokenizer."""
    if files.is_static:
        return next((files.folder.parent / "tokenizers").glob("*.json"))
    for name in ("tokenizer.json", "0_Transformer/tokenizer.json", "0_StaticEmbedding/tokenizer.json"):
        if (files.folder / name).is_file():
            return files.folder / name
    raise ModelError(f"{files.folder}: no tokenizer.json")


def identity_of(files: ModelFiles, precision: str) -> EmbeddingIdentity:
    """Read a model's dimensions, length limit and prompts from its files, without torch."""
    if files.is_static:
        return EmbeddingIdentity(files.name, files.weights, files.config, 256, 0, "", "", "float32")
    folder = files.folder
    config = _json(folder / "config.json")
    limits = _json(folder / "sentence_bert_config.json")
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    modules = [_json(p) for p in sorted(folder.glob("*_Dense/config.json"))]
    dimensions = modules[-1]["out_features"] if modules else config.get("hidden_size", 0)
    # sentence-transformers 6 saves the limit with the tokenizer, and cuts at the lower of these two
    known = [_json(folder / "tokenizer_config.json").get("model_max_length"), config.get("max_position_embeddings")]
    length = limits.get("max_seq_length") or min((n for n in known if n and n > 0), default=512)
    query, document = prompts.get("query") or "", prompts.get("document") or prompts.get("passage") or ""
    return EmbeddingIdentity(files.name, files.weights, files.config, dimensions, length, query, document, precision)


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
