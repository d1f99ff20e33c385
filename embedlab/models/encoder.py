"""Encode texts: length-sorted, in this machine's precision, each text once."""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from embedlab.errors import DataError, ModelError, ParameterError, shown
from embedlab.models.cache import PastCache, VectorCache, Vectors
from embedlab.models.files.folder import MEND, ROUTER, modules_of
from embedlab.models.files.resolve import ModelFiles, resolve
from embedlab.models.hardware import device_of, precision_of, require_memory
from embedlab.models.identity import EmbeddingIdentity
from embedlab.models.loading import identity_of, load_sentence_transformer, naming, tokenizer_file
from embedlab.progress import Progress

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Kind = Literal["query", "document"]

ENCODING: dict[Kind, str] = {"query": "Encoding queries", "document": "Encoding documents"}
"""What a progress bar says."""

BATCH = 32
"""Texts that the model reads at once."""

CHUNK = 256
"""Texts after which vectors are saved; a stopped encoding goes on from there."""

ALONE = threading.RLock()
"""Held while a model is asked: how many tokens it reads is set on the model itself, also for a while."""


class Encoder(PastCache):
    """A model that encodes queries and documents to unit vectors.

    The weights are loaded when a text is met that the cache does not hold, so that a notebook
    whose vectors are all cached never waits for torch.

    Args:
        files: the model's verified files.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        cache: folder for the vector cache; None keeps vectors in memory only.
        device: ``cpu``, ``cuda`` or ``mps``.

    Attributes:
        identity: the embedding space of its vectors.
        known: the vectors that it has computed before.
    """

    def __init__(self, files: ModelFiles, precision: str, cache: Path | None = None, device: str = "cpu") -> None:
        self.files = files
        self.device = device
        self.identity = identity_of(files, precision)
        self.known = VectorCache(cache, self.identity.digest)

    @property
    def name(self) -> str:
        """The model's name for people."""
        return self.files.name

    @cached_property
    def routed(self) -> bool:
        """Whether queries take a route of their own through the model."""
        return not self.files.is_static and any(module.kind == ROUTER for module in modules_of(self.files.folder))

    @cached_property
    def model(self) -> SentenceTransformer:
        """The loaded sentence-transformers model, in the identity's precision."""
        import torch

        model = load_sentence_transformer(self.files)
        return model.to(self.device, getattr(torch, self.identity.precision))

    def load(self) -> Encoder:
        """Load the weights now, so that it shows here whether they can be had; return this encoder.

        Raises:
            ModelError: if they are not what the model's files say; names folder, cause and what to do.
        """
        _ = self.model
        return self

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

        Raises:
            DataError: if something is no text or cannot be written as UTF-8, or the vectors would not fit into
                memory; told before the first is computed.
            ParameterError: if the kind is neither.
            ModelError: if the model cannot be loaded, or its vectors are no numbers.
        """
        if self._past_cache:
            _check_texts(texts, kind)
            return self.encode_uncached(texts, kind)
        return through_cache(self, self.known, texts, kind)

    def remember(self, texts: list[str], vectors: Vectors, kind: Kind = "document") -> None:
        """Keep vectors that the same weights gave elsewhere, as if they had been computed here.

        Args:
            texts: any number.
            vectors: float32 ``[len(texts), dimensions]``, rows of unit length.
            kind: which prompt, and which route, they were computed with.
        """
        self.known.add(_keys(self, self.known, texts, kind), vectors)

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Encode texts without the cache; shapes as :meth:`encode`. For measuring time."""
        model = self.model
        with ALONE, naming(self.files.folder):
            vectors = encode_texts(model, texts, self.prompt(kind), kind)
        self._check(vectors)
        return vectors

    def _check(self, vectors: Vectors) -> None:
        """Raise a ModelError where vectors have another length than the files say, or hold what is no number."""
        expected = self.identity.dimensions
        if len(vectors) and vectors.shape[1] != expected:
            raise ModelError(
                f"{self.files.folder}: its vectors have {vectors.shape[1]} numbers, its files say {expected}; {MEND}"
            )
        if not np.isfinite(vectors).all():
            raise ModelError(f"{self.files.folder}: its vectors hold NaN or infinity: its weights are no use; {MEND}")

    def token_counts(self, texts: list[str]) -> list[int]:
        """Return the length of each text in the model's tokens, untruncated."""
        from tokenizers import Tokenizer

        with naming(self.files.folder):
            tokenizer = Tokenizer.from_file(str(tokenizer_file(self.files)))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(texts)]

    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(p.numel() for p in self.model.parameters())

    def weight_bytes(self) -> int:
        """Return the bytes of memory that the weights take."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())


class Computes(Protocol):
    """What computes vectors anew, and knows what stands before a text."""

    @property
    def routed(self) -> bool:
        """Whether queries take a route of their own through the model."""
        ...

    @property
    def identity(self) -> EmbeddingIdentity:
        """The space of its vectors."""
        ...

    def prompt(self, kind: Kind) -> str:
        """Return the text that stands before every query or document."""
        ...

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one vector a text, float32 ``[len(texts), dimensions]``."""
        ...


