"""Search systems by name: which model and which settings, as plain values that load without pandas or faiss."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from embedlab.files import sha256_json

CHUNKING = ("none", "long", "all")

LEXICAL, ENGINE = "bm25", "run"
"""Kinds of systems without a model of ours: BM25 alone, and an engine that is known by its rankings."""


@dataclass(frozen=True)
class Settings:
    """What a pipeline does; each model gets its own.

    Attributes:
        chunk: ``none``: whole documents; ``long``: passages of what the model would cut off; ``all``.
        filter_field: the metadata field that a result must share with its query; empty: none.
        index: ``flat`` or ``hnsw``.
        weight: share of the dense score in the fusion with BM25; 1 is dense alone, 0 BM25 alone.
        rerank_weight: share of the late-interaction score in the top 20; 0 is no rerank.
        threshold: smallest cosine of a result that is still shown; None shows all.
        passage_words: words in a passage.
        passage_overlap: words that neighbouring passages share.
        rerank_tokens: tokens of a document that the reranker reads.
    """

    chunk: str = "none"
    filter_field: str = ""
    index: str = "flat"
    weight: float = 1.0
    rerank_weight: float = 0.0
    threshold: float | None = None
    passage_words: int = 120
    passage_overlap: int = 30
    rerank_tokens: int = 64

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)

    def in_words(self) -> str:
        """Return the stages that a query passes, such as ``dense .6 with BM25, top 20 reranked (.4)``."""
        found = ["BM25" if self.weight == 0 else "dense" if self.weight == 1 else f"dense {self.weight:.1f} with BM25"]
        if self.chunk != "none":
            found.append(f"passages ({self.chunk})")
        if self.filter_field:
            found.append(f"filtered by {self.filter_field}")
        if self.rerank_weight > 0:
            found.append(f"top 20 reranked ({self.rerank_weight:.1f})")
        if self.index != "flat":
            found.append(f"{self.index} index")
        return ", ".join(found)


@dataclass(frozen=True)
class Stages:
    """What may be tried when the stages of a pipeline are chosen.

    Attributes:
        chunk: ``long``: passages of what the model would cut off, ``all``: of every document; ``none``: no passages.
        passage_words: words in a passage.
        passage_overlap: words that neighbouring passages share.
        index: ``flat`` or ``hnsw``.
        rerank_tokens: tokens of a document that the reranker reads.
        least_gain: what a costlier stage, passages or rerank, must add to be taken.
    """

    chunk: str = "long"
    passage_words: int = 120
    passage_overlap: int = 30
    index: str = "flat"
    rerank_tokens: int = 64
    least_gain: float = 0.005

    def settings(self, chunk: str) -> Settings:
        """Return the settings that are not chosen, with one way of chunking."""
        return Settings(
            chunk=chunk,
            index=self.index,
            passage_words=self.passage_words,
            passage_overlap=self.passage_overlap,
            rerank_tokens=self.rerank_tokens,
        )


@dataclass(frozen=True)
class System:
    """What answers a user, as a whole.

    Attributes:
        name: in tables and figures, such as ``hybrid (base)``.
        kind: ``dense``, ``bm25``, ``hybrid``, ``pipeline``, or ``run``: known by its rankings alone.
        model: whose vectors it searches: ``today``, ``base`` or ``tuned``; blank where it searches none.
        weights: sha256 of the model's weights; of the rankings, for kind ``run``.
        settings: what its pipeline does; None for kind ``run``.
    """

    name: str
    kind: str
    model: str
    weights: str
    settings: Settings | None

    @property
    def hash(self) -> str:
        """A hash of all that decides what it answers: its name is left out."""
        return sha256_json({field: value for field, value in asdict(self).items() if field != "name"})

    def in_words(self) -> str:
        """Return its name and its stages."""
        return f"{self.name}: {self.settings.in_words() if self.settings else 'its own rankings'}"


BM25_ALONE = System("BM25", LEXICAL, "", "", Settings(weight=0.0))


def systems_of(model: str, weights: str, hybrid_weight: float, pipeline: Settings) -> dict[str, System]:
    """Return the systems that one model makes, by kind: alone, fused with BM25, and with every stage.

    Args:
        model: whose it is: ``today``, ``base`` or ``tuned``.
        weights: sha256 of its weights.
        hybrid_weight: share of its score in plain fusion.
        pipeline: settings of all stages.
    """
    settings = {"dense": Settings(), "hybrid": Settings(weight=hybrid_weight), "pipeline": pipeline}
    names = {"dense": model, "hybrid": f"hybrid ({model})", "pipeline": f"pipeline ({model})"}
    return {kind: System(names[kind], kind, model, weights, chosen) for kind, chosen in settings.items()}


def needs_embedding(system: System, production: System) -> bool:
    """Return whether a system needs vectors that production surely does not have.

    An engine known by its rankings is taken to have them, which asks more of tuning.
    """
    return bool(system.model) and production.kind != ENGINE and system.weights != production.weights
