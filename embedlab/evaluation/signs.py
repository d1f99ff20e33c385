"""The sign test; it loads without numpy, so that a verdict can be read back by itself."""

from __future__ import annotations

from math import comb


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p-value of "better and worse are as likely", exact (Dixon and Mood 1946).

    Ties say nothing of the direction and are left out before; without any other judgment p is 1.
    """
    n = better + worse
    tail = sum(comb(n, i) for i in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / 2**n)
