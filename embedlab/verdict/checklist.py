"""The ten items of the practical checklist, each decided from artifacts; None: cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from embedlab.chain.seal import problem, scored_model_sets
from embedlab.verdict.facts import Facts

Item = tuple[bool | None, str]


def objective_clear(facts: Facts) -> Item:
    """The contract states an objective in words."""
    contract = facts.json("01", "contract.json")
    if contract is None:
        return None, "step 01 has not run"
    text = contract["objective"].strip()
    return bool(text), text or f"the objective is empty in {facts.where('01', 'contract.json')}"


def baseline_recorded(facts: Facts) -> Item:
    """The base model was scored on the sealed test before training."""
    baseline = facts.json("05", "baseline.json")
    if baseline is None:
        return False, "step 05 has not run: no baseline"
    return True, f"base {baseline['metric']} {baseline['test']['base']:.3f} in {facts.where('05', 'baseline.json')}"


def train_test_separate(facts: Facts) -> Item:
    """The leakage report reads zero and the seal is whole."""
    leakage = facts.json("13", "leakage.json")
    if leakage is None:
        return None, "step 13 has not run"
    allowed = (facts.json("01", "contract.json") or {}).get("test_openings", 0)
    used, broken = scored_model_sets(facts.store), problem(facts.store, allowed)
    if broken is not None:
        return False, broken
    where = facts.where("13", "leakage.json")
    return leakage["total"] == 0, f"{leakage['total']} leaks in {where}; the seal is whole ({used} of {allowed} used)"


def hard_negatives_included(facts: Facts) -> Item:
    """Training used mined hard negatives."""
    training = facts.json("14", "training.json")
    if training is None:
        return None, "step 14 has not run"
    count, where = training["hard_negatives"], facts.where("14", "training.json")
    return count > 0, f"up to {count} mined hard negatives in every batch, loss {training['loss']} ({where})"


def heldout_improves(facts: Facts) -> Item:
    """The interval of the gain on the sealed test lies above zero."""
    evaluation = facts.json("15", "evaluation.json")
    if evaluation is None:
        return None, "step 15 has not run"
    found = evaluation["comparison"]
    low, high = found["ci95"]
    return low > 0, f"{found['metric']} {found['delta']:+.3f} [{low:+.3f}, {high:+.3f}] on the sealed test"


def review_fewer_failures(facts: Facts) -> Item:
    """Decided from saved judgments only."""
    changes = facts.json("16", "changes.json")
    if changes is None:
        return None, "step 16 has not run"
    counts = f"relevant documents gained {changes['gained']}, lost {changes['lost']} among those shown"
    if not changes["judged"]:
        return None, f"nobody has judged yet; {counts}"
    better, worse = changes["judged_better"], changes["judged_worse"]
    return better > worse, f"judged better {better}, worse {worse}; {counts}"


def pipeline_tested(facts: Facts) -> Item:
    """The gain was measured end to end."""
    pipeline = facts.json("18", "pipeline.json")
    if pipeline is None:
        return None, "step 18 has not run"
    low, high = pipeline["ci95"]
    return pipeline["passed"], f"end to end {pipeline['delta']:+.3f} [{low:+.3f}, {high:+.3f}]"


def reindexing_planned(facts: Facts) -> Item:
    """The re-indexing plan was executed beside the live index and validated."""
    done = facts.json("20", "reindex.json")
    if done is None:
        return None, "step 20 has not run"
    return done[
        "passed"
    ], f"{done['documents']:,} documents re-indexed and validated ({facts.where('20', 'plan.json')})"


def rollback_available(facts: Facts) -> Item:
    """A rollback drill brought the old model back."""
    rollout = facts.json("21", "rollout.json")
    if rollout is None:
        return None, "step 21 has not run"
    drill = "rolled back" if rollout["rollback_drill"] else "did NOT roll back"
    return rollout["rollback_drill"], f"the drill {drill} ({facts.where('21', 'rollout.json')})"


def monitoring_ready(facts: Facts) -> Item:
    """Drift measures ran and have a retrain trigger."""
    drift = facts.json("22", "drift.json")
    if drift is None:
        return None, "step 22 has not run"
    return drift["passed"], str(drift["reason"])


CHECKLIST: dict[Callable[[Facts], Item], tuple[str, str]] = {
    objective_clear: ("01", "contract.json"),
    baseline_recorded: ("05", "baseline.json"),
    train_test_separate: ("13", "leakage.json"),
    hard_negatives_included: ("14", "training.json"),
    heldout_improves: ("15", "evaluation.json"),
    review_fewer_failures: ("16", "changes.json"),
    pipeline_tested: ("18", "pipeline.json"),
    reindexing_planned: ("20", "reindex.json"),
    rollback_available: ("21", "rollout.json"),
    monitoring_ready: ("22", "drift.json"),
}
"""Each item with the artifact that it is decided from."""


def checklist(facts: Facts) -> list[dict[str, Any]]:
    """Return the ten items as ``id, passed, evidence, artifact``."""
    return decided(CHECKLIST, "passed", facts)


def decided(items: dict[Callable[[Facts], Item], tuple[str, str]], key: str, facts: Facts) -> list[dict[str, Any]]:
    """Return what each function decides under ``key``, its evidence, and its artifact's path in the run folder."""
    found = []
    for item, place in items.items():
        value, why = item(facts)
        found.append({"id": item.__name__, key: value, "evidence": why, "artifact": facts.where(*place)})
    return found
