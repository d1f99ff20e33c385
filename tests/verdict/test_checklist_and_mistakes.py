"""The checklist and the mistakes: what each stands on is broken on purpose, and the check is seen to turn."""

import pytest
from makers import (
    WEIGHTS,
    baseline,
    comparison,
    contract,
    drift,
    end_to_end,
    evaluation,
    identity,
    leakage,
    need,
    reembedding,
    reindexed,
    review,
    rollout,
    training,
)

from embedlab.chain import get_step
from embedlab.chain.artifacts.confirm_need import Need
from embedlab.chain.artifacts.establish_baseline import Baseline
from embedlab.chain.seal import record
from embedlab.chain.steps import proof_of
from embedlab.verdict import compute
from embedlab.verdict.checklist import CHECKLIST, checklist, place_of
from embedlab.verdict.facts import Facts
from embedlab.verdict.mistakes import MISTAKES, mistakes


def passed(verdict, name):
    """Return whether an item of the checklist holds."""
    (found,) = [i["passed"] for i in verdict["checklist"] if i["id"] == name]
    return found


def test_a_good_run_has_a_green_list_and_no_mistake(make):
    verdict = make()
    assert [i["passed"] for i in verdict["checklist"]] == [True] * 10
    assert [i["present"] for i in verdict["mistakes"]] == [False] * 8


RED = {
    "objective_clear": contract(objective=" "),
    "train_test_separate": leakage(total=3),
    "hard_negatives_included": training(hard_negatives=0),
    "review_fewer_failures": review(judged_better=1, judged_worse=5),
    "pipeline_tested": end_to_end(passed=False),
    "reindexing_planned": reindexed(passed=False),
    "rollback_available": rollout(rollback_drill=False),
    "monitoring_ready": drift(passed=False),
}


@pytest.mark.parametrize("name", RED)
def test_a_checklist_item_turns_red_when_what_it_stands_on_goes(make, name):
    assert passed(make(RED[name]), name) is False


def test_without_a_baseline_its_item_is_red(make):
    assert passed(make(without=[Baseline]), "baseline_recorded") is False


def test_an_interval_that_reaches_zero_turns_the_held_out_item_red(make):
    unsure = comparison(ci95=(-0.01, 0.2), verdict="INCONCLUSIVE")
    verdict = make(evaluation(versus_production=unsure))
    assert passed(verdict, "heldout_improves") is False
    assert verdict["verdict"] == "INCONCLUSIVE"


def test_what_cannot_be_told_is_neither_green_nor_blocking(make):
    verdict = make(review(judged=0), drift(passed=None))
    assert passed(verdict, "review_fewer_failures") is None
    assert passed(verdict, "monitoring_ready") is None
    assert verdict["verdict"] == "INCONCLUSIVE"


def test_the_baseline_is_told_with_its_score_on_the_test(make):
    verdict = make(baseline(test={"base": 0.456}))
    (found,) = [i for i in verdict["checklist"] if i["id"] == "baseline_recorded"]
    assert found["evidence"] == "base nDCG@10 0.456 in artifacts/05_establish_baseline/baseline.json"


MADE = [
    ("same_examples_for_training_and_evaluation", leakage(total=1), "1 leaks", "13_"),
    ("no_hard_negatives", training(hard_negatives=0), "up to 0 mined", "14_"),
    ("fine_tuning_to_fix_chunking", need(passages_gain=0.2), "passages +0.200 against tuning +0.100", "02_"),
    (
        "mixing_old_and_new_embeddings",
        reembedding(identity=identity(weights="b" * 64)),
        "index stamped bbbbbbbbbbbb, tuned model aaaaaaaaaaaa",
        "17_",
    ),
    ("reindexing_without_rollback", reindexed(rollback_kept=False), "NOT kept", "20_"),
    (
        "shipping_on_training_loss_alone",
        evaluation(comparison=comparison(n_queries=0)),
        "0 held-out queries",
        "15_",
    ),
    (
        "shipping_on_training_loss_alone",
        training(validation=comparison(n_queries=0)),
        "0 validation queries",
        "15_",
    ),
]


