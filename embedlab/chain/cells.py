"""A notebook's parameters cell as a schema: of each parameter name, type, default, comment and legal values.

Legal values stand in brackets at the end of the comment: ``# K of the measures [one or more, each 1 to 1000]``. The
grammar is small enough to be read without this page. Conditions stand between commas, and all of them must hold:

- of numbers: ``A to B`` (both included), ``A or more``, ``above A``, ``A or less``, ``below A``; A and B are numbers
  or names of other parameters of the cell;
- of texts: ``this | that`` (one of these), ``a plain name``, ``a day``, ``a measure``, ``one character``;
- of lists: ``one or more``, ``rising``, and ``each`` before a condition on every item.

Whatever the brackets say, a number is finite and at most a million millions, a text has no control characters, and a
list holds nothing twice and no blank text. A parameter's default is always legal, so that ``0 for all`` needs no
condition of its own.
"""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from embedlab.chain.paths import notebook_path, plain_name
from embedlab.chain.steps import get_step
from embedlab.data.text import is_date
from embedlab.errors import ParameterError, shown

LARGEST = 10**12
"""No count, size, price or time of any use is larger; what is, would overflow somewhere."""

Condition = Callable[[Any, Mapping[str, Any]], bool]
"""Whether a value holds, given all values of its cell by name."""

OPERAND = r"(-?\d[\d_]*(?:\.\d+)?|[a-z_]+)"

COMPARED: dict[str, Callable[..., bool]] = {
    f"{OPERAND} to {OPERAND}": lambda value, low, high: low <= value <= high,
    f"{OPERAND} or more": lambda value, low: value >= low,
    f"{OPERAND} or less": lambda value, high: value <= high,
    f"above {OPERAND}": lambda value, low: value > low,
    f"below {OPERAND}": lambda value, high: value < high,
}
"""Conditions on numbers: a pattern, and what must hold of the value and the pattern's operands."""


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: name, annotation, default and comment."""

    name: str
    annotation: str
    default: Any
    comment: str

    @property
    def legal(self) -> str:
        """What the brackets at the end of the comment say; blank where there are none."""
        found = re.search(r"\[([^\[\]]+)\]$", self.comment)
        return found.group(1) if found else ""

    @property
    def conditions(self) -> list[str]:
        """The conditions between the brackets' commas."""
        return self.legal.split(", ") if self.legal else []


@cache
def cell_parameters(number: str) -> dict[str, Parameter]:
    """Return the parameters cell of a step's notebook, in order: name to :class:`Parameter`.

    Raises:
        ParameterError: if the notebook has no parameters cell, or a line of it is not
            ``name: type = literal  # comment``.
    """
    path = notebook_path(get_step(number))
    source = _parameters_source(path)
    lines = source.splitlines()
    found: dict[str, Parameter] = {}
    for node in ast.parse(source).body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value):
            raise ParameterError(f"{path}: parameters cell: not 'name: type = value': {ast.unparse(node)}")
        line = lines[(node.end_lineno or node.lineno) - 1]
        comment = line.split("#", 1)[1].strip() if "#" in line else ""
        default = ast.literal_eval(node.value)
        found[node.target.id] = Parameter(node.target.id, ast.unparse(node.annotation), default, comment)
    return found


def _parameters_source(path: Path) -> str:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if "parameters" in cell.get("metadata", {}).get("tags", []):
            return "".join(cell["source"])
    raise ParameterError(f"{path}: no cell is tagged 'parameters'")


def measure(text: str) -> object:
    """Return the measure of a name; see :func:`embedlab.evaluation.metrics.parse_measure`."""
    from embedlab.evaluation.metrics import parse_measure

    return parse_measure(text)


OF_TEXT: dict[str, Callable[[str], object]] = {
    "a plain name": plain_name,
    "a day": is_date,
    "a measure": measure,
    "one character": lambda text: len(text) == 1,
}
"""Conditions on texts, by how they are written; one that has more to say than no raises a ParameterError."""

