"""What a model in training is scored on, and what a run has seen so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from embedlab.evaluation.metrics import parse_measure, per_query
from embedlab.files import sha256_json
from embedlab.retrieval.base import DEPTH, as_run
from embedlab.retrieval.dense import exact_search
from embedlab.training.results import Checkpoint

BLOCKS = "▁▂▃▄▅▆▇█"

Encode = Callable[[list[str], Literal["query", "document"]], Any]
"""Encodes texts as queries or documents: unit vectors, ``[texts, dimensions]``."""


@dataclass(frozen=True)
class Validation:
    """Queries, judgments and documents that a model in training is scored on."""

    queries: pd.Series
    qrels: pd.DataFrame
    documents: pd.Series
    metric: str

    @property
    def digest(self) -> str:
        """A hash of all that scores depend on beside the model."""
        judged = self.qrels.to_json(orient="values", default_handler=str)
        return sha256_json([list(self.queries.items()), judged, list(self.documents.items()), self.metric])

    def scores(self, encode: Encode) -> pd.Series:
        """Return the measure by query id, for a function that encodes (texts, kind)."""
        cutoff = parse_measure(self.metric).params.get("cutoff", DEPTH)
        # Twice as deep as it looks, so that copies of a document that tie at the cutoff are all there.
        return self.judged(self.run(encode, min(DEPTH, 2 * cutoff)))

    def judged(self, run: pd.DataFrame) -> pd.Series:
        """Return the measure of a run by query id."""
        return per_query(self.qrels, run, [self.metric])[self.metric]

    def run(self, encode: Encode, depth: int = DEPTH) -> pd.DataFrame:
        """Return the run of the queries over the documents, for a function that encodes (texts, kind)."""
        documents = encode(self.documents.tolist(), "document")
        queries = encode(self.queries.tolist(), "query")
        positions, values = exact_search(documents, queries, min(depth, len(self.documents)))
        query_ids, doc_ids = self.queries.index.tolist(), self.documents.index.to_numpy()
        return as_run(query_ids, doc_ids, positions, values)


@dataclass
class History:
    """What a run has seen so far: loss by step, validation scores by query for each check."""

    loss: list[float] = field(default_factory=list)
    checks: dict[int, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, seen: dict[str, Any]) -> History:
        """Return the history that :meth:`as_dict` put down."""
        return cls(seen["loss"], {int(step): scores for step, scores in seen["checks"].items()})

    def as_dict(self) -> dict[str, Any]:
        """Return loss and checks, for JSON."""
        return asdict(self)

    def is_exhausted(self, patience: int) -> bool:
        """Return whether so many checks came after the best one; a patience of 0 is endless."""
        steps = list(self.checks)
        return bool(patience and steps) and len(steps) - 1 - steps.index(self.best()) >= patience

    def best(self) -> int:
        """Return the step of the best mean validation score, the earliest among equals."""
        means = self._means()
        return max(means, key=lambda step: (means[step], -step))

    def chosen(self) -> int:
        """Return the latest step that validation cannot tell from the best: within one standard error.

        The error is that of the mean paired difference over queries; the one-standard-error rule
        (Breiman et al. 1984). Under a falling learning rate later weights are the steadier ones, and
        the best of several noisy scores is the luckiest.
        """
        top = self.best()
        later = [step for step in self.checks if step > top]
        as_good = [step for step in later if self._near(step, top)]
        return max([top, *as_good])

    def checkpoints(self) -> list[Checkpoint]:
        """Return every check with its loss and score, and how far it stands behind the best one."""
        found = []
        before = 0
        for step in sorted(self.checks):
            losses = self.loss[before:step]
            loss = float(np.mean(losses)) if losses else None
            found.append(Checkpoint(step, loss, self._means()[step], *self._behind(step, self.best())))
            before = step
        return found

    def _near(self, step: int, top: int) -> bool:
        behind, error = self._behind(step, top)
        return behind <= error

    def _behind(self, step: int, top: int) -> tuple[float, float]:
        """Return how much a step's mean lies below another's, and the standard error of that."""
        scores = self.checks[step]
        loss = np.array([best - scores[query] for query, best in self.checks[top].items()])
        # A single query has no spread; only what loses nothing on it is as good.
        error = float(np.std(loss, ddof=1)) / math.sqrt(len(loss)) if len(loss) > 1 else 0.0
        return float(loss.mean()), error

    def mean(self, step: int) -> float:
        """Return the mean validation score of a check."""
        return self._means()[step]

    def drawn(self) -> str:
        """Return the mean scores so far as a line of blocks, the lowest to the highest of them, and the last one."""
        means = [self.mean(step) for step in sorted(self.checks)]
        if not means:
            return ""
        low, spread = min(means), max(means) - min(means)
        heights = [round((len(BLOCKS) - 1) * (mean - low) / spread) if spread else 0 for mean in means]
        return f"validation {''.join(BLOCKS[height] for height in heights)} {means[-1]:.3f}"

    def _means(self) -> dict[int, float]:
        """Return the mean validation score of each check, by step."""
        return {step: float(np.mean(list(scores.values()))) for step, scores in self.checks.items()}

    def curve(self) -> pd.DataFrame:
        """Return ``step, loss, validation``, one row a step; step 0 is the base model."""
        steps = range(len(self.loss) + 1)
        table = pd.DataFrame({"step": steps, "loss": [np.nan, *self.loss]})
        table["validation"] = table["step"].map(self._means())
        return table
