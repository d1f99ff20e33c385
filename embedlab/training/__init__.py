"""Training: document-shared batches, losses, the trainer and the cheap probe."""

from __future__ import annotations

from embedlab.training.batches import Batch as Batch
from embedlab.training.batches import BatchSampler as BatchSampler
from embedlab.training.losses import LOSSES as LOSSES
from embedlab.training.probe import probe as probe
from embedlab.training.recipe import Recipe as Recipe
from embedlab.training.trainer import Trainer as Trainer
from embedlab.training.validation import Validation as Validation

__all__ = ["LOSSES", "Batch", "BatchSampler", "Recipe", "Trainer", "Validation", "probe"]
