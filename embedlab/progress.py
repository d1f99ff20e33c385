"""A progress bar that reads well live, in an executed notebook and on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

WIDTH = 24


class Progress:
    """A bar over ``total`` units of work, as a context manager; ``advance`` moves it.

    In a notebook it is one output that is updated in place, so that an executed notebook
    keeps its last state and no control characters; elsewhere it is tqdm. While it moves it says
    how many units it does a second; what stays in the notebook does not, for it would be another
    number each time. A bar inside another one, of a total that is not worth one, or in another thread than the main
    one is not shown.

    Attributes:
        note: words that stand behind the numbers, such as what was measured so far; they stay.
    """

    _open = 0
    """Bars of the main thread that are open; another thread's neither hide them nor are shown beside them."""

    def __init__(self, label: str, total: int, worth_showing: bool = True) -> None:
        self.label, self.total, self.done = label, total, 0
        self.note = ""
        self._worth_showing = worth_showing
        self._began = self._shown = time.monotonic()
        self._is_open = True
        self._is_main = threading.current_thread() is threading.main_thread()
        self._handle: Any = None
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if not self._is_main:
            return self
        Progress._open += 1
        if Progress._open > 1 or not self._worth_showing:
            return self
        if _in_notebook():
            from IPython.display import display

            self._handle = display(self, display_id=True)
        elif sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, desc=self.label, leave=False)
        return self

    def advance(self, by: int = 1) -> None:
        """Count ``by`` further units as done."""
        self.done += by
        if self._bar is not None:
            self._bar.set_postfix_str(self.note, refresh=False)
            self._bar.update(by)
        if self._handle is not None and time.monotonic() - self._shown > 0.5:
            self._shown = time.monotonic()
            self._handle.update(self)

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._is_main:
            Progress._open -= 1
        self._is_open = False
        if self._handle is not None:
            self._handle.update(self)
        if self._bar is not None:
            self._bar.close()

    def __repr__(self) -> str:
        full = round(WIDTH * self.done / self.total) if self.total else WIDTH
        bar = f"{self.label} ▕{'█' * full}{'░' * (WIDTH - full)}▏ {self.done:,} of {self.total:,}"
        bar = f"{bar}, {self.note}" if self.note else bar
        seconds = self._shown - self._began
        return f"{bar}, {self.done / seconds:,.1f} a second" if self._is_open and seconds > 0 else bar


def _in_notebook() -> bool:
    """Return whether this runs in a Jupyter kernel."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
