"""The guards: what must hold beside the gain before a change may ship. Not judged is not held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from embedlab.chain.artifacts.base import kinds_of
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.reembed_corpus import Reembedding
from embedlab.chain.artifacts.split_data import Leakage
from embedlab.chain.artifacts.test_pipeline import EndToEnd
from embedlab.chain.artifacts.train import Training
from embedlab.chain.contract import Contract, waivers
from embedlab.chain.steps import STEPS, Step
from embedlab.evaluation.results import BROKEN, HELD, LOST, UNSETTLED, Retained, SliceResult
from embedlab.verdict.facts import Facts
from embedlab.verdict.price import Price
from embedlab.verdict.seal import fresh_test, problem, registered
from embedlab.verdict.words import retention_sentence


@dataclass(frozen=True)
class Guard:
    """One condition.

    Attributes:
        name: as the contract's waivers call it.
        state: ``held``, ``broken`` or ``unsettled``.
        reason: what is so.
        settled_by: what would settle it; blank where it is settled.
    """

    name: str
    state: str
    reason: str
    settled_by: str = ""

    def __str__(self) -> str:
        """Return what is so and, where it is unsettled, what would settle it."""
        return "; ".join(part for part in (f"{self.name}: {self.reason}", self.settled_by) if part)


def guards(facts: Facts, evaluation: Evaluation, contract: Contract, costs: Price | None) -> list[Guard]:
    """Return every guard with its state."""
    found = [_seal(facts, contract), *_agreed(facts), _training(facts), _leaks(facts)]
    found += [_slice(row, contract) for row in evaluation.slices if row.guardrail]
    found += [_mix(evaluation), *_traffic(evaluation), *_unseen(evaluation), _retention(evaluation.retention)]
    found += [_gate(facts, step) for step in STEPS if step.gate]
    return [*found, _latency(facts), *_budgets(facts, contract, costs)]


def broken(found: list[Guard]) -> list[str]:
    """Return in words what forbids shipping; no waiver helps against it."""
    return [str(guard) for guard in found if guard.state == BROKEN]


def unsettled(found: list[Guard], contract: Contract) -> list[str]:
    """Return in words what is neither held nor broken nor waived."""
    waived = waivers(contract.waived)
    return [str(guard) for guard in found if guard.state == UNSETTLED and guard.name not in waived]


def waived(found: list[Guard], contract: Contract) -> list[dict[str, str]]:
    """Return the waivers that were needed: ``guard``, what is so, and the contract's ``reason`` to do without it."""
    reasons = waivers(contract.waived)
    open_ones = [guard for guard in found if guard.state == UNSETTLED and guard.name in reasons]
    return [{"guard": g.name, "so": g.reason, "reason": reasons[g.name]} for g in open_ones]


def _seal(facts: Facts, contract: Contract) -> Guard:
    wrong = problem(facts, contract)
    return Guard("seal", HELD, "whole") if wrong is None else Guard("seal", BROKEN, wrong)


def _agreed(facts: Facts) -> Iterator[Guard]:
    """Yield whether the contract still asks as much as at the first opening of this test."""
    found = registered(facts)
    if found is not None and found.loosened:
        first = f"run {found.first.run}, line {found.first.number} of the registry"
        so = f"loosened since the first opening of this test ({first}): {'; '.join(map(str, found.loosened))}"
        yield Guard("contract", UNSETTLED, so, f"agree to what was agreed then; or {fresh_test(found)}")


def _training(facts: Facts) -> Guard:
    training = facts.read(Training)
    if training is None:
        return _not_run("training", Training.step)
    if training.kept == "base":
        return Guard("training", BROKEN, f"step {Training.step} kept the base model, so there is nothing to ship")
    return Guard("training", HELD, "the tuned model goes on")


def _leaks(facts: Facts) -> Guard:
    leakage = facts.read(Leakage)
    if leakage is None:
        return _not_run("leaks", Leakage.step)
    state = HELD if leakage.total == 0 else BROKEN
    return Guard("leaks", state, f"{leakage.total} between training and what is held out")


