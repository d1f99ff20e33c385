"""The ten items of the practical checklist, each decided from artifacts; None: cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from embedlab.chain.artifacts.deploy_with_rollback import Rollout
from embedlab.chain.artifacts.establish_baseline import Baseline
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.monitor_drift import Drift
from embedlab.chain.artifacts.plan_reindex import Reindexed, ReindexPlan
from embedlab.chain.artifacts.qualitative_review import Changes
from embedlab.chain.artifacts.split_data import Leakage
from embedlab.chain.artifacts.test_pipeline import EndToEnd
from embedlab.chain.artifacts.train import Training
from embedlab.chain.contract import Contract
from embedlab.chain.steps import proof_of
from embedlab.verdict.facts import Facts
from embedlab.verdict.seal import problem, registered

Item = tuple[bool | None, str]
"""Whether it holds, and the evidence in words."""


def objective_clear(facts: Facts) -> Item:
    """The contract states an objective in words."""
    contract = facts.read(Contract)
    if contract is None:
        return not_run("objective_clear")
    text = contract.objective.strip()
    return bool(text), text or f"the objective is empty in {place_of('objective_clear')}"


def baseline_recorded(facts: Facts) -> Item:
    """The base model was scored on the sealed test before training."""
    baseline = facts.read(Baseline)
    if baseline is None:
        return False, f"step {Baseline.step} has not run: no baseline"
    return True, f"base {baseline.metric} {baseline.test['base']:.3f} in {place_of('baseline_recorded')}"


def train_test_separate(facts: Facts) -> Item:
    """The leakage report reads zero and the seal is whole."""
    leakage, contract = facts.read(Leakage), facts.read(Contract)
    if leakage is None or contract is None:
        return not_run("train_test_separate")
    broken = problem(facts, contract)
    if broken is not None:
        return False, broken
    found = registered(facts)
    used = "not opened yet" if found is None else f"opening {found.opening} of {contract.test_openings}"
    where = place_of("train_test_separate")
    return leakage.total == 0, f"{leakage.total} leaks in {where}; the seal is whole ({used})"


def hard_negatives_included(facts: Facts) -> Item:
    """Training used mined hard negatives."""
    training = facts.read(Training)
    if training is None:
        return not_run("hard_negatives_included")
    count, where = training.hard_negatives, place_of("hard_negatives_included")
    return count > 0, f"up to {count} mined hard negatives in every batch, loss {training.loss} ({where})"


def heldout_improves(facts: Facts) -> Item:
    """The interval of what is proposed over what answers today lies above zero on the sealed test."""
    evaluation = facts.read(Evaluation)
    if evaluation is None:
        return not_run("heldout_improves")
    found = evaluation.versus_production
    low, _ = found.ci95
    return low > 0, f"{found.metric} {found} over {evaluation.production} on the sealed test"


def review_fewer_failures(facts: Facts) -> Item:
    """Decided from saved judgments only."""
    changes = facts.read(Changes)
    if changes is None:
        return not_run("review_fewer_failures")
    counts = f"relevant documents gained {changes.gained}, lost {changes.lost} among those shown"
    if not changes.judged:
        return None, f"nobody has judged yet; {counts}"
    better, worse = changes.judged_better, changes.judged_worse
    return better > worse, f"judged better {better}, worse {worse}; {counts}"


def pipeline_tested(facts: Facts) -> Item:
    """The system that would be rolled out, built anew with all its stages, gives what was scored."""
    pipeline = facts.read(EndToEnd)
    if pipeline is None:
        return not_run("pipeline_tested")
    return pipeline.passed, f"{pipeline.system.name}: {pipeline.reason}"


def reindexing_planned(facts: Facts) -> Item:
    """The re-indexing plan was executed beside the live index and validated."""
    done = facts.read(Reindexed)
    if done is None:
        return not_run("reindexing_planned")
    plan = facts.store.place(ReindexPlan.step, ReindexPlan.file)
    return done.passed, f"{done.documents:,} documents re-indexed and validated ({plan})"


def rollback_available(facts: Facts) -> Item:
    """A rollback drill brought the old model back."""
    rollout = facts.read(Rollout)
    if rollout is None:
        return not_run("rollback_available")
    drill = {True: "rolled back", False: "did NOT roll back", None: "was not judged"}[rollout.rollback_drill]
    return rollout.rollback_drill, f"the drill {drill} ({place_of('rollback_available')})"


def monitoring_ready(facts: Facts) -> Item:
    """Drift measures ran and have a retrain trigger."""
    drift = facts.read(Drift)
    if drift is None:
        return not_run("monitoring_ready")
    return drift.passed, drift.reason


Check = Callable[[Facts], Item]

CHECKLIST: tuple[Check, ...] = (
    objective_clear,
    baseline_recorded,
    train_test_separate,
    hard_negatives_included,
    heldout_improves,
    review_fewer_failures,
    pipeline_tested,
    reindexing_planned,
    rollback_available,
    monitoring_ready,
)
"""The items in the order of the guide; the table of steps says which artifact each rests on."""


def place_of(check: str) -> str:
    """Return the path, inside the run folder, of the artifact that decides a check."""
    step, name = proof_of(check)
    return f"artifacts/{step.name}/{name}"


def not_run(check: str) -> Item:
    """Return what is said of a check whose step has not run."""
    step, _ = proof_of(check)
    return None, f"step {step.number} has not run"


def checklist(facts: Facts) -> list[dict[str, Any]]:
    """Return the ten items as ``id, passed, evidence, artifact``."""
    return decided(CHECKLIST, "passed", facts)


def decided(checks: Sequence[Check], key: str, facts: Facts) -> list[dict[str, Any]]:
    """Return what each check decides under ``key``, its evidence, and its artifact's path in the run folder."""
    found = []
    for check in checks:
        value, why = check(facts)
        found.append({"id": check.__name__, key: value, "evidence": why, "artifact": place_of(check.__name__)})
    return found
