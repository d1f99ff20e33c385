"""The problem contract: what is retrieved, what counts as better, and what must not get worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from embedlab.chain.artifacts.base import Artifact
from embedlab.chain.steps import STEPS
from embedlab.chain.store import Store
from embedlab.errors import ContractError, MissingInputError, ParameterError, nearest
from embedlab.evaluation.bakeoff.requirements import RUNTIMES, Requirements
from embedlab.evaluation.results import split_confidence
from embedlab.files import sha256_json

LATER, KNOWN, NEW = "later queries", "new queries over known documents", "new documents"
"""What a good result on the test may claim something about."""

NEEDS = {
    LATER: "parts by date: give dev_from and test_from",
    KNOWN: "parts by query, which a collection gets that hangs together or brings parts over shared documents, or "
    "parts by date: give dev_from and test_from",
    NEW: "parts by group: give neither dev_from nor test_from, and parts that share no documents",
}
"""What parts a claim needs, and how to have them."""

PRODUCTION, PROPOSED = ("dense", "bm25", "hybrid", "pipeline"), ("dense", "hybrid", "pipeline")
"""What may answer today, beside a run file of the user's engine, and what may be rolled out."""

SHARES = ("slice_tolerance", "retention_tolerance")

WAIVABLE = (
    *("query mix", "unseen documents", "retention", "latency", "index size", "migration cost", "monthly cost"),
    *(step.gate_name for step in STEPS if step.gate),
)
"""Guards that a contract may do without where they cannot be judged, beside its guardrail slices."""

BUDGETS = (
    *("latency_budget_ms", "index_budget_mb", "migration_budget", "monthly_budget"),
    *("memory_budget_mb", "million_queries_budget"),
)


