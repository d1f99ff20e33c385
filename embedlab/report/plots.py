"""Figures: one message each, base and tuned in the same two colours everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from textwrap import fill
from typing import Any

import pandas as pd

COLOURS = {"base": "#6b7280", "tuned": "#0f766e", "other": "#b45309", "light": "#cbd5e1"}


def colour(name: str) -> str:
    """Return the colour of a system by its name."""
    lowered = name.lower()
    # A name with both words, such as "tuned - base", is a gain of the tuned model.
    if "tuned" in lowered:
        return COLOURS["tuned"]
    if "base" in lowered:
        return COLOURS["base"]
    return COLOURS["other"]


def _axes(title: str, size: tuple[float, float] = (7.0, 3.2)) -> Any:
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


LABELLED = 10
"""Points that are all labelled; of more, those on the front alone, for their labels would cover one another."""

LABEL = 44
"""Characters of a row's label on one line: longer ones would leave no room for what is drawn."""


def _labels(names: Iterable[object]) -> list[str]:
    """Return the labels of rows, long ones on several lines."""
    return [fill(str(name), LABEL) for name in names]


def _height(labels: Sequence[str], around: float, row: float) -> float:
    """Return the height of a figure of rows in inches: of what stands around them, of each, and of their labels."""
    further = sum(label.count("\n") for label in labels)
    return around + row * len(labels) + 0.15 * further


def _whole(values: Iterable[float]) -> bool:
    return all(float(value).is_integer() for value in values)


def differences(table: pd.DataFrame, title: str, xlabel: str, reference: float = 0.0) -> None:
    """Draw differences with intervals; ``table`` is indexed by name with ``delta, low, high``."""
    # The figure grows with its rows, so that they stand equally far apart in every figure.
    labels = _labels(table.index)
    axes = _axes(title, (7.0, _height(labels, 1.2, 0.4)))
    for position, (name, row) in enumerate(table.iterrows()):
        shade = colour(str(name))
        interval = [row["low"], row["high"]]
        axes.plot(interval, [position, position], color=shade, lw=2)
        axes.plot(row["delta"], position, "o", color=shade)
    axes.axvline(reference, color=COLOURS["light"], lw=1, zorder=0)
    axes.set_yticks(range(len(table)), labels)
    # Upwards is the default; the first row of a table belongs on top.
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)


def bars(values: Mapping[str, float], title: str, xlabel: str) -> None:
    """Draw one horizontal bar a name."""
    names = list(values)
    labels = _labels(names)
    axes = _axes(title, (7.0, _height(labels, 1.2, 0.35)))
    shades = [colour(name) for name in names]
    axes.barh(labels, [values[name] for name in names], color=shades)
    axes.xaxis.get_major_locator().set_params(integer=_whole(values.values()))
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)


