"""The verdict: SHIP, DO_NOT_SHIP or INCONCLUSIVE, and all that stands behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from embedlab.chain.keys import why_stale
from embedlab.chain.lab import Lab
from embedlab.chain.params import load_params
from embedlab.chain.seal import dev_looks, problem
from embedlab.chain.steps import STEPS
from embedlab.chain.store import Store
from embedlab.errors import IntegrityError, MissingInputError
from embedlab.evaluation.results import LOST
from embedlab.verdict.checklist import checklist
from embedlab.verdict.facts import Facts
from embedlab.verdict.mistakes import mistakes
from embedlab.verdict.price import breaches, price
from embedlab.verdict.words import retention_sentence

LAST = STEPS[-1].number

GATES = {
    "18": ("pipeline.json", "the end-to-end test"),
    "19": ("shadow.json", "the shadow test"),
    "20": ("reindex.json", "re-indexing"),
    "21": ("rollout.json", "the rollout"),
}


def update_verdict(lab: Lab) -> dict[str, Any]:
    """Write ``verdict.json`` from all that has been finished; return the verdict as of this step.

    So an early step that is executed again shows what it showed the first time.
    """
    lab.store.write("verdict.json", compute(lab.store))
    return compute(lab.store, lab.step.number)


def compute(store: Store, upto: str = LAST) -> dict[str, Any]:
    """Return the verdict of a run from its artifacts, those of steps after ``upto`` left out.

    Raises:
        MissingInputError: if step 15 has not finished.
        ContractError: if a number was made under another contract than the run has now.
    """
    facts = Facts(store, upto)
    store.path("15", "evaluation.json")
    evaluation, contract = facts.json("15", "evaluation.json") or {}, store.read("01", "contract.json")
    found, costs = evaluation["comparison"], price(facts)
    blocked = _blockers(facts, evaluation, contract) + breaches(costs, contract)
    return {
        "verdict": _decide(found, evaluation["unseen_only"], contract["min_gain"], blocked),
        "stage": "final" if facts.done(LAST) else "offline",
        "primary_metric": found["metric"],
        "contract": contract["hash"],
        "baseline": found["baseline"],
        "tuned": found["candidate"],
        "delta": found["delta"],
        "ci95": found["ci95"],
        **({"ci": evaluation["ci"]} if "ci" in evaluation else {}),
        "p_value": found["p_value"],
        "min_gain": contract["min_gain"],
        "n_queries": found["n_queries"],
        "n_groups": found["n_groups"],
        "queries_needed": found["queries_needed"],
        "retention_delta": (evaluation.get("retention") or {}).get("delta"),
        "retention": evaluation.get("retention"),
        "unseen_only": evaluation["unseen_only"],
        "slices": evaluation["slices"],
        "blocked_by": blocked,
        "claim": contract["generalize_to"],
        **({} if contract["transductive"] else {"transductive": False}),
        "kept": (facts.json("14", "training.json") or {}).get("kept"),
        "versus_hybrid": {key: evaluation["versus_hybrid"][key] for key in ("delta", "ci95")},
        "concentration": evaluation.get("concentration"),
        "price": costs,
        "dev_looks": len(dev_looks(store, upto)),
        "checklist": checklist(facts),
        "mistakes": mistakes(facts),
    }


def _decide(found: dict[str, Any], unseen: dict[str, Any] | None, min_gain: float, blocked: list[str]) -> str:
    if blocked:
        return "DO_NOT_SHIP"
    verdict = str(found["verdict"])
    if verdict == "SHIP" and unseen is not None and unseen["ci95"][0] < min(0.0, min_gain):
        return "INCONCLUSIVE"
    return verdict


def _blockers(facts: Facts, evaluation: dict[str, Any], contract: dict[str, Any]) -> list[str]:
    """Return what forbids shipping, in words."""
    blocked = []
    broken = problem(facts.store, contract["test_openings"])
    if broken is not None:
        blocked.append(f"seal: {broken}")
    for row in evaluation["slices"]:
        if row.get("state") == LOST:
            blocked.append(
                f"guardrail slice {row['slice']}: {row['delta']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], "
                f"a loss of {contract['slice_tolerance']:.3f} is accepted"
            )
    unseen, least = evaluation["unseen_only"], contract["min_gain"]
    if unseen is not None and (unseen["ci95"][1] < least or (least == 0 and unseen["ci95"][1] <= 0)):
        blocked.append(f"unseen documents: gain {unseen['delta']:+.3f} there, {least:+.3f} required")
    return blocked + _forgotten(evaluation.get("retention")) + _failed_gates(facts) + _budgets(facts, contract)


def _forgotten(found: dict[str, Any] | None) -> list[str]:
    """Return the blocker of a loss in another domain that surely exceeds the tolerance."""
    return [f"retention: {retention_sentence(found)}"] if found and found["ci95"][1] < -found["tolerance"] else []


def _failed_gates(facts: Facts) -> list[str]:
    found = {step: facts.json(step, name) for step, (name, _) in GATES.items()}
    return [
        f"{GATES[step][1]}: {artifact.get('reason', 'failed')}"
        for step, artifact in found.items()
        if artifact is not None and artifact["passed"] is False
    ]


def _budgets(facts: Facts, contract: dict[str, Any]) -> list[str]:
    index = facts.json("17", "reembedding.json")
    if index is None or index["index_mb"] <= contract["index_budget_mb"]:
        return []
    return [f"index size: {index['index_mb']:.0f} MB, {contract['index_budget_mb']:.0f} MB allowed"]


def read_verdict(folder: Path) -> dict[str, Any]:
    """Return a run's verdict after checking that it still follows from its inputs.

    Raises:
        MissingInputError: if there is no verdict, or a step that it rests on is stale or missing.
        IntegrityError: if an artifact or the verdict itself was changed.
    """
    path = folder / "verdict.json"
    if not path.is_file():
        raise MissingInputError(f"{folder} has no verdict.json: step 15 has not finished")
    try:
        verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path}: not readable: {error}") from None
    store, params = Store(folder), load_params(folder / "params.yaml")
    rests_on = [s for s in STEPS if s.number <= ("15" if verdict.get("stage") == "offline" else LAST)]
    for step in rests_on:
        stale = why_stale(store, step, params)
        if stale is not None:
            raise MissingInputError(f"{stale}; run: embedlab run {folder / 'params.yaml'}")
    if compute(store) != verdict:
        raise IntegrityError(f"{path} is not what the artifacts give; run: embedlab run {folder / 'params.yaml'}")
    return verdict
