"""Losses over one matrix of cosine similarities between queries and documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


SCALE = 20.0

MARGIN = 0.3


def multiple_negatives(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Multiple negatives ranking, the cross-entropy of each query's positive (Henderson et al. 2017).

    Args:
        scores: cosine similarities ``[queries, documents]``.
        target: the positive's column of each query, ``[queries]``.
        allowed: bool ``[queries, documents]``; what is not allowed does not count.
    """
    from torch.nn.functional import cross_entropy

    return cross_entropy((scores * SCALE).masked_fill(~allowed, float("-inf")), target)


def triplet(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Triplet loss with the hardest allowed negative (Schroff et al. 2015), margin .3 in cosine."""
    positive = scores.gather(1, target[:, None])
    others = allowed.scatter(1, target[:, None], False)
    hardest = scores.masked_fill(~others, -1.0).max(dim=1).values
    return (hardest - positive[:, 0] + MARGIN).clamp(min=0).mean()


def cosent(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """CoSENT (Su 2022): every positive pair above every allowed negative pair of the batch.

    ``log(1 + Σ exp(20 · (negative - positive)))`` over all pairs of pairs.
    """
    import torch

    positive = scores.gather(1, target[:, None])[:, 0]
    negative = scores[allowed.scatter(1, target[:, None], False)]
    gaps = (negative[:, None] - positive[None, :]) * SCALE
    return torch.logsumexp(torch.cat([gaps.flatten(), gaps.new_zeros(1)]), dim=0)


Loss = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]

LOSSES: dict[str, tuple[Loss, bool]] = {
    "mnr": (multiple_negatives, False),
    "mnr_hard": (multiple_negatives, True),
    "triplet": (triplet, True),
    "cosent": (cosent, True),
}
"""By name: the loss, and whether mined hard negatives stand in its batches."""
