"""The models of a run: the base and what training made of it."""

from __future__ import annotations

from embedlab.chain.artifacts.choose_base_model import Choice
from embedlab.chain.artifacts.train import TUNED, Training
from embedlab.chain.lab import Lab
from embedlab.models.encoder import Encoder, load_model


def lab_model(lab: Lab, name: str | None = None) -> Encoder:
    """Return a model with the run's precision and vector cache; by default the base model that goes on.

    That is the choice of step 03 where this step reads it, before it today's model.
    """
    if name is None:
        name = lab.read(Choice).model if Choice.step in lab.step.reads else lab.settings.base_model
    return load_model(name, lab.settings.precision, lab.vectors)


def tuned_model(lab: Lab) -> Encoder:
    """Return the model that training put forward, after checking its recorded hashes."""
    return lab_model(lab, str(lab.path(Training.step, f"{TUNED}/model.safetensors").parent))
