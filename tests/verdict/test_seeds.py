"""What the intervals speak of, and what is said of the recipe."""

import pytest
from makers import baseline, mined_against_random

from embedlab.chain.artifacts.create_negatives import MinedAgainstRandom
from embedlab.chain.artifacts.train import Training
from embedlab.verdict.facts import Facts
from embedlab.verdict.seeds import model_and_recipe


def test_the_intervals_speak_of_the_model_that_was_trained(make, store):
    make()
    assert "this one model (aaaaaaaaaaaa)" in model_and_recipe(Facts(store))


@pytest.mark.parametrize("scores", [(), (0.5,), (0.5, 0.52)])
def test_of_the_recipe_nothing_is_said_under_three_seeds(make, store, scores):
    make(mined_against_random(seeds=len(scores), mined_by_seed=scores))
    assert f"not measured ({len(scores)} in step 09)" in model_and_recipe(Facts(store))


def test_of_three_seeds_their_spread_is_told_beside_the_base(make, store):
    make(mined_against_random(seeds=3, mined_by_seed=(0.5, 0.52, 0.54)), baseline(dev={"base": 0.41}))
    said = model_and_recipe(Facts(store))
    assert "in 3 trainings of 12 steps (step 09) nDCG@10 there is 0.520, 0.500 to 0.540" in said
    assert "standard deviation 0.020, the base has 0.410" in said


def test_where_nothing_was_probed_or_trained_it_says_so(make, store):
    make(without=[MinedAgainstRandom])
    assert "not measured" in model_and_recipe(Facts(store))


def test_without_a_model_there_is_nothing_to_speak_of(make, store):
    make(without=[Training])
    assert model_and_recipe(Facts(store)) == "Step 14 has not run: there is no model to speak of yet."
