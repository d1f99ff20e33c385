"""The problem contract: what is retrieved, what counts as better, and what must not get worse."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from embedlab.errors import ParameterError
from embedlab.keys import sha256_json
from embedlab.metrics import parse_measure


@dataclass(frozen=True)
class Contract:
    """Agreed before anything is measured; every later number carries its hash."""

    objective: str
    unit_retrieved: str
    generalize_to: str
    shown: int
    primary_metric: str
    min_gain: float
    expected_gain: float
    confidence: float
    guardrail_slices: list[str]
    slice_tolerance: float
    latency_budget_ms: float
    index_budget_mb: float
    test_openings: int

    def __post_init__(self) -> None:
        parse_measure(self.primary_metric)
        if not 0.5 < self.confidence < 1:
            raise ParameterError(f"confidence must lie between .5 and 1, found {self.confidence}")
        if self.shown < 1 or self.test_openings < 1:
            raise ParameterError(f"shown and test_openings must be 1 or more, found {self.shown}, {self.test_openings}")

    @property
    def hash(self) -> str:
        """A hash of every field, in hex."""
        return sha256_json(asdict(self))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the hash, for JSON."""
        return asdict(self) | {"hash": self.hash}

    def in_words(self) -> str:
        """Return the contract as Markdown."""
        slices = ", ".join(self.guardrail_slices) or "none"
        return (
            f"- **Objective:** {self.objective or '*not stated*'}\n"
            f"- **Retrieved:** {self.unit_retrieved}; {self.shown} are shown\n"
            f"- **Must generalize to:** {self.generalize_to}\n"
            f"- **Better means:** {self.primary_metric} up by at least {self.min_gain:+.3f}, at "
            f"{self.confidence:.0%} confidence (a gain of {self.expected_gain:+.3f} is expected)\n"
            f"- **Must not get worse** by more than {self.slice_tolerance:.3f}: {slices}\n"
            f"- **Budgets:** {self.latency_budget_ms:g} ms a query (p95), {self.index_budget_mb:g} MB of index\n"
            f"- **Sealed test:** at most {self.test_openings} sets of tuned models may be scored on it\n"
            f"- **Hash:** `{self.hash[:12]}`"
        )


def generalize_to(unit: str) -> str:
    """Return in words what the parts of a collection let us claim."""
    return "new queries and new documents" if unit == "group" else "new queries over known documents"
