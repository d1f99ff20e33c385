"""A FAISS index stamped with the identity of the model that made its vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.trec import trec_order
from embedlab.errors import DataError, IntegrityError, ParameterError, nearest
from embedlab.files import replace_file, sha256_file
from embedlab.models.cache import Vectors
from embedlab.models.identity import EmbeddingIdentity
from embedlab.retrieval.base import DEPTH, EncodesWithIdentity, as_run, top_k
from embedlab.retrieval.dense import exact_search
from embedlab.retrieval.filtering.filters import Filter
from embedlab.retrieval.indexes.settings import SEARCH_WIDTH, IndexSetting
from embedlab.retrieval.indexes.stamp import IDS, INDEX, STAMP, read_stamp, stamped_identity

KINDS = ("flat", "hnsw")
"""Kinds that pipelines and stores are built with: those to which vectors can be added one by one, untrained."""


@dataclass(frozen=True)
class VectorIndex:
    """An index over unit vectors that knows whose vectors they are.

    Attributes:
        identity: the embedding space.
        setting: how the vectors are kept and found.
        doc_ids: the document of each vector; passages of one document share its id.
        faiss: the FAISS index itself, inner product.
    """

    identity: EmbeddingIdentity
    setting: IndexSetting
    doc_ids: NDArray[Any]
    faiss: Any

    @property
    def kind(self) -> str:
        """The kind of the index, such as ``flat`` (exact) or ``hnsw`` (approximate)."""
        return self.setting.kind

    def search(
        self, queries: Vectors, k: int, may: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], Vectors]:
        """Return positions (-1: none) and inner products, both ``[queries, k]``, best first.

        Among some vectors alone the search is exact, whatever the kind: an approximate one would look where none of
        them is.

        Args:
            queries: unit vectors, ``[queries, dimensions]``.
            k: vectors a query.
            may: which of the vectors may be found, ``[n]``; None: all.
        """
        asked, depth = np.ascontiguousarray(queries), min(k, len(self.doc_ids))
        if may is None:
            scores, positions = self.faiss.search(asked, depth)
            return positions, scores
        if self.kind == "flat":
            scores, positions = self.faiss.search(asked, depth, params=search_parameters("flat", selector(may), depth))
            return positions, scores
        allowed = np.flatnonzero(may)
        if not len(allowed):
            return np.full((len(asked), depth), -1, dtype=np.int64), np.zeros((len(asked), depth), dtype=np.float32)
        found, scores = exact_search(self.vectors()[allowed], asked, min(depth, len(allowed)))
        return allowed[found], scores

    def vectors(self) -> Vectors:
        """Return the vectors as the index keeps them, float32 ``[n, d]``: a quantized one has lost some digits."""
        has_lists = self.setting.lists > 0
        if has_lists:  # such an index knows which vectors a list holds, but not where a vector is
            self.faiss.make_direct_map(True)
        found: Vectors = self.faiss.reconstruct_n(0, len(self.doc_ids))
        if has_lists:
            self.faiss.make_direct_map(False)
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
        stamp = {
            "identity": self.identity.as_dict(),
            "kind": self.kind,
            "setting": self.setting.as_dict(),
            "vectors": len(self.doc_ids),
            "files": hashes,
        }
        replace_file(folder / STAMP, json.dumps(stamp, indent=1, ensure_ascii=False))


def build_index(
    vectors: Vectors, doc_ids: list[str], identity: EmbeddingIdentity, setting: IndexSetting | str = "flat"
) -> VectorIndex:
    """Build an index; the same vectors always give the same index.

    Args:
        vectors: unit vectors, float32 ``[n, d]``.
        doc_ids: the document of each vector.
        identity: of the model that made the vectors.
        setting: how they are kept and found, or its words, such as ``flat`` or ``ivf lists=16 probes=4``.

    Raises:
        ParameterError: if the setting is unknown, or there are too few vectors for it.
        DataError: if numbers or dimensions disagree, or a vector is not finite.
    """
    setting = IndexSetting.of(setting)
    _check_vectors(vectors, doc_ids, identity)
    return VectorIndex(identity, setting, np.asarray(doc_ids, dtype=object), trained(vectors, setting))


def trained(vectors: Vectors, setting: IndexSetting) -> Any:
    """Return a FAISS index of the vectors, trained on them where its kind has to be.

    Raises:
        ParameterError: if there are too few vectors, or their dimensions do not fit; says how many are needed.
    """
    misfit = setting.misfit(*vectors.shape)
    if misfit:
        raise ParameterError(f"index {setting}: {misfit}")
    index = setting.empty(vectors.shape[1])
    rows = np.ascontiguousarray(vectors)
    with one_thread():
        if not index.is_trained:
            index.train(rows)
        index.add(rows)
    return index


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS use one thread: several would link an HNSW graph, and sum up centroids, in another order each time."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def empty_index(dimensions: int, kind: str) -> Any:
    """Return a FAISS index to which vectors can be added one by one, inner product.

    Raises:
        ParameterError: if the kind is none of :data:`KINDS`.
    """
    if kind not in KINDS:
        raise ParameterError(f"unknown index kind {kind!r}{nearest(kind, list(KINDS))}")
    return IndexSetting.of(kind).empty(dimensions)


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


def selector(may: NDArray[np.bool_]) -> Any:
    """Return FAISS's selector of the vectors of a mask, ``[n]``."""
    import faiss

    return faiss.IDSelectorBitmap(np.packbits(may, bitorder="little"))  # type: ignore[call-arg, arg-type]


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
    return VectorIndex(identity, _stamped_setting(stamp, folder), np.asarray(ids, dtype=object), index)


