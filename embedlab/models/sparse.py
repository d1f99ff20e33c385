"""Sparse encoders: a weight for each word of the vocabulary, most of them 0."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embedlab.errors import ModelError
from embedlab.models.encoder import ALONE, BATCH, Kind, encoding_bar
from embedlab.models.files.folder import MEND, SPARSE, json_of, modules_of, prompts_of
from embedlab.models.files.resolve import ModelFiles, resolve
from embedlab.models.hardware import device_of, precision_of
from embedlab.models.loading import LoadedOnUse, check_loaded, check_size, naming, quiet, safe_options

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sentence_transformers import SparseEncoder as Loaded

MASKED = "ForMaskedLM"
"""How the architecture of a model ends that gives each word of its vocabulary a weight."""


class SparseEncoder(LoadedOnUse["Loaded"]):
    """A model such as SPLADE (Formal et al. 2021); its weights are loaded when the first text is encoded.

    Args:
        files: the model's verified files.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        device: ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, files: ModelFiles, precision: str, device: str = "cpu") -> None:
        super().__init__(files, precision, device)
        self.prompts: dict[Kind, str] = dict(zip(("query", "document"), prompts_of(files.folder), strict=True))

    @cached_property
    def model(self) -> Loaded:
        """The loaded sentence-transformers model, in its precision."""
        import torch

        with naming(self.files.folder), quiet():
            check_size(self.files.folder)
            model = _loaded(self.files)
            check_loaded(model, self.files.folder)
            return model.to(self.device, getattr(torch, self.precision))

    def encode(self, texts: list[str], kind: Kind = "document") -> csr_matrix:
        """Encode texts, the longest first.

        Args:
            texts: any number of texts.
            kind: ``query`` or ``document``: which prompt the model wants before them.

        Returns:
            float32 ``[len(texts), vocabulary]``, not scaled to unit length.

        Raises:
            ModelError: if the model cannot be loaded, or its weights are no numbers.
        """
        from scipy.sparse import csr_matrix, vstack

        order = np.array(sorted(range(len(texts)), key=lambda at: -len(texts[at])), dtype=np.int64)
        found = []
        with encoding_bar(kind, len(texts)) as bar:
            for start in range(0, len(order), BATCH):
                batch = [texts[at] for at in order[start : start + BATCH]]
                found.append(self._batch(batch, kind))
                bar.advance(len(batch))
        if not found:
            return csr_matrix((0, self.model.get_embedding_dimension() or 0), dtype=np.float32)
        return csr_matrix(vstack(found))[np.argsort(order)]

    def _batch(self, texts: list[str], kind: Kind) -> csr_matrix:
        """Return the vectors of so few texts that they fit into memory with their zeros."""
        from scipy.sparse import csr_matrix

        model = self.model
        with ALONE, naming(self.files.folder):
            rows = model.encode(
                texts, prompt=self.prompts[kind] or None, batch_size=BATCH, convert_to_sparse_tensor=False
            )
            numbers = rows.float().cpu().numpy()
        if not np.isfinite(numbers).all():
            raise ModelError(f"{self.files.folder}: its vectors hold NaN or infinity: its weights are no use; {MEND}")
        return csr_matrix(numbers)


def load_sparse_encoder(name: str, precision: str = "auto", device: str = "cpu") -> SparseEncoder:
    """Resolve and verify a sparse encoder; weights are loaded on first use.

    Args:
        name: a local folder, or any hub id.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``auto``: what a calibration finds faster here.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto``: the fastest kind that is here.

    Raises:
        ModelError: if it or the device cannot be had here, it is no sparse encoder, or its files are not what they
            should be; what only shows when weights are loaded, :meth:`SparseEncoder.load` or the first encoding says.
    """
    files = resolve(name, SPARSE)
    _check_is_sparse(files)
    found = device_of(device)
    return SparseEncoder(files, precision_of(precision, found), found)


def _check_is_sparse(files: ModelFiles) -> None:
    """Raise a ModelError where sentence-transformers would make a sparse encoder of random weights."""
    kinds = [module.kind for module in modules_of(files.folder)]
    if "SpladePooling" in kinds or "SparseAutoEncoder" in kinds:
        return
    architectures = json_of(files.folder / "config.json").get("architectures") or []
    if not any(str(name).endswith(MASKED) for name in architectures):
        raise ModelError(
            f"{files.folder}: no sparse encoder: neither a module SpladePooling or SparseAutoEncoder in modules.json "
            f"nor an architecture …{MASKED} in config.json; choose another model"
        )


def _loaded(files: ModelFiles) -> Loaded:
    from sentence_transformers import SparseEncoder as Loaded

    return Loaded(str(files.folder), **safe_options())
