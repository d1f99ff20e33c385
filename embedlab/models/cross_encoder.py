"""Cross-encoders: models that read a query and a document together and say in one number how well they match."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from embedlab.errors import ModelError
from embedlab.models.cache import Vectors
from embedlab.models.encoder import ALONE, BATCH
from embedlab.models.files.folder import CROSS, MEND, length_of
from embedlab.models.files.resolve import ModelFiles, resolve
from embedlab.models.hardware import device_of, precision_of
from embedlab.models.loading import LoadedOnUse, check_loaded, check_size, naming, quiet, safe_options

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class CrossScorer(LoadedOnUse["CrossEncoder"]):
    """A cross-encoder; its weights are loaded when the first pair is scored.

    Args:
        files: the model's verified files.
        precision: ``float32``, ``bfloat16`` or ``float16``; the last layer always computes in float32, for shorter ones
            are too few to tell scores apart.
        device: ``cpu``, ``cuda`` or ``mps``.

    Attributes:
        max_length: tokens of a pair that it can read.
    """

    def __init__(self, files: ModelFiles, precision: str, device: str = "cpu") -> None:
        super().__init__(files, precision, device)
        self.max_length = length_of(files.folder)

    @cached_property
    def model(self) -> CrossEncoder:
        """The loaded sentence-transformers model, in its precision."""
        import torch

        with naming(self.files.folder), quiet():
            check_size(self.files.folder)
            model = _loaded(self.files)
            _check_outputs(model, self.files)
            check_loaded(model, self.files.folder)
            if self.precision != "float32":
                model.set_keep_in_fp32_modules(_heads(model))
            return model.to(self.device, getattr(torch, self.precision))

    def scores(self, pairs: Sequence[tuple[str, str]], max_tokens: int = 0) -> Vectors:
        """Return how well each document matches its query: the more the better, on no scale (logits).

        Args:
            pairs: query and document.
            max_tokens: tokens of a pair that are read; 0 for all that the model can.

        Returns:
            float32 ``[len(pairs)]``.

        Raises:
            ModelError: if the model cannot be loaded, or scores are no numbers.
        """
        model = self.model
        # As in `Encoder`: the limit is set on the model itself, so nobody else may ask meanwhile.
        with ALONE, naming(self.files.folder):
            model.max_seq_length = min(max_tokens or self.max_length, self.max_length)
            given = [[query, document] for query, document in pairs]
            found = np.asarray(model.predict(given, batch_size=BATCH, show_progress_bar=False), dtype=np.float32)
        if not np.isfinite(found).all():
            raise ModelError(f"{self.files.folder}: its scores hold NaN or infinity: its weights are no use; {MEND}")
        return found.reshape(len(pairs))


def load_cross_encoder(name: str, precision: str = "auto", device: str = "cpu") -> CrossScorer:
    """Resolve and verify a cross-encoder; weights are loaded on first use.

    Args:
        name: a local folder, or any hub id.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``auto``: what a calibration finds faster here.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto``: the fastest kind that is here.

    Raises:
        ModelError: if it or the device cannot be had here, it is no cross-encoder, or its files are not what they
            should be; what only shows when weights are loaded, :meth:`CrossScorer.load` or the first scoring says.
    """
    found = device_of(device)
    return CrossScorer(resolve(name, CROSS), precision_of(precision, found), found)


def _loaded(files: ModelFiles) -> CrossEncoder:
    import torch
    from sentence_transformers import CrossEncoder

    return CrossEncoder(
        str(files.folder),
        # Given here, none is taken from the folder, which would name any function of torch.
        activation_fn=torch.nn.Identity(),
        **safe_options(),
    )


def _check_outputs(model: CrossEncoder, files: ModelFiles) -> None:
    """Raise a ModelError where a model gives several numbers a pair, or classes of one."""
    if model.num_labels != 1:
        raise ModelError(
            f"{files.folder}: it gives {model.num_labels} numbers for a pair (num_labels in config.json), such as "
            "the classes of a classifier; expected one, by which documents can be ordered: choose another model"
        )


def _heads(model: CrossEncoder) -> list[str]:
    """Return the names of the linear layers that make the one number."""
    import torch

    layers: list[tuple[str, Any]] = list(model.named_modules())
    return [name for name, layer in layers if type(layer) is torch.nn.Linear and layer.out_features == 1]
