"""What the library's trainer brings: low-rank adaptation, gradient checkpointing, trackers, and what a run used."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from interrupted import KilledAfter
from tiny_models import load_tiny, word_documents, word_rows
from transformers import BertModel

import embedlab
from embedlab.errors import IntegrityError, ModelError, ParameterError
from embedlab.models.hardware import peak_memory
from embedlab.progress import Progress
from embedlab.training import Job, Recipe, Trainer, Validation
from embedlab.training.loop import InBatchLoss, SharedBatches
from embedlab.training.lora import has_lora
from embedlab.training.results import Usage

RECIPE = Recipe(steps=6, documents=4, queries_per_document=2, hard_negatives=2, learning_rate=1e-2)
LORA = replace(RECIPE, lora_rank=2)

needs_peft = pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed: the extra lora")

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return load_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def validation():
    rows = word_rows()
    qrels = rows.explode("positive_ids").rename(columns={"positive_ids": "doc_id"})[["query_id", "doc_id"]]
    return Validation(rows.set_index("query_id")["text"], qrels.assign(relevance=1), word_documents(), "nDCG@10")


@pytest.fixture
def trainer_of(base, validation):
    """Return a function that makes a trainer."""

    def make(recipe, folder=None, report_to=()):
        return Trainer(base, word_rows(), word_documents(), {}, recipe, validation, folder, report_to)

    return make


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def weights_at(trainer, step):
    trainer.load_step(step)
    return weights_of(trainer.model)


# --- low-rank adaptation --------------------------------------------------------------------------


@pytest.mark.skipif(find_spec("peft") is not None, reason="peft is installed")
def test_without_its_package_lora_says_which_extra_to_install(trainer_of):
    with pytest.raises(
        ParameterError, match=r"lora_rank is 2, but .*peft is not installed: pip install -e '\.\[lora\]'"
    ):
        trainer_of(LORA)


def test_a_negative_rank_is_refused():
    with pytest.raises(ParameterError, match="lora_rank must be 0 or more, found -1"):
        replace(RECIPE, lora_rank=-1)


@needs_peft
def test_lora_changes_no_vector_before_the_first_step(base, trainer_of):
    texts = word_documents().tolist()
    trainer = trainer_of(LORA)
    assert has_lora(trainer.model)
    assert np.abs(trainer.frozen_encode()(texts, "document") - base.encode(texts)).max() < 1e-6


@needs_peft
def test_each_layers_change_has_the_rank_that_was_asked_for(trainer_of, tmp_path):
    trainer = trainer_of(LORA, tmp_path)
    trainer.fit(check_every=6)
    before, after = weights_at(trainer, 0), weights_at(trainer, 6)
    assert before.keys() == after.keys()
    ranks = {
        name: int(torch.linalg.matrix_rank(after[name] - before[name], atol=1e-5))
        for name in before
        if after[name].ndim == 2 and not torch.equal(after[name], before[name])
    }
    assert set(ranks.values()) == {2}
    assert all(".encoder.layer." in name for name in ranks)  # embeddings stay, and so does the pooler, which is unused
    biases = [name for name in before if name.endswith(".bias")]
    assert all(torch.equal(after[name], before[name]) for name in biases)


@needs_peft
def test_what_lora_saves_is_an_ordinary_model(trainer_of, base, tmp_path):
    trainer = trainer_of(LORA)
    trainer.fit()
    trainer.save_model(tmp_path / "tuned")
    assert not list((tmp_path / "tuned").rglob("adapter*"))
    texts = word_documents().tolist()
    loaded = embedlab.load_model(str(tmp_path / "tuned"), "float32")
    assert {*loaded.model.state_dict()} == {*base.model.state_dict()}
    assert np.abs(loaded.encode(texts) - trainer.frozen_encode()(texts, "document")).max() < 1e-6
    assert np.abs(loaded.encode(texts) - base.encode(texts)).max() > 1e-3


@needs_peft
def test_a_share_of_lora_is_mixed_from_the_merged_weights(trainer_of, tmp_path):
    trainer = trainer_of(LORA, tmp_path)
    trainer.fit(check_every=6)
    base, tuned = weights_at(trainer, 0), weights_at(trainer, 6)
    trainer.load_step(6, 0.25)
    for name, weight in weights_of(trainer.model).items():
        if weight.is_floating_point():
            assert torch.allclose(weight, base[name] + 0.25 * (tuned[name] - base[name]), atol=1e-6), name


@pytest.mark.parametrize("recipe", [RECIPE, pytest.param(LORA, marks=needs_peft)], ids=["all weights", "LoRA"])
def test_the_weights_of_several_runs_are_averaged_before_they_are_mixed(trainer_of, recipe, tmp_path):
    trainers = [trainer_of(replace(recipe, seed=seed), tmp_path / str(seed)) for seed in range(3)]
    found = []
    for trainer in trainers:
        trainer.fit(check_every=6)
        found.append(weights_at(trainer, 6))
    first, *others = trainers
    files = [other.weights(6) for other in others]
    base = weights_at(first, 0)
    first.load_step(6, 0.5, files)
    for name, weight in weights_of(first.model).items():
        if weight.is_floating_point():
            mean = torch.stack([weights[name] for weights in found]).mean(dim=0)
            assert torch.allclose(weight, (base[name] + mean) / 2, atol=1e-6), name
    first.load_step(0, 1.0, files)  # the base is the base
    assert all(torch.equal(weight, base[name]) for name, weight in weights_of(first.model).items())


@needs_peft
def test_a_killed_run_with_lora_ends_where_an_uninterrupted_one_does(trainer_of, validation, tmp_path):
    whole = trainer_of(LORA, tmp_path / "whole")
    whole.fit(check_every=2)
    killed = trainer_of(LORA, tmp_path / "killed")
    killed.validation = KilledAfter(2, validation)
    with pytest.raises(KeyboardInterrupt):
        killed.fit(check_every=2)
    again = trainer_of(LORA, tmp_path / "killed")
    again.load_step(2)  # what a look at a checkpoint merges does not stand in the way
    assert again.fit(check_every=2).as_dict() == whole.history.as_dict()
    found, expected = weights_of(again.model), weights_of(whole.model)
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    with pytest.raises(IntegrityError, match="made from other recipe"):
        trainer_of(RECIPE, tmp_path / "killed").fit(check_every=2)


# --- gradient checkpointing -----------------------------------------------------------------------


def saved_bytes(trainer):
    """Return the bytes that one forward pass keeps for the backward pass."""
    kept = []

    def keep(tensor):
        kept.append(tensor.numel() * tensor.element_size())
        return tensor

    inputs = SharedBatches(trainer.sampler, trainer.documents, trainer.reader)([{"step": 0}])
    names = ["documents", "queries0"]
    features = [{k.removeprefix(f"{n}_"): v for k, v in inputs.items() if k.startswith(f"{n}_")} for n in names]
    trainer.model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        InBatchLoss(trainer.model, trainer.rule)(features, inputs["label"])
    return sum(kept)


def test_gradient_checkpointing_keeps_less_and_learns_the_same(trainer_of):
    plain, checkpointed = trainer_of(RECIPE), trainer_of(replace(RECIPE, gradient_checkpointing=True))
    assert saved_bytes(checkpointed) < 0.7 * saved_bytes(plain)
    assert checkpointed.fit().loss == pytest.approx(plain.fit().loss, abs=1e-5)
    found = weights_of(checkpointed.model)
    assert all(torch.allclose(found[name], weight, atol=1e-5) for name, weight in weights_of(plain.model).items())


def test_a_model_that_cannot_do_it_is_named(trainer_of, monkeypatch):
    monkeypatch.setattr(BertModel, "supports_gradient_checkpointing", False)
    with pytest.raises(ModelError, match="gradient_checkpointing is on, and BertModel cannot do it"):
        trainer_of(replace(RECIPE, gradient_checkpointing=True))


# --- trackers -------------------------------------------------------------------------------------


def test_an_unknown_tracker_names_the_nearest(trainer_of):
    with pytest.raises(ParameterError, match=r"unknown tracker 'tensorbord'; did you mean 'tensorboard'\?"):
        trainer_of(RECIPE, report_to=["tensorbord"])


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "trackio", "wandb"])
def test_a_tracker_whose_package_is_missing_is_named_before_anything_is_trained(trainer_of, name):
    if find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(ParameterError, match=f"names '{name}', whose package is not installed: pip install {name}"):
        trainer_of(RECIPE, report_to=[name])


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_sees_each_loss_and_each_validation(trainer_of, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = trainer_of(RECIPE, tmp_path, ["tensorboard"]).fit(check_every=3)
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(history.loss)
    seen = {event.step: event.value for event in events.Scalars("eval/validation")}
    assert seen == pytest.approx({step: history.mean(step) for step in (3, 6)})
    assert trainer_of(RECIPE, tmp_path).fit(check_every=3).as_dict() == history.as_dict()


def test_a_job_keeps_its_trackers(base, validation, tmp_path):
    job = Job.write(tmp_path, base, word_rows(), word_documents(), {}, RECIPE, validation, 2, 0, ["wandb"])
    assert Job.read(tmp_path) == job
    assert Job.read(tmp_path).report_to == ["wandb"]


# --- what is seen while it runs ---------------------------------------------------------------------


def test_the_bar_ends_with_what_validation_said_whether_it_trained_or_found_it_done(trainer_of, tmp_path, monkeypatch):
    seen = []

    class Kept(Progress):
        def __init__(self, *words):
            super().__init__(*words)
            seen.append(self)

    monkeypatch.setattr("embedlab.training.trainer.Progress", Kept)
    histories = [trainer_of(RECIPE, tmp_path).fit(check_every=3) for _ in range(2)]
    assert repr(seen[0]) == repr(seen[1])
    assert repr(seen[0]).endswith(f"6 of 6, {histories[0].drawn()}")


# --- what a run used ------------------------------------------------------------------------------


def test_tokens_are_those_of_the_batches_that_were_trained(base, trainer_of):
    trainer = trainer_of(RECIPE)
    assert trainer.usage == Usage()
    trainer.fit()
    texts, queries = [], 0
    for step in range(RECIPE.steps):
        batch = trainer.sampler.batch(step)
        texts += [*batch.queries, *(trainer.documents[doc_id] for doc_id in batch.documents)]
        queries += len(batch.queries)
    assert trainer.usage.tokens == sum(base.token_counts(texts))
    assert trainer.usage.pairs == queries
    assert 0 < trainer.usage.padding < 1
    assert trainer.usage.seconds > 0
    assert 1e7 < trainer.usage.memory <= peak_memory("cpu")
    figures = trainer.usage.figures()
    assert figures["tokens a second"] == pytest.approx(trainer.usage.tokens / trainer.usage.seconds)


def test_a_run_that_is_done_used_nothing(trainer_of, tmp_path):
    trainer_of(RECIPE, tmp_path).fit(check_every=3)
    again = trainer_of(RECIPE, tmp_path)
    again.fit(check_every=3)
    assert again.usage == Usage()
    assert set(again.usage.figures().values()) == {0}


def test_a_run_that_was_taken_up_counts_what_it_did_itself(trainer_of, tmp_path):
    whole = trainer_of(RECIPE)
    whole.fit()
    halves = [trainer_of(RECIPE, tmp_path / "halves") for _ in range(2)]
    halves[0].validation = KilledAfter(2, halves[0].validation)
    with pytest.raises(KeyboardInterrupt):
        halves[0].fit(check_every=3)
    halves[1].fit(check_every=3)
    assert 0 < halves[1].usage.tokens < whole.usage.tokens
