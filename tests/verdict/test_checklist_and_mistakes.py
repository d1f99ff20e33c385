"""The checklist and the mistakes: what each stands on is broken on purpose, and the check is seen to turn."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from makers import (
    WEIGHTS,
    base_identity,
    baseline,
    choice,
    comparison,
    contract,
    drift,
    end_to_end,
    evaluation,
    good_run,
    identity,
    leakage,
    mined_against_random,
    need,
    reembedding,
    reindexed,
    review,
    rollout,
    service_files,
    training,
    write_artifacts,
    write_service,
)

from embedlab.chain import Contract, get_step
from embedlab.chain.artifacts.base import Artifact
from embedlab.chain.artifacts.confirm_need import Need
from embedlab.chain.artifacts.create_negatives import MinedAgainstRandom
from embedlab.chain.artifacts.deploy_with_rollback import Rollout
from embedlab.chain.artifacts.establish_baseline import Baseline
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.monitor_drift import Drift, Trigger
from embedlab.chain.artifacts.plan_reindex import Reindexed
from embedlab.chain.artifacts.qualitative_review import Changes
from embedlab.chain.artifacts.split_data import Leakage
from embedlab.chain.artifacts.test_pipeline import EndToEnd
from embedlab.chain.artifacts.train import Training
from embedlab.chain.seal import record
from embedlab.chain.steps import proof_of
from embedlab.errors import IntegrityError
from embedlab.training import Checkpoint, MinedUse, Mix
from embedlab.verdict import compute
from embedlab.verdict.checklist import CHECKLIST, checklist
from embedlab.verdict.checks import place_of
from embedlab.verdict.facts import Facts
from embedlab.verdict.mistakes import MISTAKES, mistakes

CHECKS = (*CHECKLIST, *MISTAKES)


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    """A hundred run folders are written here, and none has to outlive a crash."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@dataclass(frozen=True)
class Case:
    """A run that is good but for one thing, and what an item says of it.

    Attributes:
        item: the item's id.
        holds: what it says: for a mistake, whether it was made.
        says: words of the evidence.
        changed: artifacts in place of their kind.
        without: kinds that were not written.
        do: what is done to the run folder afterwards.
    """

    item: str
    holds: bool | None
    says: str
    changed: tuple[Artifact, ...] = ()
    without: tuple[type[Artifact], ...] = ()
    do: Callable | None = None


def before_the_choice(store):
    """Step 05 read another choice of step 03 than the one that stands now."""
    path = store.place("03", "choice.json")
    store.update("05", made_of={"inputs": {path: "0" * 64}})


def unknown_choice(store):
    """The manifest does not say what step 05 read."""
    store.update("05", made_of={})


