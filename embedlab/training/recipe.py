"""What a training run is made of, in one value that can be hashed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from embedlab.errors import ParameterError


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Each step takes ``documents`` positives with up to ``queries_per_document`` of their queries
    and ``hard_negatives`` mined documents. A document is encoded once for all of its queries,
    which is what makes the step cheap.

    Gradients of several batches are not accumulated: each query would still meet the negatives of its own batch alone.
    What widens the choice is more ``documents``, with ``chunk`` or ``gradient_checkpointing`` where memory ends.

    Attributes:
        matryoshka_dims: the loss is the mean over vectors cut to these many numbers and brought to unit length again
            (Kusupati et al. 2022); the full length is trained only where it is one of them. Empty for whole vectors.
        matryoshka_weights: how much each of them counts in the mean; empty for alike.
        chunk: texts that are embedded at once where vectors and their gradients are cached (Gao et al. 2021): large
            batches in little memory, for one further pass forward. 0 embeds a batch as a whole.
        lora_rank: so many dimensions of each layer's change are learned instead of all weights (LoRA, Hu et al. 2021);
            it takes a higher ``learning_rate``. 0 learns all weights.
        gradient_checkpointing: activations are computed twice instead of kept.
    """

    loss: str = "mnr_hard"
    steps: int = 40
    documents: int = 28
    queries_per_document: int = 4
    hard_negatives: int = 4
    learning_rate: float = 1e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    document_tokens: int = 96
    query_tokens: int = 64
    seed: int = 0
    matryoshka_dims: tuple[int, ...] = ()
    matryoshka_weights: tuple[float, ...] = ()
    chunk: int = 0
    lora_rank: int = 0
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "documents", "queries_per_document", "document_tokens", "query_tokens"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise ParameterError(f"learning_rate must lie between 0 and 1, found {self.learning_rate}")
        if self.chunk < 0:
            raise ParameterError(f"chunk must be 0 or more, found {self.chunk}")
        if self.lora_rank < 0:
            raise ParameterError(f"lora_rank must be 0 or more, found {self.lora_rank}")
        for name in ("matryoshka_dims", "matryoshka_weights"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a file has lists
        _check_matryoshka(self.matryoshka_dims, self.matryoshka_weights)

    @property
    def matryoshka(self) -> dict[int, float]:
        """The share of each length of vectors in the loss; together 1, or none where vectors are taken whole."""
        weights = self.matryoshka_weights or (1.0,) * len(self.matryoshka_dims)
        return {dim: weight / sum(weights) for dim, weight in zip(self.matryoshka_dims, weights, strict=True)}

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (from 0): linear warm-up, then linear decay to 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * max(0.0, (self.steps - step) / max(1, self.steps - warm))


def _check_matryoshka(dims: tuple[int, ...], weights: tuple[float, ...]) -> None:
    """Raise a ParameterError unless these are lengths of vectors, each once, with a weight above 0 for each or none."""
    if len(set(dims)) < len(dims) or any(dim < 1 for dim in dims):
        raise ParameterError(f"matryoshka_dims must be numbers of 1 or more, each once; found {list(dims)}")
    if weights and len(weights) != len(dims):
        raise ParameterError(
            f"matryoshka_weights must be as many as matryoshka_dims, or none; found {len(weights)} and {len(dims)}"
        )
    if any(weight <= 0 for weight in weights):
        raise ParameterError(f"matryoshka_weights must be numbers above 0; found {list(weights)}")
