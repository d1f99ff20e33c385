"""What steps hand on is typed: another shape is refused where it is written and where it is read."""

import re
from dataclasses import MISSING, fields

import pandas as pd
import pytest
from conftest import open_step
from makers import MAKERS, evaluation, metrics, write_file

from embedlab.chain.artifacts.base import FLAG, INTEGER, NUMBER, TEXT, TEXTS, Table, parse
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.select_metrics import Metrics
from embedlab.chain.artifacts.train import TUNED
from embedlab.chain.models import tuned_model
from embedlab.chain.store import plain
from embedlab.errors import DataError, IntegrityError, MissingInputError, ParameterError
from embedlab.verdict.facts import Facts

each_kind = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


# --- JSON files ---------------------------------------------------------------------------------


@each_kind
def test_an_artifact_reads_back_as_it_was_written(make):
    artifact = make()
    assert parse(type(artifact), plain(artifact.as_dict()), "a file") == artifact


@each_kind
def test_a_missing_field_is_named_with_its_file(make):
    artifact = make()
    required = [f.name for f in fields(artifact) if f.default is MISSING]
    assert required
    for name in required:
        found = plain(artifact.as_dict())
        del found[name]
        with pytest.raises(IntegrityError, match=rf"^x/{re.escape(artifact.file)}: {name}: Field required; step"):
            parse(type(artifact), found, f"x/{artifact.file}")


@each_kind
def test_a_field_of_another_type_is_named_with_its_file(make):
    artifact = make()
    for name in (field.name for field in fields(artifact)):
        found = plain(artifact.as_dict()) | {name: [[]]}
        with pytest.raises(IntegrityError, match=rf"^x/{re.escape(artifact.file)}: {name}[.:]"):
            parse(type(artifact), found, f"x/{artifact.file}")


def test_a_wrong_value_deep_inside_is_named_by_its_path():
    found = plain(evaluation().as_dict())
    found["slices"][0]["queries"] = "thirty"
    with pytest.raises(IntegrityError, match=r"slices\.0\.queries: Input should be a valid integer"):
        parse(Evaluation, found, "evaluation.json")


def test_an_artifact_of_another_version_is_refused_wherever_it_is_read(started):
    write_file(started, "06", "metrics.json", {"primary": "nDCG@10", "guard": "R@10", "graded": True})
    missing = r"metrics\.json.*: several_relevant: Field required; step 06 wrote another version, run it again"
    for read in (open_step("06").read, started.artifact, Facts(started).read):
        with pytest.raises(IntegrityError, match=missing):
            read(Metrics)


def test_an_artifact_with_a_wrong_value_is_not_written(started):
    lab = open_step("06")
    with pytest.raises(IntegrityError, match=r"metrics\.json: several_relevant: Input should be a valid number"):
        lab.write(metrics(several_relevant="a third"))
    assert not (started.folder / started.place("06", "metrics.json")).exists()


def test_a_file_with_a_definition_is_not_written_by_its_name(started):
    for name, value in (("metrics.json", metrics().as_dict()), ("values.parquet", pd.DataFrame({"measure": ["AP"]}))):
        with pytest.raises(ParameterError, match=rf"writes '{re.escape(name)}' by its definition"):
            open_step("06").write(name, value)


def test_the_tuned_model_is_asked_for_where_step_14_puts_it(started):
    with pytest.raises(MissingInputError, match=rf"{TUNED}/model\.safetensors does not exist yet \(step 14 is not run"):
        tuned_model(open_step("15"))


# --- tables -------------------------------------------------------------------------------------

COLUMNS = {"name": TEXT, "count": INTEGER, "share": NUMBER, "kept": FLAG, "ids": TEXTS}
TABLE = Table("06", "values.parquet", "a row of a test", COLUMNS)
FRAME = pd.DataFrame(
    {"name": ["a", "b"], "count": [1, 2], "share": [0.5, 1.0], "kept": [True, False], "ids": [["x"], ["y", "z"]]}
)

OTHER_KINDS = [
    ("name", [1, 2], TEXT, "int64"),
    ("name", [["a"], ["b"]], TEXT, "list"),
    ("count", [0.5, 1.5], INTEGER, "double"),
    ("count", [1, None], INTEGER, "double"),
    ("count", ["1", "2"], INTEGER, "string"),
    ("share", ["a", "b"], NUMBER, "string"),
    ("share", [True, False], NUMBER, "bool"),
    ("kept", [0, 1], FLAG, "int64"),
    ("kept", ["yes", "no"], FLAG, "string"),
    ("ids", ["x", "y"], TEXTS, "string"),
    ("ids", [[1], [2]], TEXTS, "list"),
    ("ids", [[{"id": "x"}], []], TEXTS, "list"),
]

each_kind_of_column = pytest.mark.parametrize(
    ("column", "values", "kind", "found"), OTHER_KINDS, ids=[f"{kind} as {found}" for _, _, kind, found in OTHER_KINDS]
)


def written(started, frame, table=TABLE):
    """Write a table as step 06 does and read it back."""
    lab = open_step("06")
    lab.write(table, frame)
    lab.finish("written by a test")
    return open_step("06").read(table)


def test_a_table_reads_back_as_it_was_written(started):
    found = written(started, FRAME)
    assert found.assign(ids=found["ids"].map(list)).to_dict("list") == FRAME.to_dict("list")


def test_a_column_without_any_value_and_whole_numbers_for_numbers_are_accepted(started):
    found = written(started, FRAME.assign(name=[None, None], ids=[[], []], share=[1, 2]))
    assert found["name"].isna().all()
    assert found["share"].tolist() == [1, 2]


@each_kind_of_column
def test_a_column_of_another_kind_is_refused_on_writing(started, column, values, kind, found):
    said = rf"step 06: values\.parquet: column '{column}': expected {kind}, found (large_)?{found}"
    with pytest.raises(DataError, match=said):
        open_step("06").write(TABLE, FRAME.assign(**{column: values}))
    assert not (started.folder / started.place("06", "values.parquet")).exists()


@each_kind_of_column
def test_a_column_of_another_kind_is_refused_on_reading(started, column, values, kind, found):
    write_file(started, "06", "values.parquet", FRAME.assign(**{column: values}))
    with pytest.raises(
        DataError, match=rf"values\.parquet: column '{column}': expected {kind}, found (large_)?{found}"
    ):
        open_step("06").read(TABLE)


@pytest.mark.parametrize("column", ["name", "count"])
def test_a_column_with_values_of_several_kinds_is_named(started, column):
    with pytest.raises(DataError, match=rf"values\.parquet: column '{column}': values of several kinds"):
        open_step("06").write(TABLE, FRAME.assign(**{column: ["a", 1]}))


@pytest.mark.parametrize("column", COLUMNS)
def test_a_table_without_a_declared_column_is_refused_on_writing_and_on_reading(started, column):
    frame = FRAME.drop(columns=column)
    with pytest.raises(DataError, match=rf"step 06: values\.parquet: column '{column}' is missing; found "):
        open_step("06").write(TABLE, frame)
    write_file(started, "06", "values.parquet", frame)
    with pytest.raises(DataError, match=rf"values\.parquet: column '{column}' is missing; found "):
        open_step("06").read(TABLE)


def test_a_further_column_is_written_only_where_the_table_says_so(started):
    more = FRAME.assign(extra=1.0)
    with pytest.raises(DataError, match=r"values\.parquet: column 'extra' is not declared; declared name, count"):
        open_step("06").write(TABLE, more)
    assert "extra" in written(started, more, Table("06", "values.parquet", "a row", COLUMNS, "a number"))
