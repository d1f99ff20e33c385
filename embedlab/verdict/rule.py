"""The verdict: SHIP, DO_NOT_SHIP or INCONCLUSIVE, and all that stands behind it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.reembed_corpus import Reembedding
from embedlab.chain.artifacts.train import Training
from embedlab.chain.contract import Contract
from embedlab.chain.keys import why_stale
from embedlab.chain.lab import Lab
from embedlab.chain.params import load_params
from embedlab.chain.seal import dev_looks
from embedlab.chain.steps import LAST, STEPS
from embedlab.chain.store import Store, plain
from embedlab.errors import IntegrityError, MissingInputError
from embedlab.evaluation.results import BROKEN, LOST, UNSETTLED, Retained
from embedlab.verdict.checklist import checklist
from embedlab.verdict.facts import Facts
from embedlab.verdict.mistakes import mistakes
from embedlab.verdict.price import breaches, price
from embedlab.verdict.seal import problem
from embedlab.verdict.words import retention_sentence


def update_verdict(lab: Lab) -> dict[str, Any]:
    """Write ``verdict.json`` from all that has been finished; return the verdict as of this step.

    So an early step that is executed again shows what it showed the first time.
    """
    lab.store.write("verdict.json", compute(lab.store))
    return compute(lab.store, lab.step.number)


def compute(store: Store, upto: str = LAST) -> dict[str, Any]:
    """Return the verdict of a run from its artifacts, those of steps after ``upto`` left out, as plain JSON.

    Beside the numbers, ``blocked_by`` names what forbids shipping, and ``unsettled`` what keeps the verdict from
    being SHIP because it cannot be judged yet: sentences ``name: what is so; what would settle it``.
    ``unseen_only`` is None where the contract claims nothing about new documents; its numbers alone are None
    where the trap check could not be judged, which its ``state`` and ``reason`` say.

    Raises:
        MissingInputError: if step 15 has not finished.
        ContractError: if a number was made under another contract than the run has now.
    """
    facts, contract = Facts(store, upto), store.artifact(Contract)
    store.path(Evaluation.step, Evaluation.file)  # says which command runs the step, where it has not run
    evaluation = facts.read(Evaluation)
    if evaluation is None:
        raise MissingInputError(f"step {Evaluation.step} lies after step {upto}: there is no verdict yet")
    found, retained, costs = evaluation.comparison, evaluation.retention, price(facts)
    training = facts.read(Training)
    blocked = blockers(facts, evaluation, contract) + breaches(costs, contract)
    verdict = {
        "verdict": decide(evaluation, blocked),
        "stage": "final" if facts.done(LAST) else "offline",
        "primary_metric": found.metric,
        "contract": contract.hash,
        "baseline": found.baseline,
        "tuned": found.candidate,
        "delta": found.delta,
        "ci95": found.ci95,
        "p_value": found.p_value,
        "min_gain": contract.min_gain,
        "n_queries": found.n_queries,
        "n_groups": found.n_groups,
        "queries_needed": found.queries_needed,
        "retention_delta": None if retained is None else retained.delta,
        "retention": None if retained is None else asdict(retained),
        "unseen_only": None if evaluation.unseen_only is None else asdict(evaluation.unseen_only),
        "slices": [asdict(row) for row in evaluation.slices],
        "blocked_by": blocked,
        "unsettled": unsettled(evaluation),
        "claim": contract.generalize_to,
        "kept": None if training is None else training.kept,
        "versus_hybrid": {"delta": evaluation.versus_hybrid.delta, "ci95": evaluation.versus_hybrid.ci95},
        "concentration": asdict(evaluation.concentration),
        "price": None if costs is None else asdict(costs),
        "dev_looks": len(dev_looks(store, upto)),
        "checklist": checklist(facts),
        "mistakes": mistakes(facts),
    }
    if evaluation.ci is not None:
        verdict["ci"] = evaluation.ci
    if not contract.transductive:
        verdict["transductive"] = False
    return dict(plain(verdict))


def decide(evaluation: Evaluation, blocked: list[str]) -> str:
    """Return SHIP, DO_NOT_SHIP or INCONCLUSIVE: what the comparison says, unless something blocks or doubts it."""
    if blocked:
        return "DO_NOT_SHIP"
    verdict = evaluation.comparison.verdict
    return "INCONCLUSIVE" if verdict == "SHIP" and unsettled(evaluation) else verdict


def blockers(facts: Facts, evaluation: Evaluation, contract: Contract) -> list[str]:
    """Return what forbids shipping, in words."""
    blocked = []
    broken = problem(facts.store, contract.test_openings)
    if broken is not None:
        blocked.append(f"seal: {broken}")
    training = facts.read(Training)
    if training is not None and training.kept == "base":
        blocked.append(f"training: step {Training.step} kept the base model, so there is nothing to ship")
    for row in evaluation.slices:
        if row.state == LOST:
            blocked.append(
                f"guardrail slice {row.slice}: {row.delta:+.3f} [{row.low:+.3f}, {row.high:+.3f}], "
                f"a loss of {contract.slice_tolerance:.3f} is accepted"
            )
    blocked += _pushed_down(evaluation)
    blocked += _forgotten(evaluation.retention)
    blocked += _failed_gates(facts)
    return blocked + _too_large(facts, contract)


def unsettled(evaluation: Evaluation) -> list[str]:
    """Return what cannot be judged yet and must be for a SHIP: what is so, and what would settle it."""
    unseen = evaluation.unseen_only
    if unseen is None or unseen.state != UNSETTLED:
        return []
    return [f"unseen documents: {unseen.reason}; {unseen.settled_by}"]


def _pushed_down(evaluation: Evaluation) -> list[str]:
    """Return the blocker of a model that surely loses among documents that were no positive of training."""
    unseen = evaluation.unseen_only
    if unseen is None or unseen.state != BROKEN:
        return []
    return [f"unseen documents: {unseen.reason}"]


def _forgotten(found: Retained | None) -> list[str]:
    """Return the blocker of a loss in another domain that surely exceeds the tolerance."""
    if found is None or found.ci95[1] >= -found.tolerance:
        return []
    return [f"retention: {retention_sentence(asdict(found))}"]


def _failed_gates(facts: Facts) -> list[str]:
    """Return the gates that forbid shipping; the table of steps says which artifacts are gates."""
    found = []
    for step in STEPS:
        artifact = facts.json(step.number, step.gate) if step.gate else None
        if artifact is not None and artifact["passed"] is False:
            found.append(f"{step.gate_name}: {artifact['reason']}")
    return found


def _too_large(facts: Facts, contract: Contract) -> list[str]:
    index = facts.read(Reembedding)
    if index is None or index.index_mb <= contract.index_budget_mb:
        return []
    return [f"index size: {index.index_mb:.0f} MB, {contract.index_budget_mb:.0f} MB allowed"]


def read_verdict(folder: Path) -> dict[str, Any]:
    """Return a run's verdict after checking that it still follows from its inputs.

    Raises:
        MissingInputError: if there is no verdict, or a step that it rests on is stale or missing.
        IntegrityError: if an artifact or the verdict itself was changed.
    """
    path = folder / "verdict.json"
    if not path.is_file():
        raise MissingInputError(f"{folder} has no verdict.json: step {Evaluation.step} has not finished")
    try:
        verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path}: not readable: {error}") from None
    store, params = Store(folder), load_params(folder / "params.yaml")
    last = Evaluation.step if verdict.get("stage") == "offline" else LAST
    rests_on = [s for s in STEPS if s.number <= last]
    for step in rests_on:
        stale = why_stale(store, step, params)
        if stale is not None:
            raise MissingInputError(f"{stale}; run: embedlab run {folder / 'params.yaml'}")
    if compute(store) != verdict:
        raise IntegrityError(f"{path} is not what the artifacts give; run: embedlab run {folder / 'params.yaml'}")
    return verdict
