"""Click logs: position bias estimated from the log, inverse-propensity weights, skipped documents."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embedlab.trainset.sources.examples import Example, Harvest, Reading, usable
from embedlab.trainset.sources.table import CHUNK, Table

REQUIRED = ("query", "document", "rank", "clicked")

YES, NO = {"1", "true", "yes"}, {"0", "false", "no", ""}

CLIP = 0.05
"""No propensity is taken to be smaller, so that no click weighs more than 20 (Strehl et al. 2010)."""

LINK = 30
"""Clicks at each of two ranks, on the same pairs, from which the ranks are compared."""

MIN_CLICKS = 2
"""Clicks that a document needs to become a positive."""

SHARE_OF_BEST = 0.5
"""A positive's corrected click rate is at least this share of the query's best."""

KEY = ["query", "document", "rank"]


@dataclass(frozen=True)
class Propensities:
    """How likely each rank is looked at, relative to rank 1, and how that is known."""

    by_rank: pd.Series
    how: str
    estimated: bool

    def of(self, ranks: pd.Series) -> pd.Series:
        """Return the clipped propensity of each rank."""
        return ranks.map(self.by_rank).clip(CLIP, 1.0)


def counts(table: Table, documents: Collection[str], chunk: int = CHUNK) -> pd.DataFrame:
    """Return ``query, document, rank, shown, clicks, row``: the log summed up, in the file's order."""
    total = pd.DataFrame(columns=[*KEY, "shown", "clicks", "row"])
    known = pd.Index(list(documents))
    for frame in table.chunks(chunk):
        rank = pd.to_numeric(frame["rank"], errors="coerce")
        clicked = frame["clicked"].str.strip().str.lower()
        sane = (rank >= 1) & (rank % 1 == 0) & clicked.isin(YES | NO)
        insane = frame.loc[~sane, ["row", "rank", "clicked"]]
        for row, r, c in insane.itertuples(index=False):
            table.fault("malformed", int(row), "", f"expected a rank from 1 and clicked 0 or 1, found {r!r}, {c!r}")
        named = frame["document"].isin(known) & (frame["query"].str.strip() != "")
        good = sane & named
        unnamed = frame.loc[sane & ~named, ["row", "query", "document"]]
        for row, query, document in unnamed.itertuples(index=False):
            usable(table, int(row), query, [document], known)  # for its findings alone
        clicks = clicked[good].isin(YES).astype(int)
        part = frame[good].assign(rank=rank[good].astype(int), shown=1, clicks=clicks)
        # Each chunk is summed up at once: memory grows with the different rows, not with the log.
        both = pd.concat([total, part[[*KEY, "shown", "clicks", "row"]]]) if len(total) else part
        total = both.groupby(KEY, sort=False).agg({"shown": "sum", "clicks": "sum", "row": "min"}).reset_index()
    return total


def propensities(counted: pd.DataFrame, eta: float = 1.0) -> Propensities:
    """Estimate position bias from pairs of query and document that were shown at several ranks.

    Relevance is the same wherever a pair stands, so the ratio of its click rates at two ranks is
    the ratio of their propensities: intervention harvesting (Agarwal et al. 2019). Pairs are
    pooled for each two ranks as Mantel and Haenszel (1959) pool strata; least squares in logs
    joins all ratios. Ranks that no chain of swaps ties to rank 1 follow the curve through the
    others; without any swap, ``1 / rank^eta`` (Joachims et al. 2017).
    """
    worst = int(counted["rank"].max()) if len(counted) else 1
    ranks = np.arange(1, worst + 1)
    links = _links(counted)
    reached = _reached(links)
    if len(reached) < 2:
        curve = pd.Series(1.0 / ranks**eta, index=ranks)
        return Propensities(curve, f"no rank can be compared with rank 1: 1/rank^{eta:g} is assumed", False)
    # Links among ranks that nothing ties to rank 1 say nothing relative to it.
    used = links[links["a"].isin(reached)]
    logs = _least_squares(used, reached)
    # Slope through the origin, for rank 1 has log 0: log propensity = -fitted * log rank.
    log_ranks = np.log(np.array(reached[1:], dtype=float))
    fitted = float(-(logs[1:] @ log_ranks) / (log_ranks @ log_ranks))
    values = pd.Series(1.0 / ranks**fitted, index=ranks)
    values[reached] = np.exp(logs)
    how = f"estimated for {len(reached)} ranks from {int(used['pairs'].sum()):,} pairs seen at two ranks"
    return Propensities(values, how, True)


def _links(counted: pd.DataFrame) -> pd.DataFrame:
    """Return for each two ranks ``a < b`` the log ratio of click rates, its weight and the pairs."""
    both = counted.merge(counted, on=["query", "document"], suffixes=("_a", "_b"))
    both = both[both["rank_a"] < both["rank_b"]]
    # Numerator and denominator of the pooled ratio; a ratio of each pair alone would rest on few clicks.
    shown = both["shown_a"] + both["shown_b"]
    both["upper"] = both["clicks_a"] * both["shown_b"] / shown
    both["lower"] = both["clicks_b"] * both["shown_a"] / shown
    pools = both.groupby(["rank_a", "rank_b"])
    sums = pools[["upper", "lower", "clicks_a", "clicks_b"]].sum()
    sums = sums.assign(pairs=pools.size()).astype(float)
    fewer_clicks = sums[["clicks_a", "clicks_b"]].min(axis=1)
    sums = sums[fewer_clicks >= LINK].reset_index()
    ratio = np.log((sums["upper"] / sums["lower"]).to_numpy(dtype=float))
    # About the inverse variance of a log ratio of two counts.
    weight = 1 / (1 / sums["clicks_a"] + 1 / sums["clicks_b"])
    return pd.DataFrame(
        {"a": sums["rank_a"], "b": sums["rank_b"], "ratio": ratio, "weight": weight, "pairs": sums["pairs"]}
    )


