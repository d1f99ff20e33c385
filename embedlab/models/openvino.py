"""A model run by OpenVINO instead of torch: often faster on a processor, and in its own precision.

The torch module is converted as it is, in memory; nothing is downloaded and nothing is written.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from embedlab.errors import ModelError
from embedlab.models.cache import Vectors
from embedlab.models.encoder import BATCH, Encoder, Kind, encoding_bar, normalize
from embedlab.models.files.resolve import ModelFiles
from embedlab.models.loading import load_sentence_transformer, naming, quiet

HINTS = {True: "bf16", False: "f32"}
"""OpenVINO's ``INFERENCE_PRECISION_HINT``, by whether the processor computes in bf16."""


class OpenVINOEncoder(Encoder):
    """A transformer whose vectors OpenVINO computes; its identity's precision says so.

    Args:
        files: the model's verified files.
        cache: folder for the vector cache; None keeps vectors in memory only.

    Raises:
        ModelError: if OpenVINO is not installed.
    """

    def __init__(self, files: ModelFiles, cache: Path | None = None) -> None:
        if find_spec("openvino") is None:
            raise ModelError("openvino is not installed: pip install -e '.[openvino]'")
        self.hint = HINTS["BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")]
        super().__init__(files, f"openvino {self.hint}", cache)

    @property
    def name(self) -> str:
        """The model's name with what runs it."""
        return f"{self.files.name}@openvino"

    @cached_property
    def model(self) -> Any:
        """The torch model in float32 that is converted; its tokenizer reads the texts."""
        return load_sentence_transformer(self.files)

    def load(self) -> OpenVINOEncoder:
        """Convert the weights now; return this encoder."""
        _ = self._compiled
        return self

    @cached_property
    def _compiled(self) -> Any:
        """The converted model, and the names of what it reads in their order."""
        import torch

        if self.model.transformers_model is None:
            raise ModelError(f"{self.files.name}: it is a table of word vectors, for which OpenVINO does nothing")
        if self.routed:
            raise ModelError(f"{self.files.name}: it embeds queries another way than documents; OpenVINO knows one way")
        features = self._features(["a text", "another, longer text"])
        names = [name for name, value in features.items() if isinstance(value, torch.Tensor)]
        with naming(self.files.folder), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing says of each branch that it was followed but once
            model = converted(traceable(self.model, names), tuple(features[name] for name in names))
            return _core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": self.hint}), names

    def _features(self, texts: list[str]) -> Any:
        return self.model.preprocess(texts)

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Encode texts without the cache, the longest first; shapes as :meth:`encode`."""
        compiled, names = self._compiled
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        vectors = np.empty((len(texts), self.identity.dimensions), dtype=np.float32)
        with naming(self.files.folder), encoding_bar(kind, len(texts)) as bar:
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                features = self._features([self.prompt(kind) + texts[at] for at in batch])
                vectors[batch] = compiled([features[name].numpy() for name in names])[0]
                bar.advance(len(batch))
        self._check(vectors)
        return normalize(vectors)


def _core() -> Any:
    import openvino

    return openvino.Core()


def converted(module: Any, inputs: tuple[Any, ...]) -> Any:
    """Return a torch module as a model of OpenVINO's; the first two sizes of its inputs may be any.

    Args:
        module: from tensors to vectors.
        inputs: an example of what it reads.
    """
    import openvino
    import torch

    with torch.no_grad():
        return openvino.convert_model(module, example_input=inputs)


def traceable(model: Any, names: list[str]) -> Any:
    """Return a model of sentence-transformers as a torch module from tensors to vectors.

    Args:
        model: reads its features by name.
        names: of the features, in the order in which the module takes them.
    """
    import torch

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(dict(zip(names, inputs, strict=True)))["sentence_embedding"]

    return Whole()
