"""Time that may be relied on for waiting: a clock that is set forward must not end a waiting early."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Moment:
    """A moment on two clocks.

    Attributes:
        wall: seconds since 1970, which anybody may set.
        running: seconds since the machine was started, which nobody can set.
        boot: which start of which machine; blank where the system does not say.
    """

    wall: float
    running: float
    boot: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)

    @property
    def in_words(self) -> str:
        """The moment as UTC, to the second."""
        return datetime.fromtimestamp(self.wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def now() -> Moment:
    """Return the present moment."""
    return Moment(time.time(), time.monotonic(), _boot())


def elapsed(since: Moment, until: Moment) -> float:
    """Return how many seconds have surely passed: the fewer of the two clocks, and never less than none.

    After a restart, or on another machine, only the wall clock can say.
    """
    by_wall = until.wall - since.wall
    is_comparable = bool(since.boot) and since.boot == until.boot
    seconds = min(by_wall, until.running - since.running) if is_comparable else by_wall
    return max(seconds, 0.0)


@cache
def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
