"""Judging one item at a time: what was decided, kept in the run folder, and the widget that asks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pandas as pd

from embedlab.chain.store import Store
from embedlab.errors import EmbedlabError, shown
from embedlab.files import read_json

CHOICES = ("better", "same", "worse")

FILE = "reviews/judgments.json"

Item = TypeVar("Item")


@dataclass
class Judgments:
    """What people decided, kept outside the step's outputs.

    ``pair`` names what was judged, such as two runs that are compared, so that judgments of anything
    else do not count.
    """

    store: Store
    pair: str
    file: str = FILE
    choices: tuple[str, ...] = CHOICES
    values: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = dict(self._all().get(self.pair, {}))

    def _all(self) -> dict[str, dict[str, str]]:
        path = self.store.folder / self.file
        if not os.path.lexists(path):
            return {}
        mend = "put a copy of it back, or delete it and judge again"
        found = read_json(path, dict, EmbedlabError, mend)
        for pair, values in found.items():
            if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
                raise EmbedlabError(f"{path}: {shown(pair)}: expected a choice by item, found {shown(values)}; {mend}")
        for key, choice in found.get(self.pair, {}).items():
            if choice not in self.choices:
                known = ", ".join(self.choices)
                raise EmbedlabError(f"{path}: {shown(key)}: expected one of {known}, found {shown(choice)!r}; {mend}")
        return found

    def save(self, key: str, choice: str) -> None:
        """Remember a judgment and write all of them atomically.

        Raises:
            EmbedlabError: if the choice is none of those offered, or the file cannot be written.
        """
        if choice not in self.choices:
            raise EmbedlabError(f"a judgment is one of {', '.join(self.choices)}, found {choice!r}")
        kept = self._all()
        values = dict(sorted((kept.get(self.pair, {}) | {key: choice}).items()))
        self.store.write(self.file, kept | {self.pair: values})
        self.values = values

    def counts(self) -> dict[str, int]:
        """Return how many were judged, and how many with the first and the last choice."""
        found = list(self.values.values())
        ends = (self.choices[0], self.choices[-1])
        return {"judged": len(found)} | {f"judged_{c}": found.count(c) for c in ends}


class Cards(Generic[Item]):
    """An ipywidgets browser: a list of items, one of them shown whole, a button a choice.

    Where widgets cannot run, an executed notebook or a rendered page, the table stands in its
    place; the plain text never changes, so that executed notebooks can be compared. A subclass says
    what an item is, in ``key``, ``label``, ``html``, ``twin`` and ``button``.
    """

    noun = "items"

    def __init__(self, items: Sequence[Item], judgments: Judgments) -> None:
        self.items = list(items)
        self.judgments = judgments

    def key(self, item: Item) -> str:
        """Return what a judgment of the item is saved under."""
        raise NotImplementedError

    def label(self, item: Item) -> str:
        """Return the item's line in the list."""
        raise NotImplementedError

    def html(self, item: Item) -> str:
        """Return the item as a page fragment in which every text is escaped."""
        raise NotImplementedError

    def twin(self) -> pd.DataFrame:
        """Return the table that stands for the widget."""
        raise NotImplementedError

    def button(self, choice: str) -> str:
        """Return the text of a choice's button."""
        return choice

    def __repr__(self) -> str:
        return f"Review browser: {len(self.items)} {self.noun} (shown live in JupyterLab, as a table elsewhere)"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        with pd.option_context("display.max_colwidth", None):
            static = {"text/plain": repr(self), "text/html": self.twin().to_html(index=False)}
        if not self.items:
            return static
        live = self.widget()._repr_mimebundle_(**options)
        view = "application/vnd.jupyter.widget-view+json"
        return static | ({view: live[view]} if view in live else {})

    def widget(self) -> Any:
        """Return the widget: choose an item, look, judge; a judgment is saved at once."""
        import ipywidgets as widgets

        options = [(f"{n}. {self.label(item)}", n - 1) for n, item in enumerate(self.items, start=1)]
        picker = widgets.Dropdown(options=options, description="Query", layout=widgets.Layout(width="100%"))
        view, status = widgets.HTML(), widgets.Label()
        buttons = [widgets.Button(description=self.button(choice)) for choice in self.judgments.choices]

        def show(_: Any = None) -> None:
            item = self.items[picker.value]
            view.value = self.html(item)
            status.value = f"judged: {self.judgments.values.get(self.key(item), 'not yet')}"

        def judge(choice: str) -> None:
            try:
                self.judgments.save(self.key(self.items[picker.value]), choice)
            except EmbedlabError as error:
                status.value = f"not saved: {error}"
                return
            picker.value = min(picker.value + 1, len(self.items) - 1)
            show()

        for button, choice in zip(buttons, self.judgments.choices, strict=True):
            button.on_click(lambda _, choice=choice: judge(choice))
        picker.observe(show, names="value")
        show()
        return widgets.VBox([picker, view, widgets.HBox([*buttons, status])])
