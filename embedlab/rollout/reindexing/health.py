"""Whether the live service can bear a backfill beside it."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Sequence

import numpy as np

from embedlab.errors import ParameterError

EVERY = 5.0
"""Seconds between two looks."""

LONGEST = 60.0
"""Seconds that a health command may take."""


class Health:
    """A command, or the live index's own latency, that says whether to go on.

    Args:
        command: is healthy where it ends with 0; blank: none.
        p95_ms: the most that the 95th percentile of some searches may take; 0: none are made.
        searches: each makes one search of the live index.
        every: seconds between two looks.

    Raises:
        ParameterError: if the command cannot be read as one.
    """

    def __init__(
        self,
        command: str = "",
        p95_ms: float = 0.0,
        searches: Sequence[Callable[[], object]] = (),
        every: float = EVERY,
    ) -> None:
        try:
            self.command = shlex.split(command)
        except ValueError as error:
            raise ParameterError(f"the health check {command!r} cannot be read: {error}") from None
        self.p95_ms, self.searches, self.every = p95_ms, searches, every
        self._looked: float | None = None

    def wait(self, note: Callable[[str], None]) -> None:
        """Return as soon as all is well; ``note`` is told what is waited for, and may raise to end the waiting."""
        if self._looked is not None and time.monotonic() - self._looked < self.every:
            return
        reason = self.complaint()
        while reason:
            note(reason)
            time.sleep(self.every)
            reason = self.complaint()
        self._looked = time.monotonic()

    def complaint(self) -> str:
        """Return what is over budget now, blank where nothing is."""
        return self._command_complains() or self._latency_complains()

    def _command_complains(self) -> str:
        if not self.command:
            return ""
        try:
            done = subprocess.run(self.command, capture_output=True, timeout=LONGEST, check=False)  # noqa: S603 - the user's own
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the health check cannot be run: {error}"
        return f"the health check ended with {done.returncode}" if done.returncode else ""

    def _latency_complains(self) -> str:
        if self.p95_ms <= 0 or not self.searches:
            return ""
        taken = []
        for search in self.searches:
            begin = time.perf_counter()
            search()
            taken.append(1000 * (time.perf_counter() - begin))
        p95 = float(np.percentile(taken, 95))
        return f"the live index answers in {p95:.0f} ms at p95, over {self.p95_ms:g} ms" if p95 > self.p95_ms else ""
