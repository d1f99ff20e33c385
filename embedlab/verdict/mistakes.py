"""The eight common mistakes, each looked for in the artifacts; None: cannot tell."""

from __future__ import annotations

from typing import Any

from embedlab.chain.artifacts.confirm_need import Need
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.plan_reindex import Reindexed
from embedlab.chain.artifacts.reembed_corpus import Reembedding
from embedlab.chain.artifacts.train import Training
from embedlab.verdict.checklist import (
    Check,
    Item,
    baseline_recorded,
    decided,
    hard_negatives_included,
    not_run,
    place_of,
    train_test_separate,
)
from embedlab.verdict.facts import Facts


def _missing(item: Item) -> Item:
    """Turn a checklist item into the mistake of lacking it."""
    passed, why = item
    return (None if passed is None else not passed), why


def training_without_baseline(facts: Facts) -> Item:
    """A model was trained and no baseline recorded."""
    return _missing(baseline_recorded(facts))


def same_examples_for_training_and_evaluation(facts: Facts) -> Item:
    """Training and held-out parts overlap."""
    return _missing(train_test_separate(facts))


def no_hard_negatives(facts: Facts) -> Item:
    """Training used random or in-batch negatives alone."""
    return _missing(hard_negatives_included(facts))


def fine_tuning_to_fix_chunking(facts: Facts) -> Item:
    """Passages alone would have given at least the tuned model's gain."""
    need, evaluation = facts.read(Need), facts.read(Evaluation)
    if need is None or evaluation is None:
        return None, f"steps {Need.step} and {Evaluation.step} have not both run"
    passages, tuned = need.passages_gain, evaluation.dev_gain
    where = place_of("fine_tuning_to_fix_chunking")
    return passages >= tuned > 0, f"on dev, passages {passages:+.3f} against tuning {tuned:+.3f} ({where})"


def ignoring_hybrid_search_and_filters(facts: Facts) -> Item:
    """Simpler remedies were never measured, or the tuned model surely does not beat the best of them by enough."""
    if not facts.done(Need.step):
        return True, f"step {Need.step} has not run: simpler remedies were not measured"
    evaluation = facts.read(Evaluation)
    if evaluation is None:
        return not_run("ignoring_hybrid_search_and_filters")
    found = evaluation.versus_simpler
    why = f"tuned against {evaluation.simpler}, the best without tuning: {found}, {found.min_gain:+.3f} is asked for"
    return {"SHIP": False, "DO_NOT_SHIP": True, "INCONCLUSIVE": None}[found.verdict], why


def mixing_old_and_new_embeddings(facts: Facts) -> Item:
    """The index carries another embedding identity than the tuned model."""
    index, training = facts.read(Reembedding), facts.read(Training)
    if index is None or training is None:
        return None, f"steps {Training.step} and {Reembedding.step} have not both run"
    stamped = index.identity.weights
    return stamped != training.weights, f"index stamped {stamped[:12]}, tuned model {training.weights[:12]}"


def reindexing_without_rollback(facts: Facts) -> Item:
    """The old index was gone when the new one took over."""
    done = facts.read(Reindexed)
    if done is None:
        return not_run("reindexing_without_rollback")
    kept = "kept" if done.rollback_kept else "NOT kept"
    return not done.rollback_kept, f"the old index was {kept} ({place_of('reindexing_without_rollback')})"


def shipping_on_training_loss_alone(facts: Facts) -> Item:
    """No held-out comparison stands behind the verdict, or the checkpoint was not chosen by validation."""
    evaluation, training = facts.read(Evaluation), facts.read(Training)
    if evaluation is None or training is None:
        return None, f"steps {Training.step} and {Evaluation.step} have not both run: there is nothing to ship on"
    held, validated = evaluation.comparison.n_queries, training.validation.n_queries
    why = f"the verdict stands on {held} held-out queries; {validated} validation queries chose the checkpoint"
    return held == 0 or validated == 0, why


MISTAKES: tuple[Check, ...] = (
    training_without_baseline,
    same_examples_for_training_and_evaluation,
    no_hard_negatives,
    fine_tuning_to_fix_chunking,
    ignoring_hybrid_search_and_filters,
    mixing_old_and_new_embeddings,
    reindexing_without_rollback,
    shipping_on_training_loss_alone,
)
"""The mistakes in the order of the guide; the table of steps says which artifact shows or clears each."""


def mistakes(facts: Facts) -> list[dict[str, Any]]:
    """Return the eight mistakes as ``id, present, evidence, artifact``."""
    return decided(MISTAKES, "present", facts)
