"""What comparisons and checks found: plain values that load without pandas, torch or scipy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import comb
from typing import Any

Ends = tuple[float, float]
"""The lower and the upper end of an interval."""

LOST, HELD, UNSURE = "lost", "held", "too small to tell"
"""What can be said of something that must not get worse."""

MIN_QUERIES, MIN_GROUPS, MIN_CHANGED = 30, 10, 10
"""Under so many queries, groups, or queries that change at all, an interval is not to be trusted with a SHIP."""

BROKEN, UNSETTLED = "broken", "unsettled"
"""What else can be said of a check than that it held."""

POSITIVES, NEGATIVES, NEVER_USED = "positives", "negatives", "never used"
"""Classes of documents by what they were in training; a positive that was a negative too is a positive."""


def split_confidence(chance: float, count: int) -> float:
    """Return the confidence of each of several statements that together err with this chance (Bonferroni)."""
    return 1 - chance / max(count, 1)


def with_interval(delta: float, ends: Ends) -> str:
    """Return a difference with its interval, such as ``+0.104 [+0.067, +0.141]``."""
    low, high = ends
    return f"{delta:+.3f} [{low:+.3f}, {high:+.3f}]"


@dataclass(frozen=True)
class GainOver:
    """A gain of one system over another with its interval; ``ci`` is the one that decides, ``confidence`` its level."""

    over: str
    of: str
    delta: float
    ci95: tuple[float, float]
    ci: tuple[float, float]
    confidence: float

    def __str__(self) -> str:
        return with_interval(self.delta, self.ci)


@dataclass(frozen=True)
class OverGroups:
    """The gain over one way of grouping queries: how many groups, worth how many of equal size, the 95 % interval."""

    name: str
    groups: int
    effective_groups: float
    ci95: Ends


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of two runs; ``verdict`` is SHIP, DO_NOT_SHIP or INCONCLUSIVE.

    Attributes:
        ci95: the 95 % interval of the gain: on each side the farther end of
            ``ci95_queries`` and ``ci95_groups``.
        n_groups: of the coarsest grouping: the one with the fewest groups.
        p_value: two-sided, of no difference (paired randomization), the largest of all groupings; decides nothing.
        queries_needed: to settle it, were ``delta`` the true gain; None above a million.
        groups_needed: the same in groups of queries like these; None where each query is its own.
        effective_groups: as many groups of equal size are worth what these are (Kish 1965).
        ci95_groups: the farthest ends of all groupings; None where each query is its own group.
        ci: the interval at ``confidence`` that the verdict rests on.
        p_gain: one-sided, of "the gain is at most ``min_gain``"; it goes with ``ci``.
        p_loss: one-sided, of "the gain is at least ``min_gain``"; at a ``min_gain`` of minus a
            tolerance: of "the loss is at most the tolerance".
        grouping: the name of the coarsest grouping; blank where each query is its own group.
        groupings: every grouping in which some queries share a group.
        worth: as many queries that count alike are worth what these are by their weights (Kish 1965); None
            where all count alike.
    """

    verdict: str
    metric: str
    n_queries: int
    n_groups: int
    baseline: float
    candidate: float
    delta: float
    ci95: Ends
    p_value: float
    min_gain: float
    queries_needed: int | None
    wins: int
    ties: int
    losses: int
    warnings: tuple[str, ...]
    ci95_queries: Ends
    ci95_groups: Ends | None
    confidence: float
    ci: Ends
    p_gain: float
    p_loss: float
    groups_needed: int | None
    effective_groups: float
    grouping: str = ""
    groupings: tuple[OverGroups, ...] = ()
    worth: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def __str__(self) -> str:
        """Return the gain with its 95 % interval, such as ``+0.104 [+0.067, +0.141]``."""
        return with_interval(self.delta, self.ci95)

    def row(self) -> dict[str, Any]:
        """Return the comparison as a table's row: the candidate's score, the gain with its interval, who gains."""
        low, high = self.ci95
        counts = {"wins": self.wins, "ties": self.ties, "losses": self.losses}
        return {self.metric: self.candidate, "delta": self.delta, "low": low, "high": high, **counts}

    def in_words(self) -> str:
        """Return the verdict and why, in two sentences of plain English."""
        low, high = self.ci
        least = f"the minimum gain of {self.min_gain:+.4f}" if self.min_gain else "zero"
        span = f"the {round(self.confidence * 100, 1):g} % interval of the gain, {low:+.4f} to {high:+.4f},"
        if self.verdict == "SHIP" and self.min_gain < 0:
            return f"The candidate is not worse by more than {-self.min_gain:.4f}: {span} lies above {least}."
        if self.verdict == "SHIP":
            return f"The candidate is better by enough: {span} lies above {least}."
        if self.verdict == "DO_NOT_SHIP":
            return f"The candidate is not better by enough: {span} lies below {least}."
        if self.wins == self.losses == 0 and self.min_gain == 0:
            return "Nothing is gained: the two runs score the same on every query."
        if enough(low, self.min_gain):
            return f"These queries cannot tell: {span} lies above {least}, but {self._few()}."
        return (
            f"These queries cannot tell: {span} reaches to both sides of {least}. "
            f"{self.needed().capitalize()} would settle it, if the true gain is the {self.delta:+.4f} seen here."
        )

    def settled_by(self) -> str:
        """Return what would settle an inconclusive comparison."""
        if enough(self.ci[0], self.min_gain) and self._few():
            return self._few()
        return f"{self.needed()} would settle it, were the gain seen the true one"

    def _few(self) -> str:
        return too_few(counted(self.n_queries, self.worth), self.n_groups, self.wins + self.losses, self.min_gain)

    def needed(self) -> str:
        """Return what it takes to settle it, in queries and, where groups decide, in groups."""
        if self.queries_needed is None:
            return "over a million queries"
        if self.groups_needed is None:
            return f"about {self.queries_needed:,} queries"
        return f"about {self.queries_needed:,} queries in {self.groups_needed:,} groups like these"


