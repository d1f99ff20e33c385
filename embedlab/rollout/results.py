"""What a re-indexing and a roll-out plan and find: plain values that load without pandas, torch or faiss."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What a re-indexing will do; sizes in bytes.

    ``content`` is a hash of ids, texts, encoder and batch size: a journal belongs to one plan.
    """

    documents: int
    batch_size: int
    batches: int
    dimensions: int
    vector_bytes: int
    extra_bytes: int
    model: str
    content: str

    def hours(self, documents_per_second: float) -> float:
        """Return how long encoding takes at a measured speed."""
        return self.documents / documents_per_second / 3600


@dataclass(frozen=True)
class Check:
    """One validation check: what was found, what is wanted, and whether it holds."""

    check: str
    found: float
    wanted: str
    passed: bool


@dataclass(frozen=True)
class Stage:
    """What was seen at one share of the traffic.

    Attributes:
        percent: of the traffic that the candidate answers.
        queries: that it answered.
        live: mean of the measure, had the live release answered them.
        candidate: mean of the measure.
        difference: candidate minus live.
        upper: upper confidence bound of the difference; None where too few queries decide nothing.
        errors: share of failed requests.
        empty: share of queries without any result.
        alarm: what rang, joined by commas; empty where all is well.
    """

    percent: int
    queries: int
    live: float
    candidate: float
    difference: float
    upper: float | None
    errors: float
    empty: float
    alarm: str
