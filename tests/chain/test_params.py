"""Params files and ``--set`` are checked against the notebooks before anything runs."""

import contextlib
import io
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from embedlab.chain import STEPS, get_step, load_params, params
from embedlab.chain.cells import Parameter, cell_parameters
from embedlab.chain.params import SHARED
from embedlab.errors import ParameterError

each_number = pytest.mark.parametrize("number", [s.number for s in STEPS])


@pytest.fixture
def with_rate(monkeypatch):
    """Give every step one more parameter of type float, whatever its notebook has."""
    monkeypatch.setattr(
        params, "cell_parameters", lambda number: {"run": Parameter("run", "str", "x", ""),
                                                   "rate": Parameter("rate", "float", 0.1, "")}
    )  # fmt: skip


def written(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    return path


@each_number
@pytest.mark.parametrize("form", ["{0}", "{1}", "'{0}'", '"{1}"', "{2}"], ids=["05", "5", "'05'", '"5"', "name"])
def test_a_step_key_may_be_written_in_every_way_in_a_file(number, form, with_rate, tmp_path):
    name = next(s.name for s in STEPS if s.number == number)
    key = form.format(number, int(number), name)
    found = load_params(written(tmp_path, f"run: r\n{key}:\n  rate: 5e-5\n"))
    assert found.steps == {number: {"rate": 5e-5}}


@each_number
def test_a_step_key_may_be_written_in_every_way_in_set(number, with_rate):
    name = next(s.name for s in STEPS if s.number == number)
    for key in (number, str(int(number)), name):
        assert load_params(None, [f"{key}.rate=5e-5"]).steps == {number: {"rate": 5e-5}}


@each_number
def test_5e_5_is_a_number_where_a_text_would_be_wrong(number, with_rate, tmp_path):
    for text in ("5e-5", "5E-5", "0.00005", "5.0e-05"):
        assert load_params(written(tmp_path, f"{number}: {{rate: {text}}}")).steps[number]["rate"] == 5e-5
        assert load_params(None, [f"{number}.rate={text}"]).steps[number]["rate"] == 5e-5


@each_number
def test_one_step_under_two_spellings_is_an_error(number, with_rate, tmp_path):
    path = written(tmp_path, f"{int(number)}:\n  rate: 1.0\n'{number}_':\n  rate: 2.0\n".replace("_'", "'"))
    if int(number) >= 10:
        path = written(tmp_path, f"{number}:\n  rate: 1.0\n'{number}':\n  rate: 2.0\n")
    with pytest.raises(ParameterError, match=f"step {number} is given twice"):
        load_params(path)


def test_the_same_key_twice_is_an_error(tmp_path):
    with pytest.raises(ParameterError, match="seed"):
        load_params(written(tmp_path, "run: r\nseed: 1\nseed: 2\n"))


@each_number
def test_an_unknown_parameter_names_the_nearest(number, with_rate, tmp_path):
    with pytest.raises(ParameterError, match=rf"{number}_\w+ has no parameter 'rat'; did you mean 'rate'"):
        load_params(written(tmp_path, f"{number}: {{rat: 1.0}}"))
    with pytest.raises(ParameterError, match="did you mean 'rate'"):
        load_params(None, [f"{number}.rat=1.0"])


@each_number
def test_a_wrong_type_names_parameter_type_and_value(number, with_rate, tmp_path):
    with pytest.raises(ParameterError, match=rf"rate of step {number} must be float, found 'fast' \(str\)"):
        load_params(written(tmp_path, f"{number}: {{rate: fast}}"))
    with pytest.raises(ParameterError, match="must be float"):
        load_params(None, [f"{number}.rate=true"])


@each_number
@pytest.mark.parametrize("name", SHARED)
def test_a_shared_parameter_under_a_step_is_an_error(number, name, tmp_path):
    with pytest.raises(ParameterError, match=f"'{name}' is shared: write it at the top"):
        load_params(written(tmp_path, f"'{number}': {{{name}: 1}}"))
    with pytest.raises(ParameterError, match=f"'{name}' is shared"):
        load_params(None, [f"{number}.{name}=1"])


def test_an_unknown_shared_parameter_names_the_nearest(tmp_path):
    with pytest.raises(ParameterError, match="unknown shared parameter 'sed'; did you mean 'seed'"):
        load_params(written(tmp_path, "sed: 1"))
    with pytest.raises(ParameterError, match="did you mean 'seed'"):
        load_params(None, ["sed=1"])


def test_a_steps_parameter_without_its_step_is_told_where_it_belongs():
    with pytest.raises(ParameterError, match=r"did you mean '01\.techniques'"):
        load_params(None, ["techniques=5"])


def test_shared_types_are_checked_too(tmp_path):
    with pytest.raises(ParameterError, match=r"seed of step 01 must be int, found 'x' \(str\)"):
        load_params(written(tmp_path, "seed: x"))
    with pytest.raises(ParameterError, match="strict of step 01 must be bool, found 1"):
        load_params(None, ["strict=1"])


@pytest.mark.parametrize("key", ["0", "99", "5x", "-1", "99_train"])
def test_a_step_that_does_not_exist_is_an_error(key, tmp_path):
    with pytest.raises(ParameterError, match=r"no step|unknown shared parameter"):
        load_params(written(tmp_path, f"'{key}': {{}}"))
    with pytest.raises(ParameterError, match="no step"):
        load_params(None, [f"{key}.rate=1"])


def test_a_text_parameter_takes_the_text_as_it_stands():
    found = load_params(None, ["run=007", "01.objective=a: b, c", "path="])
    assert found.shared == {"run": "007", "path": ""}
    assert found.steps["01"]["objective"] == "a: b, c"


def test_an_integer_serves_where_a_number_is_wanted_but_not_the_other_way_round():
    value = load_params(None, ["01.min_gain=0"]).steps["01"]["min_gain"]
    assert (value, type(value)) == (0.0, float)
    with pytest.raises(ParameterError, match="must be int"):
        load_params(None, ["01.shown=10.5"])


def test_a_list_is_checked_item_by_item():
    assert load_params(None, ["01.guardrail_slices=[a, b]"]).steps["01"]["guardrail_slices"] == ["a", "b"]
    with pytest.raises(ParameterError, match=r"must be list\[str\]"):
        load_params(None, ["01.guardrail_slices=[1]"])
    with pytest.raises(ParameterError, match=r"must be list\[str\]"):
        load_params(None, ["01.guardrail_slices=negation"])


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [1", "'01': 5"])
def test_a_file_of_another_shape_is_an_error_that_names_it(text, tmp_path):
    with pytest.raises(ParameterError, match=r"p\.yaml"):
        load_params(written(tmp_path, text))


def test_a_missing_file_names_those_beside_it(tmp_path):
    written(tmp_path, "")
    with pytest.raises(ParameterError, match=r"no such params file; found there: p\.yaml"):
        load_params(tmp_path / "q.yaml")


def test_set_without_a_value_shows_how_it_is_written():
    with pytest.raises(ParameterError, match="expected key=value"):
        load_params(None, ["seed"])


def test_what_is_dumped_reads_back_the_same(tmp_path):
    found = load_params(None, ["run=no", "seed=8", "01.min_gain=5e-5", "1.guardrail_slices=[]", "01.objective=08"])
    again = load_params(written(tmp_path, found.dump()))
    assert again == found


def test_set_wins_over_the_file(tmp_path):
    path = written(tmp_path, "seed: 1\n1: {techniques: 9}\n")
    found = load_params(path, ["seed=2", "01.techniques=3"])
    assert (found.shared["seed"], found.steps["01"]["techniques"]) == (2, 3)


@each_number
def test_every_step_has_a_value_for_every_parameter(number):
    found = load_params(None, ["run=mine", "seed=4"]).for_step(number)
    assert list(found) == list(cell_parameters(number))
    assert found["run"] == "mine"


def test_a_parameter_that_names_a_file_becomes_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, "path: mine\n'07': {search_log: logs/search.csv}\n")
    loaded = load_params(file, ["04.query_log=log.txt"])
    assert loaded.shared["path"] == str(tmp_path / "mine")
    assert loaded.steps["07"]["search_log"] == str(tmp_path / "logs/search.csv")
    assert loaded.steps["04"]["query_log"] == str(tmp_path / "log.txt")


def test_a_base_model_is_a_path_only_where_there_is_such_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    assert load_params(None, ["base_model=my"]).shared["base_model"] == str(tmp_path / "my")
    assert load_params(None, ["base_model=org/model"]).shared["base_model"] == "org/model"


@each_number
def test_every_parameter_whose_comment_names_a_file_counts_as_one(number):
    named = {n for n, p in cell_parameters(number).items() if p.comment.startswith(("file of", "folder of", "path of"))}
    files = set(get_step(number).files)
    assert bool(named) == bool(files)
    assert named <= files <= set(cell_parameters(number))


def test_a_date_may_stand_without_quotes(tmp_path):
    path = tmp_path / "dated.yaml"
    path.write_text("run: dated\ndev_from: 2023-01-01\ntest_from: '2023-07-01'\n")
    assert load_params(path).shared == {"run": "dated", "dev_from": "2023-01-01", "test_from": "2023-07-01"}


# --- whatever stands in the file ---------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*SHARED, *(name for step in STEPS for name in cell_parameters(step.number))])
KEYS = NAMES | st.integers(-1, 25) | st.sampled_from(["01", "09", "22"]) | st.text(max_size=4)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, VALUES | st.dictionaries(NAMES, VALUES, max_size=4), max_size=4))
@example({"¹": {}})  # a digit that is no number
def test_any_keys_and_values_are_read_or_refused_by_name(tmp_path, data):
    file = tmp_path / "p.yaml"
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(data, text)
    file.write_text(text.getvalue(), encoding="utf-8", errors="surrogatepass")
    read_or_refused(file)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text("[]{}:,#-&*!|>'\"%@` \n\tab1.", max_size=30).map(str.encode))
def test_any_bytes_are_read_or_refused_by_name(tmp_path, content):
    file = tmp_path / "p.yaml"
    file.write_bytes(content)
    read_or_refused(file)


def read_or_refused(file):
    """Read a params file; any error but one that names it comes through."""
    with contextlib.suppress(ParameterError):
        load_params(file)
        return
    with pytest.raises(ParameterError, match=re.escape(str(file))):
        load_params(file)
