"""False negatives by experiment: hide known positives, mine, and count how many come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.text import stable_hash
from embedlab.progress import Progress
from embedlab.trainset.answers import known_answers
from embedlab.trainset.miners import Proposals
from embedlab.trainset.mining import JUDGED, Mining
from embedlab.trainset.negatives import Margin, check_rows, select
from embedlab.trainset.rows import lists_without

SHARE = 0.2

FEWEST = 20
"""Under so many hidden positives a share says too little to choose by."""

ALL = "all miners"


def hide(rows: pd.DataFrame, share: float = SHARE, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hide a share of the known answers, never the last positive of a row.

    Args:
        rows: ``query_id, positive_ids, known_ids``.
        share: of all answers beyond each row's first that may be hidden; the hash of query, document and
            seed says which.
        seed: chooses.

    Returns:
        all rows as if nobody knew the hidden answers, and the hidden ones, ``query_id, doc_id``.
    """
    spare = set()
    for query_id, known in zip(rows["query_id"], known_answers(rows), strict=True):
        spare |= {(query_id, doc_id) for doc_id in known[1:]}
    ordered = sorted(spare, key=lambda pair: stable_hash("hide", seed, *pair))
    hidden = set(ordered[: round(share * len(ordered))])
    left = {column: lists_without(rows, column, hidden) for column in ("positive_ids", "known_ids")}
    return rows.assign(**left), pd.DataFrame(sorted(hidden), columns=["query_id", "doc_id"], dtype=str)


def come_back(
    collection: Collection,
    rows: pd.DataFrame,
    hidden: pd.DataFrame,
    mining: Mining,
    margins: Sequence[float],
    *,
    exclude: Mapping[str, Mapping[str, str]],
    absolute: float = 0.0,
) -> pd.DataFrame:
    """Mine for rows with hidden answers as :func:`mine_negatives` would, and count those taken as negatives.

    Args:
        collection: as there.
        rows: what :func:`hide` returns; only those with a hidden answer are mined.
        hidden: what was hidden.
        mining: ``judged`` is left out, for there a person has spoken.
        margins: the percentages of the positive to try, under the same ``absolute`` margin.
        exclude: made from ``rows``, so that it does not know the hidden answers either.
        absolute: see :class:`Margin`.

    Returns:
        a row for each margin and miner alone, and for all as they choose together: ``margin, miner, hidden``
        (answers that could come back), ``returned`` (that did), ``rate`` of these, and the number of
        ``negatives`` mined.
    """
    asked = rows[rows["query_id"].isin(hidden["query_id"])]
    check_rows(asked, exclude)
    mining = _without_judged(mining)
    arms = {miner: [miner] for miner in mining.miners} | {ALL: list(mining.miners)}
    tried = list(product(dict.fromkeys(margins), arms))
    secret = set(zip(hidden["query_id"], hidden["doc_id"], strict=True))
    returned, mined = dict.fromkeys(tried, 0), dict.fromkeys(tried, 0)
    with Progress("Mining with hidden answers", len(asked)) as bar:
        source = Proposals(collection, asked, mining)
        for block in source.blocks():
            for margin, arm in tried:
                part = replace(block, candidates={miner: block.candidates[miner] for miner in arms[arm]})
                for taken, _ in select(part, source, exclude, Margin(margin, absolute)):
                    pairs = zip(taken["query_id"], taken["doc_id"], strict=True)
                    returned[margin, arm] += sum(pair in secret for pair in pairs)
                    mined[margin, arm] += len(taken)
            bar.advance(len(block.rows))
    lines = [(*key, len(hidden), back, back / max(1, len(hidden)), mined[key]) for key, back in returned.items()]
    return pd.DataFrame(lines, columns=["margin", "miner", "hidden", "returned", "rate", "negatives"])


def _without_judged(mining: Mining) -> Mining:
    miners = [miner for miner in mining.miners if miner != JUDGED]
    if isinstance(mining.quotas, int):
        return replace(mining, miners=miners)
    return replace(mining, miners=miners, quotas={miner: mining.quotas.get(miner, 0) for miner in miners})


def choose_margin(table: pd.DataFrame, most: float) -> tuple[float, list[str]] | None:
    """Choose the loosest margin that keeps false negatives rare for every miner that a margin can help.

    Args:
        table: what :func:`come_back` returns.
        most: at most this share of the hidden answers may come back, for each miner alone.

    Returns:
        the margin (the tightest tried where no miner is that good) and the miners that no margin tried
        helps; None where fewer than twenty answers were hidden, too few to choose by.
    """
    each = table[table["miner"] != ALL]
    if each.empty or each["hidden"].iloc[0] < FEWEST:
        return None
    loosest = each[each["rate"] <= most].groupby("miner")["margin"].max()
    helpless = [miner for miner in each["miner"].unique() if miner not in loosest.index]
    chosen = loosest if len(loosest) else each["margin"]
    return float(chosen.min()), helpless
