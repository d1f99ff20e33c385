"""The models of a run: the base and what training made of it.

Nearly every step takes a model from here, so what steps 03 and 14 wrote is asked for by name: a step
before them shall not be stale because their artifacts are defined anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from embedlab.chain.lab import Lab
from embedlab.chain.store import Store
from embedlab.data.text import fold
from embedlab.errors import DataError, shown
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Encoder, Kind, load_model
from embedlab.models.identity import EmbeddingIdentity
from embedlab.progress import Progress
from embedlab.training.teachers import Teacher, load_teacher

DEFINES, CHOOSES, SPLITS, TRAINS = "01", "03", "13", "14"
"""The steps that define the problem, choose the base model, divide the training rows and train it."""


def lab_model(lab: Lab, name: str | None = None) -> Encoder:
    """Return a model with the run's precision and vector cache; by default the base model that goes on.

    That is the choice of step 03 where this step reads it, before it today's model.
    """
    if name is None:
        name = lab.read(CHOOSES, "choice.json")["model"] if CHOOSES in lab.step.reads else lab.settings.base_model
    return load_model(name, lab.settings.precision, lab.vectors, lab.settings.device)


def tuned_model(lab: Lab) -> Encoder:
    """Return the model that training put forward, after checking its recorded hashes."""
    return lab_model(lab, str(lab.path(TRAINS, "models/tuned/model.safetensors").parent))


def teacher_model(lab: Lab, name: str, encoder: Encoder) -> Teacher:
    """Return what a model is to learn from, unless it was trained on queries that judge it.

    What a model learned before it came here is not known; of one in a run's folder, that run says it.

    Args:
        lab: the open step.
        name: of a bi-encoder or a cross-encoder, its hub id or folder, such as another run's ``models/tuned``.
        encoder: the base model, which learns.

    Raises:
        DataError: if it was trained on queries of this run's dev or test; names how many and one of them.
    """
    places = [folder / Store.place(SPLITS, "training.parquet") for folder in Path(name).resolve().parents]
    rows = next((place for place in places if place.is_file()), None)
    if rows is not None:
        queries = lab.read(DEFINES, "queries.parquet")
        held = queries.loc[queries["part"].isin(["dev", "test"]), "text"].map(fold)
        taught = sorted(set(pd.read_parquet(rows)["text"].map(fold)) & set(held))
        if taught:
            raise DataError(
                f"{name}: was trained on {len(taught):,} queries that judge this run, such as {shown(taught[0])!r} "
                f"({rows}); train the teacher with this run's parts and seed"
            )
    return load_teacher(name, encoder, lab.vectors)


class FromCache:
    """A model that answers from its vector cache also where it is asked to encode anew; otherwise itself.

    A re-indexing encodes every document anew, as it must where it runs for real. In a run, earlier steps have encoded
    the same corpus, minutes of work that would show nothing a second time.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._encoder.name

    @property
    def identity(self) -> EmbeddingIdentity:
        """The space of its vectors."""
        return self._encoder.identity

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one vector a text, as the model does."""
        return self._encoder.encode(texts, kind)

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one vector a text, from the cache where it is there."""
        # What is known takes no time that a bar would help to bear; inside another one none is shown.
        with Progress("", 0, worth_showing=False):
            return self.encode(texts, kind)


def service_name(encoder: Encoder) -> str:
    """Return the name by which a service knows a model: no two models share one."""
    return f"{encoder.name.rsplit('/', 1)[-1]}-{encoder.identity.digest[:8]}"


def service_models(*encoders: Encoder, cached: bool = False) -> Callable[[str, str], Encoder | FromCache]:
    """Return what loads these models for a service, by their :func:`service_name`.

    Args:
        encoders: the models that its releases name.
        cached: let them answer from the run's cache also where they are asked to encode anew.
    """
    known: dict[str, Encoder | FromCache] = {}
    for encoder in encoders:
        known[service_name(encoder)] = FromCache(encoder) if cached else encoder
    return lambda name, precision: known[name]
