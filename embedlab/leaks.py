"""Train and validation by group, and proof that nothing leaks between the parts."""

from __future__ import annotations

import pandas as pd

from embedlab.pairs import removal
from embedlab.splits import assign_parts
from embedlab.text import fold, near_duplicates


def split_rows(
    rows: pd.DataFrame, share: float, most: int, source: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide rows into train and validation by group.

    Args:
        rows: the canonical store.
        share: share of the groups that go to validation.
        most: at most so many validation rows.
        source: only rows of this source are validated on; others of those groups leave.
        seed: chooses the groups.

    Returns:
        the rows with ``split`` set, and the removed rows.
    """
    group = pd.Series(rows["group"].to_numpy(), index=rows["query_id"].to_numpy())
    part = rows["query_id"].map(assign_parts(group, seed, {"validation": share}))
    rows = rows.assign(split=part.to_numpy())
    held = rows["split"] == "validation"
    other = rows[held & (rows["source"] != source)]
    extra = rows[held & (rows["source"] == source)].iloc[most:]
    gone = pd.concat(
        [
            removal(other, "validation group", other["group"], ["not a judged query"] * len(other)),
            removal(extra, "validation is full", extra["group"], [f"over {most} rows"] * len(extra)),
        ],
        ignore_index=True,
    )
    return rows.drop(other.index.union(extra.index)).reset_index(drop=True), gone


def leakage(rows: pd.DataFrame, guard: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Count what two parts share: groups, query ids, texts, near-duplicate texts, documents.

    Documents may stand on both sides where the unit is the query; they are then listed and not
    counted as a leak.

    Args:
        rows: ``query_id, query, positive_ids, group, split`` of train and validation.
        guard: ``query_id, text, doc_ids, group, part`` of dev and test.
        unit: ``group`` or ``query``.

    Returns:
        one row a pair of parts and kind: ``between, kind, count, leak``.
    """
    held = guard.rename(columns={"text": "query", "doc_ids": "positive_ids", "part": "split"})
    columns = ["query_id", "query", "positive_ids", "group", "split"]
    whole = pd.concat([rows[columns], held[columns]], ignore_index=True)
    pairs = [
        ("train", "validation"),
        ("train", "dev"),
        ("train", "test"),
        ("validation", "dev"),
        ("validation", "test"),
    ]
    near = _near_pairs(whole)
    found = []
    for one, two in pairs:
        a, b = whole[whole["split"] == one], whole[whole["split"] == two]
        shared = {
            "groups": len(set(a["group"]) & set(b["group"])),
            "query ids": len(set(a["query_id"]) & set(b["query_id"])),
            "texts": len(set(a["query"].map(fold)) & set(b["query"].map(fold))),
            "near-duplicate texts": near.get((one, two), 0),
            "documents": len(set(a["positive_ids"].explode()) & set(b["positive_ids"].explode())),
        }
        for kind, count in shared.items():
            leak = count > 0 and not (kind == "documents" and unit == "query")
            found.append({"between": f"{one}, {two}", "kind": kind, "count": count, "leak": leak})
    return pd.DataFrame(found)


def _near_pairs(whole: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Return how many sets of near-duplicates reach from one part into another."""
    splits = whole["split"].tolist()
    counts: dict[tuple[str, str], int] = {}
    for clique in near_duplicates(whole["query"].tolist()):
        present = {splits[i] for i in clique}
        for one in present:
            for two in present - {one}:
                counts[one, two] = counts.get((one, two), 0) + 1
    return counts
