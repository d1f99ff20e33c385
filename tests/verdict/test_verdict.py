"""The verdict and its sentence: every rule is broken on purpose and seen to turn."""

import pytest
from makers import (
    among_unseen,
    comparison,
    concentration,
    contract,
    end_to_end,
    evaluation,
    reembedding,
    reindexed,
    retained,
    rollout,
    shadow,
    slice_result,
    training,
)

from embedlab.chain import get_step
from embedlab.chain.artifacts.build_eval_set import EvalSet
from embedlab.chain.seal import record
from embedlab.cli import EXIT_OF
from embedlab.evaluation import BROKEN, UNSETTLED
from embedlab.verdict import compute, sentence
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
    "index size": reembedding(index_mb=11.0),
    "the end-to-end test: no gain end-to-end": end_to_end(passed=False, reason="no gain end-to-end"),
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


UNSURE = among_unseen(state=UNSETTLED, reason="it may be lost", settled_by="more queries", ci95=(-0.02, 0.12))


def test_an_unsettled_check_makes_ship_inconclusive_and_is_named(make):
    verdict = make(evaluation(unseen_only=UNSURE))
    assert (verdict["verdict"], verdict["blocked_by"]) == ("INCONCLUSIVE", [])
    assert verdict["unsettled"] == ["unseen documents: it may be lost; more queries"]
    assert "Unsettled is unseen documents: it may be lost; more queries." in sentence(verdict)


def test_a_check_that_could_not_be_judged_has_no_numbers_and_says_why(make):
    unjudged = among_unseen(state=UNSETTLED, reason="two queries", baseline=None, tuned=None, delta=None, ci95=None)
    verdict = make(evaluation(unseen_only=unjudged))
    found = verdict["unseen_only"]
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert [found[key] for key in ("baseline", "tuned", "delta", "ci95")] == [None] * 4
    assert (found["state"], found["reason"]) == (UNSETTLED, "two queries")


def test_an_unsettled_check_turns_no_other_verdict(make):
    lost = comparison(verdict="DO_NOT_SHIP")
    assert make(evaluation(comparison=lost, unseen_only=UNSURE))["verdict"] == "DO_NOT_SHIP"


@pytest.mark.parametrize("delta", [0.001, 0.1])
def test_a_held_check_need_not_reach_the_minimum_gain(make, delta):
    verdict = make(evaluation(unseen_only=among_unseen(delta=delta, ci95=(0.0, 2 * delta))))
    assert (verdict["verdict"], verdict["unsettled"]) == ("SHIP", [])


def test_the_verdict_carries_the_change_on_the_retention_set(make):
    verdict = make()
    assert verdict["retention_delta"] == 0.01
    assert "retention" not in sentence(verdict)


def test_a_retention_interval_that_is_merely_too_wide_is_said_and_does_not_block(make):
    verdict = make(evaluation(retention=retained(delta=-0.02, ci95=(-0.09, 0.05))))
    assert (verdict["verdict"], verdict["blocked_by"]) == ("SHIP", [])
    assert "hpo, another domain, nDCG@10 changes by -0.020 [-0.090, +0.050], not surely within" in sentence(verdict)


@pytest.mark.parametrize(("tolerance", "found"), [(0.05, "SHIP"), (0.049, "DO_NOT_SHIP")])
def test_a_loss_blocks_from_where_its_whole_interval_lies_beyond_the_tolerance(make, tolerance, found):
    lost = retained(ci95=(-0.1, -0.05), tolerance=tolerance)
    assert make(evaluation(retention=lost))["verdict"] == found


def test_no_retention_set_is_no_number_and_no_block(make):
    verdict = make(evaluation(retention=None))
    assert (verdict["verdict"], verdict["retention_delta"], verdict["retention"]) == ("SHIP", None, None)


def test_changed_test_judgments_block(make, store):
    make()
    (store.folder / store.place("01", "qrels_test.parquet")).write_bytes(b"others")
    verdict = compute(store)
    assert verdict["verdict"] == "DO_NOT_SHIP"
    assert "seal" in verdict["blocked_by"][0]


def test_where_documents_are_known_there_is_no_unseen_only_check(make):
    verdict = make(evaluation(unseen_only=None))
    assert (verdict["verdict"], verdict["unseen_only"]) == ("SHIP", None)


def test_a_guardrail_that_is_too_small_to_tell_says_so_and_does_not_block(make):
    small = slice_result(queries=3, delta=None, low=None, high=None, p=None, p_holm=None, state="too small to tell")
    verdict = make(evaluation(slices=[small]))
    assert verdict["verdict"] == "SHIP"
    assert "Too small to tell whether it got worse: negation." in sentence(verdict)


def test_a_narrow_gain_is_said_in_the_sentence(make):
    text = sentence(make(evaluation(concentration=concentration(narrow=("matrix=mobile",)))))
    assert "The gain is narrow: without matrix=mobile it may be below the minimum." in text
    assert "narrow" not in sentence(make())


def test_the_sentence_is_made_from_the_numbers(make):
    assert sentence(make()) == (
        "SHIP: on 200 sealed queries in 40 groups nDCG@10 goes from 0.400 to 0.500, +0.100 with 95 % interval "
        "[+0.060, +0.140]; at least +0.020 was asked for (new queries and new documents); against hybrid search with "
        "the base model +0.050 [+0.010, +0.090]; 60% of the queries get better and 10% worse; re-embedding 1,000,000 "
        "documents takes 2.8 hours; it costs 1.77 once, the old index kept 30 days, and 5.45 a month."
    )


def test_where_held_out_texts_may_not_train_the_unseen_check_is_said_to_carry_the_comparison(make):
    closed = contract(transductive=False)
    text = sentence(make(closed, evaluation(unseen_only=among_unseen(reason="it gains on 150 queries"))))
    assert "so the check among unseen documents carries the comparison: held, it gains on 150 queries." in text
    assert "was not made" in sentence(make(closed, evaluation(unseen_only=None)))
    assert "carries the comparison" not in sentence(make())


def test_another_confidence_says_which_interval_decides(make):
    text = sentence(make(evaluation(ci=(0.07, 0.13))))
    assert "by the contract's confidence [+0.070, +0.130] decides" in text


def test_a_run_that_kept_the_base_reads_as_a_success_of_the_process(make):
    no_gain = comparison(verdict="DO_NOT_SHIP", candidate=0.4, delta=0.0, ci95=(0.0, 0.0), queries_needed=None)
    verdict = make(training(kept="base"), evaluation(comparison=no_gain))
    text = sentence(verdict)
    assert (verdict["verdict"], EXIT_OF[verdict["verdict"]]) == ("DO_NOT_SHIP", 1)
    assert text.startswith(
        "DO NOT SHIP: training did not gain enough on validation and dev, so step 14 kept the base model; "
    )
    assert text.endswith(f" {SUCCESS}")
    assert "re-embedding" not in text.removesuffix(SUCCESS)


def test_a_broken_seal_is_no_success_of_the_process(make, store):
    make()
    record(store, get_step("11"), "key", "forged", "opening", [])
    assert SUCCESS not in sentence(compute(store))
