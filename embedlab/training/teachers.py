"""Models that another learns from, and what they say of a batch: bi-encoders and cross-encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.models.cache import Vectors
from embedlab.models.cross_encoder import CrossScorer, load_cross_encoder
from embedlab.models.encoder import Encoder, load_model
from embedlab.models.files.folder import CROSS
from embedlab.models.files.resolve import kind_named
from embedlab.models.variants import EncodesTexts
from embedlab.retrieval.rerankers.cross_encoder import PairScores
from embedlab.training.batches import Batch
from embedlab.training.losses import SCALE

ASKED = 8
"""Documents beside the positive of which a cross-encoder says for each query how well they match."""


class Teacher(Protocol):
    """What says how well the documents of a batch match its queries."""

    @property
    def source(self) -> str:
        """What :func:`load_teacher` finds it by again."""
        ...

    @property
    def digest(self) -> str:
        """A hash of all that decides what it says, the texts aside."""
        ...

    def prepare(self, batches: Sequence[Batch], documents: pd.Series) -> None:
        """Read what some batches will ask, all at once, which is faster than batch by batch."""
        ...

    def scores(self, batch: Batch, documents: pd.Series) -> Vectors:
        """Return float32 ``[queries, documents]`` on the scale of cosines, NaN where it is not asked."""
        ...


class BiEncoderTeacher:
    """A bi-encoder, which says its cosine of every query and document of a batch.

    Args:
        encoder: the model.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @property
    def source(self) -> str:
        """Id or folder of the model."""
        return self.encoder.files.source

    @property
    def digest(self) -> str:
        """The hash of its space."""
        return self.encoder.identity.digest

    def prepare(self, batches: Sequence[Batch], documents: pd.Series) -> None:
        """Encode all texts of some batches."""
        _encode(self.encoder, batches, documents)

    def scores(self, batch: Batch, documents: pd.Series) -> Vectors:
        """Return its cosines, float32 ``[queries, documents]``."""
        return cosines(self.encoder, batch, documents)


class CrossEncoderTeacher:
    """A cross-encoder, which is asked about each query's positive and the :data:`ASKED` nearest other documents.

    To ask about every document of a batch would take many times as long, and what the base finds far away is told
    apart without help. Which are nearest is what the untuned base says. Scores are logits; divided by the scale of
    the losses they stand where cosines do, so that a loss sees the model's own distribution (as in RankT5,
    Zhuang et al. 2023).

    Args:
        scorer: the model.
        base: the untuned model.
        cache: folder for the scores; None keeps them in memory only.
    """

    def __init__(self, scorer: CrossScorer, base: EncodesTexts, cache: Path | None = None) -> None:
        self.scorer, self.base = scorer, base
        self._pairs = PairScores(scorer, cache=cache)

    @property
    def source(self) -> str:
        """Id or folder of the model."""
        return self.scorer.files.source

    @property
    def digest(self) -> str:
        """The hash of its scores."""
        return self._pairs.digest

    def prepare(self, batches: Sequence[Batch], documents: pd.Series) -> None:
        """Score all pairs of some batches."""
        _encode(self.base, batches, documents)
        pairs = [pair for batch in batches for pair in _texts(batch, self._asked(batch, documents), documents)]
        self._pairs.of(pairs, "Asking the teacher")

    def scores(self, batch: Batch, documents: pd.Series) -> Vectors:
        """Return its logits over :data:`~embedlab.training.losses.SCALE`; see :meth:`Teacher.scores`."""
        asked = self._asked(batch, documents)
        found = np.full(asked.shape, np.nan, dtype=np.float32)
        found[asked] = self._pairs.of(_texts(batch, asked, documents), "Asking the teacher") / SCALE
        return found

    def _asked(self, batch: Batch, documents: pd.Series) -> NDArray[np.bool_]:
        """Return which pairs it is asked about, bool ``[queries, documents]``."""
        near = cosines(self.base, batch, documents)
        np.put_along_axis(near, batch.target[:, None], np.inf, axis=1)
        first = np.argsort(-near, axis=1, kind="stable")[:, : 1 + ASKED]
        asked = np.zeros(near.shape, dtype=bool)
        np.put_along_axis(asked, first, True, axis=1)
        return asked


def load_teacher(name: str, base: Encoder, cache: Path | None = None) -> Teacher:
    """Load a teacher in the precision and on the device of the model that learns from it.

    Args:
        name: id or folder of a bi-encoder or a cross-encoder.
        base: the untuned model.
        cache: folder for what the teacher says; None keeps it in memory only.

    Raises:
        ModelError: if it cannot be had here, is neither, or its files are not what they should be.
    """
    precision, device = base.identity.precision, base.device
    if kind_named(name) == CROSS:
        return CrossEncoderTeacher(load_cross_encoder(name, precision, device), base, cache)
    return BiEncoderTeacher(load_model(name, precision, cache, device))


def cosines(model: EncodesTexts, batch: Batch, documents: pd.Series) -> Vectors:
    """Return a model's cosines between a batch's queries and documents, float32 ``[queries, documents]``."""
    found = model.encode([documents[doc_id] for doc_id in batch.documents])
    return model.encode(batch.queries, "query") @ found.T


def _encode(model: EncodesTexts, batches: Sequence[Batch], documents: pd.Series) -> None:
    """Let a model keep the vectors of all texts of some batches."""
    met = dict.fromkeys(doc_id for batch in batches for doc_id in batch.documents)
    model.encode([documents[doc_id] for doc_id in met])
    model.encode(list(dict.fromkeys(query for batch in batches for query in batch.queries)), "query")


def _texts(batch: Batch, asked: NDArray[np.bool_], documents: pd.Series) -> list[tuple[str, str]]:
    """Return the query's and the document's text of each pair that is asked about, in the order of the matrix."""
    return [(batch.queries[q], documents[batch.documents[d]]) for q, d in zip(*asked.nonzero(), strict=True)]
