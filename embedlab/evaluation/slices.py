"""Slices of queries: those computed for any collection, and those that the user names."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import pandas as pd

from embedlab.data.characters import has_control, is_partly_invisible
from embedlab.data.collection import Collection
from embedlab.data.text import fold
from embedlab.errors import ParameterError

NEGATION = re.compile(r"\b(not|no|never|without|except|none|cannot|can't|don't|doesn't|isn't)\b", re.I)

# A word of letters and digits, capitals alone, digits behind a dot, dash, slash or underscore, or an option's value.
# Each part looks at a word from one place alone, so that a text of a million letters is gone through once.
CODE = re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{2,}\b|\b[A-Z]{2,}\b|\w[./\\-]\w*\d|\b\w[^\W_]*_\w*\d|--?\w+=")

SHORT_QUERY, LONG_QUERY = 6, 20
"""Words of a query, up to and from."""

LONG_DOCUMENT = 190
"""A document with more words than this is long: about where a model of 256 tokens cuts."""

LOW_OVERLAP = 0.2
"""A query that shares less than this of its words with every relevant document is in other words."""

MOST_VALUES = 8
"""A metadata field with more different values than this makes no slices of its own accord."""

PATIENCE = 10.0
"""Seconds that a regular expression of the user's may take over all queries."""

LONGEST_NAME = 100
"""Characters of the name of a slice, which heads columns of tables."""

TAKEN_NAMES = {"query_id", "text", "should find", "rank"}
"""Columns that stand beside those of slices."""

NO_METADATA = {"query_id", "doc_id", "text", "title", "part", "group", "family", "created"}


def query_slices(collection: Collection, named: Sequence[str] = ()) -> pd.DataFrame:
    """Say for each query which slices it is in.

    ``other words``: under a fifth of its words stand in any relevant document; ``long document``:
    its relevant documents all have over 190 words. Then one slice a value of the queries'
    metadata (``matrix=mobile``) and of the best documents' own (``document subtechnique=True``),
    and those of the user.

    Args:
        collection: the queries with their judgments.
        named: the user's slices, each ``name: regular expression over the query`` or ``field=value``.

    Returns:
        one row a query (index ``query_id``), one boolean column a slice.

    Raises:
        ParameterError: if a named slice cannot be read, its name is unfit or taken, or its expression takes longer
            than :data:`PATIENCE` over all queries; names the slice.
    """
    texts = collection.query_texts()
    computed = pd.concat([text_slices(texts), _by_relevant(collection), _by_metadata(collection)], axis=1)
    computed = computed.loc[:, ~computed.columns.duplicated()]
    own = _named(collection, named, set(computed.columns))
    # A field=value that is computed anyway is the same slice.
    new = own.loc[:, ~own.columns.isin(computed.columns)]
    return pd.concat([computed, new], axis=1).rename_axis("query_id")


def text_slices(texts: pd.Series) -> pd.DataFrame:
    """Return the slices that a query's text alone decides, so for unjudged queries too."""
    words = texts.map(lambda text: len(text.split()))
    return pd.DataFrame(
        {
            "short query": words <= SHORT_QUERY,
            "long query": words >= LONG_QUERY,
            "negation": _found_in(texts, NEGATION),
            "abbreviation or code": _found_in(texts, CODE),
        }
    )


def _found_in(texts: pd.Series, pattern: re.Pattern[str]) -> pd.Series:
    """Return for each text whether the pattern is anywhere in it."""
    found = texts.map(lambda text: bool(pattern.search(text)))
    return found.astype(bool)  # of no texts at all it would be a column of objects


def _by_relevant(collection: Collection) -> pd.DataFrame:
    """Return the slices that the relevant documents' texts decide."""
    documents, relevant = collection.document_texts(), collection.relevant()
    # Shared words are counted once and folded, lengths as the text stands.
    words = {doc_id: set(fold(text).split()) for doc_id, text in documents.items()}
    lengths = {doc_id: len(text.split()) for doc_id, text in documents.items()}
    rows = {}
    for query_id, text in collection.query_texts().items():
        judged = relevant.get(str(query_id), ())
        known = [doc_id for doc_id in judged if doc_id in words]
        own = set(fold(text).split())
        overlap = 0.0
        for doc_id in known:
            shared = own & words[doc_id]
            overlap = max(overlap, len(shared) / max(len(own), 1))
        shortest = min((lengths[doc_id] for doc_id in known), default=0)
        rows[query_id] = (overlap < LOW_OVERLAP, shortest > LONG_DOCUMENT, len(known) > 1)
    columns = ["other words", "long document", "several relevant"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype(bool)


def _by_metadata(collection: Collection) -> pd.DataFrame:
    """Return a column for each value of a field; a query has the values of its best documents."""
    queries = collection.queries.set_index("query_id")
    corpus = collection.corpus.set_index("doc_id")
    columns: dict[str, pd.Series] = {}
    for field in sorted(set(queries.columns) - NO_METADATA):
        own = queries[field].astype(str).where(queries[field].notna())
        for value in _few_values(queries[field]):
            columns[f"{field}={value}"] = own == value
    best = _best_documents(collection.qrels)
    # Of a field that queries have too, theirs alone makes slices.
    for field in sorted(set(corpus.columns) - NO_METADATA - set(queries.columns)):
        of_document = best["doc_id"].map(corpus[field].dropna().astype(str))
        for value in _few_values(corpus[field]):
            members = best.loc[of_document == value, "query_id"]
            is_member = queries.index.isin(members)
            columns[f"document {field}={value}"] = pd.Series(is_member, index=queries.index)
    return pd.DataFrame(columns, index=queries.index, dtype=bool)


def _few_values(column: pd.Series) -> list[str]:
    """Return the values of a field as text, or none where they are too many for slices, or all the same."""
    values = sorted(set(column.dropna().astype(str)))
    return values if 2 <= len(values) <= MOST_VALUES else []


def _best_documents(qrels: pd.DataFrame) -> pd.DataFrame:
    """Return the judgments of each query's highest grade, where that is relevant."""
    relevant = qrels[qrels["relevance"] >= 1]
    highest = relevant.groupby("query_id")["relevance"].transform("max")
    return relevant[relevant["relevance"] == highest]


def _named(collection: Collection, named: Sequence[str], computed: set[str]) -> pd.DataFrame:
    queries = collection.queries.set_index("query_id")
    columns: dict[str, pd.Series] = {}
    for entry in named:
        name, members = _one_named(queries, entry, computed)
        fault = "stands twice in the list" if name in columns else _name_fault(name)
        if fault:
            raise ParameterError(f"slices of step 01: {entry!r}: the name {name[:LONGEST_NAME]!r} {fault}")
        columns[name] = members
    return pd.DataFrame(columns, index=queries.index, dtype=bool)


def _name_fault(name: str) -> str:
    """Return why a slice cannot be called so, blank where it can."""
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} characters; expected at most {LONGEST_NAME}"
    if has_control(name) or is_partly_invisible(name):
        return "holds a character that cannot be printed"
    if name in TAKEN_NAMES:
        return f"is taken; these are: {', '.join(sorted(TAKEN_NAMES))}"
    return ""


