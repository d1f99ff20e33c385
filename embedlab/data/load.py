"""Loading a collection: read a source, stop at errors, and decide which part each query belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from embedlab.data.characters import id_faults, mended_texts, printable_finding
from embedlab.data.collection import FINDING_COLUMNS, PARTS, Collection
from embedlab.data.dates import parts_by_date, wanted
from embedlab.data.findings import validate
from embedlab.data.frames import TEXTS, check_frames
from embedlab.data.groups import GLUED, Grouping, group_queries, query_groups
from embedlab.data.metadata import plain_metadata
from embedlab.data.parts import assign_parts, cap_per_document
from embedlab.data.raw import Finding, Raw
from embedlab.data.sources import beir
from embedlab.data.sources.registry import options_for, source_named
from embedlab.errors import DataError

DANGLING_LIMIT = 0.05
"""Where more judgments than this share point nowhere, the collection is not used."""

DEV_OF_TRAIN = 0.15
"""Share of train's groups that become dev where a collection brings train and test alone."""

TRAIN_OF_DEV = 0.7
"""Share of dev's groups that become train where a collection brings dev and test alone."""

SWALLOWING = "group that swallows the data"
"""The kind of finding that says why the unit is the query."""


def read_raw(source: str, **options: Any) -> Raw:
    """Read and validate a source without making parts or stopping at findings.

    Args:
        source: a name in :data:`embedlab.data.sources.registry.SOURCES`.
        **options: of the source, by name; numbers and blanks for other sources are ignored.

    Raises:
        ParameterError: if the source is unknown, an option that no source has, or a path for another source.
        DataError: if files are missing or cannot be read, or the source returns frames of another shape.
    """
    raw = source_named(source).read(**options_for(source, options))
    check_frames(source, raw)
    raw = settled(raw)
    raw.findings.extend(validate(raw))
    raw.findings[:] = [printable_finding(finding) for finding in raw.findings]
    return raw


def read_corpus(source: str, **options: Any) -> pd.DataFrame:
    """Return the documents of a source: ``doc_id, title, text`` and its metadata.

    Args:
        source: a name in :data:`embedlab.data.sources.registry.SOURCES`; ``beir`` needs no queries here.
        **options: as for :func:`read_raw`; ``path`` may be a JSONL file of documents too.

    Raises:
        DataError: if a document cannot be used; names file and row.
        ParameterError: as :func:`read_raw`.
    """
    if source != "beir":
        return read_raw(source, **options).corpus
    corpus, findings = beir.read_corpus(**options_for(source, options))
    corpus, more = _settled("corpus", corpus)
    errors = [finding for finding in [*findings, *more] if finding.level == "error"]
    if errors:
        others = f" (and {len(errors) - 1} more errors)" if len(errors) > 1 else ""
        raise DataError(f"{errors[0].where}: {errors[0].detail}{others}")
    return corpus


def settled(raw: Raw) -> Raw:
    """Return what a source read with texts that every file can hold and metadata under one rule, and findings of both.

    The one place where that is done, for every source; see :mod:`embedlab.data.characters` and
    :mod:`embedlab.data.metadata`.
    """
    corpus, of_corpus = _settled("corpus", raw.corpus)
    queries, of_queries = _settled("queries", raw.queries)
    return replace(raw, corpus=corpus, queries=queries, findings=[*raw.findings, *of_corpus, *of_queries])


