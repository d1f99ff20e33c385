"""The ten items of the practical checklist, each decided from artifacts; None: cannot tell."""

from __future__ import annotations

from typing import Any

from embedlab.chain.artifacts.choose_base_model import Choice
from embedlab.chain.artifacts.create_negatives import MinedAgainstRandom
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
from embedlab.evaluation.results import sign_test, with_interval
from embedlab.verdict.checks import Check, Item, decided, not_run, place_of
from embedlab.verdict.facts import Facts
from embedlab.verdict.seal import problem, registered

FEWEST_BLIND, REVIEW_LEVEL = 20, 0.05
"""Blind judgments under which the review says nothing, and the level of its sign test."""

LEAST_MINED = 0.1
"""Share of the mined negatives that must have stood in a batch: about one for each query that trained."""

SECOND = 1.0
"""What times in manifest and ledger are rounded to."""


def objective_clear(facts: Facts) -> Item:
    """The contract says who searches for what, what answers today, what is proposed, and by which terms it wins."""
    contract = facts.read(Contract)
    if contract is None:
        return not_run("objective_clear")
    missing = unstated(contract)
    if missing:
        return False, f"left open ({place_of('objective_clear')}): {'; '.join(missing)}"
    return True, (
        f"{contract.objective.strip()} In place of {contract.production}: {contract.proposed} with the tuned model, "
        f"for {contract.min_gain:+.3f} over it and {contract.tuning_gain:+.3f} over the best without tuning, within "
        f"{contract.latency_budget_ms:g} ms and {contract.index_budget_mb:g} MB, {contract.migration_budget:,.2f} once "
        f"and {contract.monthly_budget:,.2f} a month"
    )


def unstated(contract: Contract) -> list[str]:
    """Return what a contract leaves open, in words."""
    terms = {
        "who searches for what (objective)": contract.objective.strip(),
        "what answers today (production)": contract.production.strip(),
        "what would be rolled out (proposed)": contract.proposed.strip(),
        "which gain pays for the change (min_gain above 0)": contract.min_gain > 0,
        "which gain pays for a model of one's own (tuning_gain)": contract.tuning_gain >= 0,
        "how slow a query may be (latency_budget_ms above 0)": contract.latency_budget_ms > 0,
        "how large the index may be (index_budget_mb above 0)": contract.index_budget_mb > 0,
    }
    return [name for name, stated in terms.items() if not stated]


def baseline_recorded(facts: Facts) -> Item:
    """The base model that was trained had been scored on the sealed test before."""
    baseline = facts.read(Baseline)
    if baseline is None:
        return False, f"step {Baseline.step} has not run: no baseline"
    said = f"base {baseline.metric} {baseline.test['base']:.3f} in {place_of('baseline_recorded')}"
    choice, training = facts.read(Choice), facts.read(Training)
    if choice is None or training is None:
        return None, f"{said}; steps {Choice.step} and {Training.step} have not both run"
    chosen = choice.identity.weights
    if training.base != chosen:
        return False, f"{said}; training began with {training.base[:12]}, step {Choice.step} chose {chosen[:12]}"
    now, scored = facts.written(Choice), facts.seen_by(Baseline.step, Choice)
    if scored is not None and scored != now:
        return False, f"{said}; that was scored before step {Choice.step} chose {choice.model}, which was trained"
    opened, begun = facts.first_opening(Baseline.step), facts.begun(Training.step)
    if scored is None or opened is None or begun is None:
        return None, f"{said}; manifest and ledger do not say of which choice it is, or since when"
    if (opened - begun).total_seconds() > SECOND:
        return False, f"{said}; it was first recorded after step {Training.step} had begun to train"
    return True, f"{said}; of {choice.model} ({chosen[:12]}), with which training began, and recorded before it"


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
    """The mined negatives stood in the batches that trained the model."""
    training = facts.read(Training)
    if training is None:
        return not_run("hard_negatives_included")
    mined = training.mined
    met = mined.met / mined.queries if mined.queries else 0.0
    used = (
        f"{mined.used:,} of {mined.pairs:,} mined negatives ({mined.share:.1%}) stood in a batch beside their query, "
        f"{met:.0%} of the queries trained met one of their own, loss {training.loss}"
    )
    enough = mined.share >= LEAST_MINED
    return enough, f"{used} ({place_of('hard_negatives_included')}); {mined_effect(facts)}"


