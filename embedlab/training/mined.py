"""How many of the mined negatives really stand in the batches."""

from __future__ import annotations

from embedlab.training.batches import BatchSampler
from embedlab.training.results import MinedUse


def count_mined(sampler: BatchSampler, steps: int) -> MinedUse:
    """Count the mined negatives that the first ``steps`` batches of a sampler use.

    A mined document counts where the mask lets it count as a negative of the query that it was mined for; whether
    it was drawn as a hard negative or is there as the positive of another query makes no difference to the loss. What
    a guided loss leaves out besides (:func:`embedlab.training.losses.guided`) is counted, too.
    """
    mined = sampler.mined
    used: set[tuple[int, str]] = set()
    queries = met = 0
    for step in range(steps):
        batch = sampler.batch(step)
        for row, target, allowed in zip(batch.rows, batch.target, batch.allowed, strict=True):
            negatives = {doc_id for i, doc_id in enumerate(batch.documents) if allowed[i] and i != target}
            own = negatives & mined[row]
            queries += 1
            met += bool(own)
            used.update((row, doc_id) for doc_id in own)
    return MinedUse(sum(len(ids) for ids in mined), len(used), queries, met)
