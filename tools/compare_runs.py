"""Say whether two run folders hold the same numbers.

    .venv/bin/python tools/compare_runs.py outputs/before/attack outputs/after/attack
    .venv/bin/python tools/compare_runs.py BEFORE AFTER --tolerance 1e-9

Exits 0 where these are equal, 1 otherwise:

- ``verdict.json``: every number at every path that both have, ``price`` and ``registry`` left out;
- step 15's ``per_query.parquet``: every numeric column, rows matched by part, system and query id;
- step 13's ``training.parquet``: every numeric column and those of ``TRAINING``, rows matched by query id. Of a
  negative its id, miner and score count. Ids in another order are a difference: training meets them in order.

A row, a compared column or a file that one run lacks is a difference. What is only told: keys of the verdict
that one run lacks, words and yes or no that changed there, columns that are new, and the first number that
differs in each other table or JSON file below ``artifacts/``, compared row by row as stored. Measured times
(``timings.json``) are left out.

A column may have been renamed between the runs: see ``RENAMED``. Two missing numbers (NaN) are equal, so are
1 and 1.0; a number and a null are not. The tolerance is an absolute difference.
"""

import argparse
import json
import sys
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_string_dtype

RENAMED = {"query": "text", "split": "part"}
"""Column names of earlier runs, and what the same column is called now."""

PER_QUERY = "artifacts/15_evaluate/per_query.parquet"
TRAINING_ROWS = "artifacts/13_split_data/training.parquet"
TRAINING = ("text", "part", "positive_ids", "known_ids", "negatives")
"""Columns of the training rows that must be equal beside the numeric ones."""

ITEM_NAMES = ("id", "slice")
"""Keys by which the items of a JSON list are matched, where each item has its own."""

TIMES = "timings.json"
SHOWN = 10


