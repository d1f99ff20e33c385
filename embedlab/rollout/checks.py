"""Checks of vectors against the documents that they stand for, and what every check must reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
import pandas as pd

from embedlab.models.cache import Vectors
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.rollout.results import Check

SAME_COSINE = 0.999
"""A text encoded again must come this near; bf16 in another batch stays above it."""

LEAST_RECALL = 0.95
"""Share of the exact neighbours that an index must find."""


def vector_checks(
    vectors: Vectors, doc_ids: list[str], documents: pd.Series, encoder: EncodesWithIdentity, sample: int = 32
) -> list[Check]:
    """Check vectors against the documents that they stand for: ids, NaN, norms, sample encoded again.

    Args:
        vectors: float32 ``[n, dimensions]``.
        doc_ids: the document of each vector.
        documents: the texts that must have a vector, by the id of their document, which passages share.
        encoder: the model that made the vectors.
        sample: documents encoded again, evenly spread.
    """
    due, there = Counter(documents.index), Counter(doc_ids)
    wrong = (due - there).total() + (there - due).total()
    broken = int((~np.isfinite(vectors).all(axis=1)).sum())
    from_one = np.abs(np.linalg.norm(vectors, axis=1) - 1)
    off = float(np.nan_to_num(from_one, nan=1.0).max())
    again, cosine = _encoded_again(vectors, doc_ids, documents, encoder, sample)
    same = f"lowest cosine of {again} encoded again"
    return [
        Check("vectors", len(doc_ids), str(len(documents)), len(doc_ids) == len(documents)),
        Check("ids missing, unknown or double", wrong, "0", wrong == 0),
        Check("vectors with NaN or infinity", broken, "0", broken == 0),
        Check("largest distance of a norm from 1", round(off, 6), "at most 0.001", off <= 1e-3),
        Check(same, round(cosine, 4), f"{SAME_COSINE}", cosine >= SAME_COSINE),
    ]


def _encoded_again(
    vectors: Vectors, doc_ids: list[str], documents: pd.Series, encoder: EncodesWithIdentity, sample: int
) -> tuple[int, float]:
    """Return how many documents of the sample were encoded again, and their lowest cosine; 0 without any."""
    texts = dict(zip(_numbered(documents.index), documents, strict=True))
    numbered = _numbered(doc_ids)
    spread = np.linspace(0, len(doc_ids) - 1, min(sample, len(doc_ids)))
    rows = [row for row in np.unique(spread.astype(int)) if numbered[row] in texts]
    if not rows:
        return 0, 0.0
    again = encoder.encode_uncached([texts[numbered[row]] for row in rows], "document")
    return len(rows), float((again * vectors[rows]).sum(axis=1).min())


def _numbered(doc_ids: Iterable[str]) -> list[tuple[str, int]]:
    """Return each id with how often it stood before: passages of one document share its id."""
    seen: Counter[str] = Counter()
    found = []
    for doc_id in doc_ids:
        found.append((doc_id, seen[doc_id]))
        seen[doc_id] += 1
    return found


def failed_checks(checks: list[Check]) -> list[str]:
    """Return the names of the checks that do not hold."""
    return [check.check for check in checks if not check.passed]


def checks_table(checks: list[Check]) -> pd.DataFrame:
    """Return the checks as a table."""
    return pd.DataFrame([asdict(check) for check in checks])
