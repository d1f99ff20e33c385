"""Other forms of a model's vectors: fewer dimensions, whole numbers of 8 bits, or signs alone.

A variant computes nothing anew: its vectors are made from the model's, and are what a compressed store would give back.
So exact search over them is that store's search, at no price.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from embedlab.errors import ParameterError, nearest
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Kind, normalize
from embedlab.models.identity import EmbeddingIdentity

INT8, BINARY, OPENVINO = "int8", "binary", "openvino"

FORMS = (INT8, BINARY, OPENVINO)
"""What may stand behind ``@`` in a candidate's name, beside a number of dimensions."""

BITS = {"none": 32, INT8: 8, BINARY: 1}
"""Bits of one number of a stored vector, by the identity's quantization."""


class EncodesTexts(Protocol):
    """A model, or anything else that turns texts into vectors of one space."""

    @property
    def name(self) -> str:
        """The name in tables and figures."""
        ...

    @property
    def identity(self) -> EmbeddingIdentity:
        """The space of its vectors."""
        ...

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one vector a text, float32 ``[len(texts), dimensions]``."""
        ...

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return what :meth:`encode` does, computed anew."""
        ...


class Variant:
    """A model whose vectors are stored in another form.

    - a number such as ``128``: the first so many dimensions, scaled to unit length again (Kusupati et al. 2022, who
      train models for it; others lose more);
    - ``int8``: each number of a document's vector one of 256 steps between the least and the greatest of the corpus in
      its dimension, as ``faiss.ScalarQuantizer`` does; queries stay as they are;
    - ``binary``: the signs alone, of documents and queries. The inner product of two such vectors, each of length one,
      is 1 - 2h/d, where h is their Hamming distance: both rank alike.

    Args:
        encoder: the model, or a variant of it.
        form: one of these.
        documents: the corpus, on which the ranges of ``int8`` are learned.

    Raises:
        ParameterError: if there is no such form, the model has fewer dimensions, or it is quantized already.
    """

    def __init__(self, encoder: EncodesTexts, form: str, documents: list[str]) -> None:
        self.encoder, self.form, self.documents = encoder, form, documents
        self.name = f"{encoder.name}@{form}"
        self.identity = _identity(encoder.identity, form, self.name)

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one vector a text in this form, float32 ``[len(texts), dimensions]``."""
        return self._formed(self.encoder.encode(texts, kind), kind)

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return what :meth:`encode` does, the model asked anew."""
        return self._formed(self.encoder.encode_uncached(texts, kind), kind)

    def _formed(self, vectors: Vectors, kind: Kind) -> Vectors:
        if self.form == INT8:
            return vectors if kind == "query" else self._stepped(vectors)
        if self.form == BINARY:
            return signs(vectors)
        return normalize(vectors[:, : self.identity.dimensions])

    def _stepped(self, vectors: Vectors) -> Vectors:
        """Return what is left of vectors when each number is one of 256 steps."""
        if not len(vectors):
            return vectors
        return self._quantizer.decode(self._quantizer.compute_codes(np.ascontiguousarray(vectors)))

    @cached_property
    def _quantizer(self) -> Any:
        import faiss

        quantizer = faiss.ScalarQuantizer(self.identity.dimensions, faiss.ScalarQuantizer.QT_8bit)
        quantizer.train(np.ascontiguousarray(self.encoder.encode(self.documents, "document")))
        return quantizer


def signs(vectors: Vectors) -> Vectors:
    """Return rows of ``±1/√d``: the sign of each number, 0 counted as negative; of unit length."""
    length = np.float32(1 / np.sqrt(vectors.shape[1]))
    return np.where(vectors > 0, length, -length).astype(np.float32)


def bytes_per_vector(identity: EmbeddingIdentity) -> int:
    """Return the bytes that one vector takes in a store."""
    return -(-identity.dimensions * BITS[identity.quantization] // 8)


def split_variant(name: str) -> tuple[str, list[str]]:
    """Return a candidate's model and the forms behind it: ``model@128@int8`` is ``model`` and ``128, int8``.

    Raises:
        ParameterError: if something else stands behind an ``@``; the name of a folder may contain one.
    """
    model, forms = name, list[str]()
    while "@" in model and not Path(model).is_dir():
        before, _, form = model.rpartition("@")
        if not _is_form(form):
            if ":" in name:  # the address or the name of a served model may have one of its own
                break
            hint = nearest(form, [*FORMS, "128"])
            raise ParameterError(f"candidate {name!r}: {form!r} is no form of a model's vectors{hint}")
        model, forms = before, [form, *forms]
    return model, forms


def _is_form(form: str) -> bool:
    return form in FORMS or re.fullmatch(r"[1-9]\d{0,5}", form) is not None


def _identity(identity: EmbeddingIdentity, form: str, name: str) -> EmbeddingIdentity:
    if identity.quantization != "none":
        raise ParameterError(
            f"{name}: its vectors are {identity.quantization} already; dimensions come first and one quantization "
            "last, such as model@128@int8"
        )
    if form in (INT8, BINARY):
        return replace(identity, name=name, quantization=form)
    if not _is_form(form) or form == OPENVINO:
        raise ParameterError(f"{name}: {form!r} is no form of stored vectors; expected int8, binary or a number")
    if int(form) >= identity.dimensions:
        raise ParameterError(f"{name}: the model has {identity.dimensions} dimensions; expected fewer, found {form}")
    return replace(identity, name=name, dimensions=int(form))
