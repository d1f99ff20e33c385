"""How far a new embedding space moved from an old one, and what an index that holds vectors of both is worth.

An index refuses vectors of two spaces. Here they are mixed on purpose, as bare arrays beside any index, to measure
what the refusal saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.collection import Collection
from embedlab.errors import DataError, ParameterError
from embedlab.evaluation.metrics import PRIMARY, parse_measure, per_query
from embedlab.models.cache import Vectors
from embedlab.retrieval.base import DEPTH, as_run
from embedlab.retrieval.dense import exact_search

K = 10
"""Nearest neighbours that are compared."""


@dataclass(frozen=True)
class Space:
    """The vectors that one model gives the documents and the queries of a collection, in its order.

    Attributes:
        documents: unit vectors, float32 ``[documents, d]``.
        queries: unit vectors, float32 ``[queries, d]``.
    """

    documents: Vectors
    queries: Vectors

    def rotated(self, rotation: Vectors) -> Space:
        """Return the space turned as a whole by an orthogonal matrix ``[d, d]``: every inner product in it stays."""
        return Space(self.documents @ rotation, self.queries @ rotation)


def random_rotation(dimensions: int, seed: int) -> Vectors:
    """Return a random orthogonal matrix, float32 ``[dimensions, dimensions]``.

    Drawn evenly from all of them: the QR decomposition of a normal matrix, its signs made unique, after Mezzadri, "How
    to generate random matrices from the classical compact groups", Notices of the AMS 54(5), 2007.
    """
    normal = np.random.default_rng(seed).normal(size=(dimensions, dimensions))
    q, r = np.linalg.qr(normal)
    rotation: Vectors = (q * np.sign(np.diag(r))).astype(np.float32)
    return rotation


# --- how far it moved -----------------------------------------------------------------------------


def neighbours(vectors: Vectors, k: int = K) -> NDArray[np.int64]:
    """Return the positions of each vector's nearest others, ``[n, min(k, n - 1)]``, best first; itself is left out."""
    count = min(k, len(vectors) - 1)
    if count < 1:
        return np.empty((len(vectors), 0), dtype=np.int64)
    found, _ = exact_search(vectors, vectors, count + 1)
    nearest = np.empty((len(vectors), count), dtype=np.int64)
    for row, positions in enumerate(found):
        # Of equal vectors another one may come first, or all of the places.
        nearest[row] = positions[positions != row][:count]
    return nearest


def neighbour_overlap(old: Vectors, new: Vectors, k: int = K) -> NDArray[np.float64]:
    """Return, for each document, the share of its nearest neighbours that two spaces have in common, ``[n]``.

    Args:
        old: unit vectors, ``[n, d]``.
        new: unit vectors of the same documents; they may have another length.
        k: neighbours.

    Returns:
        0 to 1; 1 where there is no other document.

    Raises:
        DataError: if they are not as many.
    """
    _require_same_documents(old, new)
    first, second = neighbours(old, k), neighbours(new, k)
    if not first.shape[1]:
        return np.ones(len(old))
    shared = [len(np.intersect1d(mine, theirs)) for mine, theirs in zip(first, second, strict=True)]
    return np.array(shared) / first.shape[1]


def cosines_between(old: Vectors, new: Vectors) -> NDArray[np.float64]:
    """Return the cosine between two spaces' vectors of the same document, ``[n]``.

    It says nothing about either space, nor whether they could be mixed: turned by :func:`random_rotation` a space
    ranks everything as before, and this falls to about 0.

    Raises:
        DataError: if they are not as many, or not of the same length.
    """
    _require_same_documents(old, new)
    if old.shape[1] != new.shape[1]:
        raise DataError(f"vectors of {old.shape[1]} and {new.shape[1]} numbers have no cosine")
    found: NDArray[np.float64] = (old.astype(float) * new).sum(axis=1)
    return found


def _require_same_documents(old: Vectors, new: Vectors) -> None:
    if len(old) != len(new):
        raise DataError(f"vectors of {len(old):,} and of {len(new):,} documents: not the same documents")


# --- what mixing costs ----------------------------------------------------------------------------


