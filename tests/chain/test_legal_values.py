"""Every parameter at values that nobody wants: refused by name, wherever it is given, or a step that ends."""

import io
import re

import pytest
from conftest import PROJECT, registry_of
from ruamel.yaml import YAML

from embedlab.chain import STEPS, get_step, load_params
from embedlab.chain.cells import cell_parameters, check_legal, condition
from embedlab.chain.lab import start
from embedlab.chain.params import SHARED, RunParams, check_value
from embedlab.chain.runner import StepFailedError, run_chain
from embedlab.errors import ParameterError
from embedlab.training.losses import LOSSES
from embedlab.trainset.mining import MINERS

HUGE = 10**12
"""The largest number that is a number at all; one more is refused whatever the parameter."""

ODD = {
    "int": [0, -1, HUGE, HUGE + 1, 2.5, float("nan"), "x", None],
    "float": [0.0, -1.0, float(HUGE), 1e300, float("nan"), float("inf"), -float("inf"), "x", None],
    "str": ["", "x", "\0", "\ud800", 0, None],
    "bool": [0, 1, "yes", None],
    "list[str]": [[], ["x"], [""], ["x", "x"], [0], "x", None],
    "list[int]": [[], [0], [-1], [HUGE], [HUGE + 1], ["x"], [2.5], 5, None],
    "list[float]": [[], [0.0], [-1.0], [float("nan")], [float("inf")], ["x"], 0.5, None],
}

NAMED = re.compile(r"\b(Parameter|Data|Model|MissingInput|Contract)Error: ")
"""How an error of embedlab's own that stopped a notebook is told."""

EVERY = [(step.number, name) for step in STEPS for name in cell_parameters(step.number) if name != "run"]


def refused(act, *given):
    """Return the message with which a value is refused, or None where it is taken; any other error comes through."""
    try:
        act(*given)
    except (ParameterError, StepFailedError) as error:
        return str(error)
    return None


defaults = RunParams().for_step
"""Every parameter of a step's cell at its default."""


@pytest.mark.parametrize("number", [step.number for step in STEPS])
def test_the_defaults_are_legal_and_every_condition_is_one(number):
    cell = cell_parameters(number)
    check_legal(cell, defaults(number), {"run": "here"})
    for parameter in cell.values():
        for words in parameter.conditions:
            condition(words)


@pytest.mark.parametrize(("number", "name"), EVERY)
def test_a_number_has_a_range(number, name):
    parameter = cell_parameters(number)[name]
    assert parameter.legal or parameter.annotation in ("str", "bool", "list[str]")


@pytest.mark.parametrize(("number", "name"), EVERY)
def test_a_notebook_refuses_what_a_params_file_refuses(number, name, tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDLAB_OUTPUTS", str(tmp_path))
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "params.yaml").write_text("run: r\n")
    for value in ODD[cell_parameters(number)[name].annotation]:
        text = f"{name}: {yaml(value)}\n" if name in SHARED else f"'{number}': {{{name}: {yaml(value)}}}\n"
        file = tmp_path / "p.yaml"
        file.write_text(text)
        by_file = refused(load_params, file)
        by_cell = refused(start, number, {**defaults(number), "run": "r", name: value})
        assert (by_file is None) == (by_cell is None), (value, by_file, by_cell)
        if by_file is not None:
            assert str(file) in by_file
            assert name in by_file
            assert f"parameters cell of {get_step(number).name}" in by_cell


def yaml(value) -> str:
    """Return a value as YAML writes it."""
    text = io.StringIO()
    maker = YAML(typ="safe", pure=True)
    maker.default_flow_style = True
    maker.dump([value], text)
    return text.getvalue().strip()[1:-1]


def test_an_unknown_condition_is_an_error():
    with pytest.raises(ParameterError, match="no condition 'some'"):
        condition("some")


@pytest.mark.parametrize(
    ("words", "legal", "illegal"),
    [
        ("1 to 5", [1, 5], [0, 6]),
        ("above 0, 1 or less", [0.1, 1.0], [0.0, 1.1]),
        ("2 or more, below most", [2, 8], [1, 9]),
        ("a | b c", ["a", "b c"], ["b", ""]),
        ("one or more, each 1 to 5, rising", [[1], [1, 5]], [[], [0], [5, 1]]),
        ("each a | b", [[], ["a", "b"]], [["c"], ["a", "c"]]),
        ("a day", ["2023-06-30"], ["2023-6-30", "2023-02-30", "20230630", "now"]),
        ("one character", [",", "\t"], ["", ";;"]),
    ],
)
def test_what_conditions_mean(words, legal, illegal):
    for value in legal:
        assert all(condition(part)(value, {"most": 9}) for part in words.split(", "))
    for value in illegal:
        assert not all(condition(part)(value, {"most": 9}) for part in words.split(", "))


def test_the_choices_in_the_brackets_are_those_that_there_are():
    assert cell_parameters("09")["miners"].legal == f"one or more, each {' | '.join(MINERS)}"
    assert cell_parameters("11")["losses"].legal == f"one or more, each {' | '.join(LOSSES)}"
    assert cell_parameters("11")["default"].legal == " | ".join(LOSSES)


def taken() -> list[tuple[str, str, object]]:
    """Return every odd value that is legal, with its step and parameter."""
    found = []
    for number, name in EVERY:
        parameter = cell_parameters(number)[name]
        for value in ODD[parameter.annotation]:
            is_other = value not in (parameter.default, "")
            if is_other and refused(check_value, number, name, value, "here") is None:
                beside = defaults(number) | {name: value}
                if refused(check_legal, cell_parameters(number), beside, {name: "here"}) is None:
                    found.append((number, name, value))
    return found


@pytest.mark.full
@pytest.mark.chain
@pytest.mark.parametrize(
    ("number", "name", "value"), [pytest.param(*given, id="-".join(map(repr, given))) for given in taken()]
)
def test_an_odd_value_that_is_legal_ends_its_step_or_is_an_error_by_name(number, name, value, copied, monkeypatch):
    monkeypatch.setenv("EMBEDLAB_OUTPUTS", str(copied.outputs))
    monkeypatch.setenv("EMBEDLAB_REGISTRY", str(registry_of(copied.outputs)))
    params = load_params(PROJECT / "params" / "smoke.yaml")
    given = params.shared if name in SHARED else params.steps.setdefault(number, {})
    given[name] = value
    said = refused(run_chain, params, [get_step(number)])
    assert said is None or name in said or re.search(NAMED, said), said
