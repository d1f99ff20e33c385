"""A FAISS index stamped with the identity of the model that made its vectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import DataError, IntegrityError, ParameterError, nearest
from embedlab.files import replace_file, sha256_file
from embedlab.models.cache import Vectors
from embedlab.models.identity import EmbeddingIdentity
from embedlab.retrieval.base import DEPTH, EncodesWithIdentity, as_run, top_k
from embedlab.retrieval.stamp import IDS, INDEX, STAMP, read_stamp, stamped_identity

KINDS = ("flat", "hnsw")

LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 200, 64
"""HNSW: links a node, candidates kept while building and while searching (Malkov and Yashunin 2018)."""


@dataclass(frozen=True)
class VectorIndex:
    """An index over unit vectors that knows whose vectors they are.

    Attributes:
        identity: the embedding space.
        kind: ``flat`` (exact) or ``hnsw`` (approximate).
        doc_ids: the document of each vector; passages of one document share its id.
        faiss: the FAISS index itself, inner product.
    """

    identity: EmbeddingIdentity
    kind: str
    doc_ids: NDArray[Any]
    faiss: Any

    def search(self, queries: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
        """Return positions (-1: none) and inner products, both ``[queries, k]``, best first."""
        depth = min(k, len(self.doc_ids))
        scores, positions = self.faiss.search(np.ascontiguousarray(queries), depth)
        return positions, scores

    def vectors(self) -> Vectors:
        """Return the stored vectors, float32 ``[n, d]``."""
        found: Vectors = self.faiss.reconstruct_n(0, len(self.doc_ids))
        return found

    def size_bytes(self) -> int:
        """Return the size of the index as stored, in bytes, without the ids."""
        import faiss

        return int(faiss.serialize_index(self.faiss).nbytes)

    def save(self, folder: Path) -> None:
        """Write ``index.faiss``, ``doc_ids.json`` and, last, ``identity.json`` into a folder.

        A folder without ``identity.json`` is no index, so one that was never finished is not
        taken for one.
        """
        import faiss

        hashes = {
            INDEX: replace_file(folder / INDEX, lambda path: faiss.write_index(self.faiss, str(path))),
            IDS: replace_file(folder / IDS, json.dumps(self.doc_ids.tolist(), ensure_ascii=False)),
        }
        stamp = {"identity": self.identity.as_dict(), "kind": self.kind, "vectors": len(self.doc_ids), "files": hashes}
        replace_file(folder / STAMP, json.dumps(stamp, indent=1, ensure_ascii=False))


def build_index(vectors: Vectors, doc_ids: list[str], identity: EmbeddingIdentity, kind: str = "flat") -> VectorIndex:
    """Build an index; the same vectors always give the same index.

    Args:
        vectors: unit vectors, float32 ``[n, d]``.
        doc_ids: the document of each vector.
        identity: of the model that made the vectors.
        kind: ``flat`` or ``hnsw``.

    Raises:
        ParameterError: if the kind is unknown.
        DataError: if numbers or dimensions disagree, or a vector is not finite.
    """
    import faiss

    _check_vectors(vectors, doc_ids, identity)
    index = empty_index(vectors.shape[1], kind)
    # Several threads would link an HNSW graph in another order each time.
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index.add(np.ascontiguousarray(vectors))
    finally:
        faiss.omp_set_num_threads(threads)
    return VectorIndex(identity, kind, np.asarray(doc_ids, dtype=object), index)


def empty_index(dimensions: int, kind: str) -> Any:
    """Return a FAISS index without vectors, inner product; raises a ParameterError where the kind is unknown."""
    import faiss

    if kind == "flat":
        return faiss.IndexFlatIP(dimensions)
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimensions, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_WIDTH
        index.hnsw.efSearch = SEARCH_WIDTH
        return index
    raise ParameterError(f"unknown index kind {kind!r}{nearest(kind, list(KINDS))}")


def search_parameters(kind: str, selected: Any, depth: int) -> Any:
    """Return what FAISS is told for one search.

    Args:
        kind: of the index.
        selected: a FAISS selector of the vectors that may be found; None: all.
        depth: vectors wanted; an HNSW graph has to look at no fewer.
    """
    import faiss

    if kind == "hnsw":
        return faiss.SearchParametersHNSW(sel=selected, efSearch=max(SEARCH_WIDTH, depth))  # type: ignore[attr-defined]
    return None if selected is None else faiss.SearchParameters(sel=selected)  # type: ignore[call-arg]


def _check_vectors(vectors: Vectors, doc_ids: list[str], identity: EmbeddingIdentity) -> None:
    if vectors.ndim != 2 or len(vectors) != len(doc_ids) or not len(doc_ids):
        raise DataError(f"an index needs one vector a document: found {vectors.shape} for {len(doc_ids)} ids")
    if vectors.shape[1] != identity.dimensions:
        raise DataError(f"{identity.name} makes {identity.dimensions} dimensions, found {vectors.shape[1]}")
    is_finite = np.isfinite(vectors).all(axis=1)
    bad = np.flatnonzero(~is_finite)
    if len(bad):
        raise DataError(f"{len(bad)} of {len(vectors)} vectors are not finite, the first: {doc_ids[bad[0]]!r}")


def load_index(folder: Path, identity: EmbeddingIdentity) -> VectorIndex:
    """Load an index for the queries of one model.

    Args:
        folder: what :meth:`VectorIndex.save` wrote.
        identity: of the model that will encode the queries.

    Raises:
        IdentityError: if another model made the index; names what differs.
        IntegrityError: if a file is missing, unreadable or not the one saved.
    """
    import faiss

    stamp = read_stamp(folder)
    # Before the files are hashed: another model's index is of no use, whole or not.
    identity.require(stamped_identity(stamp, folder), f"the index {folder.name!r}")
    for name, digest in stamp["files"].items():
        path = folder / name
        found = sha256_file(path) if path.is_file() else "no file"
        if found != digest:
            raise IntegrityError(
                f"index {folder.name!r}: {name} is not what was saved: found {found[:12]}, "
                f"recorded {digest[:12]}; build the index again"
            )
    ids = json.loads((folder / IDS).read_text(encoding="utf-8"))
    index = faiss.read_index(str(folder / INDEX))
    if not index.ntotal == len(ids) == stamp["vectors"]:
        raise IntegrityError(
            f"index {folder.name!r}: {index.ntotal} vectors, {len(ids)} ids, {stamp['vectors']} recorded; "
            "build the index again"
        )
    return VectorIndex(identity, stamp["kind"], np.asarray(ids, dtype=object), index)


class Indexed:
    """Search an index with its own encoder; a document scores as its best vector.

    Raises:
        IdentityError: if the encoder is not the one that made the index.
    """

    def __init__(self, encoder: EncodesWithIdentity, index: VectorIndex, name: str = "") -> None:
        encoder.identity.require(index.identity, "the index")
        self.name = name or encoder.name
        self.encoder, self.index = encoder, index
        self._several = len(set(index.doc_ids.tolist())) < len(index.doc_ids)

    def search(self, queries: pd.Series, k: int = DEPTH, vectors: Vectors | None = None) -> pd.DataFrame:
        """Return the run of the queries; ``vectors`` where they are already encoded."""
        if vectors is None:
            vectors = self.encoder.encode(queries.tolist(), "query")
        # Several vectors of one document may be found: four times as many leave k documents in nearly all cases.
        depth = 4 * k if self._several else k
        positions, scores = self.index.search(vectors, depth)
        run = as_run(queries.index.tolist(), self.index.doc_ids, positions, scores)
        if not self._several:
            return run
        best = run.groupby(["query_id", "doc_id"])["score"].max().reset_index()
        return top_k(best, k)

    def answer(self, text: str, k: int = DEPTH) -> pd.DataFrame:
        """Return the run of one query, encoded anew: what a service does for one request."""
        vectors = self.encoder.encode_uncached([text], "query")
        return self.search(pd.Series({"query": text}), k, vectors)


def recall_against(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """Return the share of the exact neighbours that were found; both ``[queries, k]`` positions."""
    hits = 0
    for mine, wanted in zip(found, exact, strict=True):
        hits += len(set(mine.tolist()) & set(wanted.tolist()))
    return hits / max(exact.size, 1)
