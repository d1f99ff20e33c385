"""Negatives: easy, mined, structural and judged ones, none of them a known or likely positive."""

from __future__ import annotations

import math
from collections.abc import Collection as Ids
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.data.collection import Collection
from embedlab.errors import DataError, ParameterError, nearest
from embedlab.progress import Progress
from embedlab.retrieval.base import Encodes
from embedlab.trainset.answers import OWN
from embedlab.trainset.miners import JUDGED, MINERS, RANDOM, Block, Proposals, Setup

CLOSE = "too close to the positive"

COLUMNS = ["query_id", "doc_id", "miner", "rank", "score"]

WINDOWED = ("dense", "bm25")

DRAWS = 10
"""Random documents drawn for each that is wanted."""


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
        encoder: ``encode(texts, kind)``, float32 ``[n, d]`` of unit length; the base model.
        exclude: for every query id what may never be its negative, with the reason; see
            :func:`exclusions`. Its positives and known answers never are, named here or not.
        margin: see :class:`Margin`; a number is its ``percent``.
        quotas: negatives a row for every miner, or by miner (one that is left out has none). A number
            does not limit ``judged``.
        first_rank: candidates of ``dense`` and ``bm25`` count from here.
        last_rank: to here; of ``sibling`` the closest so many.
        pool: ids that may be mined; None for all. Blank documents never are.
        seed: of the random draws, with the query id.
        block: queries looked at together.

    Raises:
        ParameterError: for an unknown miner, quotas of one that is not asked for, or illegal numbers.
        DataError: if a column, an exclusion or a document is missing; names the row.
    """
    wanted = per_miner(miners, quotas)
    draws = DRAWS * wanted.get(RANDOM, 0)
    rule = margin if isinstance(margin, Margin) else Margin(margin)
    check_rows(training, exclude)
    setup = Setup(first_rank, last_rank, draws, seed, block)
    with Progress("Mining negatives", len(training)) as bar:
        source = Proposals(collection, training, miners, encoder, pool, setup)
        taken: list[pd.DataFrame] = []
        refused: list[pd.DataFrame] = []
        for part in source.blocks():
            for found in select(part, source, exclude, rule, wanted):
                (refused if "reason" in found else taken).append(found)
            bar.advance(len(part.rows))
    mined = _joined(taken, COLUMNS, training["query_id"])
    return Mined(_attached(training, mined), mined, _joined(refused, [*COLUMNS, "reason"], training["query_id"]))


def per_miner(miners: Sequence[str], quotas: int | Mapping[str, int]) -> dict[str, int]:
    """Return the quota of each miner; raises as :func:`mine_negatives` does."""
    for name in [*miners, *(quotas if isinstance(quotas, Mapping) else ())]:
        if name not in MINERS:
            raise ParameterError(f"unknown miner {name!r}{nearest(name, list(MINERS))}; there are: {', '.join(MINERS)}")
    if isinstance(quotas, int):
        found = {name: np.iinfo(np.int64).max if name == JUDGED else quotas for name in miners}
    else:
        idle = [name for name in quotas if name not in miners]
        if idle:
            raise ParameterError(f"a quota for {idle[0]!r}, which is not among the miners: {', '.join(miners)}")
        found = {name: quotas.get(name, 0) for name in miners}
    wrong = [name for name, count in found.items() if count < 0]
    if wrong:
        raise ParameterError(f"the quota of {wrong[0]} must be 0 or more, found {found[wrong[0]]}")
    return {name: int(count) for name, count in found.items()}


def named_quotas(miners: Sequence[str], quota: int, named: Sequence[str]) -> dict[str, int]:
    """Return ``quota`` for every miner, except where ``named`` says otherwise, as in ``dense=3``."""
    found = per_miner(miners, quota)
    for text in named:
        miner, _, count = text.partition("=")
        if not count.strip().isdigit():
            raise ParameterError(f"a quota is written as MINER=COUNT, such as dense=2; found {text!r}")
        per_miner(miners, {miner.strip(): int(count)})
        found[miner.strip()] = int(count)
    return found


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
    block: Block, source: Proposals, exclude: Mapping[str, Mapping[str, str]], margin: Margin, quotas: Mapping[str, int]
) -> Iterator[pd.DataFrame]:
    """Yield for each miner what it takes and then, with a ``reason``, what is refused on the way there."""
    known = [_known(row, exclude) for row in block.rows.to_dict("records")]
    taken = _keys(source, block.rows["positive_ids"])
    banned = _keys(source, known)
    limits = margin.limits(block.worst)[:, None]
    rows = np.arange(len(block.rows))[:, None]
    for miner, found in block.candidates.items():
        keys = rows * len(source.doc_ids) + found
        fresh = (found >= 0) & ~np.isin(keys, taken)
        close = fresh & (block.cosines[miner] > limits) & (miner != JUDGED)
        good = fresh & ~close & ~np.isin(keys, banned)
        before = np.cumsum(good, axis=1) - good < quotas[miner]
        taken = np.concatenate([taken, keys[good & before]])
        yield _table(block, source, miner, good & before)
        refused = fresh & ~good & before
        table = _table(block, source, miner, refused)
        at, near = np.nonzero(refused)[0], close[refused]
        why = [CLOSE if c else known[i][d] for i, d, c in zip(at, table["doc_id"], near, strict=True)]
        yield table.assign(reason=pd.Series(why, dtype=object))


def _known(row: Mapping[Any, Any], exclude: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return what may never be a row's negative, with the reason."""
    known = row.get("known_ids", ())
    return dict(exclude[row["query_id"]]) | dict.fromkeys([*known, *row["positive_ids"]], OWN)


def _keys(source: Proposals, documents: Iterable[Iterable[str]]) -> NDArray[np.int64]:
    """Return one number for each row and document; what is no document is left out."""
    count, place = len(source.doc_ids), source.position
    return np.array(
        [i * count + place[d] for i, ids in enumerate(documents) for d in ids if d in place], dtype=np.int64
    )


def _table(block: Block, source: Proposals, miner: str, mask: NDArray[np.bool_]) -> pd.DataFrame:
    at, column = np.nonzero(mask)
    offset = source.setup.first_rank if miner in WINDOWED else 1
    values = [
        block.rows["query_id"].to_numpy()[at],
        source.doc_ids[block.candidates[miner][mask]],
        [miner] * len(at),
        column + offset,
        block.cosines[miner][mask].astype(float).round(4),
    ]
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _joined(parts: list[pd.DataFrame], columns: list[str], order: pd.Series) -> pd.DataFrame:
    """Return all parts in the order of the rows; within a row as they were found."""
    whole = pd.concat([p for p in parts if len(p)] or [pd.DataFrame(columns=columns)], ignore_index=True)
    place = dict(zip(order, range(len(order)), strict=True))
    return whole.sort_values("query_id", key=lambda ids: ids.map(place), kind="stable", ignore_index=True)


def _attached(training: pd.DataFrame, mined: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with what was mined as their ``negatives``; a named one keeps its source's name."""
    own: Iterable[Any] = training["negatives"] if "negatives" in training else [[]] * len(training)
    names = {(q, n["id"]): n["miner"] for q, found in zip(training["query_id"], own, strict=True) for n in found}
    found: dict[str, list[dict[str, object]]] = {q: [] for q in training["query_id"]}
    for query_id, doc_id, miner, _, score in mined[COLUMNS].itertuples(index=False):
        source = names.get((query_id, doc_id), miner) if miner == JUDGED else miner
        found[query_id].append({"id": doc_id, "miner": source, "score": score})
    return training.assign(negatives=pd.Series(list(found.values()), index=training.index, dtype=object))
