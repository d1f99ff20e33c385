"""Loading a collection: read a source, stop at errors, and decide which part each query belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from embedlab.data.collection import FINDING_COLUMNS, Collection
from embedlab.data.dates import parts_by_date, wanted
from embedlab.data.findings import validate
from embedlab.data.groups import GLUED, Grouping, group_queries, query_groups
from embedlab.data.parts import assign_parts, cap_per_document
from embedlab.data.raw import Finding, Raw
from embedlab.errors import DataError, ParameterError, nearest

DANGLING_LIMIT = 0.05

SWALLOWING = "group that swallows the data"


def _readers() -> dict[str, Callable[..., Raw]]:
    from embedlab.data.sources import attack, beir, hpo

    return {"attack": attack.read, "beir": beir.read, "hpo": hpo.read}


def read_raw(source: str, **options: Any) -> Raw:
    """Read and validate a source without making parts or stopping at findings.

    Raises:
        ParameterError: if the source is unknown.
    """
    readers = _readers()
    if source not in readers:
        raise ParameterError(f"unknown source {source!r}{nearest(source, list(readers))}")
    raw = readers[source](**options)
    raw.findings.extend(validate(raw))
    return raw


def load_collection(
    source: str, *, seed: int = 0, strict: bool = False, dev_from: str = "", test_from: str = "", **options: Any
) -> Collection:
    """Load a collection and decide which part each query belongs to.

    Args:
        source: ``attack``, ``beir`` or ``hpo``.
        seed: chooses the parts; the same content and seed always give the same parts.
        strict: treat every judgment that points nowhere as an error.
        dev_from: with ``test_from``: parts by the queries' ``created``, whatever parts the collection
            brings; dev begins on this day. The unit is then the query with its near-duplicates.
        test_from: test begins on this day.
        **options: of the source: ``path`` for ``beir``; ``techniques`` (0 for all) for ``attack``;
            ``terms`` (0 for all) for ``hpo``.

    Raises:
        DataError: if the collection cannot be used; names file and row.
        ParameterError: if the source is unknown or a date is none.
    """
    by_date = wanted(dev_from, test_from)
    raw = read_raw(source, **options)
    stop_at_errors(raw, strict)
    judged = set(raw.qrels["query_id"])
    queries = raw.queries[raw.queries["query_id"].isin(judged)].reset_index(drop=True)
    given = {q: s for q, s in raw.given.items() if q in judged}
    if by_date:
        queries, found = parts_by_date(queries, dev_from, test_from)
        raw.findings.extend(found)
        unit, parted_by = "query", "date"
    elif {"test"} < set(given.values()):
        queries, unit = _honour(queries, raw, given, seed)
        parted_by = "collection"
    else:
        queries, unit = _made(queries, raw, seed)
        parted_by = "embedlab"
    if raw.cap is not None:
        held = queries[queries["part"] != "train"]
        keep = cap_per_document(held, raw.qrels, raw.cap, seed)
        queries = queries[(queries["part"] == "train") | queries["query_id"].isin(keep)]
    queries = queries.reset_index(drop=True)
    qrels = raw.qrels[raw.qrels["query_id"].isin(queries["query_id"])].reset_index(drop=True)
    findings = pd.DataFrame([vars(f) for f in raw.findings], columns=FINDING_COLUMNS).astype(str)
    return Collection(raw.corpus, queries, qrels, unit, raw.documentation, findings, raw.notice, parted_by)


def _made(queries: pd.DataFrame, raw: Raw, seed: int) -> tuple[pd.DataFrame, str]:
    """Make the parts by group; a group that swallows the data becomes a finding."""
    grouping = group_queries(raw.corpus, queries, raw.qrels)
    raw.findings.extend(swallowing(grouping))
    queries = queries.assign(group=queries["query_id"].map(grouping.group))
    return queries.assign(part=queries["query_id"].map(assign_parts(grouping.group, seed))), grouping.unit


def swallowing(grouping: Grouping) -> list[Finding]:
    """Return findings about a group with more than half of the queries: what glues it, and a way out."""
    if grouping.glue.empty:
        return []
    left = float(grouping.glue["largest share without"].iloc[-1])
    few = (
        f"without the {len(grouping.glue)} links below it would have {left:.0%}: give them grade 0 or take them out "
        "where they say little; or "
        if left <= GLUED
        else f"no few links are to blame (without the {len(grouping.glue)} below it would still have {left:.0%}): "
    )
    way_out = (
        f"one group would hold {grouping.largest_share:.0%} of the queries, so the unit is the query (new queries over "
        f"known documents). Way out: {few}bring your own train, dev and test, or split by date (dev_from, test_from)"
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
        more = f" (and {len(errors) - 1} more errors)" if len(errors) > 1 else ""
        raise DataError(f"{errors[0].where}: {errors[0].detail}{more}")
    dangling = [f for f in raw.findings if f.kind.startswith("dangling")]
    share = len(dangling) / max(raw.judgment_rows, 1)
    if share > DANGLING_LIMIT or (strict and dangling):
        limit = "none are allowed with strict" if strict else f"at most {DANGLING_LIMIT:.0%} may"
        raise DataError(
            f"{len(dangling)} of {raw.judgment_rows} judgments ({share:.1%}) point nowhere, {limit}; "
            f"the first: {dangling[0].where}: {dangling[0].detail}; list them all with: embedlab validate"
        )
    if raw.qrels.empty:
        raise DataError("no judgment names both a known query and a document: nothing can be measured")


def _honour(queries: pd.DataFrame, raw: Raw, given: dict[str, str], seed: int) -> tuple[pd.DataFrame, str]:
    """Keep the collection's own splits; take a missing dev from train, or train from dev."""
    queries = queries.copy()
    queries["part"] = queries["query_id"].map(given)
    sides = raw.qrels[raw.qrels["relevance"] >= 1].assign(part=lambda d: d["query_id"].map(given))
    shared = sides.groupby("doc_id")["part"].nunique().gt(1).any()
    grouping = None if shared else group_queries(raw.corpus, queries, raw.qrels)
    raw.findings.extend(swallowing(grouping) if grouping is not None else [])
    unit = "query" if grouping is None else grouping.unit
    group = query_groups(queries) if grouping is None else grouping.group
    queries["group"] = queries["query_id"].map(group)
    for missing, donor, share in (("dev", "train", 0.15), ("train", "dev", 0.7)):
        if missing not in set(queries["part"]):
            rows = queries["part"] == donor
            of_donor = queries.loc[rows].set_index("query_id")["group"]
            taken = assign_parts(of_donor, seed, {missing: share}).replace({"train": donor})
            if missing == "train":
                taken = assign_parts(of_donor, seed, {"dev": 1 - share})
            queries.loc[rows, "part"] = queries.loc[rows, "query_id"].map(taken)
    return queries, unit
