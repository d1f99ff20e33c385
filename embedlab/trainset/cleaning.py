"""Cleaning the training store: every rule returns what is kept and what it removed, with reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from embedlab.data.text import fold, near_duplicates, stable_hash
from embedlab.trainset.positives import Scores
from embedlab.trainset.rows import removal, removals

Cleaned = tuple[pd.DataFrame, pd.DataFrame]

MARKUP = re.compile(r"<\s*/?\s*[a-zA-Z][^<>]*>|\[[^\]]+\]\(https?:[^)]*\)|\{\{.*?\}\}")

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")

LANGUAGE_SAMPLE, LANGUAGE_SHARE = 300, 0.9
"""A corpus has a language if this share of so many of its documents are in it."""

FOREIGN, FOREIGN_WORDS = 0.01, 5
"""A query of at least so many words is foreign if its text is less likely than this to be in the corpus' language."""


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
    blank = rows["text"].map(fold) == ""
    hollow = rows["positive_ids"].map(lambda ids: not any(documents.get(d, "").strip() for d in ids))
    gone = rows[blank | hollow]
    evidence = ["blank query" if not fold(q) else "no positive has text" for q in gone["text"]]
    return rows[~(blank | hollow)], removal(gone, "empty", gone["positive_ids"].map(", ".join), evidence)


