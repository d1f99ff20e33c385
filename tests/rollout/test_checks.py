"""Each fault that is planted into vectors or ids is noticed."""

import numpy as np
import pandas as pd
import pytest
from toy_encoder import DOCUMENTS, NEW

from embedlab.rollout import checks_table, failed_checks, vector_checks


def test_sound_vectors_pass_every_check():
    checks = vector_checks(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist(), DOCUMENTS, NEW)
    assert len(checks) == 5
    assert failed_checks(checks) == []


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (lambda v, ids: (v[:-1], ids[:-1]), "vectors"),
        (lambda v, ids: (v, [*ids[:-1], "unknown"]), "ids missing"),
        (lambda v, ids: (np.where(np.arange(len(v))[:, None] == 5, np.nan, v), ids), "vectors with NaN"),
        (lambda v, ids: (v * 1.5, ids), "largest distance"),
        (lambda v, ids: (np.roll(v, 1, axis=0), ids), "lowest cosine"),
    ],
    ids=["missing", "unknown", "nan", "norm", "shuffled"],
)
def test_a_fault_in_the_vectors_is_noticed(fault, check):
    vectors, ids = fault(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist())
    failed = failed_checks(vector_checks(vectors, ids, DOCUMENTS, NEW, sample=100))
    assert any(name.startswith(check) for name in failed)


PASSAGES = pd.Series(["one two", "three four", "five six"], index=["a", "a", "b"])


def test_passages_that_share_an_id_are_each_checked():
    vectors = NEW.encode(PASSAGES.tolist())
    assert failed_checks(vector_checks(vectors, ["a", "a", "b"], PASSAGES, NEW)) == []
    assert "ids missing, unknown or double" in failed_checks(vector_checks(vectors, ["a", "b", "b"], PASSAGES, NEW))
    swapped = vectors[[1, 0, 2]]
    assert any(
        "lowest cosine" in name for name in failed_checks(vector_checks(swapped, ["a", "a", "b"], PASSAGES, NEW))
    )


def test_the_table_has_a_row_a_check():
    checks = vector_checks(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist(), DOCUMENTS, NEW)
    table = checks_table(checks)
    assert table.columns.tolist() == ["check", "found", "wanted", "passed"]
    assert table["check"].tolist() == [c.check for c in checks]
