"""Train and validation by group, and proof that nothing leaks between the parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from math import ceil

import pandas as pd

from embedlab.data.groups import query_groups
from embedlab.data.parts import assign_parts
from embedlab.data.text import fold, near_duplicates, stable_hash
from embedlab.trainset.answers import known_answers
from embedlab.trainset.rows import JUDGED, removal, removals

PARTS = ("train", "validation", "dev", "test")

OVER_DOCUMENTS = ("documents", "families")
"""Kinds of overlap that are meant where the unit is the query: new queries over known documents."""


def with_groups(rows: pd.DataFrame, unit: str) -> tuple[pd.DataFrame, str]:
    """Return the rows and the unit that train and validation can be divided by.

    Where all judged rows stand in one group, the query with its near-duplicates takes its place.
    """
    judged_groups = rows.loc[rows["source"] == JUDGED, "group"].nunique()
    if unit == "query" or judged_groups > 1:
        return rows, unit
    group = query_groups(rows)
    return rows.assign(group=rows["query_id"].map(group)), "query"


def validation_groups(rows: pd.DataFrame, share: float, seed: int) -> set[str]:
    """Return the groups of judged rows that validate: drawn by the seed, else the smallest ones."""
    judged = rows[rows["source"] == JUDGED]
    group = pd.Series(judged["group"].to_numpy(), index=judged["query_id"].to_numpy())
    part = assign_parts(group, seed, {"validation": share})
    chosen = set(group[part == "validation"])
    sizes = group.value_counts()
    # A single group is never divided: it trains, and nothing validates.
    if chosen or len(sizes) < 2:
        return chosen
    # The draw leaves large groups to training, so among few groups it may choose none.
    # The name decides between equal sizes, so that the order of the rows does not.
    by_size = sorted(sizes.index, key=lambda name: (sizes[name], name))
    count = ceil(share * len(by_size))
    return set(by_size[:count])


def split_rows(
    rows: pd.DataFrame, relatives: Mapping[str, str], share: float, most: int, unit: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide rows into train and validation by group; only judged queries validate.

    Args:
        rows: the canonical store.
        relatives: family by document id; may be empty.
        share: share of the groups that go to validation.
        most: at most so many validation rows.
        unit: ``group``, or ``query`` where documents may stand on both sides.
        seed: chooses the groups.

    Returns:
        the rows with ``part`` set, and the removed rows: validation rows over the limit, and
        further texts that stand near the validation queries.
    """
    judged = rows["source"] == JUDGED
    chosen = validation_groups(rows, share, seed)
    held = rows[judged & rows["group"].isin(chosen)]
    drawn = sorted(held.index, key=lambda i: stable_hash("validation", seed, held["query_id"][i]))
    # Rows over the limit leave altogether: to train on them would put their group on both sides.
    extra = held.loc[sorted(drawn[most:])]
    further = rows[~judged]
    near = further[_near(further, held, relatives, unit)]
    gone = [
        removal(extra, "validation is full", extra["group"], f"over {most} rows"),
        removal(near, "near validation", near["group"], "shares text, document or family"),
    ]
    validates = rows.index.isin(held.index)
    parted = rows.assign(part=["validation" if v else "train" for v in validates])
    kept = parted.drop(extra.index.union(near.index))
    return kept.reset_index(drop=True), removals(gone)


def _near(further: pd.DataFrame, held: pd.DataFrame, relatives: Mapping[str, str], unit: str) -> pd.Series:
    """Return for each further text whether it shares a group, text, document or family with held rows."""
    same_group = further["group"].isin(set(held["group"]))
    same_text = further["query_id"].isin(_repeated(held, further))
    near = same_group | same_text
    if unit == "query":  # documents may stand on both sides
        return near
    documents = set(held["positive_ids"].explode())
    families = _families(documents, relatives)
    about = []
    for ids in further["positive_ids"]:
        shares_document = not documents.isdisjoint(ids)
        shares_family = not families.isdisjoint(_families(ids, relatives))
        about.append(shares_document or shares_family)
    return near | pd.Series(about, index=further.index, dtype=bool)


def _repeated(held: pd.DataFrame, rows: pd.DataFrame) -> dict[str, str]:
    """Return query id to the first held query's id, for rows that nearly repeat one."""
    held_ids, row_ids = held["query_id"].tolist(), rows["query_id"].tolist()
    n_held = len(held_ids)
    found: dict[str, str] = {}
    for same in near_duplicates([*held["text"], *rows["text"]]):
        # Held queries stand first, and positions ascend: the first says whether any is held.
        first = same[0]
        if first >= n_held:
            continue
        for i in same:
            if i >= n_held:
                found[str(row_ids[i - n_held])] = str(held_ids[first])
    return found


