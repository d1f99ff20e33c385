"""Losses over one matrix of cosine similarities between queries and documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


SCALE = 20.0

MARGIN = 0.3

FAR = -1e4
"""A logit so low that its share is 0 and its logarithm still a number."""


def multiple_negatives(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Multiple negatives ranking, the cross-entropy of each query's positive (Henderson et al. 2017).

    Args:
        scores: cosine similarities ``[queries, documents]``.
        target: the positive's column of each query, ``[queries]``.
        allowed: bool ``[queries, documents]``; what is not allowed does not count.
    """
    from torch.nn.functional import cross_entropy

    return cross_entropy((scores * SCALE).masked_fill(~allowed, float("-inf")), target)


def symmetric(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Multiple negatives in both directions: also each positive picks its query (as in CLIP, Radford et al. 2021).

    Half of it is :func:`multiple_negatives`, half the same from document to query. A batch may hold several queries of
    one document: the others of its own, and those that it would answer, are no negatives of it.
    """
    import torch

    negative = allowed.scatter(1, target[:, None], False)
    own = torch.eye(len(target), dtype=torch.bool, device=target.device)
    from_document = multiple_negatives(
        scores.T[target], torch.arange(len(target), device=target.device), negative.T[target] | own
    )
    return (multiple_negatives(scores, target, allowed) + from_document) / 2


def triplet(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Triplet loss with the hardest allowed negative (Schroff et al. 2015), margin .3 in cosine."""
    positive = scores.gather(1, target[:, None])
    others = allowed.scatter(1, target[:, None], False)
    hardest = scores.masked_fill(~others, -1.0).max(dim=1).values
    return (hardest - positive[:, 0] + MARGIN).clamp(min=0).mean()


def cosent(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """CoSENT (Su 2022) by sentence-transformers: every positive pair above every allowed negative pair of the batch.

    ``log(1 + Σ exp(20 · (negative - positive)))`` over all pairs of pairs.
    """
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    cosines, labels = _pairs(scores, target, allowed)
    # It wants two embeddings a pair and what their similarity is; here that is known.
    loss = CoSENTLoss(None, SCALE, similarity_fct=lambda known, _: known)
    found: Tensor = loss.compute_loss_from_embeddings([cosines, cosines], labels)
    return found


def cosine(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Cosine similarity loss (Reimers and Gurevych 2019): squared distances, of a positive to 1, of a negative to 0."""
    from torch.nn.functional import mse_loss

    return mse_loss(*_pairs(scores, target, allowed))


def kl(scores: Tensor, _target: Tensor, _allowed: Tensor, teacher: Tensor) -> Tensor:
    """KL divergence of the student's from the teacher's distribution over the batch's documents (Lin et al. 2020).

    Every document counts of which the teacher says anything, also those that a mask would leave out: it says how right
    they are.

    Args:
        scores: cosine similarities ``[queries, documents]``.
        teacher: what the teacher says, of the same shape and on the same scale; NaN where it is not asked.
    """
    from torch.nn.functional import kl_div, log_softmax, softmax

    unasked = teacher.isnan()
    student = log_softmax((scores * SCALE).masked_fill(unasked, FAR), dim=1)
    return kl_div(student, softmax((teacher * SCALE).masked_fill(unasked, FAR), dim=1), reduction="batchmean")


def ranked_and_taught(scores: Tensor, target: Tensor, allowed: Tensor, teacher: Tensor) -> Tensor:
    """:func:`multiple_negatives` and :func:`kl` together: the judgments, and what the teacher makes of the others."""
    return multiple_negatives(scores, target, allowed) + kl(scores, target, allowed, teacher)


def margin_mse(scores: Tensor, target: Tensor, allowed: Tensor, teacher: Tensor) -> Tensor:
    """Margin-MSE (Hofstätter et al. 2020): a positive as far above each allowed negative as the teacher has it."""
    from torch.nn.functional import mse_loss

    others = allowed.scatter(1, target[:, None], False) & ~teacher.isnan()
    own = scores.gather(1, target[:, None]) - scores
    taught = teacher.gather(1, target[:, None]) - teacher
    return mse_loss(own[others], taught[others])


def _pairs(scores: Tensor, target: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosines of all pairs that count, ``[pairs]``, and their labels: 1 for a positive, 0 for a negative."""
    import torch

    labels = torch.zeros_like(scores).scatter(1, target[:, None], 1.0)
    return scores[allowed], labels[allowed]


def guided(allowed: NDArray[np.bool_], target: NDArray[np.int64], cosines: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return what is allowed where a guide has been asked, bool ``[queries, documents]`` (GIST, Solatorio 2024).

    A negative that is nearer to the query than the positive, as the guide sees it, is likely a right answer that nobody
    judged, and does not count.

    Args:
        allowed: what was allowed before, bool ``[queries, documents]``.
        target: the positive's column of each query, ``[queries]``.
        cosines: of the guide's vectors, ``[queries, documents]``.
    """
    positive = np.take_along_axis(cosines, target[:, None], axis=1)
    return allowed & (cosines <= positive)


Loss = Callable[..., "Tensor"]
"""From cosines ``[queries, documents]``, each query's target and what is allowed, and for those of :data:`TAUGHT` what
the teacher says, to the loss."""

LOSSES: dict[str, tuple[Loss, bool]] = {
    "mnr": (multiple_negatives, False),
    "mnr_hard": (multiple_negatives, True),
    "mnr_symmetric": (symmetric, False),
    "triplet": (triplet, True),
    "cosent": (cosent, True),
    "cosine": (cosine, True),
    "gist": (multiple_negatives, True),
    "kl": (kl, True),
    "mnr_kl": (ranked_and_taught, True),
    "margin_mse": (margin_mse, True),
}
"""By name: the loss, and whether mined hard negatives stand in its batches."""

GUIDED = frozenset({"gist"})
"""Losses of which the untuned base is the guide; see :func:`guided`."""

TAUGHT = frozenset({"kl", "mnr_kl", "margin_mse"})
"""Losses that learn from a teacher's scores."""

FORMATS = {
    "mnr": "pairs",
    "mnr_hard": "triplets",
    "mnr_symmetric": "pairs",
    "triplet": "triplets",
    "cosent": "scored_pairs",
    "cosine": "scored_pairs",
    "gist": "pairs",
    "kl": "pairs",
    "mnr_kl": "pairs",
    "margin_mse": "triplets",
}
"""By loss: the format (:data:`embedlab.trainset.formats.FITS`) of which the training rows must make an example."""


def unfed(loss: str, examples: Mapping[str, int], hard_negatives: int, teacher: str = "") -> str:
    """Return why a loss cannot be fed, blank where it can.

    Args:
        loss: one of :data:`LOSSES`.
        examples: how many the training rows make, by format.
        hard_negatives: mined documents that are added to a batch.
        teacher: the model that some learn from; blank for none.
    """
    if loss in TAUGHT and not teacher:
        return "it learns from a teacher, and none is named"
    if not examples.get(FORMATS[loss]):
        return f"no row makes an example of {FORMATS[loss]}"
    if loss == "mnr_hard" and not hard_negatives:
        return "hard_negatives is 0: it would be mnr again"
    return ""