def rewrite_ledger(store, **changes):
    """Change the openings by step 05 in the ledger."""
    lines = (store.folder / "seal_ledger.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    entries = [e | changes if e["step"] == "05" else e for e in entries]
    store.write("seal_ledger.jsonl", "".join(json.dumps(e) + "\n" for e in entries))


def after_training(store):
    """The baseline was first opened the day after training."""
    rewrite_ledger(store, time="2999-01-01T00:00:00+0000")


def never_opened(store):
    """The ledger lists no opening by step 05."""
    rewrite_ledger(store, kind="guard")


def opened_by_another(store):
    record(store, get_step("11"), "key", "forged", "opening", [])


def opened_too_often(store):
    """Open the test for other weights too, which the registry does not know: they count all the same."""
    record(store, get_step("15"), "another", "score", "opening", ["d" * 64])


def leaves(number, **how):
    """Return what has a step leave a service like this."""
    return lambda store: write_service(store, number, service_files(**how))


def leaves_no_service(number):
    return lambda store: write_service(store, number, {})


def contradicts_itself(store):
    """A stamp names another model than its digest is of."""
    files = service_files()
    files["old/identity.json"]["identity"]["weights"] = WEIGHTS
    write_service(store, "20", files)


OTHER = identity(weights="b" * 64)

LATE = [Checkpoint(0, None, 0.4, 0.1, 0.02), Checkpoint(20, 1.5, 0.5, 0.0, 0.0), Checkpoint(40, 0.9, 0.45, 0.05, 0.01)]
"""Checkpoints of a run that unlearns: the last one has the lowest loss and is surely worse on validation."""

SOME = MinedUse(pairs=1000, used=99, queries=400, met=90)

CASES = [
    # --- the checklist ---
    Case("objective_clear", True, "In place of dense: pipeline with the tuned model"),
    Case("objective_clear", False, "objective", (contract(objective=" "),)),
    Case("objective_clear", False, "min_gain", (contract(min_gain=0.0),)),
    Case("objective_clear", False, "tuning_gain", (contract(tuning_gain=-0.01),)),
    Case("objective_clear", False, "latency_budget_ms", (contract(latency_budget_ms=0.0),)),
    Case("objective_clear", False, "index_budget_mb", (contract(index_budget_mb=0.0),)),
    Case("baseline_recorded", True, "with which training began, and recorded before it"),
    Case("baseline_recorded", False, "no baseline", without=(Baseline,)),
    Case("baseline_recorded", False, "training began with bbbbbbbbbbbb", (training(base="b" * 64),)),
    Case("baseline_recorded", False, "scored before step 03 chose", do=before_the_choice),
    Case("baseline_recorded", False, "after step 14 had begun", do=after_training),
    Case("baseline_recorded", None, "do not say", do=unknown_choice),
    Case("baseline_recorded", None, "do not say", do=never_opened),
    Case("train_test_separate", True, "0 leaks"),
    Case("train_test_separate", False, "3 leaks", (leakage(total=3),)),
    Case("train_test_separate", False, "opened by step 11", do=opened_by_another),
    Case("train_test_separate", False, "this is opening 2 of this test, 1 allowed", do=opened_too_often),
    Case("train_test_separate", None, "step 13 has not run", without=(Leakage,)),
    Case("hard_negatives_included", True, "900 of 3,600 mined negatives (25.0%)"),
    Case("hard_negatives_included", False, "0 of 0", (training(mined=MinedUse(0, 0, 400, 0)),)),
    Case("hard_negatives_included", False, "99 of 1,000 mined negatives (9.9%)", (training(mined=SOME),)),
    Case("hard_negatives_included", None, "step 14 has not run", without=(Training,)),
    Case("heldout_improves", True, "+0.120 [+0.080, +0.160] over base"),
    Case("heldout_improves", False, "[-0.010, +0.200]", (evaluation(versus_production=comparison(ci95=(-0.01, 0.2))),)),
    Case("review_fewer_failures", True, "24 judged blind, proposed better 16, worse 3, sign test p = 0.004"),
    Case("review_fewer_failures", False, "p = 0.004", (review(blind_better=3, blind_worse=16),)),
    Case("review_fewer_failures", None, "which is not sure", (review(blind_better=14, blind_worse=10),)),
    Case("review_fewer_failures", None, "19 judged blind", (review(blind=19, blind_better=19, blind_worse=0),)),
    Case("review_fewer_failures", None, "0 judged blind", (review(judged=90, judged_better=90, blind=0),)),
    Case("review_fewer_failures", None, "step 16 has not run", without=(Changes,)),
    Case("pipeline_tested", True, "pipeline (tuned): built anew, 100.0% of the test queries"),
    Case("pipeline_tested", False, "other results", (end_to_end(passed=False, reason="other results"),)),
    Case("pipeline_tested", None, "step 18 has not run", without=(EndToEnd,)),
    Case("reindexing_planned", True, "839 documents re-indexed and validated"),
    Case("reindexing_planned", False, "but quality on dev", (reindexed(passed=False, reason="quality on dev"),)),
    Case("reindexing_planned", None, "step 20 has not run", without=(Reindexed,)),
    Case("rollback_available", True, "rolled back"),
    Case("rollback_available", False, "did NOT roll back", (rollout(rollback_drill=False),)),
    Case("rollback_available", None, "was not judged", (rollout(rollback_drill=None),)),
    Case("rollback_available", None, "step 21 has not run", without=(Rollout,)),
    Case("monitoring_ready", True, "thresholds stated"),
    Case("monitoring_ready", False, "thresholds stated", (drift(passed=False),)),
    Case("monitoring_ready", False, "a rule fired", (drift(retrain=True),)),
    Case("monitoring_ready", False, "it falls (-0.100)", (drift(rules=[Trigger("it falls", True, "-0.100")]),)),
    Case("monitoring_ready", None, "thresholds stated", (drift(passed=None),)),
    Case("monitoring_ready", None, "step 22 has not run", without=(Drift,)),
    # --- the mistakes ---
    Case("training_without_baseline", False, "recorded before it"),
    Case("training_without_baseline", True, "no baseline", without=(Baseline,)),
    Case("training_without_baseline", True, "training began with", (choice(identity=OTHER),)),
    Case("training_without_baseline", None, "do not say", do=never_opened),
    Case("same_examples_for_training_and_evaluation", False, "0 leaks"),
    Case("same_examples_for_training_and_evaluation", True, "1 leaks", (leakage(total=1),)),
    Case("same_examples_for_training_and_evaluation", None, "step 13 has not run", without=(Leakage,)),
    Case("no_hard_negatives", False, "25.0%"),
    Case("no_hard_negatives", True, "9.9%", (training(mined=SOME),)),
    Case("no_hard_negatives", None, "step 14 has not run", without=(Training,)),
    Case("fine_tuning_to_fix_chunking", False, "passages +0.010 against tuning +0.100"),
    Case(
        "fine_tuning_to_fix_chunking", False, "passages -0.010", (need(passages_gain=-0.01), evaluation(dev_gain=-0.1))
    ),
    Case("fine_tuning_to_fix_chunking", True, "passages +0.200 against tuning +0.100", (need(passages_gain=0.2),)),
    Case("fine_tuning_to_fix_chunking", True, "against tuning -0.100", (evaluation(dev_gain=-0.1),)),
    Case("fine_tuning_to_fix_chunking", None, "have not both run", without=(Need,)),
    Case("ignoring_hybrid_search_and_filters", False, "hybrid (base), the best without tuning: +0.050"),
    Case(
        "ignoring_hybrid_search_and_filters",
        True,
        "+0.002",
        (evaluation(versus_simpler=comparison(verdict="DO_NOT_SHIP", delta=0.002)),),
    ),
    Case("ignoring_hybrid_search_and_filters", True, "step 02 has not run", without=(Need,)),
    Case(
        "ignoring_hybrid_search_and_filters",
        None,
        "+0.020 is asked for",
        (evaluation(versus_simpler=comparison(verdict="INCONCLUSIVE")),),
    ),
    Case("mixing_old_and_new_embeddings", False, "by the model that made its vectors: new, old"),
    Case("mixing_old_and_new_embeddings", True, "test index stamped bbbbbbbbbbbb", (reembedding(identity=OTHER),)),
    Case("mixing_old_and_new_embeddings", True, "indexes/live: new is stamped bbbb", do=leaves("20", new=OTHER)),
    Case("mixing_old_and_new_embeddings", True, "indexes/deployed: new is stamped bbbb", do=leaves("21", new=OTHER)),
    Case("mixing_old_and_new_embeddings", True, "its queries are of", do=leaves("21", encoder=base_identity())),
    Case("mixing_old_and_new_embeddings", True, "new should answer, old does", do=leaves("20", live="old")),
    Case("mixing_old_and_new_embeddings", True, "was changed", do=contradicts_itself),
    Case("mixing_old_and_new_embeddings", True, "does not stand there", (reindexed(new="newer"),)),
    Case("mixing_old_and_new_embeddings", None, "have not all left an index", do=leaves_no_service("21")),
    Case("mixing_old_and_new_embeddings", None, "have not all left an index", without=(Rollout,)),
    Case("reindexing_without_rollback", False, "was kept"),
    Case("reindexing_without_rollback", True, "NOT kept", (reindexed(rollback_kept=False),)),
    Case("reindexing_without_rollback", None, "step 20 has not run", without=(Reindexed,)),
    Case("shipping_on_training_loss_alone", False, "step 36 with 0.500, 0.000 behind the best of 2"),
    Case(
        "shipping_on_training_loss_alone",
        True,
        "0.050 behind the best on validation, though it has the lowest training loss",
        (training(best_step=40, checkpoints=LATE),),
    ),
    Case("shipping_on_training_loss_alone", True, "was not asked at step 36", (training(checkpoints=LATE),)),
    Case(
        "shipping_on_training_loss_alone",
        True,
        "100% of the tuned weights goes on with 0.500 on dev, not 0.600",
        (training(mixes=[Mix(0.5, 0.6), Mix(1.0, 0.5)]),),
    ),
    Case("shipping_on_training_loss_alone", True, "dev was not asked at 100%", (training(mixes=[]),)),
    Case(
        "shipping_on_training_loss_alone",
        True,
        "0 held-out queries",
        (evaluation(comparison=comparison(n_queries=0)),),
    ),
    Case(
        "shipping_on_training_loss_alone",
        True,
        "0 validation queries",
        (training(validation=comparison(n_queries=0)),),
    ),
    Case("shipping_on_training_loss_alone", None, "have not both run", without=(Training,)),
]

WITHOUT_A_VERDICT = [
    Case("objective_clear", None, "step 01 has not run", without=(Contract,)),
    Case("heldout_improves", None, "step 15 has not run", without=(Evaluation,)),
    Case("ignoring_hybrid_search_and_filters", None, "step 15 has not run", without=(Evaluation,)),
    Case("shipping_on_training_loss_alone", None, "have not both run", without=(Evaluation,)),
]
"""Runs of which no verdict can be computed; the items are asked all the same."""


def named(case):
    """Return a test's name for a case."""
    return f"{case.item}-{case.holds}-{case.says}"


def found_in(facts, item):
    """Return what is said of an item: whether it holds, or was made, with its evidence."""
    for row in (*checklist(facts), *mistakes(facts)):
        if row["id"] == item:
            return row.get("passed", row.get("present")), row["evidence"]
    raise KeyError(item)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_an_item_says_what_its_evidence_says(make, store, case):
    make(*case.changed, without=case.without)
    if case.do is not None:
        case.do(store)
    holds, evidence = found_in(Facts(store), case.item)
    assert holds is case.holds
    assert case.says in evidence


@pytest.mark.parametrize("case", WITHOUT_A_VERDICT, ids=named)
def test_an_item_whose_step_has_not_run_cannot_be_told(store, case):
    write_artifacts(store, good_run(without=case.without))
    holds, evidence = found_in(Facts(store), case.item)
    assert holds is None
    assert case.says in evidence


def states_of(item):
    """Return the states in which the cases show an item."""
    return {case.holds for case in (*CASES, *WITHOUT_A_VERDICT) if case.item == item}


RED = {check.id: False for check in CHECKLIST} | {check.id: True for check in MISTAKES}
"""By item what makes it red: a checklist item that does not hold, a mistake that was made."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_item_is_shown_green_red_and_undecided(check):
    assert len(CHECKS) == 18
    assert RED[check.id] in states_of(check.id)
    assert states_of(check.id) == {True, False, None}


def test_every_item_says_what_would_make_it_red(make):
    verdict = make()
    said = {row["id"]: row["red_when"] for row in (*verdict["checklist"], *verdict["mistakes"])}
    assert said == {check.id: check.red_when for check in CHECKS}
    assert [text for text in said.values() if len(text.split()) <= 5 or text.endswith(".")] == []


def test_a_good_run_has_a_green_list_and_no_mistake(make):
    verdict = make()
    assert [i["passed"] for i in verdict["checklist"]] == [True] * 10
    assert [i["present"] for i in verdict["mistakes"]] == [False] * 8


def test_an_item_that_cannot_be_told_neither_blocks_nor_ships(make):
    verdict = make(drift(passed=None))
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert verdict["blocked_by"] == []


def test_a_baseline_that_was_recorded_again_after_training_stands(make, store):
    make()
    record(store, get_step("05"), "another key", "record the baseline", "opening", [])
    holds, _ = found_in(Facts(store), "baseline_recorded")
    assert holds is True


def test_a_stamp_that_was_changed_afterwards_is_no_verdict(make, store):
    make()
    path = store.folder / "indexes/live/new/identity.json"
    path.write_text(path.read_text(encoding="utf-8").replace(WEIGHTS, "b" * 64), encoding="utf-8")
    with pytest.raises(IntegrityError, match="not what step 20 wrote"):
        compute(store)


def test_an_index_that_was_pulled_back_to_is_no_mixing(make, store):
    make(rollout(live="old"))
    write_service(store, "21", service_files(live="old"))
    holds, _ = found_in(Facts(store), "mixing_old_and_new_embeddings")
    assert holds is False


MEASURED = [
    (mined_against_random(), "against random ones they change dev by +0.020 [+0.000, +0.040] after 12 steps"),
    (MinedAgainstRandom(measured=False, seeds=0, steps=12), "step 09 did not measure"),
]


@pytest.mark.parametrize(("found", "said"), MEASURED, ids=["measured", "not measured"])
def test_beside_the_share_of_mined_negatives_stands_what_they_change(make, found, said):
    (item,) = [i for i in make(found)["checklist"] if i["id"] == "hard_negatives_included"]
    assert said in item["evidence"]


def test_only_the_planted_mistake_and_what_follows_from_it_is_present(make):
    verdict = make(reindexed(rollback_kept=False))
    assert [m["id"] for m in verdict["mistakes"] if m["present"]] == ["reindexing_without_rollback"]


def test_the_baseline_is_told_with_its_score_on_the_test(make):
    verdict = make(baseline(test={"base": 0.456}))
    (found,) = [i for i in verdict["checklist"] if i["id"] == "baseline_recorded"]
    assert found["evidence"].startswith("base nDCG@10 0.456 in artifacts/05_establish_baseline/baseline.json")


def test_an_interval_that_reaches_zero_does_not_ship(make):
    verdict = make(evaluation(versus_production=comparison(ci95=(-0.01, 0.2), verdict="INCONCLUSIVE")))
    assert verdict["verdict"] == "INCONCLUSIVE"


def test_a_checklist_item_without_its_artifact_is_never_green(make, store):
    make()
    green = []
    for check in CHECKLIST:
        step, _ = proof_of(check.id)
        whole = store.entry(step.number)["outputs"]
        store.update(step.number, outputs=[o for o in whole if o["path"] != place_of(check.id)])
        holds, _ = check.decide(Facts(store))
        store.update(step.number, outputs=whole)
        if holds is True:
            green.append(check.id)
    assert green == []


def test_a_checklist_without_any_step_has_no_green_item(store):
    assert [i["passed"] for i in checklist(Facts(store)) if i["passed"] is True] == []
    assert [m["id"] for m in mistakes(Facts(store)) if m["present"] is False] == []
    assert len(checklist(Facts(store))) == 10
    assert len(mistakes(Facts(store))) == 8


class Reads(Facts):
    """Facts that remember which artifacts were asked for."""

    def __init__(self, store):
        super().__init__(store)
        self.asked = set()

    def json(self, step, name):
        self.asked.add((step, name))
        return super().json(step, name)


def test_every_check_reads_the_artifact_that_is_said_to_decide_it(make, store):
    make()
    unread = []
    for check in CHECKS:
        facts = Reads(store)
        check.decide(facts)
        step, file = proof_of(check.id)
        if (step.number, file) not in facts.asked:
            unread.append(check.id)
    assert unread == []


def test_openings_by_a_step_without_a_right_to_it_block(make, store):
    make()
    opened_by_another(store)
    assert compute(store)["blocked_by"] == ["seal: opened by step 11, which has no right to it"]


def test_one_opening_too_many_blocks_and_turns_the_item_red(make):
    assert make(openings=("d" * 64, WEIGHTS))["verdict"] == "DO_NOT_SHIP"
