"""The written schema of the canonical training store, checked wherever a step hands it on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


STORE_COLUMNS = [
    "query_id",
    "text",
    "positive_ids",
    "known_ids",
    "negatives",
    "source",
    "provenance",
    "group",
    "part",
    "weight",
]
"""``known_ids`` are all documents judged relevant, lower grades too: none is ever a negative."""


def store_schema() -> pa.Schema:
    """Return the type of each column: one row a query; a negative is ``{id, miner, score}``."""
    import pyarrow as pa

    text = pa.string()
    negative = pa.struct([("id", text), ("miner", text), ("score", pa.float64())])
    other = {"positive_ids": pa.list_(text), "known_ids": pa.list_(text), "weight": pa.float64()}
    types = other | {"negatives": pa.list_(negative)}
    return pa.schema([(name, types.get(name, text)) for name in STORE_COLUMNS])


@dataclass(frozen=True)
class StoreRows:
    """Rows of the store in the written schema: what a step gives to ``lab.write``."""

    table: pa.Table

    def to_parquet(self, target: Path, **_options: Any) -> None:
        """Write the rows; the store calls this as it would a frame's."""
        import pyarrow.parquet as pq

        pq.write_table(self.table, target, compression="zstd")


def checked(rows: pd.DataFrame, where: str = "training store") -> StoreRows:
    """Return rows for writing: the schema's columns first, then those that a step added.

    Raises:
        DataError: if a column is missing or holds another type, a query id stands twice, or a row
            has no positive; names the column and the row.
    """
    import pyarrow as pa

    missing = [c for c in STORE_COLUMNS if c not in rows]
    if missing:
        raise DataError(f"{where}: columns {missing} are missing; found {list(rows.columns)}")
    twice = rows[rows["query_id"].duplicated()]
    if len(twice):
        raise DataError(f"{where}: row {twice.index[0]}: query id {twice['query_id'].iloc[0]!r} stands twice")
    bare = rows[rows["positive_ids"].map(len) == 0]
    if len(bare):
        raise DataError(f"{where}: row {bare.index[0]}: {bare['query_id'].iloc[0]!r} has no positive document")
    added = pa.Schema.from_pandas(rows.drop(columns=STORE_COLUMNS), preserve_index=False)
    arrays = []
    for field in [*store_schema(), *added]:
        try:
            arrays.append(pa.array(rows[field.name].tolist(), field.type))
        except (pa.ArrowException, TypeError) as error:
            raise DataError(f"{where}: column {field.name!r} is not {field.type}: {error}") from None
    return StoreRows(pa.table(arrays, schema=pa.schema([*store_schema(), *added])))


def read_rows(path: Path) -> pd.DataFrame:
    """Return the store that a step wrote, after checking its schema; further columns are kept.

    Raises:
        DataError: if a column of the schema is missing or has another type; names both.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    found = pq.read_schema(path)
    for field in store_schema():
        have = found.field(field.name).type if field.name in found.names else "no such column"
        if have != field.type:
            raise DataError(f"{path}: column {field.name!r}: expected {field.type}, found {have}; run that step again")
    return pd.read_parquet(path)
