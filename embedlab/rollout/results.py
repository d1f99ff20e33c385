"""What a re-indexing and a roll-out find: plain values that load without pandas, torch or faiss."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One validation check: what was found, what is wanted, and whether it holds."""

    check: str
    found: float
    wanted: str
    passed: bool


PASSED, WAITS, BACK = "passed", "waits", "pulled back"
"""What a stage of a rollout ends in; one that waits has too little traffic to be judged."""


@dataclass(frozen=True)
class Stage:
    """What was seen at one share of the traffic.

    Attributes:
        percent: of the traffic that the candidate answers.
        queries: judged ones that it answered.
        groups: that these belong to: what the traffic is split by.
        live: mean of the measure, had the live release answered them.
        candidate: mean of the measure.
        difference: candidate minus live.
        upper: upper confidence bound of the difference; None where the stage waits.
        detectable: smallest true loss that is noticed here with 80 % power; None where the stage waits.
        errors: share of failed requests.
        empty: share of queries without any result.
        alarm: what rang, joined by commas; empty where nothing did.
        lacks: what is missing to judge quality, such as ``4 of 10 groups``; empty where nothing is.
    """

    percent: int
    queries: int
    groups: int
    live: float
    candidate: float
    difference: float
    upper: float | None
    detectable: float | None
    errors: float
    empty: float
    alarm: str
    lacks: str

    @property
    def state(self) -> str:
        """``pulled back`` where anything rang, ``waits`` where quality could not be judged, else ``passed``."""
        if self.alarm:
            return BACK
        return WAITS if self.lacks else PASSED
