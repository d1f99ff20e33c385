"""What each query is known to be answered by, in any part: none of it is ever its negative."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.text import fold, near_duplicates

OWN = "known answer"

SAME = "answers nearly the same query"

HELD = "answers nearly the same held-out query"

NEAR_DUPLICATE = "near-duplicate of an answer"


def known_answers(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return for each row the documents known to answer its query: its positives first, each once.

    Args:
        rows: ``positive_ids, known_ids``, or one of the two: the guard has no positives, and rows
            that nobody judged have nothing else.
    """
    columns = [rows[name] for name in ("positive_ids", "known_ids") if name in rows]
    found = []
    for lists in zip(*columns, strict=True):
        ids = dict.fromkeys(doc_id for ids in lists for doc_id in ids)
        found.append(tuple(ids))
    return found


def known_pairs(rows: pd.DataFrame) -> set[tuple[str, str]]:
    """Return every query id with each of the documents known to answer it; columns as for :func:`known_answers`."""
    pairs = set()
    for query_id, ids in zip(rows["query_id"], known_answers(rows), strict=True):
        pairs |= {(query_id, doc_id) for doc_id in ids}
    return pairs


def guard_of(held: Collection) -> pd.DataFrame:
    """Return the guard of held-out queries: what training may know of them, to keep clear of it.

    Args:
        held: dev and test.

    Returns:
        ``query_id, text`` (folded), ``group, part, known_ids`` (relevant at any grade, sorted), one row a query.
    """
    relevant = held.relevant()
    guard = held.queries[["query_id", "text", "group", "part"]].reset_index(drop=True)
    guard["text"] = guard["text"].map(fold)
    guard["known_ids"] = [sorted(relevant.get(query_id, ())) for query_id in guard["query_id"]]
    return guard


def exclusions(rows: pd.DataFrame, guard: pd.DataFrame, near: Mapping[str, set[str]]) -> dict[str, dict[str, str]]:
    """Return by query id what may never be its negative, with the reason.

    Its own relevant documents of any grade, those of every query with nearly the same text, in
    training or held out, and the near-duplicates of all these.

    Args:
        rows: ``query_id, text, positive_ids, known_ids``.
        guard: ``text, known_ids`` of the held-out queries.
        near: near-duplicates by document id.
    """
    own = known_answers(rows)
    answers, n_held = [*known_answers(guard), *own], len(guard)
    excluded = [dict.fromkeys(ids, OWN) for ids in own]
    for same in near_duplicates([*guard["text"], *rows["text"]]):
        # Held-out queries stand first, so what they share with a training row is named after them.
        shared: dict[str, str] = {}
        for i in same:
            reason = HELD if i < n_held else SAME
            for doc_id in answers[i]:
                shared.setdefault(doc_id, reason)
        for i in same:
            if i >= n_held:
                excluded[i - n_held] = {**shared, **excluded[i - n_held]}
    for known in excluded:
        _add_near_duplicates(known, near)
    return dict(zip(rows["query_id"], excluded, strict=True))


def count_reasons(exclude: Mapping[str, Mapping[str, str]]) -> pd.Series:
    """Return for how many pairs of query and document each reason of :func:`exclusions` holds, most first."""
    reasons: list[str] = []
    for known in exclude.values():
        reasons += known.values()
    return pd.Series(reasons, dtype=str).value_counts().rename("pairs of query and document")


def _add_near_duplicates(known: dict[str, str], near: Mapping[str, set[str]]) -> None:
    for doc_id in list(known):
        for other in near.get(doc_id, ()):
            known.setdefault(other, NEAR_DUPLICATE)


def only_held_out(rows: pd.DataFrame, guard: pd.DataFrame) -> set[str]:
    """Return the documents that answer held-out queries and no row's, at any grade."""
    return set[str]().union(*known_answers(guard)) - set[str]().union(*known_answers(rows))


def joint_answers(rows: pd.DataFrame) -> list[frozenset[str]]:
    """Return for each row the documents known to answer its query, or one with nearly the same text.

    Args:
        rows: ``text, positive_ids`` and, where judged, ``known_ids``.
    """
    own = known_answers(rows)
    joint = [set(answers) for answers in own]
    for same in near_duplicates(rows["text"].tolist()):
        shared = set[str]().union(*(own[i] for i in same))
        for i in same:
            joint[i] |= shared
    return [frozenset(answers) for answers in joint]


def right_answers(rows: pd.DataFrame, near: Mapping[str, set[str]]) -> list[frozenset[str]]:
    """Return for each row what would be wrong as its negative: its answers and their near-duplicates.

    Args:
        rows: as for :func:`joint_answers`.
        near: near-duplicates by document id; equal texts are among them.
    """
    found = []
    for answers in joint_answers(rows):
        others = [near.get(doc_id, set()) for doc_id in answers]
        found.append(answers.union(*others))
    return found
