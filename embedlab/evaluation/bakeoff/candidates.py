"""The candidates of a bake-off: models by name, other forms of their vectors, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embedlab.errors import EmbedlabError, ParameterError
from embedlab.evaluation.bakeoff.requirements import OPENVINO, SERVICE, TORCH, Suitability
from embedlab.models.encoder import Encoder, load_model
from embedlab.models.files.resolve import resolve
from embedlab.models.openvino import OpenVINOEncoder
from embedlab.models.served import SERVED, served
from embedlab.models.variants import OPENVINO as BY_OPENVINO
from embedlab.models.variants import EncodesTexts, Variant, bytes_per_vector, split_variant
from embedlab.progress import Progress
from embedlab.retrieval.dense import Dense

TODAY = "today"
"""How a candidate's name may begin in place of today's model."""


@dataclass(frozen=True)
class Source:
    """Where candidates come from.

    Attributes:
        precision: that models are loaded in; see :func:`embedlab.models.load_model`.
        cache: folder of the vector cache; None keeps vectors in memory only.
        token_budget: most tokens that are sent to each served model.
        key_variable: environment variable with the key of served models.
        device: on which models run that are loaded here.
    """

    precision: str
    cache: Path | None = None
    token_budget: int = 1_000_000
    key_variable: str = "OPENAI_API_KEY"
    device: str = "cpu"


@dataclass(frozen=True)
class Candidate:
    """One candidate.

    Attributes:
        name: as it is named in tables: today's model spelled out.
        encoder: its vectors.
        computes: the candidate whose model computes them; its own name where that is this one.
        truncated: share of the documents that its model cuts off; None where nobody knows its tokens.
    """

    name: str
    encoder: EncodesTexts
    computes: str
    truncated: float | None

    @property
    def label(self) -> str:
        """A short name: without what stands before its last slash."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def is_variant(self) -> bool:
        """Whether its vectors are another candidate's in another form, so that it takes no time of its own."""
        return self.computes != self.name

    @property
    def model(self) -> EncodesTexts:
        """What computes its vectors."""
        found = self.encoder
        while isinstance(found, Variant):
            found = found.encoder
        return found

    @property
    def runtime(self) -> str:
        """What runs it, of :data:`embedlab.evaluation.RUNTIMES`."""
        if isinstance(self.model, OpenVINOEncoder):
            return OPENVINO
        return TORCH if isinstance(self.model, Encoder) else SERVICE

    @property
    def why_not_base(self) -> str:
        """Why training cannot begin with it; blank where it can."""
        if self.is_variant:
            return "a form in which vectors are stored: its model is what goes on"
        return {
            OPENVINO: "a way to run a model: its model is what goes on",
            SERVICE: "a served model, whose weights nobody here can train",
        }.get(self.runtime, "")

    @property
    def why_not_tuned(self) -> str:
        """Why no probe can train it; blank where one can."""
        if self.why_not_base or not isinstance(self.model, Encoder):
            return self.why_not_base
        return "" if self.model.model.transformers_model is not None else "a table of word vectors is not tuned here"

    def search(self, documents: pd.Series, queries: pd.Series) -> pd.DataFrame:
        """Return the run of exact search with its vectors; a variant's texts are encoded by now, so no bar is shown."""
        if not self.is_variant:
            return Dense(self.encoder, documents).search(queries)
        with Progress("", 0, worth_showing=False):
            return Dense(self.encoder, documents).search(queries)

    def facts(self) -> dict[str, Any]:
        """Return what is known of it without a clock, for a table.

        Returns:
            ``dimensions``; ``bytes_per_document`` in a store; ``parameters`` and ``memory_mb`` of its weights;
            ``max_tokens`` in words; ``truncated``, a share; ``runtime``; ``languages`` and ``licence`` of its card.
            What nobody knows is None or blank.
        """
        files = self.model.files if isinstance(self.model, Encoder) else None
        return {
            "dimensions": self.encoder.identity.dimensions,
            "bytes_per_document": bytes_per_vector(self.encoder.identity),
            "parameters": self.model.parameters() if isinstance(self.model, Encoder) else None,
            "memory_mb": self.model.weight_bytes() / 1e6 if isinstance(self.model, Encoder) else None,
            "max_tokens": self._max_tokens(),
            "truncated": self.truncated,
            "runtime": self.runtime,
            "languages": ", ".join(files.languages) if files else "",
            "licence": files.licence if files else "",
        }

    def _max_tokens(self) -> str:
        """Return in words where its model cuts a text off."""
        if not isinstance(self.model, Encoder):
            return "not known"
        return str(self.model.identity.max_length or "no limit")

    def suitability(
        self, facts: Mapping[str, Any], query_ms: float | None, index_mb: float | None, million_queries: float | None
    ) -> Suitability:
        """Return what its gates are asked of: what is known, and what was measured.

        Args:
            facts: see :meth:`facts`.
            query_ms: 95th percentile of one query.
            index_mb: megabytes of index.
            million_queries: what encoding a million queries costs.
        """
        modality = self.model.files.modality if isinstance(self.model, Encoder) else "text"
        languages = tuple(filter(None, facts["languages"].split(", ")))
        memory, truncated = _known(facts["memory_mb"]), _known(facts["truncated"])
        return Suitability(
            *(languages, facts["licence"], self.runtime, query_ms, index_mb, truncated, memory, million_queries),
            modality=modality,
        )


