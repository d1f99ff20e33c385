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
        self._negatives: list[list[str]] = []
        for negatives in rows["negatives"]:
            self._negatives.append([negative["id"] for negative in negatives])
        for position, ids in enumerate(rows["positive_ids"]):
            for doc_id in ids:
                self._queries[doc_id].append(position)
        # Sorted, so that which documents meet in a batch does not hang on the order of the rows.
        self._documents = sorted(self._queries)
        if len(self._documents) < 2:
            raise DataError(f"{len(rows)} training rows name {len(self._documents)} documents; 2 or more are needed")

    @property
    def epoch(self) -> int:
        """The number of steps in which every document takes its turn, but for a rest smaller than a batch."""
        return max(1, len(self._documents) // min(self.recipe.documents, len(self._documents)))

    @property
    def mined(self) -> list[frozenset[str]]:
        """The documents that were mined as negatives of each row."""
        return [frozenset(ids) for ids in self._negatives]

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
        return self._batch(rows, target, own + self._hard(rows, set(own), rng))

    def everything(self) -> Batch:
        """Return one batch of every document that is some row's positive, with all of its queries."""
        rows: list[int] = []
        target: list[int] = []
        for column, doc_id in enumerate(self._documents):
            rows += self._queries[doc_id]
            target += [column] * len(self._queries[doc_id])
        return self._batch(rows, target, self._documents)

    def _batch(self, rows: list[int], target: list[int], documents: list[str]) -> Batch:
        allowed = [self._allowed(row, documents, column) for row, column in zip(rows, target, strict=True)]
        texts = [self._texts[row] for row in rows]
        return Batch(texts, documents, np.array(target), np.array(allowed), rows)

    def _take(self, step: int) -> list[str]:
        """Take the step's documents from an endless shuffled sequence without repeats in a batch."""
        size = min(self.recipe.documents, len(self._documents))
        number, step_of_epoch = divmod(step, self.epoch)
        # `batch` draws with (seed, step); the million keeps the order's draws apart from those.
        rng = np.random.default_rng([self.recipe.seed, 10**6 + number])
        order = rng.permutation(len(self._documents))
        start = step_of_epoch * size
        return [self._documents[i] for i in order[start : start + size]]

    def _some_queries(self, doc_id: str, rng: np.random.Generator) -> list[int]:
        """Draw a document's queries, the heavier ones more often."""
        known = self._queries[doc_id]
        count = min(self.recipe.queries_per_document, len(known))
        weights = self._weights[known]
        all_equal = (weights == weights[0]).all()
        # Told of equal shares numpy draws others than told of none: weights of 1 are to change nothing.
        share = None if all_equal else weights / weights.sum()
        drawn = rng.choice(len(known), count, replace=False, p=share)
        return [known[i] for i in sorted(drawn)]

    def _hard(self, queries: list[int], taken: set[str], rng: np.random.Generator) -> list[str]:
        """Draw mined negatives that are positives of other rows.

        A document that only ever stands on the negative side would be pushed down whatever it says:
        in a closed corpus that is a bias against the very documents a held-out query wants.
        """
        mined: set[str] = set()
        for query in queries:
            mined.update(self._negatives[query])
        positives = self._queries.keys()
        # Sorted, for the order of a set of texts is another in every process.
        pool = sorted((mined & positives) - taken)
        count = min(self.recipe.hard_negatives, len(pool))
        if not count:
            return []
        drawn = rng.choice(len(pool), count, replace=False)
        return [pool[i] for i in sorted(drawn)]

    def _allowed(self, query: int, documents: list[str], column: int) -> list[bool]:
        """Say which documents count for a query: its positive, and what neither answers it nor is a relative."""
        answers = self._answers[query]
        families = {self._relatives[doc_id] for doc_id in answers if doc_id in self._relatives}
        allowed = []
        for i, doc_id in enumerate(documents):
            family = self._relatives.get(doc_id)  # None, that of a document without one, is in no set of families
            right = doc_id in answers or family in families
            allowed.append(i == column or not right)
        return allowed
