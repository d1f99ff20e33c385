"""Notebook 12 over the toy collection: rules can be switched off, nothing is spent where nothing was removed."""

import pandas as pd
import pytest
from conftest import open_step
from notebook_cells import run_cells, write_guard

from embedlab.chain.artifacts.create_negatives import TRAINING
from embedlab.errors import EmbedlabError
from embedlab.trainset import judged_rows


def write_rows(**changes):
    """Write the judged rows as step 09 does; ``changes`` go to the first row."""
    lab = open_step("09")
    rows = judged_rows(lab.collection("train"))
    for column, value in changes.items():
        rows.at[0, column] = value
    lab.write(TRAINING, rows)
    lab.finish("written by a test")
    return rows


@pytest.fixture
def ready(started):
    write_guard(started)
    return started


def test_where_nothing_is_removed_no_probe_is_spent_and_it_says_so(ready):
    rows = write_rows()
    run_cells("12")
    assert not (ready.folder / "probes").exists()
    assert ready.read("12", "effect.json")["said"].endswith("is not measured: nothing was removed.")
    assert set(ready.read("12", "clean.parquet")["query_id"]) == set(rows["query_id"])
    assert ready.read("12", "collisions.parquet")["collisions"].iloc[-1] == 0


def test_mojibake_is_removed_and_named_unless_its_rule_is_switched_off(ready):
    row = write_rows(text="der schÃ¶ne otter am groÃŸen fluss").iloc[0]
    run_cells("12", probe_seeds=0)
    gone = ready.read("12", "removed.parquet").set_index("query_id")
    assert gone.loc[row["query_id"], ["reason", "evidence"]].tolist() == ["malformed", "mojibake"]
    counts = ready.read("12", "counts.parquet").set_index("rule")
    assert counts.loc["malformed", ["before", "after"]].diff().iloc[-1] == -1
    assert ready.read("12", "effect.json")["said"].endswith("is not measured: probe_seeds is 0.")
    run_cells("12", probe_seeds=0, skip=["malformed", "language", "irrelevant"])
    assert row["query_id"] in set(ready.read("12", "clean.parquet")["query_id"])
    assert not ready.read("12", "counts.parquet").set_index("rule").loc["malformed", "applied"]


def test_an_unknown_rule_names_those_there_are(ready):
    write_rows()
    with pytest.raises(
        EmbedlabError, match=r"no rule \['typos'\]; there are: near-duplicate answers, empty, malformed"
    ):
        run_cells("12", skip=["typos"])


def test_the_effect_of_cleaning_is_measured_on_dev(ready):
    rows = write_rows()
    lab = open_step("09")
    copied = rows.iloc[[0]].assign(query_id="again")
    lab.write(TRAINING, pd.concat([rows, copied], ignore_index=True))
    lab.finish("written by a test")
    run_cells("12", probe_steps=1)
    assert len(list((ready.folder / "probes").glob("*.json"))) == 2
    effect = ready.read("12", "effect.json")["effect"]
    assert effect["low"] <= effect["delta"] <= effect["high"]
    assert ready.read("12", "removed.parquet")["reason"].tolist() == ["duplicate"]
