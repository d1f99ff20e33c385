"""Embedding models: resolve, verify, fingerprint and encode with the vector cache."""

from __future__ import annotations

from embedlab.models.encoder import Encoder as Encoder
from embedlab.models.encoder import cosine_to_fp32 as cosine_to_fp32
from embedlab.models.encoder import lab_model as lab_model
from embedlab.models.encoder import load_model as load_model
from embedlab.models.encoder import tuned_model as tuned_model
from embedlab.models.identity import EmbeddingIdentity as EmbeddingIdentity
from embedlab.models.resolve import resolve as resolve

__all__ = ["EmbeddingIdentity", "Encoder", "cosine_to_fp32", "lab_model", "load_model", "resolve", "tuned_model"]
