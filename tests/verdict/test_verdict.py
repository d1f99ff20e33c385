"""The verdict and its sentence: every rule is broken on purpose and seen to turn."""

import json
from dataclasses import asdict

import pytest
from conftest import open_step
from makers import (
    among_unseen,
    comparison,
    concentration,
    contract,
    divided,
    drift,
    end_to_end,
    evaluation,
    leakage,
    reembedding,
    reindexed,
    retained,
    rollout,
    shadow,
    slice_result,
    training,
    write_file,
)

from embedlab.chain import get_step
from embedlab.chain.artifacts.build_eval_set import EvalSet
from embedlab.chain.artifacts.deploy_with_rollback import Rollout
from embedlab.chain.artifacts.monitor_drift import Drift
from embedlab.chain.artifacts.plan_reindex import Reindexed
from embedlab.chain.artifacts.reembed_corpus import Reembedding
from embedlab.chain.artifacts.shadow_test import Shadow
from embedlab.chain.artifacts.split_data import Leakage
from embedlab.chain.artifacts.test_pipeline import EndToEnd
from embedlab.chain.artifacts.train import Training
from embedlab.chain.seal import record
from embedlab.cli import EXIT_OF
from embedlab.errors import ContractError
from embedlab.evaluation import BROKEN, UNSETTLED
from embedlab.verdict import compute, sentence, update_verdict
from embedlab.verdict.words import SUCCESS


def test_a_good_run_ships(make):
    verdict = make()
    assert (verdict["verdict"], verdict["stage"], verdict["blocked_by"]) == ("SHIP", "final", [])
    assert "+0.100" in sentence(verdict)


BLOCKS = {
    "retention: on 300 queries of hpo": evaluation(retention=retained(delta=-0.2, ci95=(-0.25, -0.15))),
    "guardrail slice negation": evaluation(slices=[slice_result(delta=-0.2, low=-0.3, high=-0.1, state="lost")]),
    "unseen documents": evaluation(unseen_only=among_unseen(state=BROKEN, delta=-0.1, ci95=(-0.2, -0.05))),
    "migration cost: 1.77, 1.00 allowed": contract(migration_budget=1.0),
    "monthly cost: 5.45, 5.00 allowed": contract(monthly_budget=5.0),
    "index size: 77,000 MB for 1,000,000 documents, 2,000 allowed": reembedding(mb_per_million=77_000.0),
    "query mix: in the log's mix the gain over base is": evaluation(log_gain=comparison(verdict="DO_NOT_SHIP")),
    "training: step 14 kept the base": training(kept="base"),
    "leaks: 25 between training and what is held out": leakage(total=25),
    "the test index: 3 vectors are not finite": reembedding(passed=False, reason="3 vectors are not finite"),
    "monitoring: a planted fault goes unnoticed": drift(passed=False, reason="a planted fault goes unnoticed"),
    "the end-to-end test: other results": end_to_end(passed=False, reason="other results"),
    "latency: p95 beyond the budget": end_to_end(within_latency_budget=False, latency="p95 beyond the budget"),
    "the shadow test: shadow differs": shadow(passed=False, reason="shadow differs"),
    "re-indexing: count differs": reindexed(passed=False, reason="count differs"),
    "the rollout: errors at 25 %": rollout(passed=False, reason="errors at 25 %"),
}


def assert_blocks(verdict, what):
    assert verdict["verdict"] == "DO_NOT_SHIP"
    assert any(what in reason for reason in verdict["blocked_by"])
    assert what in sentence(verdict)


@pytest.mark.parametrize("what", BLOCKS)
def test_what_blocks_is_named_and_never_ships(make, what):
    assert_blocks(make(BLOCKS[what]), what)


def test_a_test_that_nobody_sealed_blocks(make):
    assert_blocks(make(without=[EvalSet]), "seal: step 04 has not sealed")


