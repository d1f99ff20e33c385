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
NOT_ALIKE = {"doc_id", "title", "text", "created", "family"}


@dataclass(frozen=True)
class Mining:
    """How negatives are mined.

    ``percent_of_positive``: a negative may score at most this share of the query's worst
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
    """What is mined from: ids, unit vectors, runs by miner and the kind of each document."""

    doc_ids: list[str]
    documents: NDArray[np.float32]
    queries: NDArray[np.float32]
    runs: Mapping[str, Mapping[str, list[str]]]
    kinds: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """A document that a miner proposed for a query, with its cosine to it."""

    query_id: str
    doc_id: str
    miner: str
    score: float


def twins(corpus: pd.DataFrame) -> dict[str, set[str]]:
    """Return for each document its near-duplicates; documents without any are left out."""
    ids = corpus["doc_id"].tolist()
    found: dict[str, set[str]] = {}
    for clique in near_duplicates((corpus["title"] + " " + corpus["text"]).tolist()):
        for i in clique:
            found.setdefault(ids[i], set()).update(ids[j] for j in clique if j != i)
    return found


def kinds_of(corpus: pd.DataFrame) -> dict[str, str]:
    """Return what makes documents siblings: their family or, without families, equal metadata.

    Metadata counts where its values repeat; empty where the corpus has neither.
    """
    fields = ["family"] if "family" in corpus else []
    for name in [] if fields else [c for c in corpus.columns if c not in NOT_ALIKE]:
        if 1 < corpus[name].astype(str).nunique() <= len(corpus) / 2:
            fields.append(name)
    if not fields:
        return {}
    values = corpus[fields].astype(str).agg(" · ".join, axis=1)
    return dict(zip(corpus["doc_id"], values, strict=True))


def mine(
    rows: pd.DataFrame, pool: Pool, exclude: Mapping[str, set[str]], mining: Mining
) -> tuple[list[Candidate], list[Candidate]]:
    """Mine negatives for each row.

    Args:
        rows: ``query_id, positive_ids``, in the order of ``pool.queries``.
        pool: documents, vectors and runs.
        exclude: by query id, documents that may never be its negatives.
        mining: miners, quota, rank window and margin.

    Returns:
        the negatives, and what would have been negatives by rank and margin, but is excluded.
    """
    position = {d: i for i, d in enumerate(pool.doc_ids)}
    mined, refused = [], []
    for number, (query_id, positives) in enumerate(zip(rows["query_id"], rows["positive_ids"], strict=True)):
        cosines = pool.documents @ pool.queries[number]
        limit = mining.percent_of_positive * float(cosines[[position[d] for d in positives]].min())
        taken = set(positives)
        for miner in mining.miners:
            ranked = pool.runs.get(miner, {}).get(query_id, [])[mining.first_rank - 1 : mining.last_rank]
            proposed = [position[d] for d in ranked] or _proposed(miner, query_id, positives, pool, cosines, mining)
            fresh = [i for i in dict.fromkeys(proposed) if cosines[i] <= limit and pool.doc_ids[i] not in taken]
            scored = [Candidate(query_id, pool.doc_ids[i], miner, round(float(cosines[i]), 4)) for i in fresh]
            good = [c for c in scored if c.doc_id not in exclude[query_id]][: mining.quota]
            last = scored.index(good[-1]) if len(good) == mining.quota else len(scored)
            refused += [c for c in scored[:last] if c.doc_id in exclude[query_id]]
            taken |= {c.doc_id for c in good}
            mined += good
    return mined, refused


def _proposed(
    miner: str, query_id: str, positives: list[str], pool: Pool, cosines: NDArray[np.float32], mining: Mining
) -> list[int]:
    """Return the positions of random documents, or of those alike in kind, the closest first."""
    if miner in pool.runs:
        return []
    if miner == "random":
        rng = np.random.default_rng(stable_hash(mining.seed, query_id))
        return [int(i) for i in rng.integers(0, len(pool.doc_ids), 10 * mining.quota)]
    kinds = {pool.kinds[d] for d in positives if d in pool.kinds}
    alike = [i for i, d in enumerate(pool.doc_ids) if pool.kinds.get(d) in kinds] if kinds else []
    return sorted(alike, key=lambda i: (-cosines[i], i))


def by_query(run: pd.DataFrame) -> dict[str, list[str]]:
    """Return the documents of each query in the order of a run."""
    return {str(q): list(ids) for q, ids in run.groupby("query_id", sort=False)["doc_id"]}


def attach(rows: pd.DataFrame, mined: list[Candidate]) -> pd.DataFrame:
    """Return the store with its ``negatives``, ``{id, miner, score}``: those its source named, then the mined ones."""
    found: dict[str, list[dict[str, object]]] = {
        q: list(known) for q, known in zip(rows["query_id"], rows["negatives"], strict=True)
    }
    for c in mined:
        found[c.query_id].append({"id": c.doc_id, "miner": c.miner, "score": c.score})
    return rows.assign(negatives=pd.Series([found[q] for q in rows["query_id"]], index=rows.index, dtype=object))


def exclusions(rows: pd.DataFrame, guard: pd.DataFrame, near: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return by query id what may never be its negative.

    Its own relevant documents of any grade, those of every query with nearly the same text, in
    training or held out, and the near-duplicates of all these.

    Args:
        rows: ``query_id, query, positive_ids, known_ids``.
        guard: ``text, doc_ids`` of the held-out queries.
        near: near-duplicates by document id.
    """
    own = [set(p) | set(k) for p, k in zip(rows["positive_ids"], rows["known_ids"], strict=True)]
    answers = [*guard["doc_ids"].map(set), *own]
    joint = [set(a) for a in answers]
    for clique in near_duplicates([*guard["text"], *rows["query"]]):
        shared = set().union(*(answers[i] for i in clique))
        for i in clique:
            joint[i] |= shared
    known = zip(rows["query_id"], joint[len(guard) :], strict=True)
    return {q: found.union(*(near.get(d, set()) for d in found)) for q, found in known}
