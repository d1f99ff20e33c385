"""Validation of vectors and of a candidate index before it may go live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from embedlab.models.cache import Vectors
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.retrieval.dense import exact_search
from embedlab.retrieval.index import Indexed, VectorIndex, recall_against

SAME_COSINE = 0.999
"""A text encoded again must come this near; bf16 in another batch stays above it."""

LEAST_RECALL = 0.95
"""Share of the exact neighbours that an index must find."""


@dataclass(frozen=True)
class Check:
    """One validation check: what was found, what is wanted, and whether it holds."""

    check: str
    found: float
    wanted: str
    passed: bool


def validate(
    index: VectorIndex,
    encoder: EncodesWithIdentity,
    documents: pd.Series,
    queries: pd.Series,
    quality: Callable[[pd.DataFrame], float],
    floor: float,
    sample: int = 32,
) -> list[Check]:
    """Check a candidate before it may go live.

    Args:
        index: the candidate, loaded.
        encoder: its model.
        documents: the texts that it must hold, by id.
        queries: dev queries.
        quality: the measure of a run on dev.
        floor: the least quality that is accepted.
        sample: documents encoded again, evenly spread.
    """
    checks = vector_checks(index.vectors(), index.doc_ids.tolist(), documents, encoder, sample)
    asked = encoder.encode(queries.tolist(), "query")
    k = min(10, len(documents))
    exact, _ = exact_search(index.vectors(), asked, k)
    recall = recall_against(index.search(asked, k)[0], exact)
    checks.append(Check("recall@10 against exact search", recall, f"at least {LEAST_RECALL}", recall >= LEAST_RECALL))
    found = quality(Indexed(encoder, index).search(queries, vectors=asked))
    return [*checks, Check("quality on dev", found, f"at least {floor:.3f}", found >= floor)]


def vector_checks(
    vectors: Vectors, doc_ids: list[str], documents: pd.Series, encoder: EncodesWithIdentity, sample: int = 32
) -> list[Check]:
    """Check vectors against the documents that they stand for: ids, NaN, norms, sample encoded again."""
    wanted = documents.index.tolist()
    wrong = len(set(wanted) ^ set(doc_ids)) + len(doc_ids) - len(set(doc_ids))
    broken = int((~np.isfinite(vectors).all(axis=1)).sum())
    norms = np.linalg.norm(vectors, axis=1)
    off = float(np.nan_to_num(np.abs(norms - 1), nan=1.0).max())
    rows = np.unique(np.linspace(0, len(doc_ids) - 1, min(sample, len(doc_ids))).astype(int))
    known = [r for r in rows if doc_ids[r] in documents.index]
    again = encoder.encode_uncached([documents[doc_ids[r]] for r in known], "document")
    cosine = float((again * vectors[known]).sum(axis=1).min()) if known else 0.0
    return [
        Check("vectors", len(doc_ids), str(len(wanted)), len(doc_ids) == len(wanted)),
        Check("ids missing, unknown or double", wrong, "0", wrong == 0),
        Check("vectors with NaN or infinity", broken, "0", broken == 0),
        Check("largest distance of a norm from 1", round(off, 6), "at most 0.001", off <= 1e-3),
        Check(
            f"lowest cosine of {len(known)} encoded again", round(cosine, 4), f"{SAME_COSINE}", cosine >= SAME_COSINE
        ),
    ]


def checks_table(checks: list[Check]) -> pd.DataFrame:
    """Return the checks as a table."""
    return pd.DataFrame([asdict(c) for c in checks])
