"""Notebook 10 over the toy collection: which formats have rows, and which losses take them; a few seconds."""

import pandas as pd
import pytest
from conftest import open_step
from notebook_cells import run_cells, write_guard

from embedlab.chain.artifacts.create_negatives import TRAINING
from embedlab.trainset import FITS, judged_rows

pytestmark = pytest.mark.chain


def test_the_losses_of_each_format_that_has_rows_are_written_with_their_counts(started):
    write_guard(started)
    lab = open_step("09")
    rows = judged_rows(lab.collection("train"))
    other = rows["positive_ids"].iloc[1][0]
    negatives = [[{"id": other, "miner": "dense", "score": 0.1}], *[[] for _ in rows["query_id"][1:]]]
    lab.write(TRAINING, rows.assign(negatives=pd.Series(negatives, dtype=object)))
    lab.finish("written by a test")
    run_cells("10")
    written = started.read("10", "formats.json")
    assert written["rows"] == {"pairs": len(rows), "triplets": 1, "scored_pairs": len(rows) + 1, "labeled_list": 1}
    assert written["fits"] == {form: list(FITS[form]) for form in written["rows"]}
