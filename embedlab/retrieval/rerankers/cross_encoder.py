"""Reranking by a second model that reads query and document together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from embedlab.data.trec import RUN, trec_order
from embedlab.files import sha256_json
from embedlab.models.cache import VectorCache, Vectors
from embedlab.models.cross_encoder import CrossScorer
from embedlab.progress import Progress

CHUNK = 256
"""Pairs after which scores are saved; a stopped scoring goes on from there."""

MAX_TOKENS = 256
"""Tokens of a pair that are read unless told otherwise."""


class PairScores:
    """What a cross-encoder says of pairs of texts; each pair is scored once.

    Args:
        scorer: the model.
        max_tokens: tokens of a pair that are read, at most those that the model can.
        cache: folder for the scores, by the model's and the texts' content; None keeps them in memory only.

    Attributes:
        digest: a hash of all that decides a score, the texts aside.
    """

    def __init__(self, scorer: CrossScorer, max_tokens: int = MAX_TOKENS, cache: Path | None = None) -> None:
        self.scorer = scorer
        self.max_tokens = min(max_tokens, scorer.max_length)
        self.digest = sha256_json([scorer.digest, self.max_tokens])
        # A score is a vector of one number.
        self._known = VectorCache(cache, self.digest)

    def of(self, pairs: Sequence[tuple[str, str]], bar: str) -> Vectors:
        """Return how well each document matches its query, float32 ``[len(pairs)]``.

        Args:
            pairs: query and document.
            bar: what the progress bar says.

        Raises:
            ModelError: if the model cannot be loaded, or scores are no numbers.
        """
        keys = [_key(pair) for pair in pairs]
        self._score_missing(dict(zip(keys, pairs, strict=True)), len(pairs), bar)
        return self._known.get(keys, 1)[:, 0]

    def _score_missing(self, pairs: dict[bytes, tuple[str, str]], total: int, title: str) -> None:
        """Score what is not known yet, pairs of like length together, so that little of a batch is padding."""
        order = _longest_first(pairs, (key for key in pairs if key not in self._known))
        with Progress(title, total, worth_showing=total > CHUNK) as bar:
            bar.advance(total - len(order))
            for start in range(0, len(order), CHUNK):
                chunk = order[start : start + CHUNK]
                scores = self.scorer.scores([pairs[key] for key in chunk], self.max_tokens)
                self._known.add(chunk, scores[:, None])
                bar.advance(len(chunk))


class CrossEncoderReranker:
    """A run in the order of a cross-encoder.

    Args:
        scorer: the model.
        documents: texts by document id.
        max_tokens: tokens of a pair that are read, at most those that the model can.
        cache: folder for the scores, see :class:`PairScores`.
    """

    def __init__(
        self, scorer: CrossScorer, documents: pd.Series, max_tokens: int = MAX_TOKENS, cache: Path | None = None
    ) -> None:
        self.documents = documents
        self._pairs = PairScores(scorer, max_tokens, cache)

    def scores(self, queries: pd.Series, run: pd.DataFrame) -> pd.DataFrame:
        """Return the run's pairs with their new score; cut the run to its top first.

        Args:
            queries: texts by query id.
            run: the pairs to score.

        Raises:
            ModelError: if the model cannot be loaded, or scores are no numbers.
        """
        pairs = [(queries[q], self.documents[d]) for q, d in zip(run["query_id"], run["doc_id"], strict=True)]
        found = self._pairs.of(pairs, "Reranking pairs").astype(float)
        return trec_order(run.assign(score=found)[RUN])


def _longest_first(pairs: dict[bytes, tuple[str, str]], keys: Iterable[bytes]) -> list[bytes]:
    return sorted(keys, key=lambda key: (-len(pairs[key][0]) - len(pairs[key][1]), key))


def _key(pair: tuple[str, str]) -> bytes:
    """Return the key of a pair: 32 bytes. As JSON, for two texts that are joined could be parted elsewhere too."""
    return bytes.fromhex(sha256_json(pair))
