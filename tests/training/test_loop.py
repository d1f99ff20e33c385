"""The library's trainer under the recipe: its gradients, its checkpoints, its processes, and what stops it."""

import functools
import json
import operator
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import load_tiny, word_documents, word_rows

import embedlab
from embedlab.errors import DataError, IntegrityError, ModelError, ParameterError, TrainingError
from embedlab.models.hardware import device_of
from embedlab.training import Job, Recipe, Trainer, Validation
from embedlab.training.loop import InBatchLoss, SharedBatches

RECIPE = Recipe(steps=6, documents=4, queries_per_document=2, hard_negatives=2, learning_rate=1e-2)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A bi-encoder of a few hundred random weights."""
    return load_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def documents():
    return word_documents()


@pytest.fixture(scope="module")
def rows():
    return word_rows()


@pytest.fixture(scope="module")
def validation(rows, documents):
    qrels = rows.explode("positive_ids").rename(columns={"positive_ids": "doc_id"})[["query_id", "doc_id"]]
    return Validation(rows.set_index("query_id")["text"], qrels.assign(relevance=1), documents, "nDCG@10")


@pytest.fixture
def trainer_of(base, rows, documents, validation):
    """Return a function that makes a trainer in a folder; keywords change what it is made from."""

    def make(folder=None, recipe=RECIPE, **changes):
        made = {"encoder": base, "rows": rows, "documents": documents, "relatives": {}} | changes
        return Trainer(**made, recipe=recipe, validation=validation, folder=folder)

    return make


def weights_of(trainer):
    return {name: weight.detach().clone() for name, weight in trainer.model.state_dict().items()}


# --- the same as the library ----------------------------------------------------------------------


def test_where_nothing_is_masked_the_gradients_are_those_of_the_librarys_own_loss(trainer_of):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    trainer = trainer_of(recipe=replace(RECIPE, loss="mnr", queries_per_document=1))
    inputs = SharedBatches(trainer.sampler, trainer.documents, trainer.reader)([{"step": 0}])
    batch = trainer.sampler.batch(0)
    assert batch.allowed.all()
    assert len(batch.queries) == len(batch.documents) == 4
    features = [
        {key.removeprefix(f"{name}_"): value for key, value in inputs.items() if key.startswith(f"{name}_")}
        for name in ("documents", "queries0")
    ]
    InBatchLoss(trainer.model, trainer.rule)(features, inputs["label"]).backward()
    ours = {name: weight.grad.clone() for name, weight in trainer.model.named_parameters() if weight.grad is not None}
    trainer.model.zero_grad()
    pairs = [trainer.reader.features(batch.queries, "query")]
    pairs.append(trainer.reader.features([trainer.documents[batch.documents[at]] for at in batch.target], "document"))
    MultipleNegativesRankingLoss(trainer.model, scale=20.0)(pairs, torch.empty(0)).backward()
    assert ours
    for name, weight in trainer.model.named_parameters():
        if name in ours:
            assert torch.allclose(ours[name], weight.grad, atol=1e-5), name


def test_a_step_is_adamw_at_the_recipes_rate_with_the_gradient_cut_to_one(trainer_of, tmp_path):
    """The first step by hand: forward, backward, clip, AdamW without decay of biases and norms."""
    trainer = trainer_of()
    before = weights_of(trainer)
    inputs = SharedBatches(trainer.sampler, trainer.documents, trainer.reader)([{"step": 0}])
    names = ["documents", "queries0"]
    features = [{k.removeprefix(f"{n}_"): v for k, v in inputs.items() if k.startswith(f"{n}_")} for n in names]
    model = trainer.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=RECIPE.rate(0), weight_decay=0.0)
    InBatchLoss(model, trainer.rule)(features, inputs["label"]).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    by_hand = weights_of(trainer)
    one = trainer_of(tmp_path, replace(RECIPE, steps=1, warmup=0.0, learning_rate=RECIPE.rate(0), weight_decay=0.0))
    one.fit()
    moved = max(float((by_hand[name] - before[name]).abs().max()) for name in before)
    assert moved > 1e-4
    for name, weight in weights_of(one).items():
        assert torch.allclose(weight, by_hand[name], atol=1e-6), name


# --- the same again -------------------------------------------------------------------------------


def test_the_same_run_twice_gives_the_same_bits(trainer_of, tmp_path):
    one, two = trainer_of(tmp_path / "one"), trainer_of(tmp_path / "two")
    assert one.fit(check_every=2).as_dict() == two.fit(check_every=2).as_dict()
    assert all(torch.equal(weight, weights_of(two)[name]) for name, weight in weights_of(one).items())


def test_a_run_that_is_done_trains_nothing_and_has_its_last_weights(trainer_of, tmp_path):
    whole = trainer_of(tmp_path / "run")
    whole.fit(check_every=3)
    again = trainer_of(tmp_path / "run")
    assert again.fit(check_every=3).as_dict() == whole.history.as_dict()
    assert all(torch.equal(weight, weights_of(whole)[name]) for name, weight in weights_of(again).items())


def test_checkpoints_of_the_last_and_the_chosen_step_are_kept_and_nothing_else(trainer_of, tmp_path):
    trainer = trainer_of(tmp_path / "run")
    (tmp_path / "run" / "unfinished-of-a-killed-run").mkdir(parents=True)
    trainer.fit(check_every=1)
    kept = {f"checkpoint-{step:06d}" for step in {6, trainer.history.chosen()} if step}
    assert {path.name for path in (tmp_path / "run").iterdir()} == kept


def write_job(folder, base, rows, documents, validation, recipe=RECIPE, check_every=2):
    return Job.write(folder, base, rows, documents, {}, recipe, validation, check_every, 0)


@pytest.mark.full
def test_a_run_that_is_killed_ten_times_at_random_ends_with_the_same_bits(base, rows, documents, validation, tmp_path):
    """Each in a process of its own: in this one, other tests may have changed how sums are divided among threads."""
    recipe = replace(RECIPE, steps=400)
    whole, killed = (
        write_job(tmp_path / name, base, rows, documents, validation, recipe, 20) for name in ("whole", "killed")
    )
    training = [sys.executable, "-m", "embedlab.training"]
    subprocess.run([*training, str(whole.folder)], check=True, capture_output=True)
    rng = np.random.default_rng(0)
    for _ in range(10):
        process = subprocess.Popen(
            [*training, str(killed.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=float(rng.uniform(4, 12)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    subprocess.run([*training, str(killed.folder)], check=True, capture_output=True)
    one, two = whole.trainer(), killed.trainer()
    assert two.fit(20).as_dict() == one.fit(20).as_dict()
    assert all(torch.equal(weight, weights_of(one)[name]) for name, weight in weights_of(two).items())


# --- several processes ----------------------------------------------------------------------------


def test_two_processes_have_the_loss_curve_of_one(base, rows, documents, validation, tmp_path):
    one = write_job(tmp_path / "one", base, rows, documents, validation).run()
    job = write_job(tmp_path / "two", base, rows, documents, validation)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    quiet = os.environ | {"OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [*command, "-m", "embedlab.training", str(job.folder)], capture_output=True, text=True, env=quiet
    )
    assert found.returncode == 0, found.stderr[-2000:]
    two = job.trainer()
    two.fit(2)  # nothing is left to do: the checkpoints lie where this looks for them
    assert two.history.loss == pytest.approx(one.loss, abs=1e-4)
    assert np.mean(one.loss[-2:]) < np.mean(one.loss[:2])


def test_the_shares_of_processes_are_the_batch_and_all_of_one_size(trainer_of):
    trainer = trainer_of(recipe=replace(RECIPE, documents=5, hard_negatives=0))
    batch = trainer.sampler.batch(0)
    shares = [SharedBatches(trainer.sampler, trainer.documents, trainer.reader, at, 3) for at in range(3)]
    queries = [share._share(batch.queries) for share in shares]
    assert len({len(own) for own in queries}) == 1
    assert functools.reduce(operator.iadd, queries, [])[: len(batch.queries)] == batch.queries


# --- jobs -----------------------------------------------------------------------------------------


def test_a_job_trains_what_the_trainer_would(trainer_of, base, rows, documents, validation, tmp_path):
    trainer = trainer_of(tmp_path / "run")
    trainer.fit(check_every=2)
    job = write_job(tmp_path / "job", base, rows, documents, validation)
    assert Job.read(job.folder) == job
    assert job.run().as_dict() == trainer.history.as_dict()


def test_a_folder_without_a_job_or_with_a_wrong_key_is_named(base, rows, documents, validation, tmp_path):
    with pytest.raises(DataError, match=r"job\.json"):
        Job.read(tmp_path)
    job = write_job(tmp_path / "job", base, rows, documents, validation)
    told = json.loads((job.folder / "job.json").read_text())
    (job.folder / "job.json").write_text(json.dumps({**told, "patiance": 3}))
    with pytest.raises(DataError, match=r"unknown key 'patiance'.*did you mean 'patience'"):
        Job.read(job.folder)
    del told["metric"]
    (job.folder / "job.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="'metric' is missing"):
        Job.read(job.folder)


def test_on_the_command_line_an_error_is_one_line(tmp_path):
    command = [sys.executable, "-m", "embedlab.training"]
    without = subprocess.run(command, capture_output=True, text=True)
    assert (without.returncode, without.stderr.split(":")[0]) == (2, "usage")
    wrong = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: ")
    assert "job.json" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1


# --- what stops it --------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_the_run_before_the_weights_move(trainer_of, tmp_path):
    trainer = trainer_of(tmp_path / "run")
    before = weights_of(trainer)
    trainer.rule = lambda scores, target, allowed: scores.sum() * float("nan")
    with pytest.raises(TrainingError, match=r"step 1: the loss is nan at a learning rate of 0\.01"):
        trainer.fit(check_every=2)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(trainer).items())


def test_a_weight_that_is_no_number_is_named(base, trainer_of, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(base.files.folder, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("dense.weight"))
    weights[name][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=f"{name}.*NaN"):
        trainer_of(encoder=embedlab.load_model(str(folder), "float32"))


def test_a_checkpoint_with_one_byte_changed_is_refused(trainer_of, tmp_path):
    trainer_of(tmp_path / "run").fit(check_every=6)
    file = tmp_path / "run" / "checkpoint-000006" / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"weights\.safetensors: sha256 \w{64}, expected \w{64}; delete"):
        trainer_of(tmp_path / "run").fit(check_every=6)


def test_a_checkpoint_without_its_seal_was_never_finished_and_is_passed_over(trainer_of, tmp_path):
    whole = trainer_of(tmp_path / "run")
    whole.fit(check_every=6)
    (tmp_path / "run" / "checkpoint-000006" / "embedlab.json").unlink()
    again = trainer_of(tmp_path / "run")
    assert again.fit(check_every=6).as_dict() == whole.history.as_dict()


@pytest.mark.parametrize("changed", ["training rows", "recipe", "documents"])
def test_a_checkpoint_of_another_run_is_refused_with_both_hashes(trainer_of, rows, documents, tmp_path, changed):
    trainer_of(tmp_path / "run").fit(check_every=6)
    other = {
        "training rows": {"rows": rows.assign(text=rows["text"] + " fish")},
        "recipe": {"recipe": replace(RECIPE, seed=1)},
        "documents": {"documents": documents + " fish"},
    }[changed]
    with pytest.raises(IntegrityError, match=rf"made from other {changed}: sha256 \w{{64}} then, \w{{64}} now; delete"):
        trainer_of(tmp_path / "run", **other).fit(check_every=6)


def test_a_full_disk_leaves_the_checkpoints_before_it(trainer_of, tmp_path, monkeypatch):
    from embedlab.training import loop

    save, saved = loop.save_model, []

    def full_at_the_second(*args, **kwargs):
        saved.append(args)
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        save(*args, **kwargs)

    monkeypatch.setattr(loop, "save_model", full_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        trainer_of(tmp_path / "run").fit(check_every=2)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint-000002"]
    monkeypatch.undo()
    whole = trainer_of(tmp_path / "whole").fit(check_every=2)
    assert trainer_of(tmp_path / "run").fit(check_every=2).as_dict() == whole.as_dict()


@pytest.mark.parametrize("count", [1, 2])
def test_rows_of_one_document_are_too_few(trainer_of, rows, count):
    with pytest.raises(DataError, match="name 1 documents; 2 or more are needed"):
        trainer_of(rows=rows.head(count))


# --- devices --------------------------------------------------------------------------------------


def test_auto_is_a_device_that_is_here_and_an_unknown_one_is_named():
    assert device_of("auto") in {"cpu", "cuda", "mps"}
    assert device_of("cpu") == "cpu"
    with pytest.raises(ModelError, match="device must be auto, cuda, mps, cpu, found 'gpu'"):
        device_of("gpu")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_named(device):
    if getattr(torch, device).is_available():
        pytest.skip(f"{device} is here")
    with pytest.raises(ModelError, match=f"device '{device}' is not here; this machine has .*cpu"):
        device_of(device)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_run_on_another_device_learns_as_one_on_the_processor(device, base, rows, documents, validation, trainer_of):
    if not getattr(torch, device).is_available():
        pytest.skip(f"no {device} on this machine")
    other = embedlab.load_model(str(base.files.folder), "float32", device=device)
    there = Trainer(other, rows, documents, {}, RECIPE, validation).fit(check_every=3)
    assert there.loss == pytest.approx(trainer_of().fit(check_every=3).loss, abs=1e-2)


def test_an_illegal_recipe_in_a_job_is_refused(base, rows, documents, validation, tmp_path):
    job = write_job(tmp_path / "job", base, rows, documents, validation)
    told = json.loads((job.folder / "job.json").read_text())
    told["recipe"]["steps"] = 0
    (job.folder / "job.json").write_text(json.dumps(told))
    with pytest.raises(ParameterError, match="steps must be 1 or more, found 0"):
        Job.read(job.folder)
