"""Parameters: YAML files and ``--set``, checked against the notebooks' own parameters cells."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from embedlab.chain.cells import LARGEST, cell_parameters, check_legal, unusable
from embedlab.chain.steps import BY_NUMBER, LAST, STEPS, Step, step_number
from embedlab.errors import ParameterError, nearest, shown

SHARED = ("run", "source", "path", "base_model", "seed", "strict", "dev_from", "test_from")
"""Keys that stand at the top of a params file; step 01 writes them down for all others."""

NAMES_OR_FILES = {
    **dict.fromkeys(("base_model", "cross_encoder", "sparse_encoder", "phrasing", "teacher"), Path.is_dir),
    "production": Path.is_file,
}
"""Parameters that may be a name instead of a folder or file, and what tells which."""


@dataclass
class RunParams:
    """Overrides of one run: shared keys and per-step keys, nothing that is at its default."""

    shared: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    def for_step(self, number: str) -> dict[str, Any]:
        """Return every parameter of the step's cell with the value it has in this run."""
        cell = cell_parameters(number)
        given = {k: v for k, v in self.shared.items() if k in cell} | self.steps.get(number, {})
        return {name: given.get(name, p.default) for name, p in cell.items()}

    def dump(self) -> str:
        """Return the overrides as YAML text that :func:`load_params` reads back."""
        text = io.StringIO()
        _yaml().dump({**self.shared, **self.steps}, text)
        return text.getvalue()


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)  # YAML 1.2: 5e-5 is a number, 05 is five, no is a word
    yaml.default_flow_style = False
    return yaml


def load_params(path: Path | None, overrides: Iterable[str] = ()) -> RunParams:
    """Read a params file, apply ``key=value`` overrides and check everything.

    Args:
        path: the YAML file, or None for overrides alone.
        overrides: texts such as ``14.learning_rate=5e-5`` or ``run=mine``.

    Raises:
        ParameterError: names the file or option, the key, what was found and what is valid.
    """
    params = RunParams()
    if path is not None:
        for key, value in _read_yaml(path).items():
            _place(params, key, value, str(path))
    options: dict[tuple[str, str], str] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"--set {text}: expected key=value, such as 14.learning_rate=5e-5")
        options[_set(params, key.strip(), value.strip(), f"--set {text}")] = f"--set {text}"
    _check_legal(params, "" if path is None else str(path), options)
    return params


def _check_legal(params: RunParams, file: str, options: Mapping[tuple[str, str], str]) -> None:
    """Check what was given of every step, each value beside the others of its step."""
    for number in sorted({"01", *params.steps}):
        given = {**(params.shared if number == "01" else {}), **params.steps.get(number, {})}
        origins = {name: f"{options.get((number, name), file)}: step {number}" for name in given}
        if origins:
            check_legal(cell_parameters(number), params.for_step(number), origins)


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ParameterError(f"{path}: no such params file; found there: {', '.join(near) or 'none'}") from None
    except (OSError, ValueError) as error:
        raise ParameterError(f"{path}: not readable: {error}") from None
    data = _loaded(text, str(path))
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ParameterError(f"{path}: expected keys and values at the top, found {type(data).__name__}")
    return data


def _place(params: RunParams, key: Any, value: Any, where: str) -> None:
    if key in SHARED:
        params.shared[key] = check_value("01", key, value, where)
        return
    if not str(key).strip().split("_")[0].isdecimal():
        hint = nearest(str(key), list(SHARED))
        raise ParameterError(f"{where}: unknown shared parameter {key!r}{hint}; step keys are 01 to {LAST}")
    number = _step(key, where)
    if number in params.steps:
        raise ParameterError(f"{where}: step {number} is given twice (5, 05 and '05' are the same step)")
    if not isinstance(value, dict):
        raise ParameterError(f"{where}: step {number}: expected parameters and values, found {shown(repr(value))}")
    params.steps[number] = {}
    for name, item in value.items():
        _refuse_shared(number, name, where)
        params.steps[number][name] = check_value(number, name, item, where)


def _set(params: RunParams, key: str, value: str, where: str) -> tuple[str, str]:
    """Set one parameter and return its step and name."""
    step, dot, name = key.rpartition(".")
    if not dot:
        if key not in SHARED:
            hint = nearest(key, _all_keys(), [*SHARED, "a step's own such as 14.steps"])
            raise ParameterError(f"{where}: unknown shared parameter {key!r}{hint}")
        params.shared[key] = check_value("01", key, _parse(key, "01", value, where), where)
        return "01", key
    number = _step(step, where)
    _refuse_shared(number, name, where)
    item = _parse(name, number, value, where)
    params.steps.setdefault(number, {})[name] = check_value(number, name, item, where)
    return number, name


