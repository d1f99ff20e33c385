"""What to do follows from the gains: roll out what is proposed, something simpler, nothing, or measure more."""

import pytest
from makers import comparison, end_to_end, evaluation, leakage

from embedlab.chain.artifacts.build_eval_set import EvalSet

NO = {"verdict": "DO_NOT_SHIP", "delta": 0.0, "ci95": (-0.01, 0.01), "ci": (-0.01, 0.01)}
MAYBE = {"verdict": "INCONCLUSIVE", "delta": 0.03, "ci95": (-0.02, 0.08), "ci": (-0.02, 0.08)}


def advice(make, *changed, **options):
    verdict = make(*changed, **options)
    return verdict["verdict"], verdict["recommend"]["choice"], verdict["recommend"]["sentence"]


def test_what_ships_is_rolled_out(make):
    verdict, choice, sentence = advice(make)
    assert (verdict, choice) == ("SHIP", "tuned")
    assert sentence.startswith("Roll out pipeline (tuned): it gains +0.120 [+0.080, +0.160] over base")


def test_where_tuning_adds_nothing_the_simpler_system_is_rolled_out(make):
    verdict, choice, sentence = advice(make, evaluation(versus_simpler=comparison(**NO)))
    assert (verdict, choice) == ("DO_NOT_SHIP", "simpler: hybrid (base)")
    assert sentence.startswith("Roll out hybrid (base) and do not tune: it gains +0.070 [+0.030, +0.110] over base")


def test_where_tuning_is_open_the_simpler_system_need_not_wait(make):
    verdict, choice, sentence = advice(make, evaluation(versus_simpler=comparison(**MAYBE)))
    assert (verdict, choice) == ("INCONCLUSIVE", "simpler: hybrid (base)")
    assert "Whether tuning adds enough to it is open (+0.030 [-0.020, +0.080], +0.020 is asked for): about" in sentence


@pytest.mark.parametrize("instead", [None, comparison(**NO)], ids=["none", "too little"])
def test_where_nothing_gains_enough_today_stays(make, instead):
    less = evaluation(versus_production=comparison(**NO), versus_simpler=comparison(**NO), simpler_gain=instead)
    verdict, choice, sentence = advice(make, less)
    assert (verdict, choice) == ("DO_NOT_SHIP", "today")
    assert sentence.startswith("Keep base: pipeline (tuned) gains +0.000 [-0.010, +0.010] over base, surely less")


def test_a_test_that_is_not_to_be_trusted_recommends_nothing_new(make):
    _, choice, sentence = advice(make, without=[EvalSet])
    assert choice == "today"
    assert "the test is not to be trusted" in sentence


def test_what_is_blocked_says_by_what(make):
    _, choice, sentence = advice(make, leakage(total=3), evaluation(simpler_gain=None))
    assert choice == "today"
    assert "leaks: 3" in sentence


def test_what_is_open_names_the_leader_and_what_would_decide(make):
    slow = end_to_end(within_latency_budget=None, latency="9 GB")
    verdict, choice, sentence = advice(make, slow, evaluation(simpler_gain=None))
    assert (verdict, choice) == ("INCONCLUSIVE", "undecided")
    assert sentence.startswith(
        "Not decided yet; pipeline (tuned) leads. 1 thing is unsettled, the first: latency: 9 GB"
    )


def test_do_not_tune_may_leave_the_simpler_change_open(make):
    less = evaluation(versus_simpler=comparison(**NO), simpler_gain=comparison(**MAYBE))
    verdict, choice, sentence = advice(make, less)
    assert (verdict, choice) == ("DO_NOT_SHIP", "undecided")
    assert sentence.startswith(
        "Do not roll out pipeline (tuned): pipeline (tuned) gains +0.000 [-0.010, +0.010] over hybrid"
    )
    assert "Whether hybrid (base) is worth the change from base is open: +0.030" in sentence
