"""How fast models are side by side: measured in one run, so that whatever else the machine does is the same for all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from embedlab.models.variants import EncodesTexts
from embedlab.progress import Progress

QUANTILES = {"query p50 (ms)": 0.5, "query p95 (ms)": 0.95, "query p99 (ms)": 0.99}

RATE = "documents/s"


def query_times(encoders: Mapping[str, EncodesTexts], queries: Sequence[str]) -> pd.DataFrame:
    """Return how long each model takes for each query alone, in milliseconds: a row a query, a column a model.

    The models take turns, and another one begins at each query, so that a busy moment of the machine hits all of them.
    Each is warm: two queries come before the first that counts. Nothing comes from a cache.

    Args:
        encoders: the models by name.
        queries: the texts.
    """
    names = list(encoders)
    for name in names:
        for text in queries[:2]:
            encoders[name].encode_uncached([text], "query")
    took = np.zeros((len(queries), len(names)))
    with Progress("Timing queries", len(queries)) as bar:
        for row, text in enumerate(queries):
            for turn in range(len(names)):
                column = (row + turn) % len(names)
                begin = time.perf_counter()
                encoders[names[column]].encode_uncached([text], "query")
                took[row, column] = 1000 * (time.perf_counter() - begin)
            bar.advance()
    return pd.DataFrame(took, columns=names)


def documents_a_second(encoder: EncodesTexts, texts: Sequence[str]) -> float:
    """Return how many of these documents a model encodes a second, in batches; nothing comes from a cache."""
    begin = time.perf_counter()
    encoder.encode_uncached(list(texts), "document")
    return len(texts) / (time.perf_counter() - begin)


def speed_table(encoders: Mapping[str, EncodesTexts], queries: Sequence[str], documents: Sequence[str]) -> pd.DataFrame:
    """Return a row a model: the median, 95th and 99th percentile of one query in milliseconds, and documents a second.

    Args:
        encoders: the models by name.
        queries: asked one by one; see :func:`query_times`.
        documents: encoded in batches.
    """
    took = query_times(encoders, queries)
    table = took.quantile(list(QUANTILES.values())).T.set_axis(list(QUANTILES), axis=1)
    table[RATE] = [documents_a_second(encoders[name], documents) for name in table.index]
    return table.rename_axis("model")
