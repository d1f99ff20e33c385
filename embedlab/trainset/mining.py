"""How negatives are mined: by which miners, how many, from which ranks and documents."""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embedlab.errors import ParameterError, nearest
from embedlab.retrieval.base import Encodes

JUDGED, SIBLING, DENSE, LEXICAL, RANDOM = "judged", "sibling", "dense", "bm25", "random"

MINERS = (JUDGED, SIBLING, DENSE, LEXICAL, RANDOM)

WINDOWED = (DENSE, LEXICAL)
"""Miners that take a window of their ranking; the others count from their first candidate."""

DRAWS = 10
"""Random documents drawn for each that is wanted."""


@dataclass(frozen=True)
class Mining:
    """What is mined from, and how much of it.

    Args:
        encoder: ``encode(texts, kind)``, float32 ``[n, d]`` of unit length; its cosines rank, limit and
            are kept.
        miners: any of :data:`MINERS`, in the order in which they choose.
        quotas: negatives a row for every miner, or by miner (one that is left out has none). A number
            does not limit ``judged``.
        first_rank: candidates of ``dense`` and ``bm25`` count from here, the best is 1.
        last_rank: to here; of ``sibling`` the closest so many.
        pool: ids that may be mined; None for all. Blank documents never are.
        seed: of the random draws, with the query id.
        block: queries looked at together.

    Raises:
        ParameterError: for an unknown miner, quotas of one that is not asked for, or illegal numbers.
    """

    encoder: Encodes
    miners: Sequence[str] = MINERS
    quotas: int | Mapping[str, int] = 2
    first_rank: int = 1
    last_rank: int = 50
    pool: Ids[str] | None = None
    seed: int = 0
    block: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.first_rank <= self.last_rank:
            raise ParameterError(
                f"ranks must be 1 <= first_rank <= last_rank, found {self.first_rank} and {self.last_rank}"
            )
        if self.block < 1:
            raise ParameterError(f"block must be 1 or more, found {self.block}")
        per_miner(self.miners, self.quotas)

    @cached_property
    def wanted(self) -> dict[str, int]:
        """Negatives a row by miner."""
        return per_miner(self.miners, self.quotas)

    @property
    def draws(self) -> int:
        """Random documents that are proposed for each row."""
        return DRAWS * self.wanted.get(RANDOM, 0)


def per_miner(miners: Sequence[str], quotas: int | Mapping[str, int]) -> dict[str, int]:
    """Return the quota of each miner; raises as :class:`Mining` does."""
    for name in [*miners, *(quotas if isinstance(quotas, Mapping) else ())]:
        if name not in MINERS:
            raise ParameterError(f"unknown miner {name!r}{nearest(name, list(MINERS))}; there are: {', '.join(MINERS)}")
    if isinstance(quotas, int):
        found = dict.fromkeys(miners, quotas)
        if JUDGED in found and quotas >= 0:
            found[JUDGED] = np.iinfo(np.int64).max
    else:
        idle = [name for name in quotas if name not in miners]
        if idle:
            raise ParameterError(f"a quota for {idle[0]!r}, which is not among the miners: {', '.join(miners)}")
        found = {name: int(quotas.get(name, 0)) for name in miners}
    for name, count in found.items():
        if count < 0:
            raise ParameterError(f"the quota of {name} must be 0 or more, found {count}")
    return found


def named_quotas(miners: Sequence[str], quota: int, named: Sequence[str]) -> dict[str, int]:
    """Return ``quota`` for every miner, except where ``named`` says otherwise, as in ``dense=3``."""
    found = per_miner(miners, quota)
    for text in named:
        miner, _, count = text.partition("=")
        if not count.strip().isdecimal():
            raise ParameterError(f"a quota is written as MINER=COUNT, such as dense=2; found {text!r}")
        name = miner.strip()
        found |= {name: int(count)}
        per_miner(miners, {name: int(count)})  # raises where there is no such miner
    return found