def leakage(
    rows: pd.DataFrame, guard: pd.DataFrame, relatives: Mapping[str, str], unit: str, split_unit: str
) -> pd.DataFrame:
    """Count what two parts share.

    Documents and families may stand on both sides where the unit is the query; they are then
    counted and are no leak.

    Args:
        rows: ``query_id, text, positive_ids, known_ids, group, part`` of train and validation.
        guard: ``query_id, text, known_ids, group, part`` of dev and test.
        relatives: family by document id; may be empty.
        unit: ``group`` or ``query``: what dev and test were kept apart by.
        split_unit: the same for train and validation.

    Returns:
        one row a pair of parts and kind: ``between, kind, count, leak, items``; ``items`` names what a
        leak shares and the first query on either side.
    """
    columns = ["query_id", "text", "documents", "group", "part"]
    sides = [table.assign(documents=_known_lists(table))[columns] for table in (rows, guard)]
    whole = pd.concat(sides, ignore_index=True)
    near = _near_pairs(whole)
    held = {part: _holdings(whole[whole["part"] == part], relatives) for part in PARTS}
    found = []
    for one, two in combinations(PARTS, 2):
        # Train and validation may have been divided by another unit than dev and test; see `with_groups`.
        apart_by = split_unit if (one, two) == ("train", "validation") else unit
        shared = {kind: _shared(held[one][kind], held[two][kind]) for kind in held[one]}
        shared["near-duplicate texts"] = near.get(frozenset((one, two)), [])
        for kind, items in shared.items():
            meant = kind in OVER_DOCUMENTS and apart_by == "query"
            leak = bool(items) and not meant
            row: dict[str, object] = {"between": f"{one}, {two}", "kind": kind}
            row |= {"count": len(items), "leak": leak}
            # An overlap that is meant may be most of the corpus: it is counted, not listed.
            row["items"] = items if leak else []
            found.append(row)
    return pd.DataFrame(found)


def _known_lists(table: pd.DataFrame) -> pd.Series:
    return pd.Series(known_answers(table), index=table.index, dtype=object)


def listed(report: pd.DataFrame) -> pd.DataFrame:
    """Return every leak of a report by name: ``between, kind, item``."""
    found = report.loc[report["leak"], ["between", "kind", "items"]].explode("items")
    return found.rename(columns={"items": "item"}).reset_index(drop=True)


def _holdings(part: pd.DataFrame, relatives: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return by kind what a part holds, each with the first query that holds it."""
    kinds = ("groups", "query ids", "texts", "documents", "families")
    held: dict[str, dict[str, str]] = {kind: {} for kind in kinds}
    ids = part["query_id"].astype(str)
    for query_id, group, text, documents in zip(ids, part["group"], part["text"], part["documents"], strict=True):
        held["groups"].setdefault(str(group), query_id)
        held["query ids"].setdefault(query_id, query_id)
        held["texts"].setdefault(fold(text), query_id)
        for d in documents:
            held["documents"].setdefault(str(d), query_id)
            if d in relatives:
                held["families"].setdefault(relatives[d], f"{query_id} with {d}")
    return held


def _shared(one: dict[str, str], two: dict[str, str]) -> list[str]:
    both = sorted(one.keys() & two.keys())
    return [f"{value}: {one[value]} ~ {two[value]}" for value in both]


def _families(documents: Iterable[str], relatives: Mapping[str, str]) -> set[str]:
    return {relatives[d] for d in documents if d in relatives}


def _near_pairs(whole: pd.DataFrame) -> dict[frozenset[str], list[str]]:
    """Return by two parts the near-duplicate queries that reach from one into the other, one of each side."""
    parts, ids = whole["part"].tolist(), whole["query_id"].tolist()
    found: dict[frozenset[str], list[str]] = {}
    for same in near_duplicates(whole["text"].tolist()):
        # One query a part stands for all: a set of many would otherwise list every pair of them.
        first: dict[str, str] = {}
        for i in same:
            first.setdefault(parts[i], ids[i])
        for one, two in combinations(sorted(first), 2):
            found.setdefault(frozenset((one, two)), []).append(f"{first[one]} ~ {first[two]}")
    return found


def at_random(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows as a careless split has them: as many validate, but drawn row by row.

    Only judged queries validate, as in :func:`split_rows`; further texts stay in training.
    """
    judged = (rows["source"] == JUDGED).to_numpy()
    part = rows["part"].to_numpy(dtype=object, copy=True)
    part[judged] = rows.loc[judged, "part"].sample(frac=1, random_state=seed).to_numpy()
    return rows.assign(part=pd.Series(part, index=rows.index, dtype=str))


def scattered_share(rows: pd.DataFrame, seed: int) -> float:
    """Return what share of validation rows would have their group in training if rows were split at random."""
    mixed = at_random(rows, seed)
    held = mixed.loc[mixed["part"] == "validation", "group"]
    trained = set(mixed.loc[mixed["part"] == "train", "group"])
    return float(held.isin(trained).mean()) if len(held) else 0.0


def near_held_out(rows: pd.DataFrame, guard: pd.DataFrame) -> dict[str, str]:
    """Return query id to held-out query id for rows that nearly repeat a held-out query."""
    return _repeated(guard, rows)


def held_documents(guard: pd.DataFrame, relatives: Mapping[str, str]) -> set[str]:
    """Return the documents of held-out queries and all their relatives."""
    direct = set[str]().union(*known_answers(guard))
    families = _families(direct, relatives)
    kin = {d for d, family in relatives.items() if family in families}
    return direct | kin


def about_held_out(rows: pd.DataFrame, held: set[str]) -> pd.Series:
    """Return whether a row answers with a held-out document, lower grades included."""
    about = [not held.isdisjoint(known) for known in known_answers(rows)]
    return pd.Series(about, index=rows.index, dtype=bool)