def _one_named(queries: pd.DataFrame, entry: str, computed: set[str]) -> tuple[str, pd.Series]:
    # The colon is looked for first: a regular expression may well hold an equals sign.
    name, colon, pattern = (part.strip() for part in entry.partition(":"))
    if name and pattern:
        if name in computed:
            raise ParameterError(f"slices of step 01: {entry!r}: the slice {name!r} is computed already; name it anew")
        return name, _matching(queries["text"], pattern, entry)
    field, equals, value = (part.strip() for part in entry.partition("="))
    fields = sorted(set(queries.columns) - {"text", "part", "group"})
    if not equals or not value or field not in fields:
        blank = " the name or the expression is blank;" if colon and not (name and pattern) else ""
        raise ParameterError(
            f"slices of step 01: {entry!r}:{blank} expected 'name: regular expression' or 'field=value' "
            f"with a field of the queries ({', '.join(fields) or 'they have none'})"
        )
    return entry.strip(), queries[field].astype(str) == value


def _matching(texts: pd.Series, pattern: str, entry: str) -> pd.Series:
    """Return for each text whether the user's expression is anywhere in it.

    By the library ``regex``, which reads what ``re`` reads and can be stopped: an expression such as ``(a+)+$`` takes
    twice as long for each further letter.
    """
    import regex

    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ParameterError(f"slices of step 01: {entry!r}: not a regular expression: {error}") from None
    end = time.monotonic() + PATIENCE
    found = []
    for text in texts:
        try:
            # At no time at all the library would not stop.
            found.append(bool(compiled.search(text, timeout=max(end - time.monotonic(), 0.001))))
        except TimeoutError:
            raise ParameterError(
                f"slices of step 01: {entry!r}: the expression took longer than {PATIENCE:g} s, of {len(texts):,} "
                f"queries {len(found):,} were searched; repeat no group that repeats in itself, as (a+)+ does"
            ) from None
    return pd.Series(found, index=texts.index, dtype=bool)


ANSWERED, MISSED, AMBIGUOUS = "answered", "missed", "ambiguous"
"""Why a query is followed through the notebooks; see :func:`followed_queries`."""


def followed_queries(part: Collection, rank: pd.Series, shown: int) -> pd.DataFrame:
    """Choose three queries to follow: one that is answered, one that is missed, one that is ambiguous.

    Answered: it has one best document, and that or another relevant one stands first. Missed: no relevant
    document is among those shown. Ambiguous: it has several best documents, or, where no query has, another
    document stands before the relevant one. Of each kind the query of median length is taken, by id among
    equals; a kind that no query is of is left out.

    Args:
        part: the queries with their judgments.
        rank: of the first relevant document by query id, NaN where none is found.
        shown: results that a user sees.

    Returns:
        ``query_id, text, why``.
    """
    texts = part.query_texts()
    several = _several_best(part).reindex(rank.index, fill_value=False)
    found = rank <= shown  # NaN compares false, so what is found nowhere is missed
    ambiguous = found & several
    if not ambiguous.any():
        ambiguous = rank == 2
    kinds = {ANSWERED: (rank == 1) & ~several, MISSED: ~found, AMBIGUOUS: ambiguous}
    rows = []
    for why, of_kind in kinds.items():
        by_length = sorted((len(texts[query_id].split()), query_id) for query_id in rank.index[of_kind])
        ids = [query_id for _, query_id in by_length]
        if ids:
            median = ids[len(ids) // 2]
            rows.append((median, texts[median], why))
    return pd.DataFrame(rows, columns=["query_id", "text", "why"])


def _several_best(part: Collection) -> pd.Series:
    """Return whether several documents have a query's highest grade, by query id."""
    relevant = part.qrels[part.qrels["relevance"] >= 1]
    highest = relevant.groupby("query_id")["relevance"].transform("max")
    is_best = relevant["relevance"] == highest
    return is_best.groupby(relevant["query_id"]).sum() > 1
