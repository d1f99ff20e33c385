"""Judgments with holes: what documents that nobody judged could do to a difference, and which to judge next."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pandas as pd

from embedlab.data.text import stable_hash
from embedlab.data.trec import trec_order
from embedlab.errors import ParameterError
from embedlab.evaluation.metrics import LARGEST, parse_measure, per_query, unjudged_share

PAIR = ["query_id", "doc_id"]


def unjudged_shares(qrels: pd.DataFrame, runs: Mapping[str, pd.DataFrame], k: int) -> dict[str, float]:
    """Return by system the share of its first ``k`` documents that nobody judged."""
    return {system: unjudged_share(qrels, run, k) for system, run in runs.items()}


def difference_bounds(
    qrels: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame, metric: str, k: int, grade: int = 0
) -> pd.DataFrame:
    """Return how far the unjudged documents that two systems show could move their difference, query by query.

    They are taken as relevant or not by who shows them: the candidate alone, the baseline alone, or both. Of these
    eight ways the best one has what the candidate alone shows relevant and what the baseline alone shows irrelevant,
    but where the measure divides by what is known to be relevant (nDCG, recall), another one can be more extreme.

    Args:
        qrels: ``query_id, doc_id, relevance``; 0 is judged irrelevant, a pair without a row is a hole.
        baseline: ``query_id, doc_id, score``.
        candidate: likewise.
        metric: an ir-measures name.
        k: documents that are looked at for each query; unjudged ones below stay irrelevant.
        grade: of an unjudged document that is taken as relevant; 0 for the highest grade there is.

    Returns:
        ``delta`` as judged, ``worst`` and ``best``, by query id: ``worst <= delta <= best``.
    """
    grade = grade or _highest(qrels)
    runs = [_looked_at(run, metric, k) for run in (baseline, candidate)]
    one, two = (_holes(qrels, run, k) for run in runs)
    both = one.merge(two, on=PAIR)
    parts = [_without(two, both), _without(one, both), both]
    found = []
    for taken in product([False, True], repeat=len(parts)):
        relevant = [part for part, is_relevant in zip(parts, taken, strict=True) if is_relevant]
        filled = _with_relevant(qrels, relevant, grade)
        scores = [per_query(filled, run, [metric])[metric] for run in runs]
        found.append(scores[1] - scores[0])
    ways = pd.concat(found, axis=1)
    # The first way has nothing relevant beside what was judged.
    return pd.DataFrame({"delta": ways.iloc[:, 0], "worst": ways.min(axis=1), "best": ways.max(axis=1)})


def judge_next(
    qrels: pd.DataFrame,
    runs: Mapping[str, pd.DataFrame],
    proposed: str,
    metric: str,
    k: int,
    count: int,
    grade: int = 0,
) -> pd.DataFrame:
    """Return the unjudged documents whose judgment would move the decision most, pooled blind and equally.

    A document moves the decision by as much as the difference between ``proposed`` and another system would change
    on its query, were it relevant; the largest of these counts. The systems take turns, each with the document it
    shows that moves most and that none has taken. So none is judged more thoroughly than another, which would favour
    it. The order of the result is by lot, and nothing in it says who shows a document.

    Args:
        qrels: ``query_id, doc_id, relevance``.
        runs: ``query_id, doc_id, score`` by system, the proposed one and those that it has to beat.
        proposed: its name.
        metric: an ir-measures name.
        k: documents that are looked at for each query and system.
        count: documents to judge, at most.
        grade: of a document that turns out relevant; 0 for the highest grade there is.

    Returns:
        ``query_id, doc_id, moves``: the change on that query.

    Raises:
        ParameterError: if ``proposed`` is none of the runs, or the only one.
    """
    if proposed not in runs or len(runs) < 2:
        raise ParameterError(f"judge_next compares {proposed!r} with other systems; runs: {', '.join(runs)}")
    runs = {system: _looked_at(run, metric, k) for system, run in runs.items()}
    shown = {system: _holes(qrels, run, k) for system, run in runs.items()}
    pool = pd.concat(list(shown.values())).drop_duplicates(PAIR, ignore_index=True)
    pool["moves"] = _moves(qrels, runs, proposed, metric, pool, grade or _highest(qrels))
    lot = [stable_hash("judge", q, d) for q, d in pool[PAIR].itertuples(index=False, name=None)]
    pool = pool.assign(lot=lot).sort_values(["moves", "lot"], ascending=[False, True])
    taken = _in_turn({system: pool.merge(holes, on=PAIR) for system, holes in shown.items()}, count)
    chosen = pool.merge(pd.DataFrame(taken, columns=PAIR), on=PAIR)
    return chosen.sort_values("lot", ignore_index=True)[[*PAIR, "moves"]]


def _highest(qrels: pd.DataFrame) -> int:
    """Return the highest grade there is, 1 where nothing is relevant."""
    return max(1, int(qrels["relevance"].max())) if len(qrels) else 1


def _looked_at(run: pd.DataFrame, metric: str, k: int) -> pd.DataFrame:
    """Return the documents that decide the measure; runs are scored many times here, so the rest is left away."""
    return _first(run, max(k, parse_measure(metric).params.get("cutoff", LARGEST)))


def _holes(qrels: pd.DataFrame, run: pd.DataFrame, k: int) -> pd.DataFrame:
    """Return ``query_id, doc_id`` of the first ``k`` documents that nobody judged, of queries with any judgment."""
    top = _first(run[run["query_id"].isin(qrels["query_id"])], k)
    return _without(top[PAIR], qrels[PAIR])


def _first(run: pd.DataFrame, k: int) -> pd.DataFrame:
    """Return the first ``k`` documents of each query."""
    return trec_order(run).groupby("query_id").head(k)


def _without(pairs: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs that are none of the others."""
    found = pairs.merge(others, on=PAIR, how="left", indicator=True)
    return found.loc[found["_merge"] == "left_only", PAIR].reset_index(drop=True)


