"""False negatives by experiment: hide known positives, mine, and count how many come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.text import stable_hash
from embedlab.progress import Progress
from embedlab.retrieval.base import Encodes
from embedlab.trainset.miners import JUDGED, RANDOM, Proposals, Setup
from embedlab.trainset.negatives import DRAWS, Margin, check_rows, per_miner, select

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
    spare = [(q, d) for q, p, k in _answers(rows) for d in [*k, *p[1:]]]
    ordered = sorted(set(spare), key=lambda pair: stable_hash("hide", seed, *pair))
    hidden = set(ordered[: round(share * len(ordered))])
    left = {
        column: pd.Series(
            [[d for d in ids if (q, d) not in hidden] for q, ids in zip(rows["query_id"], rows[column], strict=True)],
            index=rows.index,
            dtype=object,
        )
        for column in ("positive_ids", "known_ids")
    }
    return rows.assign(**left), pd.DataFrame(sorted(hidden), columns=["query_id", "doc_id"], dtype=str)


def _answers(rows: pd.DataFrame) -> list[tuple[str, list[str], list[str]]]:
    """Return query id, positives and further known answers of each row."""
    columns = zip(rows["query_id"], rows["positive_ids"], rows["known_ids"], strict=True)
    return [(q, list(p), [d for d in k if d not in set(p)]) for q, p, k in columns]


def come_back(
    collection: Collection,
    rows: pd.DataFrame,
    hidden: pd.DataFrame,
    miners: Sequence[str],
    margins: Sequence[float],
    *,
    encoder: Encodes,
    exclude: Mapping[str, Mapping[str, str]],
    quotas: int | Mapping[str, int],
    absolute: float = 0.0,
    pool: set[str] | None = None,
    first_rank: int = 1,
    last_rank: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Mine for rows with hidden answers as :func:`mine_negatives` would, and count those taken as negatives.

    Args:
        collection: as there.
        rows: what :func:`hide` returns; only those with a hidden answer are mined.
        hidden: what was hidden.
        miners: as there; ``judged`` is left out, for there a person has spoken.
        margins: the percentages of the positive to try, under the same ``absolute`` margin.
        encoder: as there.
        exclude: made from ``rows``, so that it does not know the hidden answers either.
        quotas: as there.
        absolute: see :class:`Margin`.
        pool: as there.
        first_rank: as there.
        last_rank: as there.
        seed: as there.

    Returns:
        a row for each margin and miner alone, and for all as they choose together: ``margin, miner, hidden``
        (answers that could come back), ``returned`` (that did), ``rate`` of these, and the number of
        ``negatives`` mined.
    """
    mined = [m for m in miners if m != JUDGED]
    wanted = per_miner(mined, quotas if isinstance(quotas, int) else {m: quotas.get(m, 0) for m in mined})
    asked = rows[rows["query_id"].isin(hidden["query_id"])]
    check_rows(asked, exclude)
    secret = set(zip(hidden["query_id"], hidden["doc_id"], strict=True))
    plan = Setup(first_rank, last_rank, DRAWS * wanted.get(RANDOM, 0), seed)
    alone = {**{m: [m] for m in mined}, ALL: mined}
    found = {(margin, name): [0, 0] for margin in margins for name in alone}
    with Progress("Mining with hidden answers", len(asked)) as bar:
        source = Proposals(collection, asked, mined, encoder, pool, plan)
        for block in source.blocks():
            for (margin, name), counts in found.items():
                part = replace(block, candidates={m: block.candidates[m] for m in alone[name]})
                for taken in select(part, source, exclude, Margin(margin, absolute), wanted):
                    pairs = [] if "reason" in taken else list(zip(taken["query_id"], taken["doc_id"], strict=True))
                    counts[0] += sum(pair in secret for pair in pairs)
                    counts[1] += len(pairs)
            bar.advance(len(block.rows))
    lines = [(*key, len(hidden), back, back / max(1, len(hidden)), taken) for key, (back, taken) in found.items()]
    return pd.DataFrame(lines, columns=["margin", "miner", "hidden", "returned", "rate", "negatives"])


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
    helpless = [m for m in dict.fromkeys(each["miner"]) if m not in loosest.index]
    return float(loosest.min() if len(loosest) else each["margin"].min()), helpless
