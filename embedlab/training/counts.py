"""What stands in the batches, counted: collisions (a right answer that counts as a negative) and mined negatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from embedlab.training.batches import BatchSampler
from embedlab.training.results import MinedUse

Pair = tuple[int, str]
"""A row's position and one of its positives."""


def pairs_of(rows: pd.DataFrame) -> list[Pair]:
    """Return every query-document pair of the store, as a format of pairs has them."""
    pairs = []
    for position, doc_ids in enumerate(rows["positive_ids"]):
        pairs += [(position, doc_id) for doc_id in doc_ids]
    return pairs


def random_batches(pairs: Sequence[Pair], size: int, seed: int) -> list[list[int]]:
    """Return an epoch of plain batches: positions of shuffled pairs, ``size`` at a time."""
    order = np.random.default_rng(seed).permutation(len(pairs)).tolist()
    starts = range(0, len(order), size)
    return [order[start : start + size] for start in starts]


def no_duplicates_batches(
    pairs: Sequence[Pair], queries: Sequence[str], documents: Mapping[str, str], size: int, seed: int
) -> list[list[int]]:
    """Return an epoch of sentence-transformers' own batches without repeated texts, as positions of pairs."""
    import torch
    from datasets import Dataset
    from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

    anchors = [queries[position] for position, _ in pairs]
    positives = [documents[doc_id] for _, doc_id in pairs]
    dataset = Dataset.from_dict({"anchor": anchors, "positive": positives})
    generator = torch.Generator().manual_seed(seed)
    # The last, smaller batches are kept, as in random_batches: all batches are compared over the same pairs.
    sampler = NoDuplicatesBatchSampler(dataset, size, drop_last=False, generator=generator, seed=seed)
    return list(sampler)


def count_in_pairs(
    batches: Iterable[Sequence[int]], pairs: Sequence[Pair], right: Sequence[frozenset[str]]
) -> dict[str, int]:
    """Count collisions where every other pair's document is a query's negative.

    Args:
        batches: positions of pairs.
        pairs: as :func:`pairs_of` returns them.
        right: by row, as :func:`right_answers` returns it.

    Returns:
        ``batches``, ``negatives`` (query-document combinations that count as such), ``collisions``.
    """
    found = {"batches": 0, "negatives": 0, "collisions": 0}
    for batch in batches:
        in_batch = [pairs[i] for i in batch]
        found["batches"] += 1
        found["negatives"] += len(batch) * (len(batch) - 1)
        for row, _ in in_batch:
            answers = sum(doc_id in right[row] for _, doc_id in in_batch)
            found["collisions"] += answers - 1  # its own positive is no collision
    return found


def count_in_sampler(sampler: BatchSampler, steps: int, right: Sequence[frozenset[str]]) -> dict[str, int]:
    """Count collisions in a sampler's batches, and what its mask keeps from being one; as :func:`count_in_pairs`.

    ``masked`` are the combinations that would have counted as negatives without the mask.
    """
    found = {"batches": steps, "negatives": 0, "collisions": 0, "masked": 0}
    for step in range(steps):
        batch = sampler.batch(step)
        # `allowed` holds each query's own positive too, which is no negative of it.
        negative = batch.allowed.copy()
        each_query = np.arange(len(batch.target))
        negative[each_query, batch.target] = False
        found["negatives"] += int(negative.sum())
        found["masked"] += int((~batch.allowed).sum())
        for query, column in np.argwhere(negative):
            answers = right[batch.rows[query]]
            found["collisions"] += batch.documents[column] in answers
    return found


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
