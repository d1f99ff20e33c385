"""Cleaning the training store: every rule returns what is kept and what it removed, with reasons."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import combinations
from typing import Any

import pandas as pd

from embedlab.data.text import fold, near_duplicates, stable_hash
from embedlab.errors import ParameterError
from embedlab.trainset.answers import known_answers
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
    # Folded, a query of punctuation alone is blank, too.
    blank = rows["text"].map(fold) == ""
    hollow = rows["positive_ids"].map(lambda ids: not any(documents.get(d, "").strip() for d in ids))
    empty = blank | hollow
    gone = rows[empty]
    evidence = ["blank query" if not fold(q) else "no positive has text" for q in gone["text"]]
    return rows[~empty], removal(gone, "empty", gone["positive_ids"].map(", ".join), evidence)


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
    languages = [_identifier().classify(documents[d])[0] for d in some]
    shares = pd.Series(languages, dtype=str).value_counts(normalize=True)
    if len(shares) and shares.iloc[0] >= LANGUAGE_SHARE:
        return str(shares.index[0])
    return ""


def drop_foreign(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove rows whose query is surely not in the corpus' language (langid, Lui and Baldwin 2012)."""
    language = corpus_language(documents)
    if not language:
        return rows, removals([])
    foreign, evidence = [], []
    for query in rows["text"]:
        likely = dict(_identifier().rank(query))
        # Of few words the language cannot be told: names and commands read as any.
        sure = likely[language] < FOREIGN and len(query.split()) >= FOREIGN_WORDS
        foreign.append(sure)
        if sure:
            evidence.append(f"reads as {max(likely, key=likely.__getitem__)}, the corpus is {language}")
    out = pd.Series(foreign, index=rows.index, dtype=bool)
    return rows[~out], removal(rows[out], "wrong language", [""] * len(evidence), evidence)


def know_near_duplicates(rows: pd.DataFrame, near: Mapping[str, set[str]]) -> Cleaned:
    """Let near-duplicates of a row's positives count as known answers; as negatives they are taken out.

    No row goes. A known answer is never a negative, nor a conflict with a row that wants it.

    Args:
        rows: the canonical store.
        near: near-duplicates by document id.
    """
    others = []
    for positives in rows["positive_ids"]:
        found = set[str]().union(*(near.get(d, set()) for d in positives))
        others.append(found - {*positives})
    known = []
    for own, more in zip(rows["known_ids"], others, strict=True):
        known.append([*own, *sorted(more - {*own})])
    cleaned = rows.assign(known_ids=_column(known, rows))
    return _without_negatives(cleaned, others, "near-duplicate of a positive")


def _column(values: list[list[Any]], rows: pd.DataFrame) -> pd.Series:
    """Return a column of lists beside the rows."""
    return pd.Series(values, index=rows.index, dtype=object)


def _without_negatives(rows: pd.DataFrame, unwanted: Iterable[set[str]], evidence: str) -> Cleaned:
    """Take out each row's unwanted negatives and list them; no row goes."""
    kept, removed = [], []
    for number, (negatives, out) in enumerate(zip(rows["negatives"], unwanted, strict=True)):
        kept.append([n for n in negatives if n["id"] not in out])
        bad = [n["id"] for n in negatives if n["id"] in out]
        if bad:
            removed.append(removal(rows.iloc[[number]], "negative taken out", [", ".join(bad)], [evidence]))
    return rows.assign(negatives=_column(kept, rows)), removals(removed)