def mined_effect(facts: Facts) -> str:
    """Return in words what mined negatives change against random ones, as step 09 measured it."""
    found = facts.read(MinedAgainstRandom)
    if found is None or found.delta is None or found.ci95 is None:
        return f"what they change against random ones step {MinedAgainstRandom.step} did not measure"
    return (
        f"against random ones they change dev by {with_interval(found.delta, found.ci95)} after {found.steps} steps "
        f"(step {MinedAgainstRandom.step})"
    )


def heldout_improves(facts: Facts) -> Item:
    """The interval of what is proposed over what answers today lies above zero on the sealed test."""
    evaluation = facts.read(Evaluation)
    if evaluation is None:
        return not_run("heldout_improves")
    found = evaluation.versus_production
    low, _ = found.ci95
    return low > 0, f"{found.metric} {found} over {evaluation.production} on the sealed test"


def review_fewer_failures(facts: Facts) -> Item:
    """Blind judgments speak for what is proposed, by a sign test; who knew the sides proves nothing."""
    changes = facts.read(Changes)
    if changes is None:
        return not_run("review_fewer_failures")
    counts = f"relevant documents gained {changes.gained}, lost {changes.lost} among those shown"
    better, worse = changes.blind_better, changes.blind_worse
    said = f"{changes.blind} judged blind, proposed better {better}, worse {worse}"
    if changes.blind < FEWEST_BLIND:
        return None, f"{said}, {FEWEST_BLIND} are needed; {counts}"
    p = sign_test(better, worse)
    said += f", sign test p = {p:.3f}"
    if p >= REVIEW_LEVEL:
        return None, f"{said}, which is not sure; {counts}"
    return better > worse, f"{said}; {counts}"


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
    if not done.passed:
        return False, f"{done.documents:,} documents re-indexed, but {done.reason} ({plan})"
    return True, f"{done.documents:,} documents re-indexed and validated ({plan})"


def rollback_available(facts: Facts) -> Item:
    """A rollback drill brought the old model back."""
    rollout = facts.read(Rollout)
    if rollout is None:
        return not_run("rollback_available")
    drill = {True: "rolled back", False: "did NOT roll back", None: "was not judged"}[rollout.rollback_drill]
    return rollout.rollback_drill, f"the drill {drill} ({place_of('rollback_available')})"


def monitoring_ready(facts: Facts) -> Item:
    """Drift measures ran, and no rule calls for retraining before anything is released."""
    drift = facts.read(Drift)
    if drift is None:
        return not_run("monitoring_ready")
    fired = [f"{rule.rule} ({rule.seen})" for rule in drift.rules if rule.fired]
    if drift.retrain or fired:
        called = "; ".join(fired) or "a rule fired"
        return False, f"retraining is called for already: {called}; {drift.reason}"
    return drift.passed, drift.reason


CHECKLIST = (
    Check(
        objective_clear,
        "the contract leaves the objective, what answers today, what is proposed, the gains or the budgets open",
    ),
    Check(
        baseline_recorded,
        "no baseline was recorded, it is of another model than training began with, or it came after training",
    ),
    Check(
        train_test_separate,
        "training and held-out parts share anything, or the sealed test was changed, or opened too often",
    ),
    Check(
        hard_negatives_included,
        f"fewer than {LEAST_MINED:.0%} of the mined negatives stood in a batch beside the query they were mined for",
    ),
    Check(heldout_improves, "the 95 % interval of the gain over what answers today reaches zero on the sealed test"),
    Check(
        review_fewer_failures,
        f"of at least {FEWEST_BLIND} blind judgments surely more are against what is proposed (sign test, 5 %)",
    ),
    Check(
        pipeline_tested,
        "what would be rolled out, built anew with all its stages, does not give the results that were scored",
    ),
    Check(reindexing_planned, "a check of the new index fails, or the switch to it does"),
    Check(rollback_available, "the drill did not bring the old index back, or it answers otherwise than before"),
    Check(
        monitoring_ready,
        "a planted fault goes unnoticed, alarms are false too often, or retraining is called for on the day of release",
    ),
)
"""The items in the order of the guide; the table of steps says which artifact each rests on."""


def checklist(facts: Facts) -> list[dict[str, Any]]:
    """Return the ten items as ``id, passed, evidence, red_when, artifact``."""
    return decided(CHECKLIST, "passed", facts)
