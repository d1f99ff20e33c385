"""How many texts that nobody asked are trained on beside the queries that somebody did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from embedlab.evaluation.results import Comparison


def with_texts(asked: pd.DataFrame, texts: pd.DataFrame, numbers: Iterable[int], seed: int) -> dict[int, pd.DataFrame]:
    """Return by number of texts the rows to train on: all that were asked, and so many of the texts.

    A larger number adds to what a smaller one has. What a number asks beyond the texts there are is cut.

    Args:
        asked: rows of the store.
        texts: further rows, whose index goes on where that of ``asked`` has gaps: it gives the order.
        numbers: of texts to try; 0 is always among the results.
        seed: chooses which texts.
    """
    # One shuffle for all numbers: each takes the front of it, so a larger one holds the smaller.
    shuffled = texts.sample(frac=1, random_state=seed)
    counts = sorted({min(n, len(texts)) for n in (0, *numbers)})
    mixes = {}
    for n in counts:
        mix = pd.concat([asked, shuffled.head(n)])
        mixes[n] = mix.sort_index().reset_index(drop=True)
    return mixes


def choose_mix(compared: Mapping[int, Comparison], numbers: Iterable[int], most_lost: float) -> int:
    """Return the largest number of texts that costs no more than accepted, else the smallest.

    Args:
        compared: by number of texts their comparison with none; empty where nothing was measured.
        numbers: that may be chosen; 0 only where there is no other.
        most_lost: how much may be lost.
    """
    affordable = [n for n, found in compared.items() if found.delta >= -most_lost]
    if affordable:
        return max(affordable)
    # Nothing was measured, or all cost too much: the least, but not none while there is a choice.
    some = [n for n in numbers if n]
    return min(some, default=0)
