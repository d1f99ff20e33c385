"""Checks of vectors against the documents that they stand for, and what every check must reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import shown
from embedlab.models.cache import Vectors
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.rollout.results import Check

SAME_COSINE = 0.999
"""A text encoded again must come this near; bf16 in another batch stays above it."""

LEAST_RECALL = 0.95
"""Share of the exact neighbours that an index must find."""


SAME_VECTOR = 0.05
"""Share of the vectors that may be another text's too: such documents, mostly cut off alike, nobody can tell apart."""

UNIT = 1e-3
"""How far a norm may lie from 1."""

NAMED = 3
"""Documents that a check names."""

NO_NUMBER, ZEROS, NOT_UNIT, SAME = "NaN or infinity", "zeros of a text", "not of unit length", "another text's too"
"""What can be wrong with a vector by itself, and beside the others."""


def vector_checks(
    vectors: Vectors, doc_ids: list[str], documents: pd.Series, encoder: EncodesWithIdentity, sample: int = 32
) -> list[Check]:
    """Check vectors against the documents that they stand for; a check that fails names the first documents.

    Ids, NaN, zeros, norms, different texts with one vector, and a sample encoded again.

    Args:
        vectors: float32 ``[n, dimensions]``.
        doc_ids: the document of each vector.
        documents: the texts that must have a vector, by the id of their document, which passages share.
        encoder: the model that made the vectors.
        sample: documents encoded again, evenly spread.
    """
    due, there = Counter(documents.index), Counter(doc_ids)
    wrong = due - there
    wrong.update(there - due)
    faults = faulty_vectors(vectors, doc_ids, documents)
    again, cosine = _encoded_again(vectors, doc_ids, documents, encoder, sample)
    same = faults[faults["fault"] == SAME]
    shared = len(same) / max(len(vectors), 1)
    return [
        Check("vectors", len(doc_ids), str(len(documents)), len(doc_ids) == len(documents)),
        Check(f"ids missing, unknown or double{named(wrong)}", wrong.total(), "0", not wrong),
        *[_fault_check(faults, fault) for fault in (NO_NUMBER, ZEROS, NOT_UNIT)],
        Check(
            f"share of vectors that are {SAME}{named(same['doc_id'])}",
            round(shared, 4),
            f"at most {SAME_VECTOR}",
            shared <= SAME_VECTOR,
        ),
        Check(f"lowest cosine of {again} encoded again", round(cosine, 4), f"{SAME_COSINE}", cosine >= SAME_COSINE),
    ]


def _fault_check(faults: pd.DataFrame, fault: str) -> Check:
    found = faults[faults["fault"] == fault]
    return Check(f"vectors: {fault}{named(found['doc_id'])}", len(found), "0", found.empty)


def named(doc_ids: Iterable[str]) -> str:
    """Return the first documents in brackets, as a check names them; nothing where there are none."""
    unique = list(dict.fromkeys(shown(doc_id, 40) for doc_id in doc_ids))
    if not unique:
        return ""
    return f" ({', '.join(unique[:NAMED])}{', …' if len(unique) > NAMED else ''})"


def faulty_vectors(vectors: Vectors, doc_ids: list[str], documents: pd.Series) -> pd.DataFrame:
    """Return what is wrong with which vector.

    A vector of zeros is none of a text that says nothing: a table of word vectors makes nothing else of it. Two vectors
    are the same where they agree to four decimals; texts that are cut off alike, or differ by capitals that the model
    does not read, have such.

    Args:
        vectors: float32 ``[n, dimensions]``.
        doc_ids: the document of each vector.
        documents: texts by the id of their document, which passages share, in order.

    Returns:
        ``row, doc_id, fault``: a row a vector and fault, in the order of the vectors.
    """
    texts = _texts_of(doc_ids, documents)
    is_number: NDArray[np.bool_] = np.isfinite(vectors.sum(axis=1, dtype=np.float64))
    is_zero: NDArray[np.bool_] = np.logical_and.reduce(vectors == 0, axis=1)
    norms = np.linalg.norm(np.where(is_number[:, None], vectors, 0), axis=1)
    found = {
        NO_NUMBER: ~is_number,
        ZEROS: is_zero & np.array([bool(text.strip()) for text in texts], dtype=bool),
        NOT_UNIT: is_number & ~is_zero & (np.abs(norms - 1) > UNIT),
        SAME: is_number & ~is_zero & _is_anothers(vectors, texts),
    }
    rows = [(int(row), doc_ids[row], fault) for fault, at in found.items() for row in np.flatnonzero(at)]
    return pd.DataFrame(sorted(rows), columns=["row", "doc_id", "fault"])


def _is_anothers(vectors: Vectors, texts: list[str]) -> NDArray[np.bool_]:
    """Return of which vectors another text has the same."""
    # Adding 0 turns -0 into 0: equal numbers, unequal bytes.
    keys = [row.tobytes() for row in np.round(vectors, 4) + 0.0]
    frame = pd.DataFrame({"key": keys, "text": texts})
    found: NDArray[np.bool_] = (frame.groupby("key")["text"].transform("nunique") > 1).to_numpy(dtype=bool)
    return found


def _texts_of(doc_ids: list[str], documents: pd.Series) -> list[str]:
    """Return the text of each vector, blank where there is none."""
    known = dict(zip(_numbered(documents.index), documents, strict=True))
    return [known.get(key, "") for key in _numbered(doc_ids)]


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
