"""Negatives: easy, mined, structural and judged ones, none of them a known or likely positive."""

from __future__ import annotations

import math
from collections.abc import Collection as Ids
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.collection import Collection
from embedlab.errors import DataError, ParameterError
from embedlab.progress import Progress
from embedlab.retrieval.base import Encodes
from embedlab.trainset.answers import OWN, known_answers
from embedlab.trainset.miners import Block, Proposals
from embedlab.trainset.mining import JUDGED, MINERS, WINDOWED, Mining
from embedlab.trainset.rows import query_texts, removal, removals

CLOSE = "too close to the positive"

COLUMNS = ["query_id", "doc_id", "miner", "rank", "score"]


@dataclass(frozen=True)
class Margin:
    """How close a negative may come to the query's least similar positive, in cosine.

    At most ``percent`` of the positive's cosine (NV-Retriever's TopK-PercPos, Moreira et al. 2024,
    arXiv:2407.15831: .95) and at most that cosine less ``absolute``, whichever is lower.
    """

    percent: float = 0.95
    absolute: float = 0.0

    def __post_init__(self) -> None:
        if not self.percent > 0 or not math.isfinite(self.percent):
            raise ParameterError(f"percent of the positive must be a number over 0, found {self.percent}")
        if not self.absolute >= 0:
            raise ParameterError(f"the absolute margin must be 0 or more, found {self.absolute}")

    def limits(self, positive: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the highest cosine that a negative may have, for each positive's cosine."""
        return np.minimum(np.float32(self.percent) * positive, positive - np.float32(self.absolute))


@dataclass(frozen=True)
class Mined:
    """What mining found.

    Attributes:
        training: the rows with their ``negatives``, each ``{id, miner, score}``.
        negatives: ``query_id, doc_id, miner, rank`` (among the miner's candidates, from 1) and
            ``score``, the cosine to the query.
        refused: the same and ``reason``: candidates that stood before the last one taken, but are a
            known answer, near one, or too close to the positive.
    """

    training: pd.DataFrame
    negatives: pd.DataFrame
    refused: pd.DataFrame

    def difficulty(self, miners: Sequence[str] = MINERS) -> pd.DataFrame:
        """Return ``count, mean, 25%, 50%, 75%`` of the cosines by miner, in this order; idle ones are left out."""
        by_miner = self.negatives.astype({"score": float}).groupby("miner")["score"].describe()
        busy = [miner for miner in miners if miner in by_miner.index]
        return by_miner.reindex(busy)[["count", "mean", "25%", "50%", "75%"]].astype(float)

    def removed(self) -> pd.DataFrame:
        """Return what was refused as removals, reason by reason, with miner, rank and cosine as the evidence."""
        text = self.refused["query_id"].map(query_texts(self.training))
        refused = self.refused.assign(text=text.astype(str))
        parts = []
        for reason, part in refused.groupby("reason"):
            evidence = part["miner"] + ", rank " + part["rank"].astype(str) + ", cosine " + part["score"].astype(str)
            parts.append(removal(part, f"{reason}, no negative", part["doc_id"], evidence))
        return removals(parts)


def mine_negatives(
    collection: Collection,
    training: pd.DataFrame,
    miners: Sequence[str] = MINERS,
    *,
    encoder: Encodes,
    exclude: Mapping[str, Mapping[str, str]],
    margin: Margin | float = 0.95,
    quotas: int | Mapping[str, int] = 2,
    first_rank: int = 1,
    last_rank: int = 50,
    pool: Ids[str] | None = None,
    seed: int = 0,
    block: int = 256,
) -> Mined:
    """Mine negatives for training rows, those of the first miner first.

    ``judged`` takes what the row's ``negatives`` or a grade of 0 name, ``sibling`` the closest documents
    of the same family (or equal metadata) or title, ``dense`` and ``bm25`` a window of their ranking,
    ``random`` any. The margin holds for all but ``judged``, where a person has spoken. A document that
    answers other queries only, held-out ones included, is mined like any other.

    Memory beside the documents' and queries' vectors: about ``block * last_rank * d * 4`` bytes and the
    BM25 index; nothing grows with queries times documents.

    Args:
        collection: its documents, and its judgments of grade 0 for ``judged``.
        training: ``query_id, text, positive_ids`` and, where there are, ``known_ids`` and ``negatives``.
        miners: any of judged, sibling, dense, bm25, random, in the order in which they choose.
        encoder: the base model; this and what follows but for ``exclude`` and ``margin``: see :class:`Mining`.
        exclude: for every query id what may never be its negative, with the reason; see
            :func:`exclusions`. Its positives and known answers never are, named here or not.
        margin: see :class:`Margin`; a number is its ``percent``.
        quotas: negatives a row for every miner, or by miner.
        first_rank: of ``dense`` and ``bm25``.
        last_rank: of these and ``sibling``.
        pool: ids that may be mined; None for all.
        seed: of the random draws.
        block: queries looked at together.

    Raises:
        ParameterError: for an unknown miner, quotas of one that is not asked for, or illegal numbers.
        DataError: if a column, an exclusion or a document is missing; names the row.
    """
    mining = Mining(encoder, miners, quotas, first_rank, last_rank, pool, seed, block)
    rule = margin if isinstance(margin, Margin) else Margin(margin)
    check_rows(training, exclude)
    taken: list[pd.DataFrame] = []
    refused: list[pd.DataFrame] = []
    with Progress("Mining negatives", len(training)) as bar:
        source = Proposals(collection, training, mining)
        for part in source.blocks():
            for good, bad in select(part, source, exclude, rule):
                taken.append(good)
                refused.append(bad)
            bar.advance(len(part.rows))
    mined = _joined(taken, COLUMNS, training["query_id"])
    return Mined(_attached(training, mined), mined, _joined(refused, [*COLUMNS, "reason"], training["query_id"]))


def as_many(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return rows with at most as many negatives, the first ones, as the same rows of another table have."""
    cut = []
    for negatives, theirs in zip(rows["negatives"], others["negatives"], strict=True):
        cut.append(negatives[: len(theirs)])
    return rows.assign(negatives=pd.Series(cut, index=rows.index, dtype=object))


def check_rows(training: pd.DataFrame, exclude: Mapping[str, object]) -> None:
    """Raise a DataError where a row cannot be mined for: no such column, no positive, no exclusions."""
    missing = [c for c in ("query_id", "text", "positive_ids") if c not in training]
    if missing:
        raise DataError(f"training rows lack {', '.join(missing)}; found {', '.join(map(str, training.columns))}")
    twice = training.loc[training["query_id"].duplicated(), "query_id"]
    if len(twice):
        raise DataError(f"{twice.iloc[0]}: this query id stands twice; a row is one query with all its positives")
    for query_id, ids in zip(training["query_id"], training["positive_ids"], strict=True):
        if len(ids) == 0:
            raise DataError(f"{query_id}: no positive document, so nothing says how close a negative may come")
        if query_id not in exclude:
            raise DataError(
                f"{query_id}: exclude says nothing of it; make it with negatives.exclusions, or name an empty "
                "mapping where nothing but the row's own answers is known"
            )


def select(
    block: Block, source: Proposals, exclude: Mapping[str, Mapping[str, str]], margin: Margin
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Yield for each miner what it takes, and what it refuses on the way there, with the ``reason``.

    Miners choose in turn: what one has taken, no later one takes again.
    """
    known = _never(block.rows, exclude)
    used = _keys(source, block.rows["positive_ids"])
    banned = _keys(source, known)
    limits = margin.limits(block.worst)[:, None]
    rows = np.arange(len(block.rows))[:, None]
    for miner, found in block.candidates.items():
        keys = rows * len(source.doc_ids) + found
        fresh = (found >= 0) & ~np.isin(keys, used)
        close = fresh & (block.cosines[miner] > limits)
        if miner == JUDGED:  # a person has spoken
            close[:] = False
        good = fresh & ~close & ~np.isin(keys, banned)
        # Once a row has its quota, what stands behind is neither taken nor refused.
        wanted = np.cumsum(good, axis=1) - good < source.mining.wanted[miner]
        taken, refused = good & wanted, fresh & ~good & wanted
        used = np.concatenate([used, keys[taken]])
        table = _table(block, source, miner, refused)
        why = _why(known, np.nonzero(refused)[0], table["doc_id"], close[refused])
        yield _table(block, source, miner, taken), table.assign(reason=why)


def _never(rows: pd.DataFrame, exclude: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
    """Return for each row what may never be its negative, with the reason."""
    found = []
    for query_id, known in zip(rows["query_id"], known_answers(rows), strict=True):
        found.append({**exclude[query_id], **dict.fromkeys(known, OWN)})
    return found


def _why(known: list[dict[str, str]], at: NDArray[np.int64], doc_ids: pd.Series, close: NDArray[np.bool_]) -> pd.Series:
    """Return why each document is refused, ``at`` being the position of its row."""
    found = []
    for row, doc_id, too_close in zip(at, doc_ids, close, strict=True):
        found.append(CLOSE if too_close else known[row][doc_id])
    return pd.Series(found, dtype=object)


def _keys(source: Proposals, documents: Iterable[Iterable[str]]) -> NDArray[np.int64]:
    """Return one number for each row and document; what is no document is left out."""
    found = []
    for row, ids in enumerate(documents):
        found += [row * len(source.doc_ids) + source.position[d] for d in ids if d in source.position]
    return np.array(found, dtype=np.int64)


def _table(block: Block, source: Proposals, miner: str, mask: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the candidates under the mask with rank and cosine, row by row."""
    row, column = np.nonzero(mask)
    first = source.mining.first_rank if miner in WINDOWED else 1
    return pd.DataFrame(
        {
            "query_id": block.rows["query_id"].to_numpy()[row],
            "doc_id": source.doc_ids[block.candidates[miner][mask]],
            "miner": [miner] * len(row),
            "rank": column + first,
            "score": block.cosines[miner][mask].astype(float).round(4),
        }
    )


def _joined(parts: list[pd.DataFrame], columns: list[str], order: pd.Series) -> pd.DataFrame:
    """Return all parts in the order of the rows; within a row as they were found."""
    filled = [part for part in parts if len(part)]
    whole = pd.concat(filled or [pd.DataFrame(columns=columns)], ignore_index=True)
    place = dict(zip(order, range(len(order)), strict=True))
    return whole.sort_values("query_id", key=lambda ids: ids.map(place), kind="stable", ignore_index=True)


def _attached(training: pd.DataFrame, mined: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with what was mined as their ``negatives``; a named one keeps its source's name."""
    found: dict[str, list[dict[str, object]]] = {q: [] for q in training["query_id"]}
    names = _named_sources(training)
    for query_id, doc_id, miner, _, score in mined[COLUMNS].itertuples(index=False):
        source = names.get((query_id, doc_id), miner) if miner == JUDGED else miner
        found[query_id].append({"id": doc_id, "miner": source, "score": score})
    return training.assign(negatives=pd.Series(list(found.values()), index=training.index, dtype=object))


def _named_sources(training: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return by query and document which source named a negative."""
    if "negatives" not in training:
        return {}
    found = {}
    for query_id, negatives in zip(training["query_id"], training["negatives"], strict=True):
        for negative in negatives:
            found[query_id, negative["id"]] = negative["miner"]
    return found
