"""Validation of a collection: what is wrong with its rows, in one place for every source."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from embedlab.data.raw import Finding, Raw
from embedlab.data.text import fold, is_date

HIGHEST_GRADE = 10
"""A higher grade is an identifier or a score that slipped into the column; so is one as far below zero."""

LONG_TEXT = 100_000
"""Characters of a text from which it is told: more than any model reads of it."""

_ZONE = re.compile(r"\d(Z|[+-]\d\d:?\d\d)$")


def validate(raw: Raw) -> list[Finding]:
    """Return every finding about a collection's content, with its rows.

    Dangling ids, queries without a relevant document or without a judgment, empty queries and
    documents, one text under two ids, duplicate judgments, contradictory grades, grades out of
    range, queries that equal the title of a document, texts longer than any model reads, dates that are none. What
    leaves nothing to search, to learn or to measure is an error: blank texts alone, one document, no relevant one, all
    relevant, judgments whose columns are swapped.

    Args:
        raw: what a source read; its judgments as they stand in the files, where it kept them.
    """
    return [*_whole(raw), *_texts(raw), *_judgments(raw), *_coverage(raw), *_dates(raw)]


def _whole(raw: Raw) -> Iterator[Finding]:
    """What makes the collection as a whole useless, whatever its rows are."""
    for where, frame, texts in (("corpus", raw.corpus, ["title", "text"]), ("queries", raw.queries, ["text"])):
        if frame.empty:
            yield Finding("empty", "error", where, "", f"there are no {'documents' if where == 'corpus' else where}")
        elif not _filled(frame, texts).any():
            further = ", ".join(repr(name) for name in frame.columns[1:] if name not in texts)
            blank = "title and text are" if where == "corpus" else "text is"
            detail = f"{blank} blank in all {len(frame):,} rows; other fields: {further or 'none'}"
            yield Finding("nothing to read", "error", where, "", detail)
    if len(raw.corpus) == 1:
        detail = "there is one document: whatever is asked, every search returns it"
        yield Finding("nothing to search", "error", "corpus", raw.corpus["doc_id"].iloc[0], detail)
    if len(raw.qrels):
        yield from _measurable(raw)


def _filled(frame: pd.DataFrame, texts: list[str]) -> pd.Series:
    """Return for each row whether one of its texts is not blank."""
    return (frame[texts].map(str.strip) != "").any(axis=1)


def _measurable(raw: Raw) -> Iterator[Finding]:
    """What leaves nothing to measure, though there are judgments."""
    relevant = raw.qrels[raw.qrels["relevance"] >= 1]
    if relevant.empty:
        low, high = raw.qrels["relevance"].min(), raw.qrels["relevance"].max()
        detail = f"no document is judged relevant, by a grade of 1 or more: grades are {low} to {high}"
        yield Finding("nothing to find", "error", "qrels", "", detail)
        return
    documents = set(raw.corpus["doc_id"])
    known = relevant[relevant["doc_id"].isin(documents)]
    judged = raw.qrels["query_id"].nunique()
    if len(documents) > 1 and known["doc_id"].nunique() == 1:
        detail = f"it alone is relevant, to {judged:,} queries: training tells relevant documents apart and needs two"
        yield Finding(
            "nothing to learn", "error", "qrels", known["doc_id"].iloc[0], f"{known['doc_id'].iloc[0]}: {detail}"
        )
        return
    if len(documents) > 1 and len(known) == judged * len(documents):
        detail = (
            f"all {len(documents):,} documents are relevant to every query: every ranking is perfect; "
            "give grade 0 to what is no answer"
        )
        yield Finding("nothing to tell apart", "error", "qrels", "", detail)


def _texts(raw: Raw) -> Iterator[Finding]:
    bodies = raw.corpus["title"].str.strip() + " " + raw.corpus["text"].str.strip()
    is_blank = bodies.str.strip() == ""
    for doc_id in raw.corpus.loc[is_blank, "doc_id"]:
        yield Finding("empty document", "warning", "corpus", doc_id, "title and text are both blank")
    yield from _long("corpus", raw.corpus["doc_id"], bodies)
    yield from _long("queries", raw.queries["query_id"], raw.queries["text"])
    asks_nothing = raw.queries["text"].str.strip() == ""
    for query_id in raw.queries.loc[asks_nothing, "query_id"]:
        yield Finding("empty query", "warning", "queries", query_id, "the text is blank")
    yield from _same_text("document", "corpus", raw.corpus["doc_id"], bodies)
    yield from _same_text("query", "queries", raw.queries["query_id"], raw.queries["text"])
    yield from _titles(raw)


def _long(where: str, ids: pd.Series, texts: pd.Series) -> Iterator[Finding]:
    for identifier, text in zip(ids, texts, strict=True):
        if len(text) > LONG_TEXT:
            detail = f"{len(text):,} characters: a model reads the beginning alone; cut it into several"
            yield Finding("enormous text", "warning", where, identifier, detail)


def _titles(raw: Raw) -> Iterator[Finding]:
    """Every query that equals a document's title: lexical search answers it, whatever is tuned."""
    titled = dict(zip(raw.corpus["title"].map(fold), raw.corpus["doc_id"], strict=True))
    for query_id, text in zip(raw.queries["query_id"], raw.queries["text"], strict=True):
        folded = fold(text)
        # A document without a title folds to nothing, and so does a query without a word.
        if folded and folded in titled:
            detail = f"{text[:80]!r} is the title of document {titled[folded]}"
            yield Finding("query equals a title", "warning", "queries", query_id, detail)


