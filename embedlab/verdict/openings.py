"""Which opening of its test a registered one is, and whether the contract was loosened since the first.

**The same test.** A group of the test has been opened before where an earlier line of the registry scored any of its
query texts. Where more than :data:`SMALL_SHARE` of the groups have, all that was scored on any of them counts: so
another draw by another seed, which shares but a part of its groups, or a collection that grew, starts nothing anew.
Only a test nearly all of whose groups are new does.

**One opening** is one set of weights scored as one ``proposed`` system on the same judgments. To execute it again, in a
copied or renamed folder or under another contract, is no second one; to score the same weights on another draw or on
new judgments is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedlab.chain.artifacts.evaluate import Opening
from embedlab.chain.contract import waivers
from embedlab.chain.registry import Entry

SMALL_SHARE = 0.05
"""A test of whose groups no more than this share were in an earlier opening is a fresh one."""

Rule = Callable[[Any, Any], bool]
"""Whether a term is looser now (second) than it was then (first)."""


@dataclass(frozen=True)
class Loosened:
    """A term of the contract that makes it easier to ship than at the first opening, with both values."""

    term: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.term} was {self.then!r} and is {self.now!r}"


@dataclass(frozen=True)
class Standing:
    """Where one opening stands among those of its test, up to its own line.

    Attributes:
        opening: its number, from 1.
        earlier: the lines of the openings before it, one an opening.
        unregistered: how many openings count that stand in no line.
        groups: of its test.
        seen: how many of them were in earlier openings.
        first: the line of the first opening of this test, which may be its own.
        line: its own.
        loosened: what the contract asks less of than at the first opening.
    """

    opening: int
    earlier: tuple[Entry, ...]
    unregistered: int
    groups: int
    seen: int
    first: Entry
    line: Entry
    loosened: tuple[Loosened, ...]

    @property
    def fresh_groups(self) -> int:
        """How many groups that no opening has seen a fresh test of this size takes."""
        return self.groups - small(self.groups)


def small(groups: int) -> int:
    """Return how many of so many groups a fresh test may share with earlier ones."""
    return int(SMALL_SHARE * groups)


def standing(entries: Sequence[Entry], own: Entry, unregistered: int = 0) -> Standing:
    """Return where an opening stands among the lines of the registry; what came after it does not count.

    Args:
        entries: the registry.
        own: the line of the opening.
        unregistered: openings of this test that are known otherwise.
    """
    same = [entry for entry in entries if _what(entry) == _what(own)]
    # Executed again under another name or contract it stays the opening that it was.
    start = min(same, key=lambda entry: entry.number)
    earlier = [entry for entry in entries if entry.number < start.number and seen_groups(own.opening, [entry])]
    seen = seen_groups(own.opening, earlier)
    if seen <= small(len(own.opening.groups)):
        earlier = []
    one_each: dict[tuple[str, str, str], Entry] = {}
    for entry in earlier:
        one_each.setdefault(_what(entry), entry)
    first = earlier[0] if earlier else start
    return Standing(
        opening=1 + len(one_each) + unregistered,
        earlier=tuple(one_each.values()),
        unregistered=unregistered,
        groups=len(own.opening.groups),
        seen=seen,
        first=first,
        line=own,
        loosened=loosened(first.terms, own.terms),
    )


def seen_groups(opening: Opening, entries: Sequence[Entry]) -> int:
    """Return how many groups of an opening's test have a query whose text stands in any of these lines."""
    known = {text for entry in entries for group in entry.opening.groups for text in group.split()}
    return sum(not known.isdisjoint(group.split()) for group in opening.groups)


def _what(entry: Entry) -> tuple[str, str, str]:
    opening = entry.opening
    return opening.weights, opening.proposed, opening.judgments


# --- what "looser" means, term by term ----------------------------------------------------------


def _lower(then: Any, now: Any) -> bool:
    return bool(now < then)


def _higher(then: Any, now: Any) -> bool:
    return bool(now > then)


def _changed(then: Any, now: Any) -> bool:
    return bool(now != then)


def _dropped(then: Any, now: Any) -> bool:
    return not set(then) <= set(now)


def _widened(then: Any, now: Any) -> bool:
    """Whether more is allowed: an empty list allows anything."""
    return bool(then) and (not now or not set(now) <= set(then))


def _lifted(then: Any, now: Any) -> bool:
    """Whether a budget is larger: 0 is none at all."""
    return bool(then) and (not now or bool(now > then))


def _waived(then: Any, now: Any) -> bool:
    return not set(waivers(now)) <= set(waivers(then))


def _never(then: Any, now: Any) -> bool:
    return False


LOOSER: Mapping[str, Rule] = {
    "objective": _never,  # words, which decide nothing
    "unit_retrieved": _changed,
    "claim": _changed,
    "share_of_new_documents": _changed,
    "shown": _changed,
    "primary_metric": _changed,
    "production": _changed,
    "proposed": _never,  # another system is another opening, and the confidence is split over those from the start
    "min_gain": _lower,
    "tuning_gain": _lower,
    "expected_gain": _never,  # sizes the test, decides nothing
    "confidence": _lower,
    "guardrail_slices": _dropped,
    "slices": _dropped,  # a definition that changed is one dropped and another added
    "slice_tolerance": _higher,
    "smallest_slice": _changed,
    "retention_tolerance": _higher,
    "retention_path": _changed,
    "retention_documents": _changed,
    "retention_queries": _changed,
    "latency_budget_ms": _higher,
    "index_budget_mb": _higher,
    "migration_budget": _higher,
    "monthly_budget": _higher,
    "languages": _dropped,
    "licences": _widened,
    "runtimes": _widened,
    "most_truncated": _higher,
    "memory_budget_mb": _lifted,
    "million_queries_budget": _lifted,
    "test_openings": _changed,  # more: a larger allowance; fewer: the confidence is split over fewer
    "transductive": _higher,
    "waived": _waived,
}
"""How each term of the contract is compared with that of the first opening; :func:`_changed` where no direction is
surely the stricter one, and for a term that is not named here."""


def loosened(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Loosened, ...]:
    """Return the terms that are looser now; one that either version of the contract does not know is left out."""
    found = []
    for term in now:
        rule = LOOSER.get(term, _changed)
        if term in then and rule(then[term], now[term]):
            found.append(Loosened(term, then[term], now[term]))
    return tuple(found)
