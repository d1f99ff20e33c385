"""Reranking by a second model that reads query and document together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from embedlab.data.trec import RUN, trec_order
from embedlab.files import sha256_json
from embedlab.models.cache import VectorCache
from embedlab.models.cross_encoder import CrossScorer
from embedlab.progress import Progress

CHUNK = 256
"""Pairs after which scores are saved; a stopped scoring goes on from there."""

MAX_TOKENS = 256
"""Tokens of a pair that are read unless told otherwise."""


class CrossEncoderReranker:
    """Scores of pairs by a cross-encoder, each pair scored once.

    Args:
        scorer: the model.
        documents: texts by document id.
        max_tokens: tokens of a pair that are read, at most those that the model can.
        cache: folder for the scores, by the model's and the texts' content; None keeps them in memory only.
    """

    def __init__(
        self, scorer: CrossScorer, documents: pd.Series, max_tokens: int = MAX_TOKENS, cache: Path | None = None
    ) -> None:
        self.scorer, self.documents = scorer, documents
        self.max_tokens = min(max_tokens, scorer.max_length)
        # A score is a vector of one number.
        self._known = VectorCache(cache, sha256_json([scorer.digest, self.max_tokens]))

    def scores(self, queries: pd.Series, run: pd.DataFrame) -> pd.DataFrame:
        """Return the run's pairs with their new score; cut the run to its top first.

        Args:
            queries: texts by query id.
            run: the pairs to score.

        Raises:
            ModelError: if the model cannot be loaded, or scores are no numbers.
        """
        pairs = [(queries[q], self.documents[d]) for q, d in zip(run["query_id"], run["doc_id"], strict=True)]
        keys = [_key(pair) for pair in pairs]
        self._score_missing(dict(zip(keys, pairs, strict=True)), len(pairs))
        found = self._known.get(keys, 1)[:, 0].astype(float)
        return trec_order(run.assign(score=found)[RUN])

    def _score_missing(self, pairs: dict[bytes, tuple[str, str]], total: int) -> None:
        """Score what is not known yet, pairs of like length together, so that little of a batch is padding."""
        order = _longest_first(pairs, (key for key in pairs if key not in self._known))
        with Progress("Reranking pairs", total, worth_showing=total > CHUNK) as bar:
            bar.advance(total - len(order))
            for start in range(0, len(order), CHUNK):
                chunk = order[start : start + CHUNK]
                scores = self.scorer.scores([pairs[key] for key in chunk], self.max_tokens)
                self._known.add(chunk, scores[:, None])
                bar.advance(len(chunk))


def _longest_first(pairs: dict[bytes, tuple[str, str]], keys: Iterable[bytes]) -> list[bytes]:
    return sorted(keys, key=lambda key: (-len(pairs[key][0]) - len(pairs[key][1]), key))


def _key(pair: tuple[str, str]) -> bytes:
    """Return the key of a pair: 32 bytes. As JSON, for two texts that are joined could be parted elsewhere too."""
    return bytes.fromhex(sha256_json(pair))
