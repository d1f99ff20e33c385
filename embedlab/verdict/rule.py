"""The verdict: SHIP, DO_NOT_SHIP or INCONCLUSIVE, and all that stands behind it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from embedlab.chain.artifacts.confirm_need import Need
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.train import Training
from embedlab.chain.contract import Contract
from embedlab.chain.keys import params_of, why_outdated
from embedlab.chain.lab import Lab
from embedlab.chain.paths import registry_path
from embedlab.chain.seal import dev_looks
from embedlab.chain.steps import LAST, STEPS
from embedlab.chain.store import FINISHED, Store, plain
from embedlab.errors import ContractError, IntegrityError, MissingInputError
from embedlab.evaluation.results import Comparison, Stakes, with_interval
from embedlab.files import read_json
from embedlab.verdict.checklist import checklist
from embedlab.verdict.facts import Facts
from embedlab.verdict.guards import broken, guards, unsettled, waived
from embedlab.verdict.mistakes import mistakes
from embedlab.verdict.price import price
from embedlab.verdict.recommend import recommend
from embedlab.verdict.seal import in_verdict


def update_verdict(lab: Lab) -> dict[str, Any]:
    """Write ``verdict.json`` from all that has been finished; return the verdict as of this step.

    So an early step that is executed again shows what it showed the first time. Where later steps still speak of
    another contract, for it was changed and they have yet to run again, they count as not run.
    """
    of_this_step = compute(lab.store, lab.step.number)
    try:
        whole = compute(lab.store)
    except ContractError:
        whole = of_this_step
    lab.store.write("verdict.json", whole)
    return of_this_step


def compute(store: Store, upto: str = LAST) -> dict[str, Any]:
    """Return the verdict of a run from its artifacts, those of steps after ``upto`` left out, as plain JSON.

    Beside the numbers, ``blocked_by`` names what forbids shipping, and ``unsettled`` what keeps the verdict from
    being SHIP because it cannot be judged yet: sentences ``name: what is so; what would settle it``.
    ``unseen_only`` is None where an evaluation did without the trap check; its numbers alone are None where the
    check could not be judged, which its ``state`` and ``reason`` say.

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
    checked = guards(facts, evaluation, contract, costs)
    blocked = broken(checked)
    open_ends = [*open_gains(evaluation), *unsettled(checked, contract)]
    decision = decide(evaluation, blocked, open_ends)
    verdict = {
        "verdict": decision,
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
        "unsettled": open_ends,
        "waived": waived(checked, contract),
        "production": evaluation.production,
        "proposed": evaluation.proposed.name,
        "simpler": evaluation.simpler,
        "versus_production": against(evaluation.versus_production),
        "versus_simpler": against(evaluation.versus_simpler),
        "tuning_gain": evaluation.versus_simpler.min_gain,
        "strata": {name: asdict(found) for name, found in evaluation.strata.items()},
        "recommend": recommend(decision, blocked, open_ends, evaluation),
        "probability": {role: risk.probability for role, risk in evaluation.stakes.items()},
        "regret": {role: _regret(risk) for role, risk in evaluation.stakes.items()},
        "claim": contract.claim,
        "kept": None if training is None else training.kept,
        "versus_hybrid": {"delta": evaluation.versus_hybrid.delta, "ci95": evaluation.versus_hybrid.ci95},
        "concentration": asdict(evaluation.concentration),
        "price": None if costs is None else asdict(costs),
        "dev_looks": len(dev_looks(store, upto)),
        "registry": in_verdict(facts, contract),
        "not_measured": not_measured(facts),
        "checklist": checklist(facts),
        "mistakes": mistakes(facts),
    }
    if evaluation.ci is not None:
        verdict["ci"] = evaluation.ci
    if not contract.transductive:
        verdict["transductive"] = False
    return dict(plain(verdict))


def not_measured(facts: Facts) -> dict[str, str]:
    """Return the simpler remedies that step 02 could not run, each with why: nothing is claimed about them."""
    need = facts.read(Need)
    return {} if need is None else need.not_measured


def against(found: Comparison) -> dict[str, Any]:
    """Return a comparison as the verdict carries it."""
    names = ("baseline", "candidate", "delta", "ci95", "ci", "confidence", "min_gain", "n_queries", "n_groups")
    return {name: getattr(found, name) for name in names}


def _regret(risk: Stakes) -> dict[str, float]:
    return {"ship": risk.of_shipping, "do_not_ship": risk.of_staying}


def decide(evaluation: Evaluation, blocked: list[str], unsettled: list[str]) -> str:
    """Return SHIP, DO_NOT_SHIP or INCONCLUSIVE; the burden of proof lies with the change.

    SHIP needs the gain of what is proposed over what answers today, that over the best system without tuning, and
    every guard. All must hold together, so none needs a correction for being several. What the tuned model gains
    alone over the base decides nothing.
    """
    gains = {evaluation.versus_production.verdict, evaluation.versus_simpler.verdict}
    if blocked or "DO_NOT_SHIP" in gains:
        return "DO_NOT_SHIP"
    return "SHIP" if gains == {"SHIP"} and not unsettled else "INCONCLUSIVE"


def open_gains(evaluation: Evaluation) -> list[str]:
    """Return in words the gains that the test could not settle, and what would."""
    found = []
    for system, gained in (
        (evaluation.production, evaluation.versus_production),
        (evaluation.simpler, evaluation.versus_simpler),
    ):
        if gained.verdict == "INCONCLUSIVE":
            gain = with_interval(gained.delta, gained.ci)
            found.append(f"gain over {system}: {gain}, {gained.min_gain:+.3f} is asked for; {gained.settled_by()}")
    return list(dict.fromkeys(found))


def read_verdict(folder: Path) -> dict[str, Any]:
    """Return a run's verdict after checking that it still follows from its inputs.

    Raises:
        MissingInputError: if there is no verdict, or a step that it rests on is stale or missing.
        IntegrityError: if an artifact or the verdict itself was changed.
    """
    path, store = folder / "verdict.json", Store(folder)
    if not os.path.lexists(path) and store.entry(Evaluation.step).get("status") not in FINISHED:
        raise MissingInputError(f"{folder} has no verdict.json: step {Evaluation.step} has not finished")
    last = LAST if store.entry(LAST).get("status") in FINISHED else Evaluation.step
    again = f"run: embedlab run {folder / 'params.yaml'} --only {last} --force"
    verdict = read_json(path, dict, IntegrityError, f"to have it written again, {again}")
    params = params_of(store)
    last = Evaluation.step if verdict.get("stage") == "offline" else LAST
    for step in [s for s in STEPS if s.number <= last]:
        outdated = why_outdated(store, step, params)
        if outdated is not None:
            raise MissingInputError(f"{outdated}; run: embedlab run {folder / 'params.yaml'}")
        store.check_outputs(step)
    found = compute(store)
    if found["registry"] != verdict.get("registry"):
        raise IntegrityError(
            f"{registry_path()} is not the registry that {path} was made with: it has this run's opening in another "
            f"line or after other openings; name the right file in EMBEDLAB_REGISTRY, or run: "
            f"embedlab run {folder / 'params.yaml'} --only {Evaluation.step} --force"
        )
    if found != verdict:
        raise IntegrityError(f"{path} is not what the artifacts give; to have it written again, {again}")
    return verdict
