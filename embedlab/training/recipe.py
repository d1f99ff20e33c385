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
    What widens the choice is more ``documents``, with ``gradient_checkpointing`` where memory ends.

    With ``lora_rank`` above 0 that many dimensions of each layer's change are learned instead of all weights (LoRA,
    Hu et al. 2021); it takes a higher ``learning_rate``.
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
    lora_rank: int = 0
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "documents", "queries_per_document", "document_tokens", "query_tokens"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise ParameterError(f"learning_rate must lie between 0 and 1, found {self.learning_rate}")
        if self.lora_rank < 0:
            raise ParameterError(f"lora_rank must be 0 or more, found {self.lora_rank}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (from 0): linear warm-up, then linear decay to 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * max(0.0, (self.steps - step) / max(1, self.steps - warm))
