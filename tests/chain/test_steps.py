"""The table of steps, the checks that rest on it, and the definitions of what each step writes agree."""

from typing import get_type_hints

import pytest
from makers import MAKERS

from embedlab.chain import STEPS, Contract
from embedlab.chain.artifacts.base import Artifact, kinds_of, tables_of
from embedlab.chain.steps import proof_of
from embedlab.verdict.checklist import CHECKLIST
from embedlab.verdict.mistakes import MISTAKES

CHECKS = [check.id for check in (*CHECKLIST, *MISTAKES)]
GATES = [step for step in STEPS if step.gate]

each_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.number)


def kinds_written_by(step):
    """The JSON artifacts that a step writes: those of its module, and step 01's contract."""
    return kinds_of(step.slug) + [Contract] * (step.number == Contract.step)


# --- what the checks rest on --------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_is_proved_by_one_step_which_writes_the_artifact(check):
    (step,) = [step for step in STEPS if check in step.proves]
    assert step.proves[check] in step.writes
    assert proof_of(check) == (step, step.proves[check])


def test_the_table_proves_the_ten_items_and_eight_mistakes_and_nothing_else():
    assert (len(CHECKLIST), len(MISTAKES)) == (10, 8)
    assert sorted(check for step in STEPS for check in step.proves) == sorted(CHECKS)


def test_a_check_that_no_step_proves_is_a_mistake_of_ours():
    with pytest.raises(KeyError, match="no_such_check"):
        proof_of("no_such_check")


def test_steps_17_to_22_are_the_gates():
    assert [step.number for step in GATES] == ["17", "18", "19", "20", "21", "22"]


@pytest.mark.parametrize("step", GATES, ids=lambda step: step.number)
def test_a_gate_is_an_artifact_of_its_step_that_says_whether_it_passed_and_why(step):
    assert step.gate in step.writes
    assert step.gate_name
    (kind,) = [kind for kind in kinds_written_by(step) if kind.file == step.gate]
    types = get_type_hints(kind)
    assert types["passed"] in (bool, bool | None)
    assert types["reason"] is str


# --- what steps write is defined ----------------------------------------------------------------


@each_step
def test_every_json_file_that_a_step_writes_has_one_dataclass_and_no_other_has(step):
    kinds = kinds_written_by(step)
    assert sorted(kind.file for kind in kinds) == sorted(file for file in step.writes if file.endswith(".json"))
    assert [kind.__name__ for kind in kinds if kind.step != step.number] == []


@each_step
def test_every_table_of_a_steps_module_is_a_file_that_the_step_writes(step):
    files = [table.file for table in tables_of(step.slug)]
    assert len(set(files)) == len(files)
    assert [file for file in files if file not in step.writes] == []
    assert [table.file for table in tables_of(step.slug) if table.step != step.number] == []


EXAMPLES = {"pairs.parquet", "triplets.parquet", "scored_pairs.parquet", "candidates.parquet", "labeled_list.parquet"}
"""What step 10 renders: a file a training format, each with the columns that sentence-transformers wants."""


def test_every_parquet_file_has_a_schema_but_for_the_examples_of_training_formats():
    defined = {(step.number, table.file) for step in STEPS for table in tables_of(step.slug)}
    written = {(step.number, file) for step in STEPS for file in step.writes if file.endswith(".parquet")}
    assert written - defined == {("10", file) for file in EXAMPLES}


def test_every_kind_of_artifact_belongs_to_a_step_and_has_a_maker():
    defined = {kind for step in STEPS for kind in kinds_written_by(step)}
    assert {kind for kind in Artifact.__subclasses__() if kind.__module__.startswith("embedlab.")} == defined
    assert sorted(type(make()).__name__ for make in MAKERS) == sorted(kind.__name__ for kind in defined)


# --- what steps read ----------------------------------------------------------------------------


@each_step
def test_a_step_reads_earlier_steps_alone(step):
    assert [number for number in step.reads if number >= step.number] == []
    assert list(step.reads) == sorted(set(step.reads))


def test_only_steps_04_05_and_from_15_on_may_open_the_test():
    openers = {step.number for step in STEPS if step.test in ("seal", "score")}
    assert openers == {"04", "05", "15", "16", "17", "18", "19", "20", "21", "22"}
    assert [step.number for step in STEPS if step.test == "seal"] == ["04"]
    assert [step.number for step in STEPS if step.test == "write"] == ["01"]


def test_only_steps_that_prepare_training_data_guard():
    assert [step.number for step in STEPS if step.guards] == ["07", "08", "09", "12", "13"]
