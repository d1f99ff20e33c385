"""Encode texts: length-sorted, in this machine's precision, each text once."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedlab.errors import ModelError
from embedlab.lab import Lab
from embedlab.models.cache import VectorCache, Vectors
from embedlab.models.identity import EmbeddingIdentity
from embedlab.models.resolve import ModelFiles, resolve
from embedlab.progress import Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Kind = Literal["query", "document"]

BATCH = 32
CHUNK = 256
"""Texts after which vectors are saved; a stopped encoding goes on from there."""


class Encoder:
    """A model that encodes queries and documents to unit vectors.

    The weights are loaded when a text is met that the cache does not hold, so that a notebook
    whose vectors are all cached never waits for torch.
    """

    def __init__(self, files: ModelFiles, precision: str, cache: Path | None = None) -> None:
        self.files = files
        self.identity = _identity(files, precision)
        self._cache = VectorCache(cache, self.identity.digest)

    @property
    def name(self) -> str:
        """The model's name for people."""
        return self.files.name

    @cached_property
    def model(self) -> SentenceTransformer:
        """The loaded sentence-transformers model, in the identity's precision."""
        import torch

        model = load_sentence_transformer(self.files)
        return model.to(getattr(torch, self.identity.precision))

    def prompt(self, kind: Kind) -> str:
        """Return the text that stands before every query or document."""
        return self.identity.query_prompt if kind == "query" else self.identity.document_prompt

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Encode texts.

        Args:
            texts: any number of texts; repeated ones are encoded once.
            kind: ``query`` or ``document``: which prompt the model wants before them.

        Returns:
            float32 ``[len(texts), dimensions]``, rows of unit length.
        """
        prompt = self.prompt(kind)
        keys = [self._cache.key(text, prompt) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._cache}
        order = sorted(missing, key=lambda key: (-len(missing[key]), key))
        with Progress(f"Encoding {'queries' if kind == 'query' else 'documents'}", len(texts)) as bar:
            bar.advance(len(texts) - len(missing))
            for start in range(0, len(order), CHUNK):
                chunk = order[start : start + CHUNK]
                self._cache.add(chunk, self.encode_uncached([missing[key] for key in chunk], kind))
                bar.advance(len(chunk))
        return self._cache.get(keys, self.identity.dimensions)

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Encode texts without the cache; shapes as :meth:`encode`. For measuring time."""
        vectors = self.model.encode(
            texts, prompt=self.prompt(kind) or None, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True
        )
        return normalize(np.asarray(vectors, dtype=np.float32))

    def token_counts(self, texts: list[str]) -> list[int]:
        """Return the length of each text in the model's tokens, untruncated."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(tokenizer_file(self.files)))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]

    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(p.numel() for p in self.model.parameters())


def load_model(name: str, precision: str = "auto", cache: Path | None = None) -> Encoder:
    """Resolve and verify a model; weights are loaded on first use.

    Args:
        name: a packaged model's hub id, a local folder, or any hub id.
        precision: ``float32``, ``bfloat16``, or ``auto``: what a calibration finds faster here.
        cache: folder for the vector cache; None keeps vectors in memory only.

    Raises:
        ModelError: if the model cannot be had here or its files are not what they should be.
    """
    if precision == "auto":
        from embedlab.hardware import calibrate

        precision = calibrate().precision
    if precision not in ("float32", "bfloat16"):
        raise ModelError(f"precision must be 'float32', 'bfloat16' or 'auto', found {precision!r}")
    return Encoder(resolve(name), precision, cache)


def lab_model(lab: Lab, name: str | None = None) -> Encoder:
    """Return a model with the run's precision and vector cache; the run's base model by default."""
    return load_model(name or lab.base_model, lab.settings["precision"], lab.vectors)


def tuned_model(lab: Lab) -> Encoder:
    """Return the model that step 14 put forward, after checking its recorded hashes."""
    return lab_model(lab, str(lab.path("14", "models/tuned/model.safetensors").parent))


def cosine_to_fp32(encoder: Encoder, texts: list[str]) -> float:
    """Return the lowest cosine, over some texts, between an encoder's vectors and the same model's in float32."""
    exact = Encoder(encoder.files, "float32")
    return float((encoder.encode_uncached(texts) * exact.encode_uncached(texts)).sum(axis=1).min())


def normalize(vectors: Vectors) -> Vectors:
    """Return rows scaled to unit length; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


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


def _identity(files: ModelFiles, precision: str) -> EmbeddingIdentity:
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
