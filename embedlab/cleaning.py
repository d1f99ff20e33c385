"""Cleaning the training store: every rule returns what is kept and what it removed, with reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pandas as pd

from embedlab.pairs import removal, removals
from embedlab.text import fold, near_duplicates

Cleaned = tuple[pd.DataFrame, pd.DataFrame]

MARKUP = re.compile(r"<\s*/?\s*[a-zA-Z][^<>]*>|\[[^\]]+\]\(https?:[^)]*\)|\{\{.*?\}\}")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")


def malformed(text: str) -> str:
    """Return what is wrong with a text: ``mojibake``, ``markup``, ``control characters`` or nothing."""
    import ftfy

    if CONTROL.search(text):
        return "control characters"
    if MARKUP.search(text):
        return "markup"
    return "mojibake" if ftfy.is_bad(text) else ""


def drop_empty(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove rows without query text, or none of whose positives has any text."""
    blank = rows["query"].map(fold) == ""
    hollow = rows["positive_ids"].map(lambda ids: not any(documents.get(d, "").strip() for d in ids))
    gone = rows[blank | hollow]
    evidence = ["blank query" if not fold(q) else "no positive has text" for q in gone["query"]]
    return rows[~(blank | hollow)], removal(gone, "empty", gone["positive_ids"].map(", ".join), evidence)


def drop_malformed(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove rows whose query is mojibake or holds markup or control characters."""
    fault = rows["query"].map(malformed)
    gone = rows[fault != ""]
    return rows[fault == ""], removal(gone, "malformed", [""] * len(gone), fault[fault != ""])


def drop_duplicates(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove a row whose query nearly repeats an earlier one with the same positives."""
    ids, positives = rows["query_id"].tolist(), rows["positive_ids"].map(frozenset).tolist()
    copies: dict[int, int] = {}
    for clique in near_duplicates(rows["query"].tolist()):
        first: dict[frozenset[str], int] = {}
        for i in clique:
            keeper = first.setdefault(positives[i], i)
            if keeper != i and keeper not in copies:
                copies[i] = keeper
    gone = rows.iloc[sorted(copies)]
    others = [ids[copies[i]] for i in sorted(copies)]
    kept = rows.drop(gone.index)
    return kept, removal(gone, "duplicate", others, ["near-duplicate query, same positives"] * len(gone))


def drop_conflicts(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove rows whose folded query is labelled with disjoint positives elsewhere."""
    folded = rows["query"].map(fold)
    gone_at, other, evidence = [], [], []
    for _, same in rows.groupby(folded):
        sets = [set(p) for p in same["positive_ids"]]
        if len(sets) > 1 and any(not (a & b) for i, a in enumerate(sets) for b in sets[i + 1 :]):
            gone_at += same.index.tolist()
            other += [", ".join(q for q in same["query_id"] if q != own) for own in same["query_id"]]
            evidence += ["same query, disjoint positives"] * len(same)
    gone = rows.loc[gone_at]
    return rows.drop(gone.index), removal(gone, "conflict", other, evidence)


def drop_contradicting_negatives(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Take out negatives that are positives of the same folded query; no row goes."""
    folded = rows["query"].map(fold)
    positives = {text: set(same.explode()) for text, same in rows["positive_ids"].groupby(folded)}
    kept, found = [], []
    for number, (text, negatives) in enumerate(zip(folded, rows["negatives"], strict=True)):
        bad = [n["id"] for n in negatives if n["id"] in positives[text]]
        kept.append([n for n in negatives if n["id"] not in positives[text]])
        if bad:
            found.append(removal(rows.iloc[[number]], "negative taken out", [", ".join(bad)], ["also a positive"]))
    cleaned = rows.copy()
    cleaned["negatives"] = pd.Series(kept, index=rows.index, dtype=object)
    return cleaned, removals(found)


def drop_over_long(rows: pd.DataFrame, lengths: pd.Series, limit: int) -> Cleaned:
    """Remove rows whose query is longer than the model reads; ``lengths`` are tokens, a limit of 0 means none."""
    over = pd.Series(lengths.to_numpy() > limit, index=rows.index) if limit else rows["query"].isna()
    evidence = [f"{n} tokens, the model reads {limit}" for n in lengths.to_numpy()[over.to_numpy()]]
    return rows[~over], removal(rows[over], "over-long", [""] * int(over.sum()), evidence)


def over_long(lengths: pd.Series, limit: int) -> tuple[float, float]:
    """Return the share of texts over a token limit, and the share of all tokens lost by cutting."""
    if not limit or lengths.empty:
        return 0.0, 0.0
    return float((lengths > limit).mean()), float((lengths - limit).clip(lower=0).sum() / lengths.sum())


RULES: dict[str, Callable[[pd.DataFrame, Mapping[str, str]], Cleaned]] = {
    "empty": drop_empty,
    "malformed": drop_malformed,
    "conflicts": drop_conflicts,
    "duplicates": drop_duplicates,
    "contradicting negatives": drop_contradicting_negatives,
}
"""By name, in the order they are applied."""
