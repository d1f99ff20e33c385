"""What each source covers, and whether its phrasing can be told from real queries."""

import numpy as np
import pandas as pd
import pytest

from embedlab.trainset import (
    Example,
    example_rows,
    rows_per_document,
    source_table,
    told_apart,
)


def sentences(seed, words, count=60):
    rng = np.random.default_rng(seed)
    return pd.Series([" ".join(rng.choice(words.split(), 8)) for _ in range(count)])


ASKED = "how do i reset my login when the page is lost and what can we pay"


def test_queries_of_another_phrasing_are_told_apart_and_of_the_same_are_not():
    real = sentences(0, ASKED)
    assert told_apart(sentences(1, "adversaries may abuse protocols to evade detection within networks"), real) > 0.99
    assert abs(told_apart(sentences(2, ASKED), real) - 0.5) < 0.15
    assert np.isnan(told_apart(real[:5], real))


def test_the_table_counts_rows_documents_and_what_other_sources_have_too():
    examples = [Example("reset the password", ["d1"], "x:1", kind) for kind in ("click log", "curated")]
    rows = example_rows([*examples, Example("pay the invoice now", ["d2"], "x:2", "curated")], {})
    texts = {"d1": "reset a password", "d2": "x", "d3": "y", "d4": "z"}
    table = source_table(rows, texts, rows[:0])
    assert table.loc["curated", ["rows", "documents", "never hit", "duplicates"]].tolist() == [2, 2, 0.5, 1]
    assert table.loc["click log", ["overlap", "median words"]].tolist() == [pytest.approx(2 / 3, abs=1e-4), 3]


def test_rows_of_each_document_are_counted_the_most_first():
    rows = example_rows(
        [Example(f"query {d} {i}", [f"d{d}"], "x", "curated") for d, n in ((1, 2), (2, 3)) for i in range(n)], {}
    )
    assert rows_per_document(rows).to_dict() == {1: 3, 2: 2}