def counted(n_queries: int, worth: float | None) -> int:
    """Return as how many queries a sample counts: where they weigh unevenly, as what they are worth."""
    return n_queries if worth is None else min(n_queries, int(worth + 1e-9))


def enough(low: float, min_gain: float) -> bool:
    """Whether an interval with this lower end shows the gain: above 0 where the minimum is 0."""
    return low > 0 if min_gain == 0 else low >= min_gain


def decide(low: float, high: float, min_gain: float, few: str) -> str:
    """Return SHIP, DO_NOT_SHIP or INCONCLUSIVE for an interval of the gain.

    SHIP needs the lower end at ``min_gain`` or more, above 0 where that is 0, and a sample of which
    :func:`too_few` says nothing (``few`` is what it says).
    """
    if high < min_gain:
        return "DO_NOT_SHIP"
    return "SHIP" if enough(low, min_gain) and not few else "INCONCLUSIVE"


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p-value of "better and worse are as likely", exact (Dixon and Mood 1946).

    Ties say nothing of the direction and are left out before; without any other judgment p is 1.
    """
    n = better + worse
    tail = sum(comb(n, i) for i in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / 2**n)


def too_few(n_queries: int, n_groups: int, changed: int, min_gain: float) -> str:
    """Return why a sample is too small to ship on, blank where it is not.

    That little changes speaks for a candidate that must merely be no worse (a negative ``min_gain``), so
    there the number of queries that ``changed`` does not count.
    """
    if n_groups < MIN_GROUPS:
        return f"{n_groups} groups are too few to ship on; {MIN_GROUPS} are needed"
    if n_queries < MIN_QUERIES:
        return f"{n_queries} queries are too few to ship on; {MIN_QUERIES} are needed"
    if changed < MIN_CHANGED and min_gain >= 0:
        return f"only {changed} queries change, too few to ship on; {MIN_CHANGED} are needed"
    return ""


@dataclass(frozen=True)
class Stakes:
    """What a decision about a gain is expected to cost, in points of the metric.

    Attributes:
        probability: that the true gain exceeds the minimum.
        of_shipping: mean shortfall from the minimum, ``E[max(0, m - g)]``.
        of_staying: mean excess over the minimum that is forgone, ``E[max(0, g - m)]``.
    """

    probability: float
    of_shipping: float
    of_staying: float


@dataclass(frozen=True)
class LeftOut:
    """What is left of a gain without one slice or one group: its name, the gain and its interval."""

    name: str
    delta: float
    ci: Ends


@dataclass(frozen=True)
class Concentration:
    """Who gains, and what is left without the best slice and the best group.

    Attributes:
        improved: share of the queries that score higher.
        hurt: share of the queries that score lower.
        without_best_slice: None where there is nothing to leave out.
        without_best_group: likewise.
        narrow: names of the parts whose leaving takes the interval's lower end below the minimum gain;
            none where it lay there before.
    """

    improved: float
    hurt: float
    without_best_slice: LeftOut | None
    without_best_group: LeftOut | None
    narrow: tuple[str, ...]


@dataclass(frozen=True)
class DocumentClass:
    """Documents that training used alike, and two models that search among them alone.

    Attributes:
        name: ``positives`` of training, ``negatives`` that were no positive, or ``never used``.
        documents: how many there are.
        queries: of the test, with a relevant document among them.
        baseline: score of the base; None where the class was not searched by itself.
        tuned: likewise of the tuned model.
        delta: the difference.
        moved: change of the documents' score, averaged over them and over all test queries, in cosine;
            None without a document.
    """

    name: str
    documents: int
    queries: int
    baseline: float | None
    tuned: float | None
    delta: float | None
    moved: float | None


@dataclass(frozen=True)
class AmongUnseen:
    """Two models within each class of documents that were no positive of training, pooled: the trap check.

    Numbers are None where no class was large enough to be searched.

    Attributes:
        state: ``held``: they surely do not lose there; ``broken``: they surely do; else ``unsettled``.
        reason: what is so, in words.
        settled_by: what would settle it, in words; empty where it is settled.
        baseline: mean score of the base over the queries that were asked.
        tuned: likewise of the tuned model.
        delta: the difference.
        ci95: its 95 % interval.
        queries: how many were asked.
        groups: of these queries.
        apart: how far the classes' mean scores moved from one another, in cosine.
        classes: each class, that of the positives too, which is never searched by itself.
    """

    state: str
    reason: str
    settled_by: str
    baseline: float | None
    tuned: float | None
    delta: float | None
    ci95: Ends | None
    queries: int
    groups: int
    apart: float
    classes: list[DocumentClass]


IN_TRAINING, NOT_IN_TRAINING = "documents that were a positive of training", "documents that were none"
"""Strata of the queries, by what their best-graded documents were."""


@dataclass(frozen=True)
class Stratum:
    """Two systems on the queries about one kind of documents; numbers are None where there is no such query.

    Attributes:
        name: the kind.
        queries: about it.
        groups: of these queries, of the coarsest grouping.
        baseline: score of the system to beat.
        candidate: of the other.
        delta: the difference.
        ci95: its 95 % interval.
        ci: its interval at the confidence that decides.
        few: why the stratum is too small to ship on, blank where it is not.
    """

    name: str
    queries: int
    groups: int
    baseline: float | None
    candidate: float | None
    delta: float | None
    ci95: Ends | None
    ci: Ends | None
    few: str


@dataclass(frozen=True)
class AtShare:
    """The gain where queries about new documents have this share, with the interval that decides."""

    share: float
    delta: float
    low: float
    high: float


@dataclass(frozen=True)
class Strata:
    """A gain by what the queries' documents were in training, and in a mix of the two.

    Attributes:
        metric: of the scores.
        known: queries about documents that were a positive of training.
        new: queries about documents that were none.
        test_share: share of the test's queries that are about new documents.
        share: the share in the mix that decides.
        delta: the gain in this mix; None, as are its intervals, where the test cannot say.
        ci95: its 95 % interval.
        ci: its interval at ``confidence``.
        confidence: of the intervals that decide.
        worth: as many queries of equal weight are worth what the mix leaves (Kish 1965).
        unsettled: why the test cannot say what the gain in this mix is, blank where it can.
        over_share: the gain over the share, from 0 to 1; empty where a stratum has no query.
    """

    metric: str
    known: Stratum
    new: Stratum
    test_share: float
    share: float
    delta: float | None
    ci95: Ends | None
    ci: Ends | None
    confidence: float
    worth: float
    unsettled: str
    over_share: list[AtShare]

    @property
    def both(self) -> tuple[Stratum, Stratum]:
        """Both strata, the known documents first."""
        return self.known, self.new

    @property
    def mix(self) -> str:
        """The name of the mix that decides, such as ``mix with 9% about documents that were none``."""
        return f"mix with {self.share:.0%} about {NOT_IN_TRAINING}"

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a stratum and one of the mix: ``queries about, queries, groups, delta, low, high, few``."""
        found = [_row(of.name, of.queries, of.groups, of.delta, of.ci, of.few) for of in self.both]
        queries = self.known.queries + self.new.queries
        return [*found, _row(self.mix, queries, None, self.delta, self.ci, self.unsettled)]

    def in_words(self) -> str:
        """Return the gain in both strata and in the mix that decides, in a sentence without its end."""
        said = []
        for of_kind in self.both:
            gained = (
                "no query" if of_kind.delta is None or of_kind.ci is None else with_interval(of_kind.delta, of_kind.ci)
            )
            said.append(f"{gained} on {of_kind.queries:,} queries about {of_kind.name}")
        if self.delta is None or self.ci is None:
            said.append(self.unsettled)
        else:
            said.append(f"{with_interval(self.delta, self.ci)} in the {self.mix}, which decides")
        return "; ".join(said)


