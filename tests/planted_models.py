"""Models made for a test from the packaged one."""

from pathlib import Path

from embedlab.models import load_model

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def shallow_minilm(folder: Path, layers: int) -> Path:
    """Write MiniLM with its first layers alone: a transformer that can be trained, and knows less."""
    model = load_model(MINILM, "float32").model
    transformer = model[0].auto_model
    transformer.encoder.layer = transformer.encoder.layer[:layers]
    transformer.config.num_hidden_layers = layers
    model.save_pretrained(str(folder))
    return folder