def _known(value: float | None) -> float | None:
    """Return a number, None where a table made of its absence what is no number."""
    return None if value is None or np.isnan(value) else float(value)


def spelled(names: Sequence[str], today: str) -> list[str]:
    """Return candidates with today's model first and spelled out, and before each variant the model that computes it.

    Args:
        names: packaged models, folders, hub ids, served models, and forms of these behind ``@``; ``today`` is today's.
        today: today's model.
    """
    found = [today]
    for name in names:
        model, forms = split_variant(name)
        parts = [today if model == TODAY else model, *forms]
        found += ["@".join(parts[: _computing(forms)]), "@".join(parts)]
    return list(dict.fromkeys(found))


def _computing(forms: Sequence[str]) -> int:
    """Return how many parts of a name say what computes the vectors: the model, and what runs it."""
    return 2 if forms and forms[0] == BY_OPENVINO else 1


def load_candidates(
    names: Sequence[str], documents: Sequence[str], source: Source
) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Return the candidates that can be had by name, loaded, and of each other one why it cannot.

    Args:
        names: as :func:`spelled` returns them.
        documents: the corpus, of which a model may cut off some, and on which the ranges of quantized vectors are
            learned.
        source: where they come from.
    """
    found: dict[str, Candidate] = {}
    refused: dict[str, str] = {}
    for name in names:
        try:
            found[name] = _candidate(name, list(documents), found, source)
        except EmbedlabError as error:
            refused[name] = str(error)
    return found, refused


def _candidate(name: str, documents: list[str], known: dict[str, Candidate], source: Source) -> Candidate:
    model, forms = split_variant(name)
    count = _computing(forms)
    computes = "@".join([model, *forms][:count])
    if computes == name:
        found = _loaded(model, forms, source)
        return Candidate(name, found, computes, _truncated(found, documents))
    if computes not in known:
        raise ParameterError(f"its model {computes} cannot be had")
    encoder = known[computes].encoder
    for form in forms[count - 1 :]:
        encoder = Variant(encoder, form, documents)
    return Candidate(name, encoder, computes, known[computes].truncated)


def _truncated(encoder: EncodesTexts, documents: list[str]) -> float | None:
    if not isinstance(encoder, Encoder):
        return None
    limit = encoder.identity.max_length
    return float(np.mean(np.array(encoder.token_counts(documents)) > limit)) if limit and documents else 0.0


def _loaded(model: str, forms: Sequence[str], source: Source) -> EncodesTexts:
    if model.startswith(SERVED):
        if forms:
            raise ParameterError(f"{model} is a service: OpenVINO runs models whose weights are here")
        return served(model, source.cache, source.token_budget, source.key_variable)
    if forms:
        return OpenVINOEncoder(resolve(model), source.cache).load()
    return load_model(model, source.precision, source.cache, source.device).load()
