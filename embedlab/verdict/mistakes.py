"""The eight common mistakes, each looked for in the artifacts; None: cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from embedlab.verdict import checklist as good
from embedlab.verdict.checklist import baseline_recorded, decided, hard_negatives_included, train_test_separate
from embedlab.verdict.facts import Facts

Item = tuple[bool | None, str]


def _missing(item: good.Item) -> Item:
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
    need, evaluation = facts.json("02", "summary.json"), facts.json("15", "evaluation.json")
    if need is None or evaluation is None:
        return None, "steps 02 and 15 have not both run"
    passages = need["figures"]["passages_gain"]
    tuned = evaluation["dev_gain"]
    where = facts.where("02", "rungs.parquet")
    return passages >= tuned > 0, f"on dev, passages {passages:+.3f} against tuning {tuned:+.3f} ({where})"


def ignoring_hybrid_search_and_filters(facts: Facts) -> Item:
    """Simpler remedies were never measured beside the tuned model."""
    evaluation = facts.json("15", "evaluation.json")
    if not facts.done("02"):
        return True, "step 02 has not run: simpler remedies were not measured"
    if evaluation is None:
        return None, "step 15 has not run"
    found = evaluation["versus_hybrid"]
    low, high = found["ci95"]
    return False, f"tuned against hybrid search without tuning: {found['delta']:+.3f} [{low:+.3f}, {high:+.3f}]"


def mixing_old_and_new_embeddings(facts: Facts) -> Item:
    """The index carries another embedding identity than the tuned model."""
    index, training = facts.json("17", "reembedding.json"), facts.json("14", "training.json")
    if index is None or training is None:
        return None, "steps 14 and 17 have not both run"
    stamped = index["identity"]["weights"]
    return stamped != training["weights"], f"index stamped {stamped[:12]}, tuned model {training['weights'][:12]}"


def reindexing_without_rollback(facts: Facts) -> Item:
    """The old index was gone when the new one took over."""
    done = facts.json("20", "reindex.json")
    if done is None:
        return None, "step 20 has not run"
    kept = "kept" if done["rollback_kept"] else "NOT kept"
    return not done["rollback_kept"], f"the old index was {kept} ({facts.where('20', 'reindex.json')})"


def shipping_on_training_loss_alone(facts: Facts) -> Item:
    """No held-out comparison stands behind the verdict, or the checkpoint was not chosen by validation."""
    evaluation, training = facts.json("15", "evaluation.json"), facts.json("14", "training.json")
    if evaluation is None or training is None:
        return None, "steps 14 and 15 have not both run: there is nothing to ship on"
    held, validated = evaluation["comparison"]["n_queries"], (training.get("validation") or {}).get("n_queries", 0)
    why = f"the verdict stands on {held} held-out queries; {validated} validation queries chose the checkpoint"
    return held == 0 or validated == 0, why


MISTAKES: dict[Callable[[Facts], Item], tuple[str, str]] = {
    training_without_baseline: ("05", "baseline.json"),
    same_examples_for_training_and_evaluation: ("13", "leakage.json"),
    no_hard_negatives: ("14", "training.json"),
    fine_tuning_to_fix_chunking: ("02", "rungs.parquet"),
    ignoring_hybrid_search_and_filters: ("15", "evaluation.json"),
    mixing_old_and_new_embeddings: ("17", "reembedding.json"),
    reindexing_without_rollback: ("20", "reindex.json"),
    shipping_on_training_loss_alone: ("15", "evaluation.json"),
}
"""Each mistake with the artifact that shows it or clears it."""


def mistakes(facts: Facts) -> list[dict[str, Any]]:
    """Return the eight mistakes as ``id, present, evidence, artifact``."""
    return decided(MISTAKES, "present", facts)