def drop_malformed(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove rows whose query is mojibake or holds markup or control characters."""
    fault = rows["text"].map(malformed)
    gone = rows[fault != ""]
    return rows[fault == ""], removal(gone, "malformed", [""] * len(gone), fault[fault != ""])


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def corpus_language(documents: Mapping[str, str]) -> str:
    """Return the language of nine documents in ten (ISO 639-1, of a fixed sample), or nothing."""
    some = sorted(documents, key=lambda d: stable_hash("language", d))[:LANGUAGE_SAMPLE]
    found = pd.Series([_identifier().classify(documents[d])[0] for d in some], dtype=str).value_counts(normalize=True)
    return str(found.index[0]) if len(found) and found.iloc[0] >= LANGUAGE_SHARE else ""


def drop_foreign(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove rows whose query is surely not in the corpus' language (langid, Lui and Baldwin 2012)."""
    language = corpus_language(documents)
    if not language:
        return rows, removals([])
    ranked = [dict(_identifier().rank(query)) for query in rows["text"]]
    sure = [
        found[language] < FOREIGN and len(query.split()) >= FOREIGN_WORDS
        for found, query in zip(ranked, rows["text"], strict=True)
    ]
    foreign = pd.Series(sure, index=rows.index, dtype=bool)
    evidence = [
        f"reads as {max(found, key=found.__getitem__)}, the corpus is {language}"
        for found, gone in zip(ranked, foreign, strict=True)
        if gone
    ]
    return rows[~foreign], removal(rows[foreign], "wrong language", [""] * len(evidence), evidence)


def know_near_duplicates(rows: pd.DataFrame, near: Mapping[str, set[str]]) -> Cleaned:
    """Let near-duplicates of a row's positives count as known answers; as negatives they are taken out.

    No row goes. A known answer is never a negative, nor a conflict with a row that wants it.

    Args:
        rows: the canonical store.
        near: near-duplicates by document id.
    """
    known, kept, found = [], [], []
    for number, (positives, own, negatives) in enumerate(
        zip(rows["positive_ids"], rows["known_ids"], rows["negatives"], strict=True)
    ):
        others = set().union(*(near.get(d, set()) for d in positives)) - {*positives}
        bad = [n["id"] for n in negatives if n["id"] in others]
        known.append([*own, *sorted(others - {*own})])
        kept.append([n for n in negatives if n["id"] not in others])
        if bad:
            why = ["near-duplicate of a positive"]
            found.append(removal(rows.iloc[[number]], "negative taken out", [", ".join(bad)], why))
    lists = {"known_ids": known, "negatives": kept}
    cleaned = rows.assign(**{n: pd.Series(v, index=rows.index, dtype=object) for n, v in lists.items()})
    return cleaned, removals(found)


def drop_duplicates(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove a row whose query nearly repeats an earlier one with the same positives."""
    ids, positives = rows["query_id"].tolist(), rows["positive_ids"].map(frozenset).tolist()
    repeats: dict[int, int] = {}
    for same in near_duplicates(rows["text"].tolist()):
        first: dict[frozenset[str], int] = {}
        for i in same:
            keeper = first.setdefault(positives[i], i)
            if keeper != i and keeper not in repeats:
                repeats[i] = keeper
    gone = rows.iloc[sorted(repeats)]
    others = [ids[repeats[i]] for i in sorted(repeats)]
    kept = rows.drop(gone.index)
    return kept, removal(gone, "duplicate", others, ["near-duplicate query, same positives"] * len(gone))


def drop_conflicts(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove rows whose folded query is labelled with disjoint positives elsewhere, neither known to the other."""
    folded = rows["text"].map(fold)
    gone_at, other, evidence = [], [], []
    for _, same in rows.groupby(folded):
        sets = [(set(p), {*p, *k}) for p, k in zip(same["positive_ids"], same["known_ids"], strict=True)]
        pairs = [(a, b) for i, a in enumerate(sets) for b in sets[i + 1 :]]
        if any(not (one & known_two) and not (two & known_one) for (one, known_one), (two, known_two) in pairs):
            gone_at += same.index.tolist()
            other += [", ".join(q for q in same["query_id"] if q != own) for own in same["query_id"]]
            evidence += ["same query, disjoint positives"] * len(same)
    gone = rows.loc[gone_at]
    return rows.drop(gone.index), removal(gone, "conflict", other, evidence)


def drop_contradicting_negatives(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Take out negatives that are positives of the same folded query; no row goes."""
    folded = rows["text"].map(fold)
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


def drop_irrelevant(rows: pd.DataFrame, doc_ids: list[str], lines: Iterable[Scores]) -> Cleaned:
    """Take out positives less similar to the query than a random document by every system; rows without any go.

    A random document is as similar as the mean over the corpus. A positive that is taken out stays
    a known answer: it is no negative either.

    Args:
        rows: the canonical store.
        doc_ids: the documents that are scored, ``n`` of them.
        lines: for each row in turn, by system, the similarity of every document, ``[n]``.
    """
    position, kept, found = {d: i for i, d in enumerate(doc_ids)}, [], []
    for number, (positives, line) in enumerate(zip(rows["positive_ids"], lines, strict=True)):
        means = {name: float(scores.mean()) for name, scores in line.items()}
        known = [d for d in positives if d in position]
        weak = [d for d in known if all(line[name][position[d]] < mean for name, mean in means.items())]
        kept.append([d for d in positives if d not in weak])
        if weak:
            at = position[weak[0]]
            evidence = "; ".join(f"{name} {line[name][at]:.2f}, random {mean:.2f}" for name, mean in means.items())
            reason = "positive taken out" if kept[-1] else "irrelevant"
            found.append(removal(rows.iloc[[number]], reason, [", ".join(weak)], [evidence]))
    left = np.array([bool(ids) for ids in kept], dtype=bool)
    cleaned = rows.assign(positive_ids=pd.Series(kept, index=rows.index, dtype=object))
    return cleaned[left], removals(found)


def drop_over_long(rows: pd.DataFrame, lengths: pd.Series, limit: int) -> Cleaned:
    """Remove rows whose query is longer than the model reads; ``lengths`` are tokens, a limit of 0 means none."""
    over = pd.Series(lengths.to_numpy() > limit, index=rows.index) if limit else rows["text"].isna()
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
    "language": drop_foreign,
    "conflicts": drop_conflicts,
    "duplicates": drop_duplicates,
    "contradicting negatives": drop_contradicting_negatives,
}
"""By name, in the order they are applied; those that need a model or near-duplicate documents stand beside them."""