def _settled(name: str, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    key, *texts = TEXTS[name]
    faults = list(id_faults(frame, name, key))
    frame, changed = mended_texts(frame, name, key, texts)
    frame, done = plain_metadata(frame, name, TEXTS[name])
    return frame, [*faults, *changed, *done]


def load_collection(
    source: str, *, seed: int = 0, strict: bool = False, dev_from: str = "", test_from: str = "", **options: Any
) -> Collection:
    """Load a collection and decide which part each query belongs to.

    Parts are made by date where dates are given; else the collection's own are kept where it
    brings a test part; else they are made by group.

    Args:
        source: a name in :data:`embedlab.data.sources.registry.SOURCES`.
        seed: chooses the parts; the same content and seed always give the same parts.
        strict: treat every judgment that points nowhere as an error.
        dev_from: with ``test_from``: parts by the queries' ``created``, whatever parts the collection
            brings; dev begins on this day. The unit is then the query with its near-duplicates, and no part
            is capped.
        test_from: test begins on this day.
        **options: of the source, by name, such as ``path``; see its ``read``. Numbers and blanks for
            other sources are ignored.

    Raises:
        DataError: if the collection cannot be used; names file and row. Also if a part would be empty.
        ParameterError: if the source or an option is unknown, or a date is none.
    """
    # Wrong dates are told before a large collection is read.
    wanted(dev_from, test_from)
    raw = read_raw(source, **options)
    stop_at_errors(raw, strict)
    return collection_of(raw, seed=seed, dev_from=dev_from, test_from=test_from)


def collection_of(raw: Raw, *, seed: int = 0, dev_from: str = "", test_from: str = "") -> Collection:
    """Decide which part each judged query of a source without errors belongs to; see :func:`load_collection`.

    Raises:
        DataError: if a part would be empty.
        ParameterError: if a date is none.
    """
    by_date = wanted(dev_from, test_from)
    judged = set(raw.qrels["query_id"])
    queries = raw.queries[raw.queries["query_id"].isin(judged)].reset_index(drop=True)
    given = {query_id: part for query_id, part in raw.given.items() if query_id in judged}
    own = set(given.values())
    if by_date:
        queries, found = parts_by_date(queries, dev_from, test_from)
        parted = Parted(queries, "query", "date", found)
    elif "test" in own and len(own) > 1:
        parted = _kept(queries, raw, given, seed)
    else:
        parted = _made(queries, raw, seed)
    # Parts by date claim something about what comes later, in the mix in which it comes: there nothing is capped.
    kept = parted.queries if by_date else _capped(parted.queries, raw, seed)
    _require_parts(kept)
    qrels = raw.qrels[raw.qrels["query_id"].isin(kept["query_id"])].reset_index(drop=True)
    findings = pd.DataFrame([vars(f) for f in [*raw.findings, *parted.findings]], columns=FINDING_COLUMNS).astype(str)
    return Collection(raw.corpus, kept, qrels, parted.unit, raw.documentation, findings, raw.notice, parted.by)


@dataclass(frozen=True)
class Parted:
    """Queries with ``part`` and ``group``, the unit that was kept together, and who made the parts."""

    queries: pd.DataFrame
    unit: str
    by: str
    findings: list[Finding]


def _made(queries: pd.DataFrame, raw: Raw, seed: int) -> Parted:
    """Make the parts by group."""
    grouping = group_queries(raw.corpus, queries, raw.qrels)
    part = assign_parts(grouping.group, seed)
    queries = queries.assign(
        group=queries["query_id"].map(grouping.group),
        part=queries["query_id"].map(part),
    )
    return Parted(queries, grouping.unit, "embedlab", swallowing(grouping))


def _kept(queries: pd.DataFrame, raw: Raw, given: dict[str, str], seed: int) -> Parted:
    """Keep the collection's own parts; where dev or train is missing, divide the other of the two by group."""
    queries, others = _without_other_splits(queries, given)
    grouping = _grouping_of_given(queries, raw, given)
    queries = queries.assign(
        part=queries["query_id"].map(given),
        group=queries["query_id"].map(grouping.group),
    )
    if "dev" not in set(queries["part"]):
        queries = _divided(queries, "train", DEV_OF_TRAIN, seed)
    if "train" not in set(queries["part"]):
        queries = _divided(queries, "dev", 1 - TRAIN_OF_DEV, seed)
    return Parted(queries, grouping.unit, "collection", [*others, *swallowing(grouping)])


def _without_other_splits(queries: pd.DataFrame, given: dict[str, str]) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the queries of train, dev and test, and a finding for each other split, whose queries are left out."""
    split = queries["query_id"].map(given)
    others = split[~split.isin(PARTS)]
    findings = []
    for name, count in others.value_counts(sort=False).items():
        detail = f"{count:,} queries of {name!r} are left out: the splits that count are {', '.join(PARTS)}"
        findings.append(Finding("split of another name", "warning", "qrels", str(name), detail))
    return queries.drop(index=others.index).reset_index(drop=True), findings


def _grouping_of_given(queries: pd.DataFrame, raw: Raw, given: dict[str, str]) -> Grouping:
    """Group as usual, but by the query where the collection's own parts share documents."""
    relevant = raw.qrels[raw.qrels["relevance"] >= 1]
    part = relevant["query_id"].map(given)
    if (part.groupby(relevant["doc_id"]).nunique() > 1).any():
        return Grouping(query_groups(queries), "query", largest_share=0.0)
    return group_queries(raw.corpus, queries, raw.qrels)


def _divided(queries: pd.DataFrame, donor: str, dev_share: float, seed: int) -> pd.DataFrame:
    """Return the queries with one part divided by group: this share becomes dev, the rest train."""
    rows = queries["part"] == donor
    group = queries[rows].set_index("query_id")["group"]
    divided = queries["query_id"].map(assign_parts(group, seed, {"dev": dev_share}))
    return queries.assign(part=queries["part"].mask(rows, divided))


def _capped(queries: pd.DataFrame, raw: Raw, seed: int) -> pd.DataFrame:
    """Return the queries with at most the source's number of them a document in dev and test."""
    if raw.cap is not None:
        trains = queries["part"] == "train"
        keep = cap_per_document(queries[~trains], raw.qrels, raw.cap, seed)
        queries = queries[trains | queries["query_id"].isin(keep)]
    return queries.reset_index(drop=True)


def _require_parts(queries: pd.DataFrame) -> None:
    """Raise a DataError where a part has no query: nothing could be learned, chosen or tested."""
    sizes = {part: int((queries["part"] == part).sum()) for part in PARTS}
    if all(sizes.values()):
        return
    found = ", ".join(f"{part} {size}" for part, size in sizes.items())
    groups = queries["group"].nunique()
    raise DataError(
        f"parts: {found} queries ({groups} {'group' if groups == 1 else 'groups'}): each needs at least one; "
        "bring your own train, dev and test, or split by date (dev_from, test_from)"
    )


def swallowing(grouping: Grouping) -> list[Finding]:
    """Return findings about a group with more than half of the queries: what glues it, and a way out."""
    if grouping.glue.empty:
        return []
    count, left = len(grouping.glue), float(grouping.glue["largest share without"].iloc[-1])
    if left <= GLUED:
        blame = (
            f"without the {count} links below it would have {left:.0%}: give them grade 0 or take them out "
            "where they say little; or "
        )
    else:
        blame = f"no few links are to blame (without the {count} below it would still have {left:.0%}): "
    way_out = (
        f"one group would hold {grouping.largest_share:.0%} of the queries, so the unit is the query (new queries over "
        f"known documents). Way out: {blame}bring your own train, dev and test, or split by date (dev_from, test_from)"
    )
    found = [Finding(SWALLOWING, "warning", "qrels", "", way_out)]
    for kind, name, queries, without in grouping.glue.itertuples(index=False):
        detail = (
            f"{kind} {name} joins {queries} queries; without it and those above, the largest group has {without:.0%}"
        )
        found.append(Finding(SWALLOWING, "warning", kind, name, detail))
    return found


def stop_at_errors(raw: Raw, strict: bool = False) -> None:
    """Raise a DataError at the first error, or where too many judgments point nowhere."""
    errors = [f for f in raw.findings if f.level == "error"]
    if errors:
        first, others = errors[0], len(errors) - 1
        more = f" (and {others} more errors)" if others else ""
        raise DataError(f"{first.where}: {first.detail}{more}")
    dangling = [f for f in raw.findings if f.kind.startswith("dangling")]
    rows = raw.judgment_rows or len(raw.qrels)
    share = len(dangling) / max(rows, 1)
    if share > DANGLING_LIMIT or (strict and dangling):
        limit = "none are allowed with strict" if strict else f"at most {DANGLING_LIMIT:.0%} may"
        raise DataError(
            f"{len(dangling)} of {rows} judgments ({share:.1%}) point nowhere, {limit}; "
            f"the first: {dangling[0].where}: {dangling[0].detail}; list them all with: embedlab validate"
        )
    if raw.qrels.empty:
        raise DataError("no judgment names both a known query and a document: nothing can be measured")
