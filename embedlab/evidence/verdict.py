"""The verdict: SHIP, DO_NOT_SHIP or INCONCLUSIVE, and all that stands behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from embedlab import seal
from embedlab.errors import IntegrityError, MissingInputError
from embedlab.evidence.checklist import checklist
from embedlab.evidence.facts import Facts
from embedlab.evidence.mistakes import mistakes
from embedlab.freshness import why_stale
from embedlab.lab import Lab
from embedlab.params import load_params
from embedlab.steps import STEPS
from embedlab.store import Store

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
    """
    facts = Facts(store, upto)
    evaluation, contract = store.read("15", "evaluation.json"), store.read("01", "contract.json")
    found = evaluation["comparison"]
    blocked = _blockers(facts, evaluation, contract)
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
    broken = seal.verify(facts.store)
    if broken is not None:
        blocked.append(f"seal: {broken}")
    used = seal.scored_model_sets(facts.store)
    if used > contract["test_openings"]:
        blocked.append(f"sealed test: {used} sets of tuned models scored, {contract['test_openings']} allowed")
    for row in evaluation["slices"]:
        if row["guardrail"] and row["high"] < -contract["slice_tolerance"]:
            blocked.append(
                f"guardrail slice {row['slice']}: {row['delta']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            )
    unseen, least = evaluation["unseen_only"], contract["min_gain"]
    if unseen is not None and (unseen["ci95"][1] < least or (least == 0 and unseen["ci95"][1] <= 0)):
        blocked.append(f"unseen documents: gain {unseen['delta']:+.3f} there, {least:+.3f} required")
    return blocked + _forgotten(evaluation.get("retention")) + _failed_gates(facts) + _budgets(facts, contract)


def _forgotten(found: dict[str, Any] | None) -> list[str]:
    """Return the blocker of a loss in another domain that surely exceeds the tolerance."""
    return [f"retention: {retention_sentence(found)}"] if found and found["ci95"][1] < -found["tolerance"] else []


def retention_sentence(found: dict[str, Any] | None) -> str:
    """Return in words what was measured on the retention set; see :func:`embedlab.retention.compare`."""
    if found is None:
        return "general ability was not measured, for the package with the other domain is not installed"
    (low, high), tolerance = found["ci95"], found["tolerance"]
    said = "within" if low >= -tolerance else "beyond" if high < -tolerance else "not surely within"
    return (
        f"on {found['queries']:,} queries of {found['set']}, another domain, {found['metric']} changes by "
        f"{found['delta']:+.3f} [{low:+.3f}, {high:+.3f}], {said} the accepted loss of {tolerance:.3f}"
    )


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


WORDS = {"SHIP": "SHIP", "DO_NOT_SHIP": "DO NOT SHIP", "INCONCLUSIVE": "INCONCLUSIVE"}


def sentence(verdict: dict[str, Any]) -> str:
    """Return the verdict in one sentence, made from its numbers."""
    low, high = verdict["ci95"]
    measured = (
        f"on {verdict['n_queries']} sealed queries in {verdict['n_groups']} groups {verdict['primary_metric']} goes "
        f"from {verdict['baseline']:.3f} to {verdict['tuned']:.3f}, {verdict['delta']:+.3f} with 95 % interval "
        f"[{low:+.3f}, {high:+.3f}]; at least {verdict['min_gain']:+.3f} was asked for"
    )
    text = f"{WORDS[verdict['verdict']]}: {measured} ({verdict['claim']})."
    if verdict["blocked_by"]:
        text += f" Blocked by {'; '.join(verdict['blocked_by'])}."
    retention = verdict.get("retention")
    if retention and retention["ci95"][0] < -retention["tolerance"] <= retention["ci95"][1]:
        text += f" To be seen with it: {retention_sentence(retention)}."
    if verdict["verdict"] == "INCONCLUSIVE" and verdict["queries_needed"]:
        text += f" About {verdict['queries_needed']:,} queries would settle it."
    return text