def _slice(row: SliceResult, contract: Contract) -> Guard:
    name = f"guardrail slice {row.slice}"
    if row.delta is None or row.low is None or row.high is None:
        return Guard(name, UNSETTLED, f"{row.queries} queries are too few to judge", "more test queries of it")
    so = f"{row.delta:+.3f} [{row.low:+.3f}, {row.high:+.3f}], a loss of {contract.slice_tolerance:.3f} is accepted"
    if row.state == LOST:
        return Guard(name, BROKEN, so)
    if row.state == HELD:
        return Guard(name, HELD, so)
    return Guard(name, UNSETTLED, so, "more test queries of it")


def _mix(evaluation: Evaluation) -> Guard:
    """Return whether the test can say what the gain is in the mix that the contract claims."""
    lacks = [found.unsettled for found in evaluation.strata.values() if found.unsettled]
    if lacks:
        return Guard("claimed mix", UNSETTLED, lacks[0], "judged queries of that kind")
    return Guard("claimed mix", HELD, "the test has queries of each kind that is claimed")


def _traffic(evaluation: Evaluation) -> Iterator[Guard]:
    """Yield the gain in the mix of a query log, where one was given."""
    found = evaluation.log_gain
    if found is not None:
        so = f"in the log's mix the gain over {evaluation.production} is {found}, {found.min_gain:+.3f} is asked for"
        state = {"SHIP": HELD, "DO_NOT_SHIP": BROKEN, "INCONCLUSIVE": UNSETTLED}[found.verdict]
        yield Guard("query mix", state, so, "" if state != UNSETTLED else found.settled_by())


def _unseen(evaluation: Evaluation) -> Iterator[Guard]:
    """Yield the trap check, where the contract asks for it."""
    found = evaluation.unseen_only
    if found is not None:
        yield Guard("unseen documents", found.state, found.reason, found.settled_by)


def _retention(found: Retained | None) -> Guard:
    if found is None:
        return Guard(
            "retention",
            UNSETTLED,
            "not measured",
            "install the package with the other domain, or name a retention_path",
        )
    low, high = found.ci95
    said = retention_sentence(asdict(found))
    if low >= -found.tolerance:
        return Guard("retention", HELD, said)
    if high < -found.tolerance:
        return Guard("retention", BROKEN, said)
    return Guard("retention", UNSETTLED, said, "more queries of the other domain (retention_queries of step 01)")


def _gate(facts: Facts, step: Step) -> Guard:
    kind = next(kind for kind in kinds_of(step.slug) if kind.file == step.gate)
    artifact: Any = facts.read(kind)
    if artifact is None:
        return _not_run(step.gate_name, step.number)
    if artifact.passed is None:
        return Guard(step.gate_name, UNSETTLED, artifact.reason, f"see step {step.number}")
    return Guard(step.gate_name, HELD if artifact.passed else BROKEN, artifact.reason)


def _latency(facts: Facts) -> Guard:
    """Return whether a query keeps to its budget in an index of production's size."""
    measured = facts.read(EndToEnd)
    if measured is None:
        return _not_run("latency", EndToEnd.step)
    if measured.within_latency_budget is None:
        return Guard("latency", UNSETTLED, measured.latency, "measure it on a machine like production's")
    return Guard("latency", HELD if measured.within_latency_budget else BROKEN, measured.latency)


def _budgets(facts: Facts, contract: Contract, costs: Price | None) -> Iterator[Guard]:
    """Yield a guard a budget; what is to be had is that of the production's documents, not of the collection's."""
    built = facts.read(Reembedding)
    size = None if costs is None or built is None else 1000 * costs.index_gb
    documents = "" if costs is None else f" for {costs.documents:,} documents"
    yield _budget("index size", size, contract.index_budget_mb, ",.0f", f" MB{documents}")
    yield _budget("migration cost", None if costs is None else costs.migration, contract.migration_budget, ",.2f", "")
    yield _budget("monthly cost", None if costs is None else costs.monthly, contract.monthly_budget, ",.2f", "")


def _budget(name: str, found: float | None, most: float, digits: str, unit: str) -> Guard:
    if found is None:
        return Guard(name, UNSETTLED, "not measured", f"run step {Reembedding.step}")
    state = HELD if found <= most else BROKEN
    return Guard(name, state, f"{found:{digits}}{unit}, {most:{digits}} allowed")


def _not_run(name: str, step: str) -> Guard:
    return Guard(name, UNSETTLED, f"step {step} has not run", "run it")