def _with_relevant(qrels: pd.DataFrame, parts: list[pd.DataFrame], grade: int) -> pd.DataFrame:
    """Return the judgments with further pairs that are relevant."""
    further = [part.assign(relevance=grade) for part in parts if len(part)]
    return pd.concat([qrels[[*PAIR, "relevance"]], *further], ignore_index=True)


def _moves(
    qrels: pd.DataFrame,
    runs: Mapping[str, pd.DataFrame],
    proposed: str,
    metric: str,
    pool: pd.DataFrame,
    grade: int,
) -> pd.Series:
    """Return how far each pair of the pool would move a difference, in the pool's order."""
    as_judged = _differences(qrels, runs, proposed, metric)
    moves = pd.Series(0.0, index=pool.index)
    # One document a query at a time: the queries do not touch one another, so that each round scores them all.
    for _, pairs in pool.groupby(pool.groupby("query_id").cumcount()):
        asked = qrels[qrels["query_id"].isin(pairs["query_id"])]
        filled = _with_relevant(asked, [pairs[PAIR]], grade)
        changed = (_differences(filled, runs, proposed, metric) - as_judged).abs().max(axis=1)
        moves[pairs.index] = pairs["query_id"].map(changed)
    return moves


def _differences(qrels: pd.DataFrame, runs: Mapping[str, pd.DataFrame], proposed: str, metric: str) -> pd.DataFrame:
    """Return the proposed system's score minus each other one's, a column a system, by query id."""
    scores = pd.DataFrame({system: per_query(qrels, run, [metric])[metric] for system, run in runs.items()})
    others = scores.drop(columns=proposed)
    return -others.sub(scores[proposed], axis=0)


def _in_turn(ranked: Mapping[str, pd.DataFrame], count: int) -> list[tuple[str, str]]:
    """Return up to ``count`` pairs that the systems take in turn, each its first one that none has taken."""
    queues = [iter(table[PAIR].itertuples(index=False, name=None)) for table in ranked.values()]
    taken: dict[tuple[str, str], None] = {}
    while queues and len(taken) < count:
        for queue in list(queues):
            following = next((pair for pair in queue if pair not in taken), None)
            if following is None:
                queues.remove(queue)
            elif len(taken) < count:
                taken[following] = None
    return list(taken)
