"""Document-shared batches: a document once, several of its queries, no false negatives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import DataError
from embedlab.training.recipe import Recipe
from embedlab.trainset.answers import joint_answers


@dataclass(frozen=True)
class Batch:
    """One training step.

    Attributes:
        queries: query texts, ``q`` of them.
        documents: document ids, ``d`` of them: the positives first, then hard negatives.
        target: the column of each query's positive, ``[q]``.
        allowed: which documents count for which query, bool ``[q, d]``: its own positive and
            true negatives; other known positives and their relatives are masked.
        rows: the position of each query's row, ``q`` of them.
    """

    queries: list[str]
    documents: list[str]
    target: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    rows: list[int]


class BatchSampler:
    """Batches as a pure function of the training rows, the recipe's seed and the step number.

    Known answers other than the positive are masked, not pushed away, and so are their relatives.

    Args:
        rows: the canonical store: ``query_id, text, positive_ids, negatives, weight`` and, where
            judged, ``known_ids``, the relevant documents of any grade.
        relatives: for a document the name of its family, where there is one; near-duplicate documents
            are of one family (see :func:`embedlab.data.groups.relatives_of`). Relatives of what
            answers a query, or one with nearly the same text, are never its negatives.
        recipe: sizes and seed.

    Raises:
        DataError: if there are fewer than two documents to learn from.
    """

    def __init__(self, rows: pd.DataFrame, relatives: Mapping[str, str], recipe: Recipe) -> None:
        self.recipe = recipe
        self._relatives = relatives
        self._queries: dict[str, list[int]] = defaultdict(list)
        self._texts = rows["text"].tolist()
        self._answers = joint_answers(rows)
        self._weights = rows["weight"].to_numpy(dtype=float) if "weight" in rows else np.ones(len(rows))
        self._negatives = [[n["id"] for n in negatives] for negatives in rows["negatives"]]
        for position, ids in enumerate(rows["positive_ids"]):
            for doc_id in ids:
                self._queries[doc_id].append(position)
        self._documents = sorted(self._queries)
        if len(self._documents) < 2:
            raise DataError(f"{len(rows)} training rows name {len(self._documents)} documents; 2 or more are needed")

    @property
    def epoch(self) -> int:
        """The number of steps in which every document takes its turn, but for a rest smaller than a batch."""
        return max(1, len(self._documents) // min(self.recipe.documents, len(self._documents)))

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        rng = np.random.default_rng([self.recipe.seed, step])
        own = self._take(step)
        rows: list[int] = []
        target: list[int] = []
        for column, doc_id in enumerate(own):
            drawn = self._some_queries(doc_id, rng)
            rows += drawn
            target += [column] * len(drawn)
        documents = own + self._hard(rows, set(own), rng)
        allowed = [self._allowed(row, documents, column) for row, column in zip(rows, target, strict=True)]
        texts = [self._texts[row] for row in rows]
        return Batch(texts, documents, np.array(target), np.array(allowed), rows)

    def _take(self, step: int) -> list[str]:
        """Take the step's documents from an endless shuffled sequence without repeats in a batch."""
        size = min(self.recipe.documents, len(self._documents))
        order = np.random.default_rng([self.recipe.seed, 10**6 + step // self.epoch]).permutation(len(self._documents))
        start = (step % self.epoch) * size
        return [self._documents[i] for i in order[start : start + size]]

    def _some_queries(self, doc_id: str, rng: np.random.Generator) -> list[int]:
        """Draw a document's queries, the heavier ones more often."""
        known = self._queries[doc_id]
        count = min(self.recipe.queries_per_document, len(known))
        weights = self._weights[known]
        share = None if (weights == weights[0]).all() else weights / weights.sum()
        drawn = rng.choice(len(known), count, replace=False, p=share)
        return [known[i] for i in sorted(drawn)]

    def _hard(self, queries: list[int], taken: set[str], rng: np.random.Generator) -> list[str]:
        """Draw mined negatives that are positives of other rows.

        A document that only ever stands on the negative side would be pushed down whatever it says:
        in a closed corpus that is a bias against the very documents a held-out query wants.
        """
        mined = set[str]().union(*(self._negatives[query] for query in queries))
        pool = sorted((mined & self._queries.keys()) - taken)
        count = min(self.recipe.hard_negatives, len(pool))
        if not count:
            return []
        drawn = rng.choice(len(pool), count, replace=False)
        return [pool[i] for i in sorted(drawn)]

    def _allowed(self, query: int, documents: list[str], column: int) -> list[bool]:
        """Say which documents count for a query: its positive, and what neither answers it nor is a relative."""
        answers = self._answers[query]
        families = {self._relatives[d] for d in answers if d in self._relatives}
        allowed = []
        for i, d in enumerate(documents):
            right = d in answers or self._relatives.get(d) in families
            allowed.append(i == column or not right)
        return allowed