def two_sided(right: pd.Series, left: pd.Series, title: str, xlabel: str, names: tuple[str, str]) -> None:
    """Draw two bars a row, away from each other: what speaks for it to the right, what against it to the left.

    Args:
        right: counts by name.
        left: counts by the same names.
        title: of the figure.
        xlabel: what is counted.
        names: of right and left, for the legend.
    """
    rows = _labels(right.index)
    axes = _axes(title, (7.0, _height(rows, 1.4, 0.35)))
    axes.barh(rows, right.to_numpy(), color=COLOURS["tuned"], label=names[0])
    axes.barh(rows, -left.to_numpy(), color=COLOURS["other"], label=names[1])
    axes.axvline(0, color=COLOURS["base"], lw=1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    axes.legend(frameon=False)


def lines(table: pd.DataFrame, title: str, xlabel: str, ylabel: str) -> None:
    """Draw one line a column over the table's index; gaps are left out."""
    axes = _axes(title)
    for name in table.columns:
        series = table[name].dropna()
        shade = _line_colour(str(name))
        axes.plot(series.index, series.to_numpy(), marker="o", ms=3, label=str(name), color=shade)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if len(table.columns) > 1:
        axes.legend(frameon=False)


def _line_colour(name: str) -> str | None:
    words = set(name.lower().split())
    # Several other lines in one figure must differ, so they leave the choice to matplotlib.
    return colour(name) if {"base", "tuned"} & words else None


def gain_over_share(line: Sequence[Any], share: float, title: str, ylabel: str, reference: float = 0.0) -> None:
    """Draw the gain over the share of new documents with its interval, and mark the share that decides.

    Args:
        line: points with ``share, delta, low, high``, such as ``Strata.over_share``.
        share: the one that decides.
        title: what the figure says.
        ylabel: the gain and the interval's confidence.
        reference: the gain that is asked for.
    """
    axes = _axes(title)
    at = [100 * point.share for point in line]
    shade = COLOURS["tuned"]
    axes.fill_between(at, [point.low for point in line], [point.high for point in line], color=shade, alpha=0.15, lw=0)
    axes.plot(at, [point.delta for point in line], color=shade, lw=2)
    axes.axvline(100 * share, color=COLOURS["other"], lw=1, ls="--")
    axes.annotate(f"{share:.0%} decide", (100 * share, 1), xycoords=("data", "axes fraction"), xytext=(4, -10),
                  textcoords="offset points", fontsize=8, color=COLOURS["other"])  # fmt: skip
    axes.axhline(reference, color=COLOURS["light"], lw=1, zorder=0)
    axes.set_xlabel("queries about documents that were no positive of training (%)")
    axes.set_ylabel(ylabel)


def histogram(groups: Mapping[str, Sequence[float]], title: str, xlabel: str, ylabel: str = "count") -> None:
    """Draw the distribution of each group of values in one figure."""
    axes = _axes(title)
    names = list(groups)
    values = [list(groups[name]) for name in names]
    # Outlines, for filled bars would hide one another. One call gives all groups the same bins.
    axes.hist(values, bins=20, label=names, histtype="step", lw=1.6)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(frameon=False)


def scatter(table: pd.DataFrame, x: str, y: str, title: str) -> None:
    """Draw a point a row, labelled by the table's index."""
    axes = _axes(title)
    for name, row in table.iterrows():
        axes.plot(row[x], row[y], "o", color=colour(str(name)))
        axes.annotate(str(name), (row[x], row[y]), xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def front(table: pd.DataFrame, x: str, y: str, on_front: pd.Series, title: str, xlabel: str, ylabel: str) -> None:
    """Draw a point a row, filled where it lies on the Pareto front, hollow where another beats it in everything.

    Args:
        table: indexed by the names that label the points, of many only those on the front; those beyond a slash are
            shown without what is before it.
        x: the column of which less is better, all above 0; on a logarithmic axis.
        y: the column of which more is better.
        on_front: bool by the table's index; see :func:`embedlab.evaluation.pareto`.
        title: what the figure says.
        xlabel: of the axis.
        ylabel: of the axis.
    """
    axes = _axes(title, (7.0, 3.8))
    best, labels = table[on_front].sort_values([x, y]), {}
    axes.step(best[x], best[y], where="post", color=COLOURS["light"], lw=1.5, zorder=0)
    for (name, row), is_best in zip(table.iterrows(), on_front, strict=True):
        shade = COLOURS["tuned"] if is_best else COLOURS["base"]
        axes.plot(row[x], row[y], "o", color=shade, mfc=shade if is_best else "white")
        if is_best or len(table) <= LABELLED:
            label = str(name).rsplit("/", 1)[-1]
            place = {"xytext": (6, 4), "textcoords": "offset points"}
            labels[name] = axes.annotate(label, (row[x], row[y]), fontsize=8, color=shade, **place)
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)  # room for the labels
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    _apart(
        axes, [labels[name] for name in table[y].sort_values(ascending=False, kind="stable").index if name in labels]
    )


def _apart(axes: Any, labels: Sequence[Any]) -> None:
    """Move labels down, in their order, until none covers one before it."""
    axes.figure.canvas.draw()  # only what is laid out has a place
    taken: list[Any] = []
    for label in labels:
        while any(label.get_window_extent().overlaps(other) for other in taken):
            label.xyann = (label.xyann[0], label.xyann[1] - 4)
        taken.append(label.get_window_extent())


def route(
    places: Mapping[str, tuple[float, float]], ways: Mapping[str, Sequence[str]], taken: Sequence[str], title: str
) -> None:
    """Draw states as boxes and the ways between them; those taken stand out, each with its number in order.

    Args:
        places: column and row of each state.
        ways: by state, those that may follow it.
        taken: the states passed, in order.
        title: what the figure says.
    """
    axes = _axes(title, (8.5, 2.6))
    axes.axis("off")
    numbers: dict[tuple[str, str], list[str]] = {}
    for number, step in enumerate(pairwise(taken), 1):
        numbers.setdefault(step, []).append(str(number))
    every = [(start, end) for start, ends in ways.items() for end in ends]
    # Those taken come last, so that they lie above the others.
    for start, end in sorted(every, key=lambda way: way in numbers):
        is_taken = (start, end) in numbers
        shade = COLOURS["tuned"] if is_taken else COLOURS["light"]
        arrow = {"arrowstyle": "-|>", "color": shade, "lw": 2 if is_taken else 1, "shrinkA": 24, "shrinkB": 24}
        axes.annotate("", places[end], places[start], arrowprops=arrow)
        if is_taken:
            middle = [(one + other) / 2 for one, other in zip(places[start], places[end], strict=True)]
            box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
            axes.text(*middle, ", ".join(numbers[start, end]), color=shade, fontsize=8, ha="center", va="center",
                      bbox=box)  # fmt: skip
    for name, place in places.items():
        shade = COLOURS["tuned"] if name in taken else COLOURS["base"]
        box = {"boxstyle": "round,pad=0.4", "fc": "white", "ec": shade}
        axes.text(*place, name, color=shade, fontsize=8, ha="center", va="center", bbox=box)
    columns, rows = zip(*places.values(), strict=True)
    axes.set_xlim(min(columns) - 0.5, max(columns) + 0.5)
    axes.set_ylim(max(rows) + 0.4, min(rows) - 0.4)
