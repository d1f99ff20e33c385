"""Parts by date: what is asked later is held out, and a near-duplicate pair stays on its later side."""

from __future__ import annotations

import pandas as pd

from embedlab.data.groups import query_groups
from embedlab.data.raw import Finding
from embedlab.data.text import is_date
from embedlab.errors import DataError, ParameterError

ORDER = {"train": 0, "dev": 1, "test": 2}
"""Parts by how late they are."""


def wanted(dev_from: str, test_from: str) -> bool:
    """Return whether parts are made by date; blank dates mean no.

    Raises:
        ParameterError: if one date is missing, is none, or dev would not begin before test.
    """
    if not dev_from and not test_from:
        return False
    for name, value in (("dev_from", dev_from), ("test_from", test_from)):
        if not is_date(value):
            raise ParameterError(
                f"{name} must be a date such as 2023-06-30, found {value!r}; give dev_from and test_from, or neither"
            )
    if dev_from >= test_from:
        raise ParameterError(f"dev_from must lie before test_from, found {dev_from} and {test_from}")
    return True


def parts_by_date(queries: pd.DataFrame, dev_from: str, test_from: str) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the queries with ``part`` and ``group``, and findings about those that are left out.

    Train is what was asked before ``dev_from``, dev what was asked before ``test_from``, test the
    rest. Where near-duplicates reach over a date, the latest part keeps its own and the earlier
    ones are left out, so that no later query ever trains.

    Args:
        queries: ``query_id, text, created`` (ISO dates; what follows the day is not read).
        dev_from: the first day of dev.
        test_from: the first day of test.

    Raises:
        DataError: if there are no dates, one is none, or a part stays empty.
    """
    day = _days(queries)
    part = day.map(lambda asked: _part_on(asked, dev_from, test_from))
    group = queries["query_id"].map(query_groups(queries))
    dated = day != ""
    rank = part.map(ORDER)
    latest = rank[dated].groupby(group).transform("max").reindex(rank.index)
    early = dated & (rank < latest)
    findings = []
    for query_id in queries["query_id"][~dated]:
        detail = "left out: parts are made by date"
        findings.append(Finding("query without a date", "warning", "queries", query_id, detail))
    for row in queries.index[early]:
        in_latest = (group == group[row]) & (rank == latest)
        later = queries["query_id"][in_latest].iloc[0]
        detail = f"left out of {part[row]} ({day[row]}): a near-duplicate, {later}, was asked later and is held out"
        findings.append(Finding("near-duplicate across dates", "warning", "queries", queries["query_id"][row], detail))
    kept = queries.assign(group=group, part=part)[dated & ~early].reset_index(drop=True)
    _require_parts(kept, day, dev_from, test_from)
    return kept, findings


def _part_on(day: str, dev_from: str, test_from: str) -> str:
    """Return the part of what is asked on a day; ISO dates sort as text."""
    if day >= test_from:
        return "test"
    if day >= dev_from:
        return "dev"
    return "train"


def _days(queries: pd.DataFrame) -> pd.Series:
    """Return the day of each query, blank where it has none."""
    blank = pd.Series("", index=queries.index)
    day = queries.get("created", blank).fillna("").astype(str).str.strip().str[:10]
    if not day.any():
        raise DataError(f"parts by date need a date in every query's 'created'; none of the {len(day)} queries has one")
    for query_id, value in zip(queries["query_id"], day, strict=True):
        if value and not is_date(value):
            raise DataError(f"query {query_id}: 'created' must be a date such as 2023-06-30, found {value!r}")
    return day


def _require_parts(kept: pd.DataFrame, day: pd.Series, dev_from: str, test_from: str) -> None:
    sizes = kept["part"].value_counts().reindex(list(ORDER), fill_value=0)
    if (sizes > 0).all():
        return
    empty = ", ".join(sizes.index[sizes == 0])
    found = ", ".join(f"{n} {name}" for name, n in sizes.items())
    dated = day[day != ""]
    raise DataError(
        f"dev_from {dev_from} and test_from {test_from} leave {empty} without a query ({found}); "
        f"queries are dated {dated.min()} to {dated.max()}"
    )


def date_table(queries: pd.DataFrame, parts: pd.Series) -> pd.DataFrame:
    """Return for each part its number of dated queries, its first and its last day.

    Args:
        queries: ``query_id, created``.
        parts: part by query id; queries of no part are left out.
    """
    table = queries.assign(part=queries["query_id"].map(parts), day=queries["created"].astype(str).str[:10])
    days = table.dropna(subset=["part"]).groupby("part")["day"].agg(["size", "min", "max"])
    return days.set_axis(["queries", "first day", "last day"], axis=1)