def _row(name: str, queries: int, groups: int | None, delta: float | None, ci: Ends | None, few: str) -> dict[str, Any]:
    low, high = ci or (None, None)
    counts = {"queries about": name, "queries": queries, "groups": groups}
    return counts | {"delta": delta, "low": low, "high": high, "few": few}


@dataclass(frozen=True)
class Retained:
    """Two models on a sample of another domain (``set``): scores, change, 95 % interval, the loss accepted."""

    set: str
    documents: int
    queries: int
    groups: int
    metric: str
    baseline: float
    tuned: float
    delta: float
    ci95: Ends
    tolerance: float

    def __str__(self) -> str:
        return with_interval(self.delta, self.ci95)


@dataclass(frozen=True)
class SliceResult:
    """Two systems on one slice of the queries.

    Differences are None where the slice is too small; ``p``, ``p_holm`` (Holm 1979) and ``state`` are
    those of guardrails alone.
    """

    slice: str
    queries: int
    delta: float | None
    low: float | None
    high: float | None
    guardrail: bool
    p: float | None
    p_holm: float | None
    state: str | None


@dataclass(frozen=True)
class NoAnswer:
    """A threshold for "no answer": queries whose best score lies below it get none.

    Attributes:
        threshold: the highest that still answers the share asked for of the queries that have an answer; None where
            no query has one.
        auc: chance that a query with an answer scores above one without (area under the ROC curve); None where one
            of the kinds is missing.
        kept: share of the queries with an answer that are answered.
        refused: share of the queries without one that are not.
        answerable: queries that have an answer.
        unanswerable: queries that have none.
    """

    threshold: float | None
    auc: float | None
    kept: float | None
    refused: float | None
    answerable: int
    unanswerable: int