LACKING = divided(unsettled="no test query is about new ones")
UNSURE = among_unseen(state=UNSETTLED, reason="it may be lost", settled_by="more queries", ci95=(-0.02, 0.12))
SMALL = slice_result(queries=3, delta=None, low=None, high=None, p=None, p_holm=None, state="too small to tell")
WIDE = slice_result(delta=-0.1, low=-0.2, high=0.01, state="too small to tell")
OPEN = comparison(verdict="INCONCLUSIVE", ci=(0.01, 0.19), ci95=(0.01, 0.19))
LEVEL = comparison(verdict="INCONCLUSIVE", delta=0.002, ci=(-0.032, 0.036), ci95=(-0.032, 0.036))
OPENS = {
    "gain over base: +0.100 [+0.010, +0.190], +0.020 is asked for; about 50": evaluation(versus_production=OPEN),
    "gain over hybrid (base): +0.002 [-0.032, +0.036], +0.020 is asked for": evaluation(versus_simpler=LEVEL),
    "query mix: in the log's mix the gain over base is +0.002": evaluation(log_gain=LEVEL),
    "claimed mix: no test query is about new ones; judged": evaluation(strata={"versus_production": LACKING}),
    "unseen documents: it may be lost; more queries": evaluation(unseen_only=UNSURE),
    "retention: not measured; install": evaluation(retention=None),
    "retention: on 300 queries of hpo": evaluation(retention=retained(delta=-0.02, ci95=(-0.09, 0.05))),
    "guardrail slice negation: 3 queries are too few to judge": evaluation(slices=[SMALL]),
    "guardrail slice negation: -0.100 [-0.200, +0.010]": evaluation(slices=[WIDE]),
    "latency: 9 GB; measure it": end_to_end(within_latency_budget=None, latency="9 GB"),
    "the rollout: it waits; see step 21": rollout(passed=None, reason="it waits"),
    "monitoring: too few queries to tell; see step 22": drift(passed=None, reason="too few queries to tell"),
}


@pytest.mark.parametrize("what", OPENS)
def test_what_is_unsettled_is_named_and_never_ships(make, what):
    verdict = make(OPENS[what])
    assert (verdict["verdict"], verdict["blocked_by"]) == ("INCONCLUSIVE", [])
    (said,) = verdict["unsettled"]
    assert said.startswith(what)
    assert f"Unsettled is {said}." in sentence(verdict)


NOT_RUN = {
    "leaks: step 13 has not run": Leakage,
    "training: step 14 has not run": Training,
    "the test index: step 17 has not run": Reembedding,
    "the end-to-end test: step 18 has not run": EndToEnd,
    "the shadow test: step 19 has not run": Shadow,
    "re-indexing: step 20 has not run": Reindexed,
    "the rollout: step 21 has not run": Rollout,
    "monitoring: step 22 has not run": Drift,
}


@pytest.mark.parametrize("what", NOT_RUN)
def test_a_guard_whose_step_has_not_run_is_unsettled(make, what):
    verdict = make(without=[NOT_RUN[what]])
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert f"{what}; run it" in verdict["unsettled"]


@pytest.mark.parametrize("gain", ["versus_production", "versus_simpler"])
def test_a_gain_that_is_surely_too_small_is_do_not_ship(make, gain):
    less = comparison(verdict="DO_NOT_SHIP", delta=-0.08, ci95=(-0.1, -0.06), ci=(-0.1, -0.06))
    assert make(evaluation(**{gain: less}))["verdict"] == "DO_NOT_SHIP"


@pytest.mark.parametrize("gain", ["comparison", "versus_hybrid", "hybrids", "pipelines"])
def test_what_only_explains_decides_nothing(make, gain):
    less = comparison(verdict="DO_NOT_SHIP", delta=-0.08, ci95=(-0.1, -0.06), ci=(-0.1, -0.06))
    assert make(evaluation(**{gain: less}))["verdict"] == "SHIP"


