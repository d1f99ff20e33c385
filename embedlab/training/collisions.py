"""Collisions inside a batch: a right answer to a query that counts as its negative."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from embedlab.training.batches import BatchSampler

Pair = tuple[int, str]
"""A row's position and one of its positives."""


def pairs_of(rows: pd.DataFrame) -> list[Pair]:
    """Return every query-document pair of the store, as a format of pairs has them."""
    return [(i, d) for i, ids in enumerate(rows["positive_ids"]) for d in ids]


def random_batches(pairs: Sequence[Pair], size: int, seed: int) -> list[list[int]]:
    """Return an epoch of plain batches: positions of shuffled pairs, ``size`` at a time."""
    order = np.random.default_rng(seed).permutation(len(pairs)).tolist()
    return [order[i : i + size] for i in range(0, len(order), size)]


def no_duplicates_batches(
    pairs: Sequence[Pair], queries: Sequence[str], documents: Mapping[str, str], size: int, seed: int
) -> list[list[int]]:
    """Return an epoch of sentence-transformers' own batches without repeated texts, as positions of pairs."""
    import torch
    from datasets import Dataset
    from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

    columns = {"anchor": [queries[i] for i, _ in pairs], "positive": [documents[d] for _, d in pairs]}
    generator = torch.Generator().manual_seed(seed)
    return list(NoDuplicatesBatchSampler(Dataset.from_dict(columns), size, False, generator=generator, seed=seed))


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
        documents = [pairs[i][1] for i in batch]
        found["batches"] += 1
        found["negatives"] += len(batch) * (len(batch) - 1)
        for row in (pairs[i][0] for i in batch):
            answered = sum(d in right[row] for d in documents)
            found["collisions"] += answered - 1  # its own positive is no collision
    return found


def count_in_sampler(sampler: BatchSampler, steps: int, right: Sequence[frozenset[str]]) -> dict[str, int]:
    """Count collisions in a sampler's batches, and what its mask keeps from being one; as :func:`count_in_pairs`.

    ``masked`` are the combinations that would have counted as negatives without the mask.
    """
    found = {"batches": steps, "negatives": 0, "collisions": 0, "masked": 0}
    for batch in (sampler.batch(step) for step in range(steps)):
        negative = batch.allowed.copy()
        negative[np.arange(len(batch.target)), batch.target] = False
        found["negatives"] += int(negative.sum())
        found["masked"] += int((~batch.allowed).sum())
        for row, column in zip(*np.nonzero(negative), strict=True):
            found["collisions"] += batch.documents[column] in right[batch.rows[row]]
    return found
