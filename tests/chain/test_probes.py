"""The probe of a run with several training seeds."""

import pandas as pd

from embedlab.chain import probe_by_seed, probes
from embedlab.training import Recipe


def test_a_column_a_seed_each_trained_with_its_own(monkeypatch):
    def scores(lab, encoder, rows, relatives, recipe, steps):
        return pd.Series({"q1": recipe.seed / 10, "q2": steps / 100})

    monkeypatch.setattr(probes, "probe", scores)
    found = probe_by_seed(None, None, pd.DataFrame(), {}, Recipe(), 12, range(3, 5))
    assert found.to_dict() == {3: {"q1": 0.3, "q2": 0.12}, 4: {"q1": 0.4, "q2": 0.12}}
