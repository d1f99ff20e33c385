"""What each query is known to be answered by, in any split: none of it is ever its negative."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from embedlab.data.text import near_duplicates

OWN = "known answer"

SAME = "answers nearly the same query"

HELD = "answers nearly the same held-out query"

NEAR_DUPLICATE = "near-duplicate of an answer"


def exclusions(rows: pd.DataFrame, guard: pd.DataFrame, near: Mapping[str, set[str]]) -> dict[str, dict[str, str]]:
    """Return by query id what may never be its negative, with the reason.

    Its own relevant documents of any grade, those of every query with nearly the same text, in
    training or held out, and the near-duplicates of all these.

    Args:
        rows: ``query_id, text, positive_ids, known_ids``.
        guard: ``text, known_ids`` of the held-out queries.
        near: near-duplicates by document id.
    """
    own = [{*p, *k} for p, k in zip(rows["positive_ids"], rows["known_ids"], strict=True)]
    answers, count = [*map(set, guard["known_ids"]), *own], len(guard)
    found: list[dict[str, str]] = [dict.fromkeys(ids, OWN) for ids in own]
    for same in near_duplicates([*guard["text"], *rows["text"]]):
        shared = {d: HELD if i < count else SAME for i in reversed(same) for d in answers[i]}
        for i in (i - count for i in same if i >= count):
            found[i] = shared | found[i]
    for known in found:
        known |= {other: NEAR_DUPLICATE for d in list(known) for other in near.get(d, ()) if other not in known}
    return dict(zip(rows["query_id"], found, strict=True))


def only_held_out(rows: pd.DataFrame, guard: pd.DataFrame) -> set[str]:
    """Return the documents that answer held-out queries and no row's, at any grade."""
    trained = {d for column in ("positive_ids", "known_ids") for ids in rows[column] for d in ids}
    return {d for ids in guard["known_ids"] for d in ids} - trained


def joint_answers(rows: pd.DataFrame) -> list[frozenset[str]]:
    """Return for each row the documents known to answer its query, or one with nearly the same text.

    Args:
        rows: ``text, positive_ids`` and, where judged, ``known_ids``.
    """
    known = rows["known_ids" if "known_ids" in rows else "positive_ids"]
    own = [frozenset((*p, *k)) for p, k in zip(rows["positive_ids"], known, strict=True)]
    joint = [set(answers) for answers in own]
    for same in near_duplicates(rows["text"].tolist()):
        shared = frozenset().union(*(own[i] for i in same))
        for i in same:
            joint[i] |= shared
    return [frozenset(answers) for answers in joint]


def right_answers(rows: pd.DataFrame, near: Mapping[str, set[str]]) -> list[frozenset[str]]:
    """Return for each row what would be wrong as its negative: its answers and their near-duplicates.

    Args:
        rows: as for :func:`joint_answers`.
        near: near-duplicates by document id; equal texts are among them.
    """
    return [a.union(*(near.get(d, ()) for d in a)) for a in joint_answers(rows)]