def assert_made(verdict, name, evidence, artifact):
    (found,) = [m for m in verdict["mistakes"] if m["id"] == name]
    assert found["present"] is True
    assert evidence in found["evidence"]
    assert found["artifact"].startswith(f"artifacts/{artifact}")


@pytest.mark.parametrize(("name", "change", "evidence", "artifact"), MADE, ids=[f"{m[0]}-{m[2]}" for m in MADE])
def test_each_common_mistake_is_caught_by_name_with_its_evidence(make, name, change, evidence, artifact):
    assert_made(make(change), name, evidence, artifact)


def test_training_without_a_baseline_is_caught(make):
    assert_made(make(without=[Baseline]), "training_without_baseline", "no baseline", "05_")


def test_simpler_remedies_that_were_never_measured_are_caught(make):
    verdict = make(without=[Need])
    assert_made(verdict, "ignoring_hybrid_search_and_filters", "step 02 has not run", "15_")


@pytest.mark.parametrize(("verdict", "present"), [("SHIP", False), ("DO_NOT_SHIP", True), ("INCONCLUSIVE", None)])
def test_hybrid_search_is_ignored_where_tuning_surely_does_not_beat_it(make, verdict, present):
    found = make(evaluation(versus_simpler=comparison(verdict=verdict, delta=0.002)))
    (mistake,) = [m for m in found["mistakes"] if m["id"] == "ignoring_hybrid_search_and_filters"]
    assert mistake["present"] is present
    assert "hybrid (base), the best without tuning: +0.002" in mistake["evidence"]


def test_only_the_planted_mistake_and_what_follows_from_it_is_present(make):
    verdict = make(reindexed(rollback_kept=False))
    assert [m["id"] for m in verdict["mistakes"] if m["present"]] == ["reindexing_without_rollback"]


STANDS_ON = {
    "objective_clear": ("01", "contract.json"),
    "baseline_recorded": ("05", "baseline.json"),
    "train_test_separate": ("13", "leakage.json"),
    "hard_negatives_included": ("14", "training.json"),
    "heldout_improves": ("15", "evaluation.json"),
    "review_fewer_failures": ("16", "changes.json"),
    "pipeline_tested": ("18", "pipeline.json"),
    "reindexing_planned": ("20", "reindex.json"),
    "rollback_available": ("21", "rollout.json"),
    "monitoring_ready": ("22", "drift.json"),
}


@pytest.mark.parametrize("name", STANDS_ON)
def test_a_checklist_item_without_its_artifact_is_never_green(make, store, name):
    make()
    path = store.place(*STANDS_ON[name])
    step, _ = STANDS_ON[name]
    store.update(step, outputs=[o for o in store.entry(step)["outputs"] if o["path"] != path])
    (check,) = [check for check in CHECKLIST if check.__name__ == name]
    holds, _ = check(Facts(store))
    assert holds is not True
    assert place_of(name) == path


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
    for check in (*CHECKLIST, *MISTAKES):
        facts = Reads(store)
        check(facts)
        step, file = proof_of(check.__name__)
        if (step.number, file) not in facts.asked:
            unread.append(check.__name__)
    assert len(CHECKLIST) + len(MISTAKES) == 18
    assert unread == []


def test_openings_by_a_step_without_a_right_to_it_block_and_turn_the_item_red(make, store):
    make()
    record(store, get_step("11"), "key", "forged", "opening", [])
    verdict = compute(store)
    assert verdict["blocked_by"] == ["seal: opened by step 11, which has no right to it"]
    assert passed(verdict, "train_test_separate") is False


def test_one_opening_too_many_blocks_and_turns_the_item_red(make):
    verdict = make(openings=("d" * 64, WEIGHTS))
    assert verdict["verdict"] == "DO_NOT_SHIP"
    assert passed(verdict, "train_test_separate") is False
