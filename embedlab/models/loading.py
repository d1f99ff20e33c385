"""From a model's files to a loaded model, and to the identity of its vectors."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np

from embedlab.errors import ModelError, shown
from embedlab.files import content_hash, sha256_file, sha256_json
from embedlab.models.files.folder import MEND, length_of, modules_of, prompts_of, tensors_of, width_of
from embedlab.models.files.makeup import AFTER_MODEL, normalization_of, pooling_of, tokenizer_of
from embedlab.models.files.resolve import ModelFiles
from embedlab.models.identity import EmbeddingIdentity

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Model = TypeVar("Model")

UNUSED = ("pooler.",)
"""Weights of a transformer that may be missing: vectors are pooled from its tokens, never by its own pooler."""

STATIC_WIDTH = 256
"""Numbers of a vector of the packaged table of word vectors."""

TIMES = 4
"""A transformer that has this many times as many numbers as its file does is not the file's."""


def load_sentence_transformer(files: ModelFiles) -> SentenceTransformer:
    """Load a model in fp32, from safetensors only and without remote code.

    Raises:
        ModelError: if it cannot be loaded, or would not be what its files say: names folder, cause and what to do.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with naming(files.folder), quiet():
        if files.is_static:
            return _static(files)
        check_size(files.folder)
        model = _transformer(files)
        check_loaded(model, files.folder)
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing a table of missing weights: where they matter, an error names them."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@contextlib.contextmanager
def naming(folder: Path, mend: str = MEND) -> Iterator[None]:
    """Turn whatever the libraries below say into a ModelError that names the model's folder, and what to do."""
    try:
        yield
    except (ModelError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers' Rust is no Exception
        cause = shown(" ".join(str(error).split()), 300)
        raise ModelError(f"{folder}: cannot be used: {type(error).__name__}: {cause}; {mend}") from error


def check_size(folder: Path) -> None:
    """Raise a ModelError where ``config.json`` describes a model far larger than its weights, before that is built."""
    import torch
    from transformers import AutoConfig, AutoModel

    for module in modules_of(folder):
        if module.kind != "Transformer":
            continue
        config = AutoConfig.from_pretrained(str(module.folder), local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            planned = AutoModel.from_config(config, trust_remote_code=False)
        described = sum(weights.numel() for weights in planned.parameters())
        held = sum(math.prod(shape) for shape in tensors_of(module.folder).values())
        if described > TIMES * held:
            raise ModelError(
                f"{module.folder}: config.json describes {described:,} weights, the files hold {held:,}; {MEND}"
            )


def safe_options() -> dict[str, Any]:
    """Return what sentence-transformers is told with every model: these files alone, safetensors, no code of theirs."""
    return {
        "device": "cpu",
        "local_files_only": True,
        "trust_remote_code": False,
        "model_kwargs": {"use_safetensors": True},
    }


class LoadedOnUse(Generic[Model]):
    """A model known by its files; subclasses say in ``model`` how its weights are loaded when they are first asked for.

    Args:
        files: the model's verified files.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        device: ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, files: ModelFiles, precision: str, device: str = "cpu") -> None:
        self.files, self.precision, self.device = files, precision, device

    @property
    def name(self) -> str:
        """The model's name for people."""
        return self.files.name

    @cached_property
    def digest(self) -> str:
        """A hash of all that decides what it computes: every file of its folder, and the precision."""
        return sha256_json([content_hash(self.files.folder), self.precision])

    @cached_property
    def model(self) -> Model:
        """The loaded sentence-transformers model, in its precision."""
        raise NotImplementedError

    def load(self) -> Self:
        """Load the weights now, so that it shows here whether they can be had; return this model.

        Raises:
            ModelError: if they are not what the model's files say; names folder, cause and what to do.
        """
        _ = self.model
        return self


def _transformer(files: ModelFiles) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(files.folder), **safe_options())


def _static(files: ModelFiles) -> SentenceTransformer:
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    table = next(iter(load_file(next(files.folder.glob("*.safetensors"))).values()))
    tokenizer = Tokenizer.from_file(str(tokenizer_file(files)))
    module = StaticEmbedding(tokenizer, embedding_weights=table.astype(np.float32))
    return SentenceTransformer(modules=[module], device="cpu")


# --- is it what its files say? --------------------------------------------------------------------


def check_loaded(model: SentenceTransformer, folder: Path) -> None:
    """Raise a ModelError where a loaded model has weights that are no numbers, that no file gave, or too few."""
    import torch

    for name, weights in model.named_parameters():
        if not torch.isfinite(weights.detach().sum(dtype=torch.float32)):
            raise ModelError(f"{folder}: the weights {name} hold NaN or infinity; {MEND}")
    transformer = model.transformers_model
    if transformer is None:
        return
    missing = missing_weights(transformer, folder)
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} of the model's weights stand in no file and would be drawn at random, such as "
            f"{min(missing)}; {MEND}"
        )
    check_tables(model, folder)