OF_LIST: dict[str, Callable[[list[Any]], bool]] = {
    "one or more": lambda items: len(items) >= 1,
    "rising": lambda items: items == sorted(items),
}
"""Conditions on lists, by how they are written."""


def check_legal(parameters: Mapping[str, Parameter], values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Look at all values of a cell together: what is legal for one may depend on another.

    Args:
        parameters: the cell; see :func:`cell_parameters`.
        values: by name, of the parameters' types.
        origins: by name where a value that was given comes from, for the message; one of them at least.

    Raises:
        ParameterError: at the first illegal value; says what is legal and what was found.
    """
    for name, parameter in parameters.items():
        where = origins.get(name) or next(iter(origins.values()))
        try:
            is_legal = _is_legal(parameter, values)
        except ParameterError as error:
            raise ParameterError(f"{where}: {name}: {error}") from None
        if not is_legal:
            bounds = [f"{other} is {values[other]!r}" for other in _named_in(parameter.legal, values)]
            found = ", ".join([shown(repr(values[name])), *bounds])
            raise ParameterError(f"{where}: {name} must be {_in_words(parameter, values)}; found {found}")


def _is_legal(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    value, conditions = values[parameter.name], parameter.conditions
    if value == parameter.default:
        # A default needs no condition of its own; but what it is measured by may have been given.
        conditions = [words for words in conditions if _named_in(words, values)]
    return all(condition(words)(value, values) for words in conditions)


def _in_words(parameter: Parameter, values: Mapping[str, Any]) -> str:
    """Return what is legal for a parameter, its default too where the conditions leave that out."""
    plain = [words for words in parameter.conditions if not _named_in(words, values)]
    if all(condition(words)(parameter.default, values) for words in plain):
        return parameter.legal
    return f"{parameter.legal}, or {parameter.default!r}"


def _named_in(words: str, values: Mapping[str, Any]) -> list[str]:
    """Return the parameters that conditions name as their bounds."""
    return [word for word in re.findall(r"[a-z_]+", words) if word in values]


def unusable(value: Any) -> str:
    """Return what makes a value unusable whatever its parameter is; blank where nothing does."""
    if isinstance(value, list):
        if any(isinstance(item, str) and not item.strip() for item in value):
            return "without blank items"
        if len(set(value)) < len(value):
            return "a list with nothing twice"
        return next((unusable(item) for item in value if unusable(item)), "")
    if isinstance(value, str):
        return "a text without control characters" if any(map(_is_control, value)) else ""
    # A huge whole number has no counterpart among the floats, so it is compared before it is called finite.
    if abs(value) <= LARGEST:
        return ""
    return f"a finite number between {-LARGEST:,} and {LARGEST:,}"


def _is_control(character: str) -> bool:
    """Return whether a character is no text: control and unpaired surrogate, but not tab and new line."""
    return unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r"


def condition(words: str) -> Condition:
    """Return the condition that a few words of the grammar stand for.

    Raises:
        ParameterError: if they stand for none.
    """
    if words.startswith("each "):
        of_item = condition(words.removeprefix("each "))
        return lambda items, values: all(of_item(item, values) for item in items)
    if " | " in words:
        return lambda value, values: value in words.split(" | ")
    if words in OF_TEXT:
        return lambda value, values: bool(OF_TEXT[words](value))
    if words in OF_LIST:
        return lambda value, values: OF_LIST[words](value)
    for pattern, holds in COMPARED.items():
        found = re.fullmatch(pattern, words)
        if found:
            return _comparison(holds, found.groups())
    raise ParameterError(f"no condition {words!r}; embedlab/legal.py lists those that there are")


def _comparison(holds: Callable[..., bool], operands: tuple[str, ...]) -> Condition:
    """Return a condition on a number; operands that are no numbers name parameters."""

    def compare(value: Any, values: Mapping[str, Any]) -> bool:
        return holds(value, *(values[word] if word in values else float(word) for word in operands))

    return compare
