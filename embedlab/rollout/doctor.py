"""The doctor: whose vectors an index or store really holds, whatever it says of itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedlab.errors import DataError, IntegrityError, MissingInputError
from embedlab.models.cache import Vectors
from embedlab.progress import Progress
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.retrieval.indexes.stamp import IDS, INDEX, STAMP, read_stamp, stamped_identity
from embedlab.rollout.checks import NO_NUMBER, SAME_COSINE, named
from embedlab.rollout.results import Check
from embedlab.rollout.stores.addresses import has_collection, is_milvus, open_collection
from embedlab.rollout.stores.base import Collection, Document, entry_pages

PAGE = 512

NOBODY = "nobody says whose"


@dataclass(frozen=True)
class Diagnosis:
    """What an index holds.

    Attributes:
        vectors: how many.
        spaces: vectors by the digest of the space that they are stamped with; :data:`NOBODY` where they are not.
        sampled: documents that were encoded again.
        reproduced: of these, how many the model makes again.
        others: first documents of the sample that it does not.
        checks: what is found, what is wanted, and whether it holds.
    """

    vectors: int
    spaces: Mapping[str, int]
    sampled: int
    reproduced: int
    others: Sequence[str]
    checks: Sequence[Check]


def diagnose(
    place: str,
    encoder: EncodesWithIdentity | None = None,
    documents: Mapping[str, Document] | None = None,
    sample: int = 256,
) -> Diagnosis:
    """Say whether an index holds vectors of several spaces, unstamped ones, or ones that a model does not make again.

    Args:
        place: address of a collection, a folder with ``index.faiss``, a FAISS file, or a ``.npy`` file of vectors.
        encoder: the model that should have made the vectors; None encodes nothing again.
        documents: texts by id, for an index that keeps none; vectors without ids are taken in their order.
        sample: documents to encode again, evenly spread; 0: all.

    Raises:
        MissingInputError: if there is nothing of that kind.
        DataError: if vectors without ids are not as many as the documents.
    """
    spaces: Counter[str] = Counter()
    broken: list[str] = []
    picked: list[_Row] = []
    total, rows = _rows(place, documents)
    step = 1 if sample <= 0 else max(1, total // sample)
    for at, row in enumerate(rows):
        spaces[row.space or NOBODY] += 1
        if not np.isfinite(row.vector).all():
            broken.append(row.doc_id)
        if at % step == 0 and row.text is not None:
            picked.append(row)
    again = _cosines(picked, encoder)
    # A vector with NaN has no cosine, and NaN is less than nothing.
    others = [row.doc_id for row, cosine in zip(picked, again, strict=False) if not cosine >= SAME_COSINE]
    checks = [
        Check("embedding spaces that vectors are stamped with", len(spaces.keys() - {NOBODY}), "at most 1",
              len(spaces.keys() - {NOBODY}) <= 1),
        Check("vectors that nobody says whose they are", spaces[NOBODY], "0", spaces[NOBODY] == 0),
        Check(f"vectors: {NO_NUMBER}{named(broken)}", len(broken), "0", not broken),
    ]  # fmt: skip
    if encoder is not None:
        strange = sum(count for space, count in spaces.items() if space not in (NOBODY, encoder.identity.digest))
        checks.append(Check(f"vectors stamped with another space than {encoder.name}'s", strange, "0", strange == 0))
        name = f"documents that {encoder.name} does not make again, of {len(again):,}"
        checks.append(Check(name, len(others), "0", not others))
    return Diagnosis(spaces.total(), dict(spaces), len(again), len(again) - len(others), others[:5], checks)


@dataclass(frozen=True)
class _Row:
    """A vector: whose document it is, of which space, and the text that it stands for, None where nobody knows."""

    doc_id: str
    space: str
    vector: Vectors
    text: str | None


def _rows(place: str, documents: Mapping[str, Document] | None) -> tuple[int, Iterator[_Row]]:
    """Return about how many rows there are, and each of them."""
    path = Path(place)
    if is_milvus(place) or (not (path / INDEX).is_file() and path.is_dir() and has_collection(place)):
        collection = open_collection(place)
        return collection.count(), _of_collection(collection)
    if (path / INDEX).is_file():
        return _of_files(path, documents)
    if path.is_file():
        vectors = _vectors(path)
        return len(vectors), _of_vectors(vectors, None, "", documents)
    raise MissingInputError(
        f"{place}: no index: expected an index's folder, FILE.db#NAME, a FAISS file or a .npy file of vectors"
    )


def _of_collection(collection: Collection) -> Iterator[_Row]:
    with Progress("Reading the index", collection.count()) as bar:
        for entries in entry_pages(collection, PAGE):
            for entry in entries:
                # A passage's text depends on the model's limit: only whole documents are compared here.
                document = entry.document
                whole = f"{document.title} {document.text}".strip() if len(entry.vectors) == 1 else None
                for vector in entry.vectors:
                    yield _Row(document.doc_id, entry.space, vector, whole)
            bar.advance(len(entries))
    collection.close()


def _of_files(folder: Path, documents: Mapping[str, Document] | None) -> tuple[int, Iterator[_Row]]:
    """Return the vectors of an index as notebooks save one."""
    space = ""
    if (folder / STAMP).is_file():
        space = stamped_identity(read_stamp(folder), folder).digest
    ids = json.loads((folder / IDS).read_text(encoding="utf-8")) if (folder / IDS).is_file() else None
    vectors = _vectors(folder / INDEX)
    return len(vectors), _of_vectors(vectors, ids, space, documents)


def _of_vectors(
    vectors: Vectors, ids: list[str] | None, space: str, documents: Mapping[str, Document] | None
) -> Iterator[_Row]:
    known = documents or {}
    if ids is None and documents is not None:
        ids = list(documents)
    if ids is None:
        ids = [str(number) for number in range(len(vectors))]
    if len(ids) != len(vectors):
        raise DataError(f"{len(vectors):,} vectors and {len(ids):,} documents: which vector is whose cannot be known")
    counts = Counter(ids)
    for doc_id, vector in zip(ids, vectors, strict=True):
        document = known.get(doc_id)
        whole = f"{document.title} {document.text}".strip() if document is not None and counts[doc_id] == 1 else None
        yield _Row(doc_id, space, vector, whole)


def _vectors(path: Path) -> Vectors:
    """Return the vectors of a FAISS file or a ``.npy`` file, float32 ``[n, d]``."""
    import faiss

    try:
        if path.suffix == ".npy":
            found: NDArray[Any] = np.load(path, allow_pickle=False)
        else:
            index = faiss.read_index(str(path))
            found = index.reconstruct_n(0, index.ntotal)
    except (OSError, ValueError, RuntimeError) as error:
        raise IntegrityError(f"{path}: no vectors can be read from it: {error}") from None
    return np.asarray(found, dtype=np.float32)


def _cosines(rows: Sequence[_Row], encoder: EncodesWithIdentity | None) -> list[float]:
    """Return the cosine of each vector with what the model makes of its text; empty without a model."""
    found: list[float] = []
    if encoder is None:
        return found
    with Progress("Encoding again", len(rows)) as bar:
        for start in range(0, len(rows), PAGE):
            part = rows[start : start + PAGE]
            again = encoder.encode_uncached([row.text or "" for row in part], "document")
            mine = np.stack([row.vector for row in part])
            if mine.shape != again.shape:
                found += [-1.0] * len(part)
                continue
            norms = np.maximum(np.linalg.norm(mine, axis=1), 1e-12)
            with np.errstate(invalid="ignore"):  # of a vector with infinity: no number, so not the model's
                cosines = (mine * again).sum(axis=1) / norms
            # Where both are zeros, of a text without a word that the model knows, they are the same.
            found += np.where(mine.any(axis=1) | again.any(axis=1), cosines, 1.0).tolist()
            bar.advance(len(part))
    return found
