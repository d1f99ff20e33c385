"""The eight common mistakes, each looked for in the artifacts; None: cannot tell."""

from __future__ import annotations

from typing import Any

from embedlab.chain.artifacts.confirm_need import Need
from embedlab.chain.artifacts.deploy_with_rollback import DEPLOYED, Rollout
from embedlab.chain.artifacts.evaluate import Evaluation
from embedlab.chain.artifacts.plan_reindex import LIVE, Reindexed
from embedlab.chain.artifacts.reembed_corpus import Reembedding
from embedlab.chain.artifacts.train import Training
from embedlab.verdict.checklist import CHECKLIST, baseline_recorded, hard_negatives_included, train_test_separate
from embedlab.verdict.checks import Check, Item, decided, not_run, place_of
from embedlab.verdict.facts import Facts, Service


def _missing(item: Item) -> Item:
    """Turn a checklist item into the mistake of lacking it."""
    passed, why = item
    return (None if passed is None else not passed), why


def training_without_baseline(facts: Facts) -> Item:
    """A model was trained and no baseline recorded before."""
    return _missing(baseline_recorded(facts))


def same_examples_for_training_and_evaluation(facts: Facts) -> Item:
    """Training and held-out parts overlap."""
    return _missing(train_test_separate(facts))


def no_hard_negatives(facts: Facts) -> Item:
    """Training met random or in-batch negatives, hardly any mined ones."""
    return _missing(hard_negatives_included(facts))


def fine_tuning_to_fix_chunking(facts: Facts) -> Item:
    """Passages alone would have given at least the tuned model's gain."""
    need, evaluation = facts.read(Need), facts.read(Evaluation)
    if need is None or evaluation is None:
        return None, f"steps {Need.step} and {Evaluation.step} have not both run"
    passages, tuned = need.passages_gain, evaluation.dev_gain
    where = place_of("fine_tuning_to_fix_chunking")
    if passages is None:
        return None, f"passages were not measured ({where})"
    made = passages > 0 and passages >= tuned
    return made, f"on dev, passages {passages:+.3f} against tuning {tuned:+.3f} ({where})"


def ignoring_hybrid_search_and_filters(facts: Facts) -> Item:
    """Simpler remedies were never measured, or the tuned model surely does not beat the best of them by enough."""
    if not facts.done(Need.step):
        return True, f"step {Need.step} has not run: simpler remedies were not measured"
    evaluation = facts.read(Evaluation)
    if evaluation is None:
        return not_run("ignoring_hybrid_search_and_filters")
    found = evaluation.versus_simpler
    against = f"{evaluation.proposed.name} against {evaluation.simpler}, the best without tuning"
    why = f"{against}: {found}, {found.min_gain:+.3f} is asked for"
    return {"SHIP": False, "DO_NOT_SHIP": True, "INCONCLUSIVE": None}[found.verdict], why


def mixing_old_and_new_embeddings(facts: Facts) -> Item:
    """An index that is deployed is asked by another model than the one that made its vectors."""
    training, built = facts.read(Training), facts.read(Reembedding)
    done, rollout = facts.read(Reindexed), facts.read(Rollout)
    live, deployed = facts.service(Reindexed.step, LIVE), facts.service(Rollout.step, DEPLOYED)
    mixed = []
    if training is not None and built is not None and built.identity.weights != training.weights:
        mixed.append(f"test index stamped {built.identity.weights[:12]}, tuned model {training.weights[:12]}")
    if training is not None and done is not None:
        mixed += _mixed(LIVE, live, done.live, done.new, training.weights)
    if training is not None and done is not None and rollout is not None:
        mixed += _mixed(DEPLOYED, deployed, rollout.live, done.new, training.weights)
    if mixed:
        return True, "; ".join(mixed)
    if built is None or live is None or deployed is None:
        return None, f"steps {Reembedding.step}, {Reindexed.step} and {Rollout.step} have not all left an index"
    names = ", ".join(sorted({*live.indexes, *deployed.indexes}))
    return False, f"in {LIVE} and {DEPLOYED} each index is asked by the model that made its vectors: {names}"


def _mixed(where: str, service: Service | None, answers: str, new: str, tuned: str) -> list[str]:
    """Return where a service mixes embeddings, in words.

    Args:
        where: its folder, for the words.
        service: what stands there; None, of which nothing can be said, where the step left none.
        answers: name of the index that its step says is live.
        new: name of the index of the tuned model.
        tuned: sha256 of the tuned model's weights.
    """
    if service is None:
        return []
    found = list(service.damaged)
    live = service.live
    made_by = None if live is None else service.indexes.get(live.index)
    if live is None or live.index != answers:
        found.append(f"{answers} should answer, {'none' if live is None else live.index} does")
    elif made_by is not None and made_by.digest != live.encoder:
        found.append(f"{live.index} holds vectors of {made_by.digest[:12]}, its queries are of {live.encoder[:12]}")
    candidate = service.indexes.get(new)
    if candidate is None:
        found.append(f"the re-embedded index {new} does not stand there")
    elif candidate.weights != tuned:
        found.append(f"{new} is stamped {candidate.weights[:12]}, tuned model {tuned[:12]}")
    return [f"{where}: {what}" for what in found]