def drop_duplicates(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove a row whose query nearly repeats an earlier one with the same positives."""
    positives = rows["positive_ids"].map(frozenset).tolist()
    repeats: dict[int, int] = {}
    for same in near_duplicates(rows["text"].tolist()):
        first: dict[frozenset[str], int] = {}
        for i in same:
            keeper = first.setdefault(positives[i], i)
            # Nearly the same is not transitive: a row that goes itself keeps no other one's place.
            if keeper != i and keeper not in repeats:
                repeats[i] = keeper
    gone = rows.iloc[sorted(repeats)]
    keepers = [rows["query_id"].iloc[repeats[i]] for i in sorted(repeats)]
    why = ["near-duplicate query, same positives"] * len(gone)
    return rows.drop(gone.index), removal(gone, "duplicate", keepers, why)


def drop_conflicts(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Remove rows whose folded query is labelled with disjoint positives elsewhere, neither known to the other."""
    gone_at, others, evidence = [], [], []
    for _, same in rows.groupby(rows["text"].map(fold)):
        if not _conflict(same):
            continue
        ids = same["query_id"].tolist()
        gone_at += same.index.tolist()
        others += [", ".join(other for other in ids if other != own) for own in ids]
        evidence += ["same query, disjoint positives"] * len(same)
    gone = rows.loc[gone_at]
    return rows.drop(gone.index), removal(gone, "conflict", others, evidence)


def _conflict(same: pd.DataFrame) -> bool:
    """Return whether two rows of one query want documents that neither knows of the other."""
    rows = []
    for wanted, known in zip(same["positive_ids"], known_answers(same), strict=True):
        rows.append((set(wanted), set(known)))
    for (one, one_knows), (two, two_knows) in combinations(rows, 2):
        if one.isdisjoint(two_knows) and two.isdisjoint(one_knows):
            return True
    return False


def drop_contradicting_negatives(rows: pd.DataFrame, documents: Mapping[str, str]) -> Cleaned:
    """Take out negatives that are positives of the same folded query; no row goes."""
    folded = rows["text"].map(fold)
    positives = {text: set(same.explode()) for text, same in rows["positive_ids"].groupby(folded)}
    return _without_negatives(rows, [positives[text] for text in folded], "also a positive")


def drop_irrelevant(rows: pd.DataFrame, doc_ids: list[str], lines: Iterable[Scores]) -> Cleaned:
    """Take out positives less similar to the query than a random document by every system; rows without any go.

    A random document is as similar as the mean over the corpus. A positive that is taken out stays
    a known answer: it is no negative either.

    Args:
        rows: the canonical store.
        doc_ids: the documents that are scored, ``n`` of them.
        lines: for each row in turn, by system, the similarity of every document, ``[n]``.
    """
    position = {d: i for i, d in enumerate(doc_ids)}
    kept, removed = [], []
    for number, (positives, line) in enumerate(zip(rows["positive_ids"], lines, strict=True)):
        means = {system: float(scores.mean()) for system, scores in line.items()}
        weak = [d for d in positives if d in position and _below(line, position[d], means)]
        left = [d for d in positives if d not in weak]
        kept.append(left)
        if weak:
            # The first one stands for all: each line of the list has one evidence.
            at = position[weak[0]]
            told = [f"{name} {line[name][at]:.2f}, random {mean:.2f}" for name, mean in means.items()]
            evidence = "; ".join(told)
            reason = "positive taken out" if left else "irrelevant"
            removed.append(removal(rows.iloc[[number]], reason, [", ".join(weak)], [evidence]))
    cleaned = rows.assign(positive_ids=_column(kept, rows))
    return cleaned[cleaned["positive_ids"].map(len) > 0], removals(removed)


def _below(line: Scores, at: int, means: Mapping[str, float]) -> bool:
    """Return whether every system scores the document at this position below its mean."""
    return all(line[system][at] < mean for system, mean in means.items())


def drop_over_long(rows: pd.DataFrame, lengths: pd.Series, limit: int) -> Cleaned:
    """Remove rows whose query is longer than the model reads; ``lengths`` are tokens, a limit of 0 means none."""
    if not limit:
        return rows, removals([])
    # By place, not by label: the lengths need not have the index of the rows.
    tokens = lengths.to_numpy()
    over = tokens > limit
    evidence = [f"{n} tokens, the model reads {limit}" for n in tokens[over]]
    return rows[~over], removal(rows[over], "over-long", [""] * len(evidence), evidence)


def over_long(lengths: pd.Series, limit: int) -> tuple[float, float]:
    """Return the share of texts over a token limit, and the share of all tokens lost by cutting."""
    if not limit or lengths.empty:
        return 0.0, 0.0
    texts_over = (lengths > limit).mean()
    tokens_cut = (lengths - limit).clip(lower=0).sum()
    return float(texts_over), float(tokens_cut / lengths.sum())


def shares_read(lengths: pd.Series, limits: Iterable[int]) -> pd.DataFrame:
    """Return by token limit ``texts that fit`` and ``tokens read``, as shares of all; see :func:`over_long`."""
    found = {}
    for limit in limits:
        over, lost = over_long(lengths, limit)
        found[limit] = {"texts that fit": 1 - over, "tokens read": 1 - lost}
    return pd.DataFrame(found).T.rename_axis("limit")


Rule = Callable[[pd.DataFrame, Mapping[str, str]], Cleaned]
"""Takes rows and document texts, and returns the rows that are left with what was removed."""

RULES: dict[str, Rule] = {
    "empty": drop_empty,
    "malformed": drop_malformed,
    "language": drop_foreign,
    "conflicts": drop_conflicts,
    "duplicates": drop_duplicates,
    "contradicting negatives": drop_contradicting_negatives,
}
"""By name, in the order they are applied; those that need a model or near-duplicate documents stand beside them."""


def apply_rules(
    rows: pd.DataFrame, documents: Mapping[str, str], rules: Mapping[str, Rule], skip: Iterable[str] = ()
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Apply rules in their order, each to what the one before it left.

    Args:
        rows: the canonical store.
        documents: text by document id.
        rules: by name.
        skip: names of rules that are not applied.

    Returns:
        the rows that are left; all removals; and by ``rule`` how many rows stood ``before`` and ``after`` it,
        how many removals it ``listed`` and whether it was ``applied``.

    Raises:
        ParameterError: if there is no rule of a name to skip.
    """
    skipped = set(skip)
    if unknown := sorted(skipped - set(rules)):
        raise ParameterError(f"skip: no rule {unknown}; there are: {', '.join(rules)}")
    removed, counts = [], []
    for name, rule in rules.items():
        before, gone = len(rows), removals([])
        if name not in skipped:
            rows, gone = rule(rows, documents)
        removed.append(gone)
        line = {"rule": name, "before": before, "after": len(rows), "listed": len(gone)}
        counts.append(line | {"applied": name not in skipped})
    return rows.reset_index(drop=True), removals(removed), pd.DataFrame(counts).set_index("rule")
