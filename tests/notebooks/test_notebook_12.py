"""Notebook 12 over the toy collection: rules can be switched off, nothing is spent where nothing was removed."""

import pandas as pd
import pytest
from conftest import open_step
from notebook_cells import run_cells, write_guard, write_judged

from embedlab.chain.artifacts.create_negatives import TRAINING
from embedlab.errors import EmbedlabError

pytestmark = pytest.mark.chain


@pytest.fixture
def ready(started):
    write_guard(started)
    return started


@pytest.mark.model
def test_where_nothing_is_removed_no_probe_is_spent_and_it_says_so(ready):
    rows = write_judged(TRAINING)
    run_cells("12")
    assert not (ready.folder / "probes").exists()
    assert ready.read("12", "effect.json")["said"].endswith("is not measured: nothing was removed.")
    assert set(ready.read("12", "clean.parquet")["query_id"]) == set(rows["query_id"])
    assert ready.read("12", "collisions.parquet")["collisions"].iloc[-1] == 0


@pytest.mark.model
def test_mojibake_is_removed_and_named_unless_its_rule_is_switched_off(ready):
    row = write_judged(TRAINING, text="der schÃ¶ne otter am groÃŸen fluss").iloc[0]
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
    write_judged(TRAINING)
    with pytest.raises(
        EmbedlabError, match=r"no rule \['typos'\]; there are: near-duplicate answers, empty, malformed"
    ):
        run_cells("12", skip=["typos"])


@pytest.mark.model
def test_the_effect_of_cleaning_is_measured_on_dev(ready):
    rows = write_judged(TRAINING)
    lab = open_step("09")
    copied = rows.iloc[[0]].assign(query_id="again")
    lab.write(TRAINING, pd.concat([rows, copied], ignore_index=True))
    lab.finish("written by a test")
    run_cells("12", probe_steps=1)
    assert len(list((ready.folder / "probes").glob("*.json"))) == 2
    effect = ready.read("12", "effect.json")["effect"]
    assert effect["low"] <= effect["delta"] <= effect["high"]
    assert ready.read("12", "removed.parquet")["reason"].tolist() == ["duplicate"]
