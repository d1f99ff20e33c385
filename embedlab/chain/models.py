"""The models of a run: the base and what training made of it."""

from __future__ import annotations

from embedlab.chain.lab import Lab
from embedlab.models.encoder import Encoder, load_model


def lab_model(lab: Lab, name: str | None = None) -> Encoder:
    """Return a model with the run's precision and vector cache; the run's base model by default."""
    return load_model(name or lab.base_model, lab.settings["precision"], lab.vectors)


def tuned_model(lab: Lab) -> Encoder:
    """Return the model that step 14 put forward, after checking its recorded hashes."""
    return lab_model(lab, str(lab.path("14", "models/tuned/model.safetensors").parent))