def reindexing_without_rollback(facts: Facts) -> Item:
    """The old index was gone when the new one took over."""
    done = facts.read(Reindexed)
    if done is None:
        return not_run("reindexing_without_rollback")
    kept = "kept" if done.rollback_kept else "NOT kept"
    return not done.rollback_kept, f"the old index was {kept} ({place_of('reindexing_without_rollback')})"


def shipping_on_training_loss_alone(facts: Facts) -> Item:
    """Checkpoint or mix were not chosen by held-out quality, or no held-out comparison stands behind the verdict."""
    evaluation, training = facts.read(Evaluation), facts.read(Training)
    if evaluation is None or training is None:
        return None, f"steps {Training.step} and {Evaluation.step} have not both run: there is nothing to ship on"
    held, validated = evaluation.comparison.n_queries, training.validation.n_queries
    why = f"the verdict stands on {held:,} held-out queries; {validated:,} validation queries chose the checkpoint"
    wrong = [what for what in (_checkpoint_chosen_otherwise(training), _mix_chosen_otherwise(training)) if what]
    if held == 0 or validated == 0 or wrong:
        return True, "; ".join([why, *wrong])
    chosen = next(c for c in training.checkpoints if c.step == training.best_step)
    best = max(mix.dev for mix in training.mixes)
    return False, (
        f"{why}: step {chosen.step} with {chosen.validation:.3f}, {chosen.behind:.3f} behind the best of "
        f"{len(training.checkpoints)}; dev chose {training.share:.0%} of the tuned weights, with {best:.3f} the best "
        f"of {len(training.mixes)} mixes"
    )


def _checkpoint_chosen_otherwise(training: Training) -> str:
    """Return what shows that the checkpoint was not chosen by validation, blank where it was."""
    scored = {c.step: c for c in training.checkpoints}
    chosen = scored.get(training.best_step)
    if chosen is None:
        return f"validation was not asked at step {training.best_step}, which goes on"
    if chosen.near_best:
        return ""
    lowest = min((c for c in training.checkpoints if c.loss is not None), key=lambda c: c.loss or 0.0, default=chosen)
    by_loss = ", though it has the lowest training loss" if lowest.step == chosen.step else ""
    return f"step {chosen.step} goes on, {chosen.behind:.3f} behind the best on validation{by_loss}"


def _mix_chosen_otherwise(training: Training) -> str:
    """Return what shows that the mix of weights was not chosen on dev, blank where it was."""
    on_dev = {mix.share: mix.dev for mix in training.mixes}
    if training.share not in on_dev:
        return f"dev was not asked at {training.share:.0%} of the tuned weights, which goes on"
    best = max(on_dev.values())
    if on_dev[training.share] >= best:
        return ""
    return f"{training.share:.0%} of the tuned weights goes on with {on_dev[training.share]:.3f} on dev, not {best:.3f}"


_RED = {check.id: check.red_when for check in CHECKLIST}

MISTAKES = (
    Check(training_without_baseline, _RED["baseline_recorded"]),
    Check(same_examples_for_training_and_evaluation, _RED["train_test_separate"]),
    Check(no_hard_negatives, _RED["hard_negatives_included"]),
    Check(fine_tuning_to_fix_chunking, "searching passages gains something on dev, and as much as the tuned model"),
    Check(
        ignoring_hybrid_search_and_filters,
        "simpler remedies were not measured, or tuning surely gains less over the best of them than is asked for",
    ),
    Check(
        mixing_old_and_new_embeddings,
        "an index that step 17, 20 or 21 leaves is stamped by another model than the one that asks it",
    ),
    Check(reindexing_without_rollback, "the old index is gone after the switch, or answers otherwise than before"),
    Check(
        shipping_on_training_loss_alone,
        "the checkpoint is not one of the best on validation, the mix is not the best on dev, "
        "or no held-out query was asked",
    ),
)
"""The mistakes in the order of the guide; the table of steps says which artifact shows or clears each."""


def mistakes(facts: Facts) -> list[dict[str, Any]]:
    """Return the eight mistakes as ``id, present, evidence, red_when, artifact``."""
    return decided(MISTAKES, "present", facts)
