"""Negatives: easy, mined and structural ones, none of them a known or likely positive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import ParameterError, nearest
from embedlab.text import near_duplicates, stable_hash

MINERS = ("random", "bm25", "dense", "sibling")


@dataclass(frozen=True)
class Mining:
    """How negatives are mined.

    ``percent_of_positive``: a mined document may score at most this share of the query's worst
    positive, by the dense model (NV-Retriever, Moreira et al. 2024: .95).
    """

    miners: tuple[str, ...] = MINERS
    quota: int = 2
    first_rank: int = 1
    last_rank: int = 50
    percent_of_positive: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.miners:
            if name not in MINERS:
                raise ParameterError(f"unknown miner {name!r}{nearest(name, list(MINERS))}")
        if not 1 <= self.first_rank <= self.last_rank:
            raise ParameterError(f"ranks must be 1 <= first <= last, found {self.first_rank}, {self.last_rank}")


@dataclass(frozen=True)
class Pool:
    """What is mined from: ids, unit vectors, runs by miner and relatives of documents."""

    doc_ids: list[str]
    documents: NDArray[np.float32]
    queries: NDArray[np.float32]
    runs: Mapping[str, Mapping[str, list[str]]]
    relatives: Mapping[str, str]


def twins(corpus: pd.DataFrame) -> dict[str, set[str]]:
    """Return for each document its near-duplicates; documents without any are left out."""
    ids = corpus["doc_id"].tolist()
    found: dict[str, set[str]] = {}
    for clique in near_duplicates((corpus["title"] + " " + corpus["text"]).tolist()):
        for i in clique:
            found.setdefault(ids[i], set()).update(ids[j] for j in clique if j != i)
    return found


def mine(
    rows: pd.DataFrame, pool: Pool, exclude: Mapping[str, set[str]], mining: Mining
) -> list[list[dict[str, object]]]:
    """Mine negatives for each row.

    Args:
        rows: ``query_id, positive_ids``, in the order of ``pool.queries``.
        pool: documents, vectors and runs.
        exclude: by query id, documents that may never be its negatives.
        mining: miners, quota, rank window and margin.

    Returns:
        for each row a list of ``{id, miner, score}``; the score is the cosine to the query.
    """
    position = {d: i for i, d in enumerate(pool.doc_ids)}
    mined = []
    for number, (query_id, positives) in enumerate(zip(rows["query_id"], rows["positive_ids"], strict=True)):
        cosines = pool.documents @ pool.queries[number]
        known = [position[d] for d in positives if d in position]
        limit = mining.percent_of_positive * float(cosines[known].min()) if known else 1.0
        taken = set(exclude[query_id]) | set(positives)
        row: list[dict[str, object]] = []
        for miner in mining.miners:
            for doc_id in _candidates(miner, query_id, positives, pool, mining):
                score = float(cosines[position[doc_id]])
                if doc_id in taken or (miner != "sibling" and score > limit):
                    continue
                taken.add(doc_id)
                row.append({"id": doc_id, "miner": miner, "score": round(score, 4)})
                if sum(n["miner"] == miner for n in row) == mining.quota:
                    break
        mined.append(row)
    return mined


def _candidates(miner: str, query_id: str, positives: list[str], pool: Pool, mining: Mining) -> list[str]:
    if miner in ("bm25", "dense"):
        return list(pool.runs[miner].get(query_id, [])[mining.first_rank - 1 : mining.last_rank])
    if miner == "random":
        rng = np.random.default_rng(stable_hash(mining.seed, query_id))
        return [pool.doc_ids[i] for i in rng.integers(0, len(pool.doc_ids), 10 * mining.quota)]
    families = {pool.relatives[d] for d in positives if d in pool.relatives}
    return [d for d in pool.doc_ids if pool.relatives.get(d) in families] if families else []


def by_query(run: pd.DataFrame) -> dict[str, list[str]]:
    """Return the documents of each query in the order of a run."""
    return {str(q): list(ids) for q, ids in run.groupby("query_id", sort=False)["doc_id"]}


def exclusions(
    rows: pd.DataFrame, known: Mapping[str, set[str]], same_query: Mapping[str, set[str]], near: Mapping[str, set[str]]
) -> dict[str, set[str]]:
    """Return by query id what may never be its negative.

    Its judged relevant documents, those of held-out queries with nearly the same text, and the
    near-duplicates of either.
    """
    found = {}
    for query_id, positives in zip(rows["query_id"], rows["positive_ids"], strict=True):
        relevant = set(positives) | known.get(query_id, set()) | same_query.get(query_id, set())
        found[query_id] = relevant.union(*(near.get(d, set()) for d in relevant))
    return found
