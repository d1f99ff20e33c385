"""What a step hands on: a JSON file as a frozen dataclass, a parquet file with a written schema."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from embedlab.errors import DataError, IntegrityError, shown
from embedlab.trainset.schema import StoreRows, checked, read_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pydantic import TypeAdapter

TEXT, INTEGER, NUMBER, FLAG, TEXTS = "text", "integer", "number", "yes or no", "list of texts"
NEGATIVES = "list of {id, miner, score}"
"""Kinds of a column."""


@dataclass(frozen=True)
class Artifact:
    """A JSON file of one step, as a frozen dataclass: subclasses name the step and the file.

    The file holds the fields under their names; beside them the lab writes the contract where the step
    measures quality.
    """

    step: ClassVar[str]
    file: ClassVar[str]

    def __init_subclass__(cls, step: str, file: str) -> None:
        cls.step, cls.file = step, file

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


Kind = TypeVar("Kind", bound=Artifact)


def parse(kind: type[Kind], found: Any, where: str) -> Kind:
    """Return the artifact that a JSON value holds; what is not one of its fields is left out.

    Raises:
        IntegrityError: if a field is missing or has another type; names file and field.
    """
    from pydantic import ValidationError

    if not isinstance(found, Mapping):
        raise IntegrityError(f"{where}: expected an object {{…}}, found {shown(found)}; run step {kind.step} again")
    known = {field.name for field in fields(kind)}
    try:
        artifact: Kind = _adapter(cast(Hashable, kind)).validate_python(
            {k: v for k, v in dict(found).items() if k in known}
        )
        return artifact
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise IntegrityError(
            f"{where}: {place or 'the file'}: {first['msg']}; step {kind.step} wrote another version, run it again"
        ) from None


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(cast(type, kind))


@dataclass(frozen=True)
class Table:
    """A parquet file of one step.

    Attributes:
        step: the step's number.
        file: its name in the step's folder.
        says: one row in words.
        columns: kind by column; these are always there.
        further: what further columns may stand beside them; empty for none.
        rows: whether it is the canonical training store, whose schema is checked as a whole.
    """

    step: str
    file: str
    says: str
    columns: Mapping[str, str]
    further: str = ""
    rows: bool = False

    def for_writing(self, frame: pd.DataFrame) -> pd.DataFrame | StoreRows:
        """Return what is written of a frame, after checking its columns.

        Raises:
            DataError: if a column is missing, has another kind, or is not declared; names it.
        """
        import pyarrow as pa

        where = f"step {self.step}: {self.file}"
        if self.rows:
            return checked(frame, where)
        undeclared = [str(name) for name in frame if name not in self.columns]
        if undeclared and not self.further:
            raise DataError(f"{where}: column {undeclared[0]!r} is not declared; declared {', '.join(self.columns)}")
        declared = [name for name in self.columns if name in frame]
        self._compare(pa.schema([(name, _type_of(frame[name], where)) for name in declared]), len(frame), where)
        return frame

    def read(self, path: Path) -> pd.DataFrame:
        """Return the table after checking its columns.

        Raises:
            DataError: if a column is missing or has another kind; names both.
        """
        import pandas as pd
        import pyarrow.parquet as pq

        if self.rows:
            return read_rows(path)
        file = pq.read_metadata(path)
        self._compare(file.schema.to_arrow_schema(), file.num_rows, str(path))
        return pd.read_parquet(path)

    def _compare(self, schema: pa.Schema, rows: int, where: str) -> None:
        for name, kind in self.columns.items():
            if name not in schema.names:
                raise DataError(f"{where}: column {name!r} is missing; found {', '.join(schema.names)}")
            found = schema.field(name).type
            if rows and not _is(found, kind):  # a column without a value has no kind of its own
                raise DataError(f"{where}: column {name!r}: expected {kind}, found {found}")


def _type_of(values: pd.Series, where: str) -> pa.DataType:
    """Return the type that a column will have in the file."""
    import pyarrow as pa

    try:
        return pa.Schema.from_pandas(values.to_frame(), preserve_index=False).field(0).type
    except pa.ArrowException as error:
        raise DataError(f"{where}: column {str(values.name)!r}: values of several kinds: {error}") from None


def _is(found: pa.DataType, kind: str) -> bool:
    import pyarrow.types as types

    if types.is_null(found):
        return True
    if kind == TEXTS:
        inner = found.value_type if types.is_list(found) or types.is_large_list(found) else None
        return inner is not None and (types.is_null(inner) or _is_text(inner))
    if kind == NUMBER:
        return bool(types.is_floating(found) or types.is_integer(found))
    matches = {TEXT: _is_text, INTEGER: types.is_integer, FLAG: types.is_boolean}
    return bool(matches[kind](found))


def _is_text(found: pa.DataType) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(found) or types.is_large_string(found))


@dataclass(frozen=True)
class Summary:
    """What every step ends with: its conclusion, and its key figures for the report."""

    conclusion: str
    figures: dict[str, Any]


# --- what a step's module defines ---------------------------------------------------------------


def kinds_of(slug: str) -> list[type[Artifact]]:
    """Return the JSON artifacts that a step's module defines, in order."""
    module = import_module(f"{__package__}.{slug}")
    own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
    return [value for value in own if isinstance(value, type) and issubclass(value, Artifact)]


def tables_of(slug: str) -> list[Table]:
    """Return the tables that a step's module defines, in order."""
    found = vars(import_module(f"{__package__}.{slug}")).values()
    return [value for value in found if isinstance(value, Table)]


def defined_files(slug: str) -> set[str]:
    """Return the files of a step that are written by their definition, not by their name."""
    return {kind.file for kind in kinds_of(slug)} | {table.file for table in tables_of(slug)}