def mixed_documents(old: Vectors, new: Vectors, share: float, seed: int) -> tuple[Vectors, NDArray[np.bool_]]:
    """Return documents of which a random share keeps its old vector: what a migration in place passes through.

    Args:
        old: ``[n, d]``.
        new: of the same documents, ``[n, d]``.
        share: of the documents that keep the old vector, 0 to 1.
        seed: of the draw.

    Returns:
        the vectors, and which are old, ``[n]``.

    Raises:
        DataError: if the vectors are not as many, or not of the same length: those cannot even be mixed.
        ParameterError: if the share lies outside 0 to 1.
    """
    _require_same_documents(old, new)
    if old.shape[1] != new.shape[1]:
        raise DataError(f"vectors of {old.shape[1]} and {new.shape[1]} numbers do not go into one index")
    if not 0 <= share <= 1:
        raise ParameterError(f"share must lie between 0 and 1, found {share}")
    is_old = np.zeros(len(old), dtype=bool)
    is_old[np.random.default_rng(seed).permutation(len(old))[: round(share * len(old))]] = True
    return np.where(is_old[:, None], old, new), is_old


def run_of_vectors(collection: Collection, space: Space, k: int = DEPTH) -> pd.DataFrame:
    """Return the run of exact search over bare vectors; nobody asks whose they are.

    Raises:
        DataError: if vectors and collection are not as many.
    """
    counts = {"documents": len(collection.corpus), "queries": len(collection.queries)}
    for name, count in counts.items():
        found = len(getattr(space, name))
        if found != count:
            raise DataError(f"{found:,} vectors of {name}, the collection has {count:,}")
    positions, scores = exact_search(space.documents, space.queries, min(k, len(space.documents)))
    return as_run(collection.queries["query_id"].tolist(), collection.corpus["doc_id"].to_numpy(), positions, scores)


def scores_in(collection: Collection, space: Space, measure: str = PRIMARY) -> pd.Series:
    """Return what exact search over bare vectors scores on each judged query, by its id."""
    # A deeper ranking would be judged no further.
    depth = parse_measure(measure).params.get("cutoff", DEPTH)
    return per_query(collection.qrels, run_of_vectors(collection, space, depth), [measure])[measure]


def mixed_scores(
    collection: Collection,
    old: Space,
    new: Space,
    share: float = 0.5,
    draws: int = 5,
    seed: int = 0,
    measure: str = PRIMARY,
) -> pd.DataFrame:
    """Return what each query scores where a share of the documents has old vectors, and the new model asks.

    Args:
        collection: documents, queries and judgments.
        old: the space of the documents that are left as they were.
        new: that of the others, and of the queries.
        share: of the documents left, 0 to 1.
        draws: how often these are drawn anew.
        seed: of the first draw; the next ones count on.
        measure: an ir-measures name.

    Returns:
        a row a query (the index), a column a draw.

    Raises:
        DataError: as :func:`mixed_documents` and :func:`run_of_vectors`.
        ParameterError: if the share or the number of draws is illegal.
    """
    if draws < 1:
        raise ParameterError(f"draws are 1 or more, found {draws}")
    found = {}
    for draw in range(draws):
        documents, _ = mixed_documents(old.documents, new.documents, share, seed + draw)
        found[draw] = scores_in(collection, Space(documents, new.queries), measure)
    return pd.DataFrame(found)


def migration_scores(
    collection: Collection,
    old: Space,
    new: Space,
    shares: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    draws: int = 5,
    seed: int = 0,
    measure: str = PRIMARY,
) -> pd.DataFrame:
    """Return each judged query's mean score over the draws, by the share of documents that still have old vectors.

    Arguments as for :func:`mixed_scores`; where nothing is drawn (shares 0 and 1), once is enough.

    Returns:
        a row a query (the index), a column a share.
    """
    found = {}
    for share in shares:
        times = draws if 0 < share < 1 else 1
        found[share] = mixed_scores(collection, old, new, share, times, seed, measure).mean(axis=1)
    return pd.DataFrame(found)


def share_of_old(
    collection: Collection, old: Space, new: Space, share: float = 0.5, k: int = K, seed: int = 0
) -> float:
    """Return the share of the first ``k`` results that have old vectors, where ``share`` of the documents has them.

    Were scores of both spaces to be compared, it would be about ``share``. Arguments as for :func:`mixed_scores`.
    """
    documents, is_old = mixed_documents(old.documents, new.documents, share, seed)
    positions, _ = exact_search(documents, new.queries, min(k, len(documents)))
    return float(is_old[positions].mean()) if len(collection.queries) else 0.0
