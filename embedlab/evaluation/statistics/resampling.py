"""Means under chance, ten thousand at a time: units drawn with replacement, and signs flipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 10_000

BATCH_VALUES = 200_000
"""Values of a batch: 1.6 MB as floats, which a processor's cache holds; batches of 32 MB take four times as long."""

KEPT_UNITS = 4_000
"""Of so many units or fewer the draws are kept, 40 MB at most, for the next comparison of the same queries."""

EXACT_UNITS = 13
"""Of so many units or fewer all ways to flip their signs are at most :data:`RESAMPLES`, and all are taken."""


def resampled_sums(columns: Sequence[Floats], seed: int) -> Floats:
    """Return the sums of each column over units drawn with replacement, ``[columns, RESAMPLES]``.

    Args:
        columns: a value a unit, ``[units]`` each; all are resampled together.
        seed: of the draws, which depend on it and on the number of units alone.
    """
    values = np.stack(columns, axis=1)
    batches: Iterable[NDArray[np.uint8]]
    batches = _kept_draws(len(values), seed) if len(values) <= KEPT_UNITS else draws(len(values), seed)
    return np.concatenate([times @ values for times in map(_as_floats, batches)]).T


@lru_cache(maxsize=8)
def _kept_draws(units: int, seed: int) -> tuple[NDArray[np.uint8], ...]:
    return tuple(draws(units, seed))


def draws(units: int, seed: int, resamples: int = RESAMPLES) -> Iterator[NDArray[np.uint8]]:
    """Yield how often each resample draws each unit, ``[resamples of a batch, units]``: as scipy's bootstrap draws."""
    chance = np.random.default_rng(seed)
    for count in _batches(resamples, units):
        drawn = chance.integers(0, units, (count, units))
        drawn += units * np.arange(count)[:, None]  # so that one count of all is a count of each resample
        times = np.bincount(drawn.ravel(), minlength=count * units)
        # A byte is enough: of more than 255 units none is ever drawn so often.
        yield times.astype(np.uint8).reshape(count, units)


def flipped_sums(values: Floats, seed: int) -> tuple[Floats, bool]:
    """Return the sums of values whose signs are flipped, and whether that is every way to flip them.

    Args:
        values: ``[units]``.
        seed: of the flips.
    """
    if len(values) <= EXACT_UNITS:
        every = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return _flipped(every, values), True
    chance = np.random.default_rng(seed)
    drawn = (chance.integers(0, 2, (count, len(values)), np.uint8) for count in _batches(RESAMPLES - 1, len(values)))
    return np.concatenate([_flipped(some, values) for some in drawn]), False


def _flipped(bits: NDArray[np.integer], values: Floats) -> Floats:
    """Return the sums where each unit counts negative whose bit is set."""
    return values.sum() - 2 * (_as_floats(bits) @ values)


def _as_floats(counts: NDArray[np.integer]) -> Floats:
    return counts.astype(np.float64)  # numpy multiplies whole numbers far slower


def _batches(count: int, units: int) -> Iterator[int]:
    """Yield the sizes of batches that together are so many."""
    size = max(1, BATCH_VALUES // units)
    for start in range(0, count, size):
        yield min(size, count - start)
