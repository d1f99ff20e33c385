"""Notebook 03: a candidate whose files are damaged is a row that says so, and the others are compared."""

import pytest
from faulty.models import WEIGHTS, cut, weights, write_tiny
from notebook_cells import run_cells

from embedlab.chain.artifacts.choose_base_model import Choice
from embedlab.models import MINILM

pytestmark = pytest.mark.model


def test_damaged_candidates_are_rows_that_say_so(started, tmp_path):
    broken = {
        "whole": None,
        "cut": cut(WEIGHTS, 0.5),
        "thin": weights(lambda found: found.pop("embeddings.LayerNorm.bias")),
    }
    for name, change in broken.items():
        write_tiny(tmp_path / name)
        if change is not None:
            change(tmp_path / name)
    whole, short, thin = (str(tmp_path / name) for name in broken)
    names = run_cells("03", candidates=[whole, short, thin], timing_queries=2, timing_documents=2)
    assert set(names["encoders"]) == {MINILM, whole}
    choice = started.artifact(Choice)
    assert choice.model == MINILM
    assert set(choice.refused) == {short, thin}
    assert "no whole file of safetensors" in choice.refused[short]
    assert "stand in no file" in choice.refused[thin]
