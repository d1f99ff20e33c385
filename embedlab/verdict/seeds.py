"""What the intervals speak of, this model, and what they do not, the recipe that made it; kept apart in words."""

from __future__ import annotations

from statistics import mean, stdev

from embedlab.chain.artifacts.create_negatives import MinedAgainstRandom
from embedlab.chain.artifacts.establish_baseline import Baseline
from embedlab.chain.artifacts.train import Training
from embedlab.chain.contract import Contract
from embedlab.verdict.facts import Facts

FEWEST_SEEDS = 3
"""Trainings that differ in their seed alone, without which nothing is said of a recipe."""


def model_and_recipe(facts: Facts) -> str:
    """Return in words which model the intervals speak of, and how far models of the same recipe lie apart."""
    training = facts.read(Training)
    if training is None:
        return f"Step {Training.step} has not run: there is no model to speak of yet."
    return (
        f"The intervals speak of this one model ({training.weights[:12]}): queries are drawn anew in them, training is "
        f"not. A claim about the recipe needs {FEWEST_SEEDS} training seeds on dev: {recipe_spread(facts)}."
    )


def recipe_spread(facts: Facts) -> str:
    """Return in words how the scores of short trainings spread over seeds, as step 09 measured it."""
    found, contract, baseline = facts.read(MinedAgainstRandom), facts.read(Contract), facts.read(Baseline)
    scores = () if found is None else found.mined_by_seed
    if found is None or contract is None or len(scores) < FEWEST_SEEDS:
        return f"not measured ({len(scores)} in step {MinedAgainstRandom.step})"
    beside = "" if baseline is None else f", the base has {baseline.dev['base']:.3f}"
    return (
        f"in {len(scores)} trainings of {found.steps} steps (step {MinedAgainstRandom.step}) {contract.primary_metric} "
        f"there is {mean(scores):.3f}, {min(scores):.3f} to {max(scores):.3f}, standard deviation {stdev(scores):.3f}"
        f"{beside}"
    )