@dataclass(frozen=True)
class Contract(Artifact, step="01", file="contract.json"):
    """Agreed before anything is measured; every later number carries its hash.

    Attributes:
        objective: who searches for what, and what must be found.
        unit_retrieved: what one result is.
        claim: what a good result is claimed about: :data:`LATER`, :data:`KNOWN` or :data:`NEW`.
        share_of_new_documents: of all queries, those about documents that training has not seen, from 0 to 1: the
            mix that decides; -1: the share that the test has.
        shown: results that a user sees.
        primary_metric: an ir-measures name.
        production: what answers today: one of :data:`PRODUCTION` with the user's base model, or a TREC run file.
        proposed: what would be rolled out: one of :data:`PROPOSED` with the tuned model.
        min_gain: smallest gain in it, over production, that pays for re-embedding.
        tuning_gain: smallest gain over the best system without tuning that pays for a model of one's own.
        expected_gain: gain hoped for; sizes the evaluation set.
        confidence: of every interval that decides.
        guardrail_slices: slices of queries that must not get worse.
        slices: slices of the user's own.
        slice_tolerance: loss on a guardrail slice that is accepted.
        smallest_slice: a slice with fewer queries is not judged.
        retention_tolerance: loss on another domain that is accepted.
        retention_path: a folder in BEIR's layout of a domain that must not be lost; blank: a packaged one.
        retention_documents: at most so many of the other domain; 0: the fixed sample.
        retention_queries: at most so many on them; 0: the fixed sample.
        latency_budget_ms: p95 of one query, in milliseconds.
        index_budget_mb: size of the index in megabytes.
        migration_budget: most that the switch may cost once, in the user's currency.
        monthly_budget: most that a month may cost.
        languages: of the queries, as codes; a base model whose card names others is none. Empty: any.
        licences: those that a base model may have, as cards write them. Empty: any.
        runtimes: what may run a base model, of :data:`embedlab.evaluation.RUNTIMES`. Empty: anything.
        most_truncated: largest share of the documents that a base model may cut off; 1: any.
        memory_budget_mb: most megabytes of a base model's weights; 0: any.
        million_queries_budget: most that encoding a million queries may cost; 0: any.
        test_openings: sets of tuned weights, each as one proposed system, that may be scored on the sealed test,
            in all runs together.
        transductive: whether training may use the bare texts of held-out documents.
        waived: guards that need not be judged, each ``name: reason``; one that is broken is never waived.
    """

    objective: str
    unit_retrieved: str
    claim: str
    share_of_new_documents: float
    shown: int
    primary_metric: str
    production: str
    proposed: str
    min_gain: float
    tuning_gain: float
    expected_gain: float
    confidence: float
    guardrail_slices: list[str]
    slices: list[str]
    slice_tolerance: float
    smallest_slice: int
    retention_tolerance: float
    retention_path: str
    retention_documents: int
    retention_queries: int
    latency_budget_ms: float
    index_budget_mb: float
    migration_budget: float
    monthly_budget: float
    languages: list[str]
    licences: list[str]
    runtimes: list[str]
    most_truncated: float
    memory_budget_mb: float
    million_queries_budget: float
    test_openings: int
    transductive: bool
    waived: list[str]

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1:
            raise ParameterError(f"confidence must lie between .5 and 1, found {self.confidence}")
        for name in ("shown", "test_openings"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} must be 1 or more, found {getattr(self, name)}")
        for name in (*SHARES, *BUDGETS):
            if not getattr(self, name) >= 0:
                raise ParameterError(f"{name} must be 0 or more, found {getattr(self, name)}")
        self._check_model()
        _one_of("claim", self.claim, tuple(NEEDS))
        self._check_share()
        _one_of("proposed", self.proposed, PROPOSED)
        if not Path(self.production).is_file():
            _one_of("production", self.production, PRODUCTION, " or a TREC run file")
        self._check_waivers()

    def _check_model(self) -> None:
        if not 0 <= self.most_truncated <= 1:
            raise ParameterError(f"most_truncated of step 01 must lie between 0 and 1, found {self.most_truncated}")
        for name in self.runtimes:
            _one_of("runtimes", name, RUNTIMES)

    def _check_share(self) -> None:
        share = self.share_of_new_documents
        if share != -1 and not 0 <= share <= 1:
            raise ParameterError(f"share_of_new_documents of step 01 must lie between 0 and 1, or be -1, found {share}")
        if share != -1 and self.claim == LATER:
            raise ParameterError(
                f"share_of_new_documents of step 01 is {share:g}, but of later queries the held-out period's own mix "
                f"decides: leave it at -1, or claim {KNOWN!r}"
            )

    def _check_waivers(self) -> None:
        slices = [f"guardrail slice {name}" for name in self.guardrail_slices]
        for name in waivers(self.waived):
            if name not in (*WAIVABLE, *slices):
                hint = nearest(name, [*WAIVABLE, *slices])
                raise ParameterError(f"waived of step 01: no guard {name!r} can be waived{hint}")

    @classmethod
    def of(cls, params: Mapping[str, Any], unit: str, parted_by: str = "embedlab") -> Contract:
        """Return the contract of step 01's parameters; ``unit`` and ``parted_by`` are the collection's.

        Raises:
            ParameterError: if a term is illegal, the parts do not allow the claim, or nothing computes the primary
                metric.
        """
        from embedlab.evaluation.metrics import parse_measure  # loads pandas, which a reader of contracts goes without

        parse_measure(params["primary_metric"])
        terms = {f.name: params[f.name] for f in fields(cls)}
        terms["claim"] = claimed(terms["claim"], unit, parted_by)
        if terms["tuning_gain"] < 0:
            terms["tuning_gain"] = terms["min_gain"]
        return cls(**terms)

    @property
    def deciding_confidence(self) -> float:
        """The confidence of the gains that decide, split over the openings that are allowed (Bonferroni).

        So the chance that any of so many models is shipped without being worth it stays within what one would have.
        """
        return split_confidence(1 - self.confidence, self.test_openings)

    @property
    def requirements(self) -> Requirements:
        """What the base model must keep to."""
        return Requirements(
            languages=self.languages,
            licences=self.licences,
            runtimes=self.runtimes,
            query_ms=self.latency_budget_ms,
            index_mb=self.index_budget_mb,
            truncated=self.most_truncated if self.most_truncated < 1 else None,
            memory_mb=self.memory_budget_mb or None,
            million_queries=self.million_queries_budget or None,
        )

    @property
    def hash(self) -> str:
        """A hash of every field, in hex."""
        return sha256_json(asdict(self))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the hash, for JSON."""
        return asdict(self) | {"hash": self.hash}

    def in_words(self) -> str:
        """Return the contract as Markdown."""
        texts = "may" if self.transductive else "may not"
        return (
            f"- **Objective:** {self.objective or '*not stated*'}\n"
            f"- **Retrieved:** {self.unit_retrieved}; {self.shown} are shown\n"
            f"- **Claimed is something about** {self.claim}, {self._mix()}; training {texts} use held-out documents' "
            "bare texts\n"
            f"- **Answers today:** {self.production}; **would be rolled out:** {self.proposed} with the tuned model\n"
            f"- **Better means:** {self.primary_metric} up by {self.min_gain:+.3f} or more over what answers today "
            f"and by {self.tuning_gain:+.3f} over the best without tuning, at {self.confidence:.0%} confidence "
            f"(a gain of {self.expected_gain:+.3f} is expected)\n"
            f"- **Must not get worse** by more than {self.slice_tolerance:.3f}: "
            f"{', '.join(self.guardrail_slices) or 'none'}; by more than {self.retention_tolerance:.3f}: "
            "the retention set, another domain\n"
            f"- **Waived where it cannot be judged:** {'; '.join(self.waived) or 'nothing'}\n"
            f"- **Slices of your own:** {'; '.join(self.slices) or 'none'}\n"
            f"- **Budgets:** {self.latency_budget_ms:g} ms a query (p95), {self.index_budget_mb:g} MB of index, "
            f"{self.migration_budget:,.2f} once for the migration, {self.monthly_budget:,.2f} a month\n"
            f"- **A base model**, beside the budgets: {self._asked_of_a_model()}\n"
            f"- **Sealed test:** at most {self.test_openings} sets of tuned weights may be scored on it, "
            f"in all runs together; so each takes {self.deciding_confidence:.1%} confidence\n"
            f"- **Hash:** `{self.hash[:12]}`"
        )

    def _asked_of_a_model(self) -> str:
        """Return in words what a base model must be, beside quick and small."""
        asked = [
            f"{name} {', '.join(values)}"
            for name, values in (("languages", self.languages), ("licence", self.licences), ("runs on", self.runtimes))
            if values
        ]
        if self.most_truncated < 1:
            asked.append(f"cuts off {self.most_truncated:.0%} of the documents at most")
        if self.memory_budget_mb:
            asked.append(f"weights of {self.memory_budget_mb:g} MB at most")
        if self.million_queries_budget:
            asked.append(f"a million queries for {self.million_queries_budget:,.2f} at most")
        return "; ".join(asked) or "any"

    def _mix(self) -> str:
        """Return in words which mix of queries about known and new documents decides."""
        if self.claim == LATER:
            return "in the mix of known and new documents that the held-out period has"
        if self.share_of_new_documents == -1:
            return "in the test's own mix of known and new documents"
        return f"with {self.share_of_new_documents:.0%} of the queries about new documents"


def _one_of(name: str, found: str, known: Sequence[str], other: str = "") -> None:
    if found not in known:
        hint = nearest(found, list(known))
        raise ParameterError(f"{name} of step 01 must be one of {', '.join(known)}{other}, found {found!r}{hint}")


def waivers(waived: Sequence[str]) -> dict[str, str]:
    """Return the reason of each waiver by the guard's name.

    Raises:
        ParameterError: if one gives no reason.
    """
    found = {}
    for waiver in waived:
        name, _, reason = waiver.partition(":")
        if not reason.strip():
            raise ParameterError(f"waived of step 01: {waiver!r} gives no reason; expected 'name: reason'")
        found[name.strip()] = reason.strip()
    return found


def allowed_claims(unit: str, parted_by: str) -> tuple[str, ...]:
    """Return what the parts of a collection let us claim, the widest claim first.

    Args:
        unit: ``group`` or ``query``: what the parts keep together.
        parted_by: who made them; parts by ``date`` hold out later queries, some of which are about new documents.
    """
    if parted_by == "date":
        return LATER, KNOWN
    return (NEW,) if unit == "group" else (KNOWN,)


def claimed(claim: str, unit: str, parted_by: str) -> str:
    """Return the claim: a blank one is what the parts allow; arguments as for :func:`allowed_claims`.

    Raises:
        ParameterError: if there is no such claim, or the parts do not allow it; says which parts would.
    """
    allowed = allowed_claims(unit, parted_by)
    if not claim:
        return allowed[0]
    _one_of("claim", claim, tuple(NEEDS), ", or blank")
    if claim not in allowed:
        made = "by date" if parted_by == "date" else f"by {unit}"
        raise ParameterError(
            f"claim of step 01: {claim!r} needs {NEEDS[claim]}; the parts of this collection are made {made} and allow "
            f"{' or '.join(repr(name) for name in allowed)}"
        )
    return claim


def claim_in_words(claim: str, unit: str, parted_by: str, dated: bool) -> str:
    """Return in Markdown what is claimed, and what parts by date would have, where queries carry dates.

    Args:
        claim: the contract's.
        unit: as for :func:`allowed_claims`.
        parted_by: likewise.
        dated: whether the queries carry dates.
    """
    made = "by date" if parted_by == "date" else f"by {unit}"
    said = f"The parts are made {made}, so a good result claims something about **{claim}**."
    if dated and claim != LATER:
        said += (
            " The queries carry dates: parts by date (`dev_from`, `test_from`) would claim something about "
            f"**{LATER}**, most of which ask for documents that training knows."
        )
    return said


def known_guardrails(contract: Contract, slices: Sequence[str]) -> None:
    """Raise a ParameterError where a guardrail names a slice that nothing computes."""
    for name in contract.guardrail_slices:
        if name not in slices:
            raise ParameterError(
                f"guardrail_slices of step 01: no slice {name!r}; there are: {', '.join(slices)}; "
                "define one of your own in slices"
            )


def stamped(value: Any, store: Store) -> Any:
    """Return measured quality with the run's contract on it, hash and terms.

    A table carries it in its ``attrs``, a JSON object beside its own keys; what is neither stays as it is.
    """
    is_table = hasattr(value, "attrs")
    if not is_table and not isinstance(value, dict):
        return value
    try:
        agreed = store.artifact(Contract)
    except MissingInputError:
        return value
    carried = {"contract": agreed.hash, "terms": asdict(agreed)}
    if not is_table:
        return value | carried
    value = value.copy(deep=False)
    value.attrs = carried
    return value


def under_contract(value: Any, store: Store, where: str) -> Any:
    """Return what was read of a run, refused where it was made under another contract than the run's."""
    if _carried(value)[0] is not None:
        agreed = store.artifact(Contract).as_dict()
        same_contract(value, agreed, where, f"the contract of {store.folder.name}")
    return value


