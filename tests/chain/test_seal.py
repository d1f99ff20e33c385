"""The sealed test: who may open it, and what the ledger counts."""

import re

import pandas as pd
import pytest
from conftest import open_step, step_files, write_seal
from notebook_cells import write_guard

from embedlab.chain import STEPS, dev_looks
from embedlab.chain.artifacts.build_eval_set import GUARD
from embedlab.chain.keys import notebook_code
from embedlab.chain.paths import notebook_path
from embedlab.chain.seal import ledger, record
from embedlab.errors import ParameterError, SealedTestError
from embedlab.verdict.seal import verify

MAY = {"04", "05", *(s.number for s in STEPS if s.number >= "15")}
training = pytest.mark.parametrize("number", [s.number for s in STEPS if s.number not in MAY | {"01"}])


@training
def test_a_step_before_15_that_asks_for_test_judgments_is_refused(number, started):
    with pytest.raises(
        SealedTestError, match=rf"step {number}_\w+ asked for test judgments; they are sealed, and only"
    ):
        open_step(number).open_test("just a look")
    with pytest.raises(SealedTestError):
        open_step(number).read("01", "qrels_test.parquet")
    assert ledger(started) == []


@training
def test_a_step_before_15_cannot_take_the_judgments_by_their_path(number, started):
    with pytest.raises(SealedTestError):
        open_step(number).path("01", "qrels_test.parquet")


def test_a_step_before_15_cannot_read_the_runs_on_the_test(started):
    with pytest.raises(SealedTestError):
        open_step("06").read("05", "base_test.run")


def test_the_test_part_is_not_among_the_ordinary_parts(started):
    with pytest.raises(ParameterError, match=r"sealed: use lab\.open_test"):
        open_step("15").collection("test")
    assert set(open_step("02").collection().queries["part"]) == {"train", "dev"}


def test_an_opening_returns_the_test_part_and_is_logged_with_its_reason(started):
    part = open_step("05").open_test("the baseline")
    assert set(part.queries["part"]) == {"test"}
    assert set(part.qrels["query_id"]) == set(part.queries["query_id"])
    (entry,) = ledger(started)
    assert (entry["step"], entry["kind"], entry["reason"]) == ("05", "opening", "the baseline")


def test_the_same_step_with_the_same_key_is_no_second_opening(started):
    for _ in range(3):
        open_step("15").open_test("evaluate", ["w1"])
    assert len(ledger(started)) == 1


def test_another_model_under_the_same_key_is_logged(started):
    open_step("15").open_test("evaluate", ["w1"])
    open_step("15").open_test("evaluate", ["w2"])
    assert [entry["models"] for entry in ledger(started)] == [["w1"], ["w2"]]


@pytest.mark.parametrize("read", [
    lambda lab: lab.read(GUARD),
    lambda lab: lab.read(GUARD.step, GUARD.file),
    lambda lab: lab.path(GUARD.step, GUARD.file),
], ids=["by its definition", "by its name", "by its path"])  # fmt: skip
def test_a_reading_of_the_guard_is_logged_and_is_no_opening(started, read):
    write_guard(started)
    read(open_step("07"))
    (entry,) = ledger(started)
    assert (entry["step"], entry["kind"]) == ("07", "guard")


def test_an_untouched_seal_verifies(started):
    write_seal(started)
    assert verify(started) is None


def test_a_changed_judgment_is_noticed(started):
    write_seal(started)
    path = started.folder / step_files("01") / "qrels_test.parquet"
    frame = pd.read_parquet(path)
    frame.loc[0, "relevance"] = 2
    frame.to_parquet(path, index=False)
    assert "is not what step 01 wrote" in verify(started)


def test_judgments_that_step_01_wrote_anew_after_sealing_are_noticed(started):
    write_seal(started)
    path = f"{step_files('01')}/qrels_test.parquet"
    frame = pd.read_parquet(started.folder / path)
    frame.loc[0, "relevance"] = 2
    digest = started.write(path, frame)
    outputs = [o if o["path"] != path else {"path": path, "sha256": digest} for o in started.entry("01")["outputs"]]
    started.update("01", outputs=outputs)
    assert "test judgments changed after they were sealed" in verify(started)


def test_an_opening_by_a_training_step_in_the_ledger_is_noticed(started):
    write_seal(started)
    lab = open_step("11")
    record(started, lab.step, lab.key, "forged", "opening", [])
    assert verify(started) == "opened by step 11, which has no right to it"


def test_judgments_that_nobody_sealed_are_no_sealed_test(started):
    assert verify(started) == "step 04 has not sealed the test judgments of step 01"


def test_every_opening_is_logged_with_step_key_reason_and_time(started):
    lab = open_step("15")
    lab.open_test("score the tuned model", ["w1"])
    (entry,) = ledger(started)
    assert (entry["step"], entry["key"], entry["reason"]) == ("15", lab.key, "score the tuned model")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", entry["time"])


# --- looks at dev ------------------------------------------------------------------------------


def test_a_choice_on_dev_counts_once_however_often_its_step_is_executed(started):
    for _ in range(3):
        open_step("05").note_choice("fusion weight")
    open_step("05").note_choice("another weight")
    open_step("03").note_choice("base model")
    assert [(look["step"], look["choice"]) for look in dev_looks(started)] == [
        ("03", "base model"),
        ("05", "another weight"),
        ("05", "fusion weight"),
    ]


def test_an_earlier_step_counts_the_choices_up_to_itself(started):
    open_step("05").note_choice("fusion weight")
    open_step("18").note_choice("score threshold")
    assert len(dev_looks(started, "15")) == 1


def test_every_notebook_that_chooses_on_dev_says_so():
    noted = {s.number for s in STEPS if "lab.note_choice(" in notebook_code(notebook_path(s))}
    assert noted == {"02", "03", "05", "07", "11", "14", "15", "18"}