def _stamped_setting(stamp: dict[str, Any], folder: Path) -> IndexSetting:
    """Return how an index says that it was built; one that names its kind alone was built as that kind is by itself."""
    try:
        if "setting" in stamp:
            return IndexSetting.from_dict(stamp["setting"])
        return IndexSetting.of(str(stamp["kind"]))
    except ParameterError as error:
        raise IntegrityError(f"index {folder.name!r}: {STAMP}: {error}; build the index again") from None


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

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors of the index, float32 ``[n, d]``."""
        return self.index.vectors()

    def search(
        self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None, vectors: Vectors | None = None
    ) -> pd.DataFrame:
        """Return the run of the queries.

        Args:
            queries: texts by query id.
            k: documents a query.
            where: which documents each query may find; None: all.
            vectors: of the queries, where they are already encoded.
        """
        if vectors is None:
            vectors = self.encoder.encode(queries.tolist(), "query")
        # Several vectors of one document may be found: four times as many leave k documents in nearly all cases.
        depth = 4 * k if self._several else k
        run = self._run(queries.index.tolist(), vectors, depth, where)
        if not self._several:
            return run
        best = run.groupby(["query_id", "doc_id"])["score"].max().reset_index()
        return top_k(best, k)

    def _run(self, query_ids: list[str], vectors: Vectors, depth: int, where: Filter | None) -> pd.DataFrame:
        """Return the best vectors of each query that it may find, as a run."""
        doc_ids = self.index.doc_ids
        if where is None or not query_ids:
            return as_run(query_ids, doc_ids, *self.index.search(vectors, depth))
        parts = []
        for asking, may in where.divided(query_ids, doc_ids):
            positions, scores = self.index.search(vectors[asking], depth, may)
            parts.append(as_run([query_ids[at] for at in asking], doc_ids, positions, scores))
        return trec_order(pd.concat(parts, ignore_index=True))

    def answer(self, text: str, k: int = DEPTH) -> pd.DataFrame:
        """Return the run of one query, encoded anew: what a service does for one request."""
        vectors = self.encoder.encode_uncached([text], "query")
        return self.search(pd.Series({"query": text}), k, vectors=vectors)


def recall_against(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """Return the share of the exact neighbours that were found; both ``[queries, k]`` positions."""
    hits = 0
    for mine, wanted in zip(found, exact, strict=True):
        hits += len(set(mine.tolist()) & set(wanted.tolist()))
    return hits / max(exact.size, 1)
