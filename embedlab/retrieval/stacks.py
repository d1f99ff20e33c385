"""Retrievers made of retrievers: any stack of them is one line, and is itself searched as one.

``Reranked(Fused([Dense(encoder, texts), BM25(texts)], weights=[.6, .4]), LateInteraction(encoder, texts), .4)``
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

import pandas as pd

from embedlab.data.trec import trec_order
from embedlab.progress import Progress
from embedlab.retrieval.base import DEPTH, Reranker, Retriever, Rewriter, top_k
from embedlab.retrieval.filtering.filters import Filter
from embedlab.retrieval.hybrid import fuse_ranks, fuse_weighted
from embedlab.retrieval.rerankers.late import TOP, rerank


class Known:
    """A run that was made elsewhere, such as by another engine, searched as what made it would be.

    Args:
        run: ``query_id, doc_id, score``; a query that it does not hold finds nothing.
        name: in tables.
    """

    def __init__(self, run: pd.DataFrame, name: str) -> None:
        self.run, self.name = run, name

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the part of the run that these queries may find."""
        run = self.run[self.run["query_id"].isin(queries.index)]
        return top_k(run if where is None else where.keep(run), k)


class Fused:
    """Several retrievers as one: by reciprocal rank, or by weighted scores where weights are given.

    Args:
        retrievers: asked one after another.
        weights: share of each one's score; None fuses ranks.
        name: in tables; blank: the names of all.
    """

    def __init__(self, retrievers: Sequence[Retriever], weights: Sequence[float] | None = None, name: str = "") -> None:
        self.name = name or " + ".join(retriever.name for retriever in retrievers)
        self.retrievers, self.weights = list(retrievers), weights

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries."""
        runs = [retriever.search(queries, max(k, DEPTH), where) for retriever in self.retrievers]
        if self.weights is None:
            return fuse_ranks(*runs, k=k)
        return fuse_weighted(runs, self.weights, k)


class Filtered:
    """A retriever that always searches with one filter."""

    def __init__(self, first: Retriever, where: Filter, name: str = "") -> None:
        self.name = name or f"{first.name}, filter on {where.field}"
        self.first, self.where = first, where

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries; of another filter, too, every result must hold."""
        if where is None:
            return self.first.search(queries, k, self.where)
        # Deep enough in nearly all cases: what the second filter removes is not searched for again.
        return top_k(where.keep(self.first.search(queries, 10 * k, self.where)), k)


class Remembered:
    """A reranker that scores each pair of query and document once, whatever stack asks for it.

    Queries are known by their ids, so it is asked with one set of queries. What it wraps must score a pair alike
    whatever other pairs it is asked for.
    """

    def __init__(self, reranker: Reranker) -> None:
        self.reranker = reranker
        self._known: dict[tuple[str, str], float] = {}

    def scores(self, queries: pd.Series, run: pd.DataFrame) -> pd.DataFrame:
        """Return the run's pairs with their new score."""
        pairs = list(zip(run["query_id"], run["doc_id"], strict=True))
        missing = run[[pair not in self._known for pair in pairs]]
        if len(missing):
            fresh = self.reranker.scores(queries, missing)
            found = zip(fresh["query_id"], fresh["doc_id"], fresh["score"], strict=True)
            self._known |= {(query_id, doc_id): score for query_id, doc_id, score in found}
        return trec_order(run.assign(score=[self._known[pair] for pair in pairs]))

    @contextmanager
    def past_cache(self) -> Iterator[None]:
        """Forget meanwhile what is known: what times a search wants."""
        before, self._known = self._known, {}
        try:
            yield
        finally:
            self._known = before


class Reranked:
    """A retriever whose first results are put in a new order.

    Args:
        first: finds the candidates.
        reranker: scores them anew.
        weight: share of the new score against the first one's, both scaled to 0..1 a query; 1 is the new alone.
        top: results of each query that are put in a new order; the others keep theirs below.
        name: in tables.
    """

    def __init__(
        self, first: Retriever, reranker: Reranker, weight: float = 1.0, top: int = TOP, name: str = ""
    ) -> None:
        self.name = name or f"{first.name}, top {top} reranked"
        self.first, self.reranker, self.weight, self.top = first, reranker, weight, top

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries."""
        run = self.first.search(queries, max(k, self.top), where)
        fresh = self.reranker.scores(queries, top_k(run, self.top))
        return top_k(rerank(run, fresh, self.weight, self.top), k)


class Rewritten:
    """A retriever that is asked in other words; several phrasings of one query are fused by reciprocal rank."""

    def __init__(self, first: Retriever, rewriter: Rewriter, name: str = "") -> None:
        self.name = name or f"{first.name}, rewritten"
        self.first, self.rewriter = first, rewriter

    def search(self, queries: pd.Series, k: int = DEPTH, where: Filter | None = None) -> pd.DataFrame:
        """Return the run of the queries."""
        phrasings = self.rewriter.rewrite(queries)
        turn = phrasings.groupby("query_id").cumcount()
        runs = []
        for _, rows in phrasings.groupby(turn):
            texts = pd.Series(rows["text"].to_numpy(), index=rows["query_id"].to_numpy())
            runs.append(self.first.search(texts, max(k, DEPTH), where))
        return top_k(runs[0], k) if len(runs) == 1 else fuse_ranks(*runs, k=k)


class Remembers(Protocol):
    """Anything that answers from memory, and can be made to compute anew."""

    def past_cache(self) -> AbstractContextManager[None]:
        """Compute everything anew meanwhile."""
        ...


class Answering:
    """A retriever that is asked for one query at a time, encoded anew: what is timed.

    Args:
        retriever: any stack.
        queries: texts by query id, those that will be asked: a filter knows them by their ids.
        memories: the models and rerankers inside the stack, which may not answer from what they remember.
    """

    def __init__(self, retriever: Retriever, queries: pd.Series, memories: Sequence[Remembers]) -> None:
        self.retriever, self.memories = retriever, memories
        self._id_of = dict(zip(queries.to_numpy(), queries.index, strict=True))

    def answer(self, text: str) -> pd.DataFrame:
        """Return the run of one query."""
        # Its bars would be one a query; inside another one none is shown.
        with ExitStack() as stack, Progress("", 0, worth_showing=False):
            for memory in self.memories:
                stack.enter_context(memory.past_cache())
            return self.retriever.search(pd.Series({self._id_of[text]: text}))