def same_contract(one: Any, two: Any, where_one: str, where_two: str) -> None:
    """Refuse to compare numbers that were made under different contracts.

    Args:
        one: a stamped table or JSON object, or a contract; what carries none is not checked.
        two: another.
        where_one: what the first is, for the message.
        where_two: what the second is.

    Raises:
        ContractError: names every field that differs, with both values.
    """
    (hash_one, terms_one), (hash_two, terms_two) = _carried(one), _carried(two)
    if hash_one is None or hash_two is None or hash_one == hash_two:
        return
    names = sorted({*terms_one, *terms_two})
    differ = [
        f"{n}: {terms_one.get(n)!r} and {terms_two.get(n)!r}" for n in names if terms_one.get(n) != terms_two.get(n)
    ]
    hashes = f"{str(hash_one)[:12]} and {str(hash_two)[:12]}"
    raise ContractError(
        f"{where_one} and {where_two} were made under different contracts ({hashes}): "
        f"{'; '.join(differ)}; run both again under one contract"
    )


def _carried(value: Any) -> tuple[str | None, Mapping[str, Any]]:
    """Return the contract's hash and terms that a value carries; a contract carries itself."""
    found = value.attrs if hasattr(value, "attrs") else value if isinstance(value, Mapping) else {}
    if "contract" in found:
        terms = found.get("terms", {})
        return found["contract"], terms if isinstance(terms, Mapping) else {}
    terms = {name: item for name, item in found.items() if name != "hash"}
    return (found.get("hash"), terms) if "primary_metric" in found else (None, {})