def _reached(links: pd.DataFrame) -> list[int]:
    """Return the ranks that links tie to rank 1, in order."""
    pairs = [{int(a), int(b)} for a, b in zip(links["a"], links["b"], strict=True)]
    reached, before = {1}, set[int]()
    # A link may come before the one that ties it to rank 1: repeat until nothing is added.
    while reached != before:
        before = set(reached)
        for pair in pairs:
            if pair & reached:
                reached |= pair
    return sorted(reached)


def _least_squares(links: pd.DataFrame, ranks: list[int]) -> np.ndarray:
    """Return log propensities of the ranks, 0 for rank 1, that agree best with the ratios."""
    column = {rank: i for i, rank in enumerate(ranks)}
    each = np.arange(len(links))
    design = np.zeros((len(links), len(ranks)))
    design[each, links["a"].map(column)] = 1
    design[each, links["b"].map(column)] -= 1
    # Least squares weighs an equation by the square of its factor.
    root = np.sqrt(links["weight"].to_numpy())
    # Rank 1 is fixed at 0, so its column is left out.
    unknown = design[:, 1:] * root[:, None]
    target = links["ratio"].to_numpy() * root
    found = np.linalg.lstsq(unknown, target, rcond=None)[0]
    return np.concatenate([[0.0], found])


def labels(counted: pd.DataFrame, bias: Propensities) -> pd.DataFrame:
    """Return one row a query and document: raw and corrected click rate, mean weight of its clicks.

    The corrected rate is ``Σ clicks / propensity`` over the number of impressions: an unbiased
    estimate of relevance under the position model, up to clipping (Joachims et al. 2017).

    Returns:
        ``query, document, clicks, shown, rate, corrected, weight, examined, top, low, row``;
        ``examined`` is the expected number of looks, ``top`` and ``low`` the best rank shown and
        the worst rank clicked.
    """
    seen = bias.of(counted["rank"])
    table = counted.assign(
        weighted=counted["clicks"] / seen,
        examined=counted["shown"] * seen,
        low=counted["rank"].where(counted["clicks"] > 0, 0),
        top=counted["rank"],
    )
    sums = {"clicks": "sum", "shown": "sum", "weighted": "sum", "examined": "sum"}
    table = table.groupby(["query", "document"], sort=False).agg(sums | {"low": "max", "top": "min", "row": "min"})
    table["rate"] = table["clicks"] / table["shown"]
    table["corrected"] = table["weighted"] / table["shown"]
    table["weight"] = table["weighted"] / table["clicks"].clip(lower=1)
    return table.drop(columns="weighted").reset_index()


def read(table: Table, reading: Reading) -> Harvest:
    """Read impressions ``query, document, rank, clicked``: one row for each document shown.

    A query's positives are the documents with the best corrected click rates. Its weight is the
    mean inverse propensity of their clicks over the mean of all queries (self-normalized, Swaminathan and
    Joachims 2015). Documents that were shown above a clicked one and never clicked are candidate
    negatives ("click > skip above", Joachims et al. 2005), the most looked at first.
    """
    counted = counts(table, reading.documents, reading.chunk)
    bias = propensities(counted, reading.eta)
    examples = []
    for query, shown in labels(counted, bias).groupby("query", sort=False):
        enough = shown[shown["clicks"] >= MIN_CLICKS]
        # The best of those with enough clicks: a single click on a late rank has a high rate by luck.
        limit = SHARE_OF_BEST * enough["corrected"].max()
        good = enough[enough["corrected"] >= limit]
        if len(good):
            examples.append(_example(str(query), shown, good, table))
    mean = float(np.mean([e.weight for e in examples])) if examples else 1.0
    for example in examples:
        example.weight = round(example.weight / mean, 4)
    return Harvest(examples, _notes(counted, bias))


def _example(query: str, shown: pd.DataFrame, good: pd.DataFrame, table: Table) -> Example:
    """Return an example of a query's documents as :func:`labels` has them, ``good`` its positives."""
    where = f"{table.path}:{int(good['row'].min())}, {int(good['clicks'].sum())} clicks"
    example = Example(query, good["document"].tolist(), where, "click log")
    example.known = shown.loc[shown["clicks"] > 0, "document"].tolist()
    example.weight = float(np.average(good["weight"], weights=good["clicks"]))
    # Shown once and not clicked says little: it takes as many impressions as a positive takes clicks.
    never_clicked = (shown["clicks"] == 0) & (shown["shown"] >= MIN_CLICKS)
    above_a_click = shown["top"] < good["low"].max()
    skipped = shown[never_clicked & above_a_click]
    skipped = skipped.sort_values("examined", ascending=False, kind="stable")
    for doc_id, looks in zip(skipped["document"], skipped["examined"], strict=True):
        example.negatives.append({"id": doc_id, "miner": "skipped above", "score": round(float(looks), 4)})
    return example


def _notes(counted: pd.DataFrame, bias: Propensities) -> list[str]:
    clicks = int(counted["clicks"].sum())
    on_first = int(counted.loc[counted["rank"] == 1, "clicks"].sum())
    share = on_first / clicks if clicks else 0.0
    notes = [f"position bias: {bias.how}"]
    if share > 0.5:
        notes.append(f"warning: {share:.0%} of {clicks:,} clicks are on rank 1: clicks say more about rank")
    if clicks == counted["shown"].sum():
        notes.append("warning: every row is clicked: without impressions neither bias nor click rates can be told")
    return notes