def test_all_the_faults_that_once_shipped_together_are_each_named(make):
    verdict = make(
        evaluation(versus_simpler=LEVEL, retention=None, slices=[WIDE], unseen_only=UNSURE),
        rollout(passed=None, reason="both sides"),
        leakage(total=25),
        drift(passed=False, reason="nothing is noticed"),
        reembedding(mb_per_million=77_000.0),
    )
    assert verdict["verdict"] == "DO_NOT_SHIP"
    assert len(verdict["blocked_by"]) == 4, "an index of that size costs too much too"
    assert len(verdict["unsettled"]) == 5


WAIVED = {
    "retention": evaluation(retention=None),
    "unseen documents": evaluation(unseen_only=UNSURE),
    "guardrail slice negation": evaluation(slices=[SMALL]),
    "monitoring": drift(passed=None, reason="no dates"),
}


@pytest.mark.parametrize("guard", WAIVED)
def test_a_waiver_lets_what_cannot_be_judged_ship_and_is_told(make, guard):
    verdict = make(WAIVED[guard], contract(waived=[f"{guard}: nobody asks for it"]))
    assert (verdict["verdict"], verdict["unsettled"]) == ("SHIP", [])
    (told,) = verdict["waived"]
    assert (told["guard"], told["reason"]) == (guard, "nobody asks for it")
    assert f"Waived by contract is {guard}" in sentence(verdict)


def test_a_waiver_that_was_not_needed_is_not_told(make):
    assert make(contract(waived=["retention: nobody asks for it"]))["waived"] == []


def test_what_is_broken_cannot_be_waived(make):
    lost = evaluation(retention=retained(delta=-0.2, ci95=(-0.25, -0.15)))
    assert make(lost, contract(waived=["retention: nobody asks for it"]))["verdict"] == "DO_NOT_SHIP"


def test_a_check_that_could_not_be_judged_has_no_numbers_and_says_why(make):
    unjudged = among_unseen(state=UNSETTLED, reason="two queries", baseline=None, tuned=None, delta=None, ci95=None)
    verdict = make(evaluation(unseen_only=unjudged))
    found = verdict["unseen_only"]
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert [found[key] for key in ("baseline", "tuned", "delta", "ci95")] == [None] * 4
    assert (found["state"], found["reason"]) == (UNSETTLED, "two queries")


def test_an_unsettled_check_turns_no_other_verdict(make):
    lost = comparison(verdict="DO_NOT_SHIP")
    assert make(evaluation(versus_simpler=lost, unseen_only=UNSURE))["verdict"] == "DO_NOT_SHIP"


@pytest.mark.parametrize("delta", [0.001, 0.1])
def test_a_held_check_need_not_reach_the_minimum_gain(make, delta):
    verdict = make(evaluation(unseen_only=among_unseen(delta=delta, ci95=(0.0, 2 * delta))))
    assert (verdict["verdict"], verdict["unsettled"]) == ("SHIP", [])


def test_the_verdict_carries_the_change_on_the_retention_set(make):
    verdict = make()
    assert verdict["retention_delta"] == 0.01
    assert "retention" not in sentence(verdict)


@pytest.mark.parametrize(("tolerance", "found"), [(0.05, "INCONCLUSIVE"), (0.049, "DO_NOT_SHIP")])
def test_a_loss_blocks_from_where_its_whole_interval_lies_beyond_the_tolerance(make, tolerance, found):
    lost = retained(ci95=(-0.1, -0.05), tolerance=tolerance)
    assert make(evaluation(retention=lost))["verdict"] == found


def test_no_retention_set_is_no_number(make):
    verdict = make(evaluation(retention=None))
    assert (verdict["retention_delta"], verdict["retention"]) == (None, None)


def test_changed_test_judgments_block(make, store):
    make()
    (store.folder / store.place("01", "qrels_test.parquet")).write_bytes(b"others")
    verdict = compute(store)
    assert verdict["verdict"] == "DO_NOT_SHIP"
    assert "seal" in verdict["blocked_by"][0]


