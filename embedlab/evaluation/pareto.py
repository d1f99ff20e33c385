"""The Pareto front of a table of options: those to which no other is as good in all and better in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from embedlab.errors import DataError, ParameterError, nearest


def pareto(table: pd.DataFrame, better_high: Sequence[str], better_low: Sequence[str]) -> pd.Series:
    """Return which rows lie on the Pareto front (Pareto 1896): no other row dominates them.

    A row dominates another that is nowhere better and somewhere worse. Of equal rows all lie on the front. A row with
    a missing value was not measured: it neither lies on the front nor dominates.

    Args:
        table: a row an option; the columns named are numbers.
        better_high: columns of which more is better, such as a gain.
        better_low: columns of which less is better, such as milliseconds or bytes.

    Returns:
        bool by the table's index.

    Raises:
        ParameterError: if no column is named, or one is not in the table.
        DataError: if a column holds no numbers.
    """
    columns = [*better_high, *better_low]
    if not columns:
        raise ParameterError("pareto: no column is named; name what is better high or better low")
    for name in columns:
        if name not in table:
            raise ParameterError(f"pareto: no column {name!r}{nearest(name, [str(known) for known in table])}")
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise DataError(f"pareto: column {name!r} holds {table[name].dtype}, expected numbers")
    signs = np.array([1.0] * len(better_high) + [-1.0] * len(better_low))
    values = table[columns].to_numpy(dtype=float, na_value=np.nan) * signs
    # Every row against every other, [rows, rows, columns]; comparisons with a missing value are false.
    as_good = (values[:, None] >= values[None]).all(axis=2)
    better = (values[:, None] > values[None]).any(axis=2)
    dominated = (as_good & better).any(axis=0)
    return pd.Series(~dominated & ~np.isnan(values).any(axis=1), index=table.index, name="on the front")