def _same_text(what: str, where: str, ids: pd.Series, texts: pd.Series) -> Iterator[Finding]:
    """Every id after the first of a text; texts count as the same after case and punctuation are folded."""
    first: dict[str, str] = {}
    for identifier, text in zip(ids, texts, strict=True):
        folded = fold(text)
        before = first.setdefault(folded, identifier)
        # Texts without a word all fold to nothing, which does not make them the same text.
        if folded and before != identifier:
            detail = f"the text of {before} stands again under {identifier}: {text.strip()[:80]!r}"
            yield Finding(f"same text under two {what} ids", "warning", where, identifier, detail)


def _judgments(raw: Raw) -> Iterator[Finding]:
    """Go through the judgments row by row, in the order of the files."""
    rows = raw.judgments
    if rows is None:
        rows = raw.qrels.assign(where="qrels")
    rows = rows[["query_id", "doc_id", "relevance", "where"]]
    queries = set(raw.queries["query_id"])
    documents = set(raw.corpus["doc_id"])
    yield from _swapped(rows, queries, documents)
    highest: dict[tuple[str, str], float] = {}
    for query_id, doc_id, grade, where in rows.itertuples(index=False):
        if query_id not in queries:
            yield Finding("dangling query", "warning", where, query_id, f"unknown query {query_id!r}")
            continue
        if doc_id not in documents:
            yield Finding("dangling document", "warning", where, doc_id, f"unknown document {doc_id!r}")
        pair = f"{query_id} {doc_id}"
        yield from _grade(pair, grade, where, query_id)
        before = highest.get((query_id, doc_id))
        if before is None:
            highest[query_id, doc_id] = grade
            continue
        kind = "duplicate judgment" if before == grade else "contradictory grades"
        detail = f"{pair}: {before:g} before, {grade:g} here; the higher counts"
        yield Finding(kind, "warning", where, query_id, detail)
        highest[query_id, doc_id] = max(before, grade)


def _swapped(rows: pd.DataFrame, queries: set[str], documents: set[str]) -> Iterator[Finding]:
    """An error where most judgments name a document where the query should be, and the other way round."""
    as_meant = rows["query_id"].isin(queries) & rows["doc_id"].isin(documents)
    swapped = rows["query_id"].isin(documents) & rows["doc_id"].isin(queries) & ~as_meant
    if len(rows) and swapped.mean() > 0.5:
        count, where = int(swapped.sum()), rows["where"][swapped].iloc[0]
        detail = f"{count:,} of {len(rows):,} judgments name a document first and a query second; swap the columns"
        yield Finding("swapped columns", "error", where, "", detail)


def _grade(pair: str, grade: float, where: str, query_id: str) -> Iterator[Finding]:
    """A grade that cannot be meant is an error; a negative one has a meaning elsewhere, so it is a warning."""
    if grade != int(grade) or abs(grade) > HIGHEST_GRADE:
        detail = f"{pair}: expected a whole number from 0 to {HIGHEST_GRADE}, found {grade:g}"
        yield Finding("grade out of range", "error", where, query_id, detail)
    elif grade < 0:
        detail = f"{pair}: {grade:g} counts as irrelevant, as 0 does"
        yield Finding("grade out of range", "warning", where, query_id, detail)


def _coverage(raw: Raw) -> Iterator[Finding]:
    is_relevant = raw.qrels["relevance"] >= 1
    judged = set(raw.qrels["query_id"])
    answered = set(raw.qrels.loc[is_relevant, "query_id"])
    for query_id in sorted(judged - answered):
        yield Finding("no relevant", "warning", "qrels", query_id, "no document is judged relevant")
    asked = set(raw.queries["query_id"])
    for query_id in sorted(asked - judged):
        yield Finding("no judgment", "warning", "queries", query_id, "no judgment names this query")


def _dates(raw: Raw) -> Iterator[Finding]:
    """Dates that are none, which parts by date stop at, and times of several zones, whose day depends on the zone."""
    for where, frame in (("corpus", raw.corpus), ("queries", raw.queries)):
        if "created" not in frame:
            continue
        dates = frame["created"].dropna().astype(str)
        wrong = dates[~dates.str[:10].map(is_date)]
        if len(wrong):
            detail = (
                f"{len(wrong):,} of {len(dates):,} values of 'created' are no date such as 2023-06-30, the first: "
                f"{wrong.iloc[0][:80]!r}; parts by date need one"
            )
            yield Finding("date that is none", "warning", where, "", detail)
        zones = sorted(set(dates.str.extract(_ZONE, expand=False).fillna("no zone")))
        if len(zones) > 1:
            detail = (
                f"times of 'created' are in several zones ({', '.join(zones[:5])}): the day counts as it is written"
            )
            yield Finding("several time zones", "warning", where, "", detail)


def summary(findings: pd.DataFrame) -> pd.DataFrame:
    """Return one row a kind of finding: how many rows, and the first as an example."""
    grouped = findings.groupby(["kind", "level"], sort=True)
    table = grouped.agg(rows=("id", "size"), where=("where", "first"), example=("detail", "first"))
    return table.reset_index().sort_values(["level", "kind"], ignore_index=True)