def test_where_documents_are_known_there_is_no_unseen_only_check(make):
    verdict = make(evaluation(unseen_only=None))
    assert (verdict["verdict"], verdict["unseen_only"]) == ("SHIP", None)


def test_a_narrow_gain_is_said_in_the_sentence(make):
    text = sentence(make(evaluation(concentration=concentration(narrow=("matrix=mobile",)))))
    assert "The gain is narrow: without matrix=mobile it may be below the minimum." in text
    assert "narrow" not in sentence(make())


def test_the_sentence_is_made_from_the_numbers(make):
    assert sentence(make()) == (
        "SHIP: Roll out pipeline (tuned): it gains +0.120 [+0.080, +0.160] over base, +0.050 [+0.020, +0.090] over the "
        "best without tuning (hybrid (base)). On 200 sealed queries in 40 groups nDCG@10 goes from 0.400 (base, today) "
        "to 0.500 (pipeline (tuned)), +0.120 [+0.080, +0.160] at 95 %; at least +0.020 was asked for (new "
        "documents); over hybrid (base), the best without tuning, it gains +0.050 [+0.020, +0.090] at 95 %; +0.020 was "
        "asked for; the tuned model alone changes the base alone by +0.100 [+0.060, +0.140]; 60% of the queries get "
        "better and 10% worse; opening 1 of 1 of this test; re-embedding 1,000,000 documents takes 2.8 hours; it costs "
        "1.77 once, the old index kept 30 days, and 5.45 a month."
    )


def test_where_held_out_texts_may_not_train_the_unseen_check_is_said_to_carry_the_comparison(make):
    closed = contract(transductive=False)
    text = sentence(make(closed, evaluation(unseen_only=among_unseen(reason="it gains on 150 queries"))))
    assert "so the check among unseen documents carries the comparison: held, it gains on 150 queries." in text
    assert "was not made" in sentence(make(closed, evaluation(unseen_only=None)))
    assert "carries the comparison" not in sentence(make())


def test_another_confidence_says_which_interval_decides(make):
    wider = comparison(delta=0.12, ci95=(0.08, 0.16), ci=(0.07, 0.17), confidence=1 - 0.05 / 3)
    text = sentence(make(evaluation(versus_production=wider)))
    assert "+0.120 [+0.080, +0.160] at 95 %, [+0.070, +0.170] at the 98.3 % that decides" in text


def test_a_run_that_kept_the_base_reads_as_a_success_of_the_process(make):
    no_gain = comparison(verdict="DO_NOT_SHIP", candidate=0.4, delta=0.0, ci95=(0.0, 0.0), queries_needed=None)
    verdict = make(training(kept="base"), evaluation(comparison=no_gain, versus_simpler=no_gain))
    text = sentence(verdict)
    assert (verdict["verdict"], EXIT_OF[verdict["verdict"]]) == ("DO_NOT_SHIP", 1)
    assert text.startswith("DO NOT SHIP: ")
    assert "Training did not gain enough on validation and dev, so step 14 kept the base model; " in text
    assert text.endswith(f" {SUCCESS}")
    assert "re-embedding" not in text.removesuffix(SUCCESS)


def test_a_broken_seal_is_no_success_of_the_process(make, store):
    make()
    record(store, get_step("11"), "key", "forged", "opening", [])
    assert SUCCESS not in sentence(compute(store))


def test_what_later_steps_made_under_another_contract_counts_as_not_run(make, store):
    make()
    made = json.loads(store.path("18", EndToEnd.file).read_text())
    before = contract(min_gain=0.01)
    write_file(store, "18", EndToEnd.file, made | {"contract": before.hash, "terms": asdict(before)})
    with pytest.raises(ContractError, match="min_gain"):
        compute(store)
    store.write("params.yaml", "run: trial\n")
    of_this_step = update_verdict(open_step("15"))
    assert of_this_step["stage"] == "offline"
    assert of_this_step == json.loads((store.folder / "verdict.json").read_text())