def through_cache(encoder: Computes, cache: VectorCache, texts: list[str], kind: Kind) -> Vectors:
    """Return the vectors of texts, those computed that the cache does not hold; see :meth:`Encoder.encode`."""
    _check_texts(texts, kind)
    dimensions = encoder.identity.dimensions
    # Once in the cache and once in what is returned, four bytes a number.
    require_memory(8.0 * len(texts) * dimensions, f"vectors of {len(texts):,} texts")
    keys = _keys(encoder, cache, texts, kind)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in cache}
    # texts of one length fill a batch without padding; the longest come first, so that memory fails early
    order = sorted(missing, key=lambda key: (-len(missing[key]), key))
    with Progress(ENCODING[kind], len(texts)) as bar:
        bar.advance(len(texts) - len(missing))
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]
            cache.add(chunk, encoder.encode_uncached([missing[key] for key in chunk], kind))
            bar.advance(len(chunk))
    return cache.get(keys, dimensions)


def _keys(encoder: Computes, cache: VectorCache, texts: list[str], kind: Kind) -> list[bytes]:
    """Return under which keys the vectors of texts are kept."""
    # A query that takes a route of its own has another vector than a document of the same text.
    route = kind if encoder.routed else ""
    before = f"{route}{encoder.prompt(kind)}"
    return [cache.key(text, before) for text in texts]


def encoding_bar(kind: Kind, count: int) -> Progress:
    """Return the bar over so many texts; of one batch or less there is none to see."""
    return Progress(ENCODING[kind], count, worth_showing=count > BATCH)


def _check_texts(texts: list[str], kind: Kind) -> None:
    """Raise an error where these are no texts; one text alone would be taken for a list of its letters."""
    if kind not in ENCODING:
        raise ParameterError(f"kind must be one of {', '.join(ENCODING)}; found {kind!r}")
    if not isinstance(texts, (list, tuple)):
        raise DataError(f"expected a list of texts, found {shown(repr(texts))} ({type(texts).__name__})")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {position} of {len(texts)} is {shown(repr(text))} ({type(text).__name__})")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(f"text {position} of {len(texts)} holds half a surrogate pair: {shown(text)}") from None


def encode_texts(model: SentenceTransformer, texts: list[str], prompt: str, kind: Kind) -> Vectors:
    """Encode texts with a loaded model, the longest first, with a bar where there are more than a batch of them.

    Args:
        model: as sentence-transformers loads it.
        texts: any number.
        prompt: what stands before each; blank for nothing.
        kind: what the bar says they are.

    Returns:
        float32 ``[len(texts), dimensions]``, rows of unit length.
    """
    # A model with routes has one for queries and one for documents; others take no notice.
    route = {"task": kind} if has_routes(model) else {}
    # Texts of one length fill a batch without padding; the library, too, sorts what it is given.
    order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
    found = []
    with encoding_bar(kind, len(texts)) as bar:
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            part = [texts[at] for at in batch]
            found.append(model.encode(part, prompt=prompt or None, batch_size=BATCH, show_progress_bar=False, **route))
            bar.advance(len(batch))
    if not found:
        return np.empty((0, model.get_embedding_dimension() or 0), dtype=np.float32)
    vectors = np.concatenate(found).astype(np.float32)
    vectors[order] = vectors.copy()
    return normalize(vectors)


def has_routes(model: SentenceTransformer) -> bool:
    """Return whether a loaded model embeds queries another way than documents."""
    return any(type(module).__name__ == ROUTER for module in model)


def load_model(name: str, precision: str = "auto", cache: Path | None = None, device: str = "cpu") -> Encoder:
    """Resolve and verify a model; weights are loaded on first use.

    Args:
        name: a packaged model's hub id, a local folder, or any hub id.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``auto``: what a calibration finds faster here.
        cache: folder for the vector cache; None keeps vectors in memory only.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto``: the fastest kind that is here.

    Raises:
        ModelError: if the model or the device cannot be had here, or its files are not what they should be; what only
            shows when weights are loaded, :meth:`Encoder.load` or the first encoding says.
    """
    found = device_of(device)
    return Encoder(resolve(name), precision_of(precision, found), cache, found)


def cosine_to_fp32(encoder: Encoder, texts: list[str]) -> float:
    """Return the lowest cosine, over some texts, between an encoder's vectors and the same model's in float32."""
    exact = Encoder(encoder.files, "float32", device=encoder.device)
    cosines = (encoder.encode_uncached(texts) * exact.encode_uncached(texts)).sum(axis=1)
    return float(cosines.min())


def normalize(vectors: Vectors) -> Vectors:
    """Return rows scaled to unit length; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