@dataclass
class Findings:
    """What a comparison found: differences fail, notes only tell."""

    compared: int = 0
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Take over what another comparison found."""
        self.compared += other.compared
        self.differences += other.differences
        self.notes += other.notes


# --- values ---------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Say whether a value is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def unequal(before: Any, after: Any, tolerance: float) -> np.ndarray:
    """Return where two arrays of numbers differ by more than the tolerance; NaN equals NaN."""
    before = np.asarray(before, dtype=float)
    after = np.asarray(after, dtype=float)
    with np.errstate(invalid="ignore"):
        near = np.abs(before - after) <= tolerance
    same_infinity = before == after
    both_missing = np.isnan(before) & np.isnan(after)
    return ~(near | same_infinity | both_missing)


def change(path: str, before: Any, after: Any) -> str:
    """Return one line that says what changed, long values cut."""
    values = []
    for value in (before, after):
        text = repr(value)
        values.append(text if len(text) <= 60 else text[:57] + "...")
    where = f"{path}: " if path else ""
    return where + " -> ".join(values)


def compare_values(before: Any, after: Any, path: str, tolerance: float) -> Findings:
    """Compare two JSON values: numbers that differ are differences, all else that changed is noted."""
    if isinstance(before, dict) and isinstance(after, dict):
        return compare_keys(before, after, path, tolerance)
    if isinstance(before, list) and isinstance(after, list):
        return compare_lists(before, after, path, tolerance)
    found = Findings()
    if is_number(before) and is_number(after):
        found.compared = 1
        if unequal(before, after, tolerance):
            found.differences.append(change(path, before, after))
    elif is_number(before) or is_number(after):
        found.differences.append(change(path, before, after))
    elif before != after:
        found.notes.append(change(path, before, after))
    return found


def compare_keys(before: dict[str, Any], after: dict[str, Any], path: str, tolerance: float) -> Findings:
    """Compare what stands under the same key, and note keys that one side lacks."""
    found = Findings()
    for key in dict.fromkeys([*before, *after]):
        inner = f"{path}.{key}" if path else key
        if key not in after:
            found.notes.append(f"{inner}: only before")
        elif key not in before:
            found.notes.append(f"{inner}: only after")
        else:
            found.add(compare_values(before[key], after[key], inner, tolerance))
    return found


def compare_lists(before: list[Any], after: list[Any], path: str, tolerance: float) -> Findings:
    """Compare the items of two lists, matched by name or else by place; lists of numbers must be of one length."""
    holds_numbers = any(is_number(value) for value in before + after)
    if holds_numbers and len(before) != len(after):
        return Findings(differences=[f"{path}: {len(before)} values -> {len(after)} values"])
    for key in ITEM_NAMES:
        if names_each(key, before) and names_each(key, after):
            old = {item[key]: item for item in before}
            new = {item[key]: item for item in after}
            return compare_keys(old, new, path, tolerance)
    old = {str(place): item for place, item in enumerate(before)}
    new = {str(place): item for place, item in enumerate(after)}
    return compare_keys(old, new, path, tolerance)


def names_each(key: str, items: list[Any]) -> bool:
    """Say whether every item of a list is a dict with a value of its own under the key."""
    names = [item[key] for item in items if isinstance(item, dict) and isinstance(item.get(key), str)]
    return len(set(names)) == len(items)


# --- tables ---------------------------------------------------------------------------------


def read_table(path: Path) -> pd.DataFrame:
    """Return a table with the column names of today."""
    table = pd.read_parquet(path)
    return table.rename(columns={old: new for old, new in RENAMED.items() if new not in table})


def read_training(path: Path) -> pd.DataFrame:
    """Return the training rows, of each negative only what counts."""
    table = read_table(path)
    if "negatives" in table:
        table["negatives"] = [list(map(what_counts, negatives)) for negatives in table["negatives"]]
    return table


def what_counts(negative: dict[str, Any]) -> dict[str, Any]:
    """Return document, miner and score of a negative; not under ``id``, for its place matters too."""
    return {"document": negative["id"], "miner": negative["miner"], "score": negative["score"]}


def plain(cell: Any) -> Any:
    """Return a cell with lists and Python's own numbers in place of numpy's, and None for a missing number."""
    if isinstance(cell, np.ndarray | list):
        return [plain(item) for item in cell]
    if isinstance(cell, dict):
        return {key: plain(item) for key, item in cell.items()}
    if isinstance(cell, np.generic):
        cell = cell.item()
    return None if isinstance(cell, float) and np.isnan(cell) else cell


def cell_difference(before: Any, after: Any, tolerance: float, whole: bool) -> str:
    """Return the first difference between two cells, empty if there is none; ``whole``: in texts and ids too."""
    before, after = plain(before), plain(after)
    found = compare_values(before, after, "", tolerance)
    told = found.differences + (found.notes if whole else [])
    if not told:
        return ""
    lists = isinstance(before, list) and isinstance(after, list)
    if lists and sorted(map(repr, before)) == sorted(map(repr, after)):
        return "the same in another order"
    return told[0]


def differing_rows(before: pd.Series, after: pd.Series, tolerance: float, whole: bool) -> dict[int, str]:
    """Return the places where two columns of the same rows differ, and what differs there."""
    if is_numeric_dtype(before) and is_numeric_dtype(after):
        old = before.to_numpy(dtype=float, na_value=np.nan)
        new = after.to_numpy(dtype=float, na_value=np.nan)
        places = np.flatnonzero(unequal(old, new, tolerance)).tolist()
        return {place: change("", float(old[place]), float(new[place])) for place in places}
    cells = zip(before, after, strict=True)
    told = {place: cell_difference(old, new, tolerance, whole) for place, (old, new) in enumerate(cells)}
    return {place: text for place, text in told.items() if text}


def compare_columns(before: pd.Series, after: pd.Series, tolerance: float, whole: bool) -> Findings:
    """Compare two columns of the same rows; texts only where ``whole`` asks for it."""
    if is_string_dtype(before) and is_string_dtype(after) and not whole:
        return Findings()
    found = Findings(compared=len(before))
    rows = differing_rows(before, after, tolerance, whole)
    if rows:
        place, text = next(iter(rows.items()))
        count = f"{len(rows)} of {len(before)} rows differ"
        found.differences.append(f"{before.name}: {count}, first {label(before.index[place])}: {text}")
    return found


def label(row: Hashable) -> str:
    """Return what identifies a row, for printing."""
    return " / ".join(map(str, row)) if isinstance(row, tuple) else f"row {row}"


def compare_tables(
    before: pd.DataFrame, after: pd.DataFrame, keys: list[str], tolerance: float, whole: tuple[str, ...] = ()
) -> Findings:
    """Compare the numeric columns of two tables, and all of the columns in ``whole``.

    Rows are matched by ``keys``, or by their place where there are none.
    """
    found = key_problems(before, "before", keys)
    found.add(key_problems(after, "after", keys))
    if found.differences:
        return found
    if keys:
        before, after = before.set_index(keys), after.set_index(keys)
    found.add(compare_rows(before, after))
    shared = before.index.intersection(after.index, sort=False)
    old, new = before.loc[shared], after.loc[shared]
    for column in before:
        must_be_equal = column in whole
        if column in after:
            found.add(compare_columns(old[column], new[column], tolerance, must_be_equal))
        elif must_be_equal or is_numeric_dtype(before[column]):
            found.differences.append(f"column {column}: only before")
        else:
            found.notes.append(f"column {column}: only before")
    found.notes += [f"column {column}: only after" for column in after if column not in before]
    return found


def key_problems(table: pd.DataFrame, name: str, keys: list[str]) -> Findings:
    """Say which keys a table lacks, or how many of its rows share theirs with another."""
    missing = [key for key in keys if key not in table]
    if missing:
        return Findings(differences=[f"{name}: no column {missing}; found {list(table.columns)}"])
    twice = int(table.duplicated(keys).sum()) if keys else 0
    if twice:
        return Findings(differences=[f"{name}: {twice} rows repeat the {', '.join(keys)} of another"])
    return Findings()


def compare_rows(before: pd.DataFrame, after: pd.DataFrame) -> Findings:
    """Compare which rows two tables have."""
    found = Findings()
    for name, own, other in (("before", before, after), ("after", after, before)):
        alone = own.index.difference(other.index)
        if len(alone):
            found.differences.append(f"{len(alone)} of {len(own)} rows only {name}, first {label(alone[0])}")
    if not found.differences and not before.index.equals(after.index):
        found.notes.append("the rows stand in another order")
    return found


# --- runs -----------------------------------------------------------------------------------


def compare_files(before: Path, after: Path, tolerance: float) -> Findings:
    """Compare two JSON files or two tables as they are stored."""
    if before.suffix == ".json":
        old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
        return compare_values(old, new, "", tolerance)
    return compare_tables(read_table(before), read_table(after), [], tolerance)


def compare_verdicts(before: Path, after: Path, tolerance: float) -> Findings:
    """Compare two ``verdict.json``, prices and the place in the registry of openings left out."""
    verdicts = [json.loads(path.read_text(encoding="utf-8")) for path in (before, after)]
    for verdict in verdicts:
        verdict.pop("price", None)
        verdict.pop("registry", None)
    return compare_values(*verdicts, "", tolerance)


def compare_per_query(before: Path, after: Path, tolerance: float) -> Findings:
    """Compare the scores of each query under each system."""
    return compare_tables(read_table(before), read_table(after), ["part", "system", "query_id"], tolerance)


def compare_training(before: Path, after: Path, tolerance: float) -> Findings:
    """Compare what training eats."""
    return compare_tables(read_training(before), read_training(after), ["query_id"], tolerance, TRAINING)


DECIDING = {"verdict.json": compare_verdicts, PER_QUERY: compare_per_query, TRAINING_ROWS: compare_training}
"""The files that must hold the same numbers, and how each is compared."""


def compare_deciding(before: Path, after: Path, tolerance: float) -> dict[str, Findings]:
    """Compare the files that must hold the same numbers; a missing or empty one is a difference."""
    result = {}
    for name, compare in DECIDING.items():
        missing = [str(run / name) for run in (before, after) if not (run / name).is_file()]
        if missing:
            result[name] = Findings(differences=[f"{path} does not exist" for path in missing])
            continue
        result[name] = compare(before / name, after / name, tolerance)
        if not result[name].compared and not result[name].differences:
            result[name].differences.append("there is no number to compare")
    return result


def artifacts(run: Path) -> set[str]:
    """Return the tables and JSON files of a run, measured times and deciding files left out."""
    paths = [path for path in (run / "artifacts").rglob("*") if path.suffix in (".json", ".parquet")]
    return {path.relative_to(run).as_posix() for path in paths if path.name != TIMES} - set(DECIDING)


def compare_others(before: Path, after: Path, tolerance: float) -> list[str]:
    """Return a line for each other artifact whose numbers differ or that one run lacks."""
    here, there = artifacts(before), artifacts(after)
    lines = []
    for name in sorted(here | there):
        if name not in there or name not in here:
            lines.append(f"{name}: only {'before' if name in here else 'after'}")
            continue
        differences = compare_files(before / name, after / name, tolerance).differences
        if differences:
            more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
            lines.append(f"{name}: {differences[0]}{more}")
    return lines


def print_some(lines: list[str], sign: str) -> None:
    """Print the first lines, and how many follow."""
    for line in lines[:SHOWN]:
        print(f"  {sign} {line}")
    if len(lines) > SHOWN:
        print(f"  {sign} ... and {len(lines) - SHOWN} more")


def parse_arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description="Say whether two run folders hold the same numbers.")
    parser.add_argument("before", type=Path, help="run folder, for example outputs/before/attack")
    parser.add_argument("after", type=Path, help="run folder to compare with it")
    parser.add_argument("--tolerance", type=float, default=0.0, help="largest difference that is none (default: 0)")
    arguments = parser.parse_args()
    for run in (arguments.before, arguments.after):
        if not run.is_dir():
            parser.error(f"{run} is no folder")
    return arguments


def main() -> int:
    """Print what differs; return the exit status."""
    arguments = parse_arguments()
    before, after, tolerance = arguments.before, arguments.after, arguments.tolerance
    found = compare_deciding(before, after, tolerance)
    for name, findings in found.items():
        outcome = "DIFFERS" if findings.differences else "equal"
        print(f"{name}: {outcome} ({findings.compared:,} values compared)")
        print_some(findings.differences, "!")
        print_some(findings.notes, "-")
    others = compare_others(before, after, tolerance)
    print(f"other artifacts: {len(others)} differ or are missing (this decides nothing)")
    for line in others:
        print(f"  - {line}")
    differs = any(findings.differences for findings in found.values())
    print("The runs do NOT hold the same numbers." if differs else "The runs hold the same numbers.")
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
