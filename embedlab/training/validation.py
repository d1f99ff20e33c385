"""What a model in training is scored on, and what a run has seen so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from embedlab.evaluation.metrics import per_query
from embedlab.retrieval.base import DEPTH, as_run
from embedlab.retrieval.dense import exact_search


@dataclass(frozen=True)
class Validation:
    """Queries, judgments and documents that a model in training is scored on."""

    queries: pd.Series
    qrels: pd.DataFrame
    documents: pd.Series
    metric: str

    def scores(self, encode: Callable[[list[str], Literal["query", "document"]], Any]) -> pd.Series:
        """Return the measure by query id, for a function that encodes (texts, kind)."""
        documents = encode(self.documents.tolist(), "document")
        queries = encode(self.queries.tolist(), "query")
        positions, values = exact_search(documents, queries, min(DEPTH, len(self.documents)))
        run = as_run(self.queries.index.tolist(), self.documents.index.to_numpy(), positions, values)
        return per_query(self.qrels, run, [self.metric])[self.metric]


@dataclass
class History:
    """What a run has seen so far: loss by step, validation scores by query for each check."""

    loss: list[float] = field(default_factory=list)
    checks: dict[int, dict[str, float]] = field(default_factory=dict)

    def best(self) -> int:
        """Return the step of the best mean validation score, the earliest among equals."""
        return max(self.checks, key=lambda step: (np.mean(list(self.checks[step].values())), -step))

    def chosen(self) -> int:
        """Return the latest step that validation cannot tell from the best: within one standard error.

        The error is that of the mean paired difference over queries; the one-standard-error rule
        (Breiman et al. 1984). Under a falling learning rate later weights are the steadier ones, and
        the best of several noisy scores is the luckiest.
        """
        top = self.best()
        return max(step for step in self.checks if step == top or (step > top and self._near(step, top)))

    def _near(self, step: int, top: int) -> bool:
        queries = list(self.checks[top])
        loss = np.array([self.checks[top][q] - self.checks[step][q] for q in queries])
        error = float(np.std(loss, ddof=1)) / math.sqrt(len(loss)) if len(loss) > 1 else 0.0
        return float(loss.mean()) <= error

    def curve(self) -> pd.DataFrame:
        """Return ``step, loss, validation``, one row a step; step 0 is the base model."""
        rows = [{"step": 0, "loss": np.nan}, *({"step": i + 1, "loss": v} for i, v in enumerate(self.loss))]
        means = {step: float(np.mean(list(scores.values()))) for step, scores in self.checks.items()}
        return pd.DataFrame(rows).assign(validation=lambda d: d["step"].map(means))
