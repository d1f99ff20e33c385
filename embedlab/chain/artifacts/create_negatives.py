"""Step 09: rows with their negatives."""

from __future__ import annotations

from dataclasses import dataclass

from embedlab.chain.artifacts.base import INTEGER, NUMBER, TEXT, Artifact, Table
from embedlab.chain.artifacts.training_store import removed_by, rows_of
from embedlab.evaluation.results import Ends


@dataclass(frozen=True)
class MinedAgainstRandom(Artifact, step="09", file="probes.json"):
    """The cheap probe with mined and with random negatives, on dev; scores are None where not measured.

    Attributes:
        measured: whether it was.
        seeds: training seeds of each.
        steps: training steps of each.
        random: mean of the contract's measure with random negatives.
        mined: with mined ones.
        delta: their difference.
        ci95: its 95 % interval.
        seed_sd: standard deviation of the difference between seeds; None for one seed.
        query_se: its standard error over queries; likewise.
        mined_by_seed: mean of the measure with mined negatives, of each training seed.
    """

    measured: bool
    seeds: int
    steps: int
    random: float | None = None
    mined: float | None = None
    delta: float | None = None
    ci95: Ends | None = None
    seed_sd: float | None = None
    query_se: float | None = None
    mined_by_seed: tuple[float, ...] = ()


TRAINING = rows_of("09", "training.parquet", "a training query with its negatives")
REMOVED = removed_by("09")
DIFFICULTY = Table(
    "09",
    "difficulty.parquet",
    "a miner: its negatives' cosine to their query",
    {"miner": TEXT, "count": NUMBER, "mean": NUMBER},
    "quartiles",
)
FALSE_NEGATIVES = Table(
    "09",
    "false_negatives.parquet",
    "a margin and a miner: how many hidden answers come back as negatives",
    {"margin": NUMBER, "miner": TEXT, "hidden": INTEGER, "returned": INTEGER, "rate": NUMBER, "negatives": INTEGER},
)
