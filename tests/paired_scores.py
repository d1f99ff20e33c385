"""Per-query scores and differences that tests of paired statistics share."""

import numpy as np
import pandas as pd


def scores(values) -> pd.Series:
    return pd.Series(values, index=[f"q{i}" for i in range(len(values))], dtype=float)


def spread(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.2, n)


def exact(n: int, mean: float, sd: float = 0.2, seed: int = 0) -> np.ndarray:
    """Return values with just this mean and standard deviation."""
    values = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def families(n_groups: int = 20, size: int = 5) -> tuple[np.ndarray, list[str]]:
    """Return differences that are nearly the same within each group, and the groups."""
    base, n = spread(n_groups, 0.05, 1), n_groups * size
    labels = [f"g{i % n_groups}" for i in range(n)]
    return np.array([base[i % n_groups] for i in range(n)]) + spread(n, 0, 2) / 10, labels
