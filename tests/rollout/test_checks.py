"""Each fault that is planted into vectors or ids is noticed."""

import numpy as np
import pandas as pd
import pytest
from toy_encoder import DOCUMENTS, NEW

from embedlab.rollout import Document, checks_table, failed_checks, faulty_vectors, vector_checks
from embedlab.rollout.doctor import diagnose


def test_sound_vectors_pass_every_check():
    checks = vector_checks(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist(), DOCUMENTS, NEW)
    assert len(checks) == 7
    assert failed_checks(checks) == []


def with_row(vectors, row, value):
    """Return vectors of which one holds something else."""
    changed = vectors.copy()
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (lambda v, ids: (v[:-1], ids[:-1]), "vectors"),
        (lambda v, ids: (v, [*ids[:-1], "unknown"]), "ids missing"),
        (lambda v, ids: (v, [*ids[:-1], "unknown"]), r"ids missing, unknown or double (d099, unknown)"),
        (lambda v, ids: (with_row(v, 5, np.nan), ids), "vectors: NaN or infinity (d005)"),
        (lambda v, ids: (with_row(v, 5, np.inf), ids), "vectors: NaN or infinity (d005)"),
        (lambda v, ids: (with_row(v, 5, 0), ids), "vectors: zeros of a text (d005)"),
        (lambda v, ids: (with_row(v, 5, 0.5), ids), "vectors: not of unit length (d005)"),
        (lambda v, ids: (v * 1.5, ids), "vectors: not of unit length (d000, d001, d002, …)"),
        (lambda v, ids: (with_row(v, slice(0, 6), v[6]), ids), "share of vectors that are another text's too (d000"),
        (lambda v, ids: (np.roll(v, 1, axis=0), ids), "lowest cosine"),
    ],
    ids=["missing", "unknown", "by name", "nan", "infinity", "zeros", "norm", "norms", "one vector", "shuffled"],
)
def test_a_fault_in_the_vectors_is_noticed(fault, check):
    vectors, ids = fault(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist())
    failed = failed_checks(vector_checks(vectors, ids, DOCUMENTS, NEW, sample=100))
    assert any(name.startswith(check) for name in failed)


PASSAGES = pd.Series(["one two", "three four", "five six"], index=["a", "a", "b"])


def test_passages_that_share_an_id_are_each_checked():
    vectors = NEW.encode(PASSAGES.tolist())
    assert failed_checks(vector_checks(vectors, ["a", "a", "b"], PASSAGES, NEW)) == []
    assert "ids missing, unknown or double (a, b)" in failed_checks(
        vector_checks(vectors, ["a", "b", "b"], PASSAGES, NEW)
    )
    swapped = vectors[[1, 0, 2]]
    assert any(
        "lowest cosine" in name for name in failed_checks(vector_checks(swapped, ["a", "a", "b"], PASSAGES, NEW))
    )


def test_the_table_has_a_row_a_check():
    checks = vector_checks(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist(), DOCUMENTS, NEW)
    table = checks_table(checks)
    assert table.columns.tolist() == ["check", "found", "wanted", "passed"]
    assert table["check"].tolist() == [c.check for c in checks]


def test_each_faulty_vector_is_told_by_its_row_its_document_and_what_is_wrong():
    vectors = with_row(with_row(with_row(NEW.encode(DOCUMENTS.tolist()), 3, np.nan), 40, 0), 7, 0.5)
    found = faulty_vectors(vectors, DOCUMENTS.index.tolist(), DOCUMENTS)
    assert found.to_numpy().tolist() == [
        [3, "d003", "NaN or infinity"],
        [7, "d007", "not of unit length"],
        [40, "d040", "zeros of a text"],
    ]


def test_a_text_that_says_nothing_may_be_zeros():
    blank = pd.Series(["one", " ", ""], index=["a", "b", "c"])
    vectors = with_row(NEW.encode(blank.tolist()), slice(1, 3), 0)
    assert faulty_vectors(vectors, ["a", "b", "c"], blank).empty


def test_the_same_text_twice_is_no_fault_and_two_texts_with_one_vector_are():
    texts = pd.Series(["one two", "one two", "two one", "three"], index=["a", "b", "c", "d"])
    # Bags of words: the order of words is lost, as beyond a model's limit all words are.
    vectors = NEW.encode(texts.tolist())
    alike = faulty_vectors(vectors, texts.index.tolist(), texts)
    assert alike["doc_id"].tolist() == ["a", "b", "c"]
    same = texts.drop("c")
    assert faulty_vectors(vectors[[0, 1, 3]], same.index.tolist(), same).empty


def test_a_few_texts_with_one_vector_are_told_and_pass():
    vectors = with_row(NEW.encode(DOCUMENTS.tolist()), 0, NEW.encode([DOCUMENTS.iloc[1]])[0])
    checks = vector_checks(vectors, DOCUMENTS.index.tolist(), DOCUMENTS, NEW, sample=2)
    (shared,) = [check for check in checks if check.check.startswith("share of vectors")]
    assert (shared.found, shared.passed) == (0.02, True)
    assert shared.check.endswith("(d000, d001)")


def test_no_vectors_at_all_is_a_fault():
    none = np.empty((0, 64), dtype=np.float32)
    assert failed_checks(vector_checks(none, [], DOCUMENTS, NEW)) != []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_doctor_names_a_vector_that_is_no_number_and_does_not_take_it_for_the_models(tmp_path, value):
    np.save(tmp_path / "vectors.npy", with_row(NEW.encode(DOCUMENTS.tolist()), 5, value))
    documents = {doc_id: Document(doc_id, "", text) for doc_id, text in DOCUMENTS.items()}
    found = diagnose(str(tmp_path / "vectors.npy"), NEW, documents, sample=0)
    assert (found.sampled, found.reproduced, found.others) == (100, 99, ["d005"])
    assert "vectors: NaN or infinity (d005)" in failed_checks(list(found.checks))