def missing_weights(transformer: Any, folder: Path) -> set[str]:
    """Return the names of weights that transformers would draw at random, for none of the files holds them."""
    place = next(module.folder for module in modules_of(folder) if module.kind == "Transformer")
    # sentence-transformers keeps to itself what was missing, so it is asked once more.
    _, found = type(transformer).from_pretrained(
        str(place), use_safetensors=True, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    return {name for name in found["missing_keys"] if not name.startswith(UNUSED)}


def check_tables(model: SentenceTransformer, folder: Path) -> None:
    """Raise a ModelError where a token or a position would stand beyond the table of its vectors."""
    rows = model.transformers_model.get_input_embeddings().num_embeddings
    last = max(model.tokenizer.get_vocab().values())
    if last >= rows:
        raise ModelError(
            f"{folder}: its tokenizer knows token {last}, but its weights have vectors of {rows} tokens only; {MEND}"
        )
    longest = model.max_seq_length
    for name, table in model.transformers_model.named_modules():
        if name.endswith("position_embeddings") and hasattr(table, "num_embeddings"):
            # RoBERTa counts positions from the one after that of its padding.
            places = table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
            if longest is not None and longest > places:
                raise ModelError(
                    f"{folder}: texts are cut at {longest} tokens (max_seq_length), but its weights have {places} "
                    f"positions; write {places} or less into sentence_bert_config.json"
                )


def tokenizer_file(files: ModelFiles) -> Path:
    """Return the file of a model's fast tokenizer."""
    if files.is_static:
        return next((files.folder.parent / "tokenizers").glob("*.json"))
    for name in ("tokenizer.json", "0_Transformer/tokenizer.json", "0_StaticEmbedding/tokenizer.json"):
        if (files.folder / name).is_file():
            return files.folder / name
    raise ModelError(f"{files.folder}: no tokenizer.json; save it with its fast tokenizer, by save_pretrained")


def identity_of(files: ModelFiles, precision: str) -> EmbeddingIdentity:
    """Read all that decides a model's vectors from its files, without torch."""
    if files.is_static:
        tokenizer = sha256_file(tokenizer_file(files))
        return EmbeddingIdentity(
            *(files.name, files.weights, files.config, STATIC_WIDTH, 0, "", "", "float32"),
            tokenizer=tokenizer,
            pooling="mean",
            normalization=AFTER_MODEL,
        )
    folder = files.folder
    query, document = prompts_of(folder)
    return EmbeddingIdentity(
        name=files.name,
        weights=files.weights,
        config=files.config,
        dimensions=width_of(folder),
        max_length=length_of(folder),
        query_prompt=query,
        document_prompt=document,
        precision=precision,
        tokenizer=tokenizer_of(folder),
        pooling=pooling_of(folder),
        normalization=normalization_of(folder),
    )