def _step(key: Any, where: str) -> str:
    """Return the number of the step that a key names."""
    try:
        return step_number(key)
    except ParameterError as error:
        raise ParameterError(f"{where}: {error}") from None


def _refuse_shared(number: str, name: Any, where: str) -> None:
    if name in SHARED:
        raise ParameterError(f"{where}: {name!r} is shared: write it at the top, not under step {number}")


def _all_keys() -> list[str]:
    return [*SHARED, *(f"{s.number}.{name}" for s in STEPS for name in cell_parameters(s.number))]


def _parse(name: str, number: str, text: str, where: str) -> Any:
    """Return the text as YAML, but as it stands where the parameter is a string."""
    known = cell_parameters(number).get(name)
    return text if known is not None and known.annotation == "str" else _loaded(text, where)


def _loaded(text: str, where: str) -> Any:
    """Return what a YAML text holds."""
    from ruamel.yaml.error import YAMLError

    try:
        return _yaml().load(text)
    # Beside its own errors: dates such as 2023-02-31, numbers of thousands of digits, lists of lists without end.
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ParameterError(f"{where}: not readable as YAML: {error}") from None


def check_value(number: str, name: Any, value: Any, where: str) -> Any:
    """Return the value in the parameter's type, or raise a ParameterError that names both."""
    cell = cell_parameters(number)
    if name not in cell:
        valid = [key for key in cell if key not in SHARED]
        hint = nearest(str(name), valid) if valid else "; it has no parameters of its own"
        raise ParameterError(f"{where}: step {BY_NUMBER[number].name} has no parameter {name!r}{hint}")
    annotation = cell[name].annotation
    try:
        converted = _convert(value, annotation)
    except TypeError:
        found = f"{shown(repr(value))} ({type(value).__name__})"
        raise ParameterError(f"{where}: {name} of step {number} must be {annotation}, found {found}") from None
    wanted = unusable(converted)
    if wanted:
        raise ParameterError(f"{where}: {name} of step {number} must be {wanted}, found {shown(repr(converted))}")
    return located(number, name, converted)


def located(number: str, name: str, value: Any) -> Any:
    """Return the value, as an absolute path where it names a file: a notebook runs in another folder."""
    if name not in BY_NUMBER[number].files or not value:
        return value
    try:
        if name in NAMES_OR_FILES and not NAMES_OR_FILES[name](Path(value)):
            return value
        path = Path(value).resolve()
        path.exists()  # asks the file system, which may not take such a name
        return str(path)
    except OSError as error:
        raise ParameterError(f"{name} of step {number}: {shown(repr(value))}: {error.strerror}") from None


def require_files(params: RunParams, steps: Iterable[Step]) -> None:
    """Raise a ParameterError where a step to be run is given a file or folder that is not there."""
    for step in steps:
        for name in step.files:
            value = params.for_step(step.number)[name]
            if value and name not in NAMES_OR_FILES and not Path(value).exists():
                raise ParameterError(f"{name} of step {step.number}: there is no such file or folder: {value}")


def require_collection(params: RunParams) -> None:
    """Raise a ParameterError where no such source is, or where it is given no data, or data that it does not take."""
    from embedlab.data.sources.registry import options_for, source_named

    cell = params.for_step("01")
    name, path = cell["source"], cell["path"]
    options_for(name, {"path": path})
    source = source_named(name)
    if source.package is None and "path" in source.options and not path:
        raise ParameterError(f"source {name} needs your data: --set path=FOLDER, found no path")


def _convert(value: Any, annotation: str) -> Any:
    if annotation.startswith("list["):
        if not isinstance(value, list):
            raise TypeError
        return [_convert(item, annotation[5:-1]) for item in value]
    if annotation == "str" and type(value) is date:  # YAML reads 2023-06-30 as a date
        return value.isoformat()
    if annotation == "float" and type(value) is int and abs(value) <= LARGEST:
        return float(value)
    if type(value) is not {"int": int, "float": float, "str": str, "bool": bool}[annotation]:
        raise TypeError
    return value
