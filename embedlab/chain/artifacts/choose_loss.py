"""Step 11: the loss that training uses."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import NUMBER, TEXT, Artifact, Table
from embedlab.chain.artifacts.training_store import removed_by


@dataclass(frozen=True)
class Loss(Artifact, step="11", file="loss.json"):
    """The loss that goes on, and the tournament it comes from.

    Attributes:
        loss: the one that goes on.
        leader: the one that led the tournament.
        steps: of each training.
        metric: of the scores.
        seeds: of each loss, at its learning rate.
        not_run: by loss that could not race, why.
        long_steps: of the second, longer race; 0 where there was none.
        teacher: the model that some losses learn from; blank for none.
        pairs: of losses that ran both races.
        pairs_alike: those of them that both races put in the same order.
    """

    loss: str
    leader: str
    steps: int
    metric: str
    seeds: int
    not_run: dict[str, str]
    long_steps: int
    teacher: str
    pairs: int
    pairs_alike: int


REMOVED = removed_by("11")
TOURNAMENT = Table(
    "11",
    "tournament.parquet",
    "a loss against the base, on dev: the interval over queries and the one over seeds, where there are several",
    {
        "loss": TEXT,
        "delta": NUMBER,
        "low": NUMBER,
        "high": NUMBER,
        "rate": NUMBER,
        "seed_low": NUMBER,
        "seed_high": NUMBER,
    },
    "the contract's measure",
)
