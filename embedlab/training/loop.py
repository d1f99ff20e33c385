"""sentence-transformers' own trainer over document-shared batches. It loads torch: import it where it is used."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from numpy.typing import NDArray
from safetensors.torch import load_model, save_model
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.losses.gradcache import CachedLossMixin, has_static_embedding_input
from sentence_transformers.util.distributed import all_gather_with_grad, get_rank
from torch import Tensor
from torch.nn.functional import normalize as unit
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback
from transformers.integrations import integration_utils

from embedlab.errors import ParameterError, TrainingError, nearest
from embedlab.models.encoder import Encoder, Kind
from embedlab.progress import Progress
from embedlab.training.batches import Batch, BatchSampler
from embedlab.training.checkpoints import WEIGHTS, Checkpoints
from embedlab.training.losses import GUIDED, Loss, guided
from embedlab.training.recipe import Recipe
from embedlab.training.teachers import Teacher, cosines
from embedlab.training.validation import History

QUERY_CHUNK = 64
"""Queries of like length that go through the model together: little of what it reads is padding."""

TRACKERS = ("mlflow", "tensorboard", "trackio", "wandb")
"""Programs that can follow a run, as transformers calls them and as their packages are called."""


@dataclass(frozen=True)
class Reader:
    """Turns texts into what the model takes in, cut as the recipe says.

    Attributes:
        model: the one that is trained.
        encoder: the base, for its prompts and its limit.
        recipe: how many tokens are read in training.
    """

    model: SentenceTransformer
    encoder: Encoder
    recipe: Recipe

    def features(self, texts: Sequence[str], kind: Kind) -> dict[str, Tensor]:
        """Return the features of some texts; a model's own limit is never exceeded."""
        tokens = self.recipe.query_tokens if kind == "query" else self.recipe.document_tokens
        if self.encoder.identity.max_length:  # a static model has no limit to set
            self.model.max_seq_length = min(tokens, self.encoder.identity.max_length)
        prompt = self.encoder.prompt(kind)
        found: dict[str, Tensor] = self.model.preprocess(list(texts), prompt=prompt or None)
        return found


@dataclass(frozen=True)
class SharedBatches:
    """Data collator: from the number of a step to the features of its documents and queries.

    The documents are one set of features; the queries, sorted by length, one or more of at most :data:`QUERY_CHUNK`.
    Of several processes each gets its own share, filled up to the same size with copies of the first text.

    Attributes:
        sampler: the batches.
        documents: texts by id.
        reader: makes features of texts.
        process: number of this process.
        processes: how many there are.
        teacher: of the losses that learn from one; None for none.
        counted: by step, the tokens of its texts, the places in its features and its queries.
    """

    sampler: BatchSampler
    documents: pd.Series
    reader: Reader
    process: int = 0
    processes: int = 1
    teacher: Teacher | None = None
    counted: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def __call__(self, rows: list[dict[str, int]]) -> dict[str, Any]:
        """Return the inputs of one step: features by name, and under ``label`` what the loss has to know."""
        batch = self.sampler.batch(rows[0]["step"])
        documents = self._share([self.documents[doc_id] for doc_id in batch.documents])
        queries = self._share(batch.queries)
        order = sorted(range(len(queries)), key=lambda at: len(queries[at]))
        sets = {"documents": self.reader.features(documents, "document")}
        for start in range(0, len(order), QUERY_CHUNK):
            chunk = [queries[at] for at in order[start : start + QUERY_CHUNK]]
            sets[f"queries{start}"] = self.reader.features(chunk, "query")
        tokens, places = _lengths(sets.values())
        self.counted[rows[0]["step"]] = (tokens, places, len(queries))
        inputs = {f"{name}_{key}": value for name, found in sets.items() for key, value in found.items()}
        label: dict[str, NDArray[Any]] = {
            "back": np.argsort(order),
            "target": batch.target,
            "allowed": self._allowed(batch),
        }
        if self.teacher is not None:
            label["teacher"] = self.teacher.scores(batch, self.documents)
        return inputs | {"label": {name: torch.from_numpy(value) for name, value in label.items()}}

    def _allowed(self, batch: Batch) -> NDArray[np.bool_]:
        """Return what is allowed in a batch; a guided loss asks the base, whose vectors are cached."""
        if self.reader.recipe.loss not in GUIDED:
            return batch.allowed
        return guided(batch.allowed, batch.target, cosines(self.reader.encoder, batch, self.documents))

    def read_before(self, step: int) -> tuple[int, int, int]:
        """Return tokens, places and queries of the steps before one; a loader asks for one more than is trained."""
        done = [counts for at, counts in self.counted.items() if at < step]
        tokens, places, queries = (sum(column) for column in zip(*done, strict=True)) if done else (0, 0, 0)
        return tokens, places, queries

    def _share(self, texts: list[str]) -> list[str]:
        """Return this process' share of the texts; the shares in order, less the filling at the end, are the texts."""
        size = math.ceil(len(texts) / self.processes)
        own = texts[self.process * size : (self.process + 1) * size]
        return own + texts[:1] * (size - len(own))


def _lengths(sets: Iterable[dict[str, Tensor]]) -> tuple[int, int]:
    """Return the tokens and the places in some features; where there is no mask, no place is padding."""
    tokens = places = 0
    for found in sets:
        mask = found.get("attention_mask")
        places += found["input_ids"].numel()
        tokens += found["input_ids"].numel() if mask is None else int(mask.sum())
    return tokens, places


class InBatchLoss(CachedLossMixin, torch.nn.Module):
    """A loss over the cosines between a batch's queries and all of its documents.

    Over several processes the embeddings of all are gathered with their gradients, so that each computes the loss of
    the whole batch. Where the recipe names a chunk, the library's cache of gradients embeds so many texts at a time.

    Args:
        model: embeds features.
        rule: what is made of the cosines.
        recipe: says whether vectors are cut (``matryoshka_dims``) and cached (``chunk``); None for neither.

    Raises:
        ParameterError: if vectors are to be cut to more numbers than they have, or the model takes no chunks.
    """

    def __init__(self, model: SentenceTransformer, rule: Loss, recipe: Recipe | None = None) -> None:
        super().__init__()
        self.model = model
        self.rule = rule
        recipe = recipe or Recipe()
        self.mini_batch_size = recipe.chunk
        whole = model.get_embedding_dimension()
        if max(recipe.matryoshka_dims, default=0) > whole:
            raise ParameterError(
                f"matryoshka_dims must be at most {whole}, the length of the model's vectors; "
                f"found {max(recipe.matryoshka_dims)}"
            )
        if recipe.chunk and has_static_embedding_input(model):
            raise ParameterError(f"chunk must be 0 for a table of word vectors, found {recipe.chunk}")
        self.shares = recipe.matryoshka or {whole: 1.0}

    def forward(self, features: list[dict[str, Tensor]], labels: dict[str, Tensor]) -> Tensor:
        """Return the loss of one batch: first the features of its documents, then those of its queries."""
        if self.mini_batch_size:
            return self.forward_cached(features, labels)
        return self.calculate_loss([[self.model(found)["sentence_embedding"]] for found in features], labels)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: dict[str, Tensor], *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of embeddings, each set in chunks; the cache of gradients asks for them, too."""
        documents, *queries = [torch.cat(chunks) for chunks in reps]
        found = torch.cat(queries)[labels["back"]]
        with torch.autocast(documents.device.type, enabled=False):  # cosines that nearly tie must not become equal
            loss = self._loss(_all_units(found), _all_units(documents), labels)
        if with_backward:
            loss.backward()
        return loss.detach() if with_backward else loss

    def _loss(self, queries: Tensor, documents: Tensor, labels: dict[str, Tensor]) -> Tensor:
        """Return the loss of unit vectors, the mean over the lengths that they are cut to."""
        count, width = labels["allowed"].shape
        given = [labels[name] for name in ("target", "allowed", "teacher") if name in labels]
        losses = []
        for dim, share in self.shares.items():
            cosines = _cut(queries[:count], dim) @ _cut(documents[:width], dim).T
            losses.append(share * self.rule(cosines, *given))
        return torch.stack(losses).sum()


def _cut(vectors: Tensor, dim: int) -> Tensor:
    """Return unit vectors cut to so many numbers, of unit length again."""
    return vectors if dim == vectors.shape[1] else unit(vectors[:, :dim], dim=1)


def _all_units(embeddings: Tensor) -> Tensor:
    """Return the unit vectors of every process' embeddings, in fp32."""
    own = unit(embeddings.float(), dim=1)
    return all_gather_with_grad(own) if torch.distributed.is_initialized() else own


class Watch(TrainerCallback):
    """Moves the bar, asks the validation, and says when to save and when to stop.

    Args:
        scores: returns the validation score by query id of the weights as they are now; None where nothing validates.
        history: what the run has seen so far; it grows.
        bar: a step each.
        check_every: validate and save after so many steps and after the last one; 0 for never.
        patience: stop after so many checks without a new best; 0 for never.
        keeps: whether checkpoints are kept.

    Attributes:
        seconds: in the steps so far, without validations.
    """

    def __init__(
        self,
        scores: Callable[[], dict[str, float]] | None,
        history: History,
        bar: Progress,
        check_every: int,
        patience: int,
        keeps: bool,
    ) -> None:
        self.scores, self.history, self.bar = scores, history, bar
        self.check_every, self.patience, self.keeps = check_every, patience, keeps
        self.seconds = self._began = 0.0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_others: Any) -> None:
        """Validate the base, unless a checkpoint knows what it scored."""
        if self.check_every and not self.history.checks:
            self._check(state.global_step)

    def on_step_begin(self, *_args: Any, **_others: Any) -> None:
        """Look at the clock."""
        self._began = time.perf_counter()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_others: Any) -> None:
        """Validate where it is time to."""
        self.seconds += time.perf_counter() - self._began
        self.bar.advance()
        step = state.global_step
        if self.check_every and (step % self.check_every == 0 or step == state.max_steps):
            self._check(step)
            control.should_save = self.keeps
            control.should_training_stop |= self.history.is_exhausted(self.patience)

    def _check(self, step: int) -> None:
        if self.scores is not None:
            # The first process asks, for all must stop at the same step.
            found = [self.scores() if get_rank() == 0 else None]
            [self.history.checks[step]] = broadcast_object_list(found)
            self.bar.note = self.history.drawn()


class SharedBatchTrainer(SentenceTransformerTrainer):
    """The library's trainer, with a row of the data a step, a schedule of ours, and checkpoints that are whole.

    Args:
        model: the one that is trained.
        recipe: its settings.
        loss: of the library's kind.
        collator: makes the inputs of a step.
        callbacks: what watches the run.
        history: what the run has seen so far; it grows.
        checkpoints: where they are kept; None keeps none.
        options: further arguments of the library's trainer.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        recipe: Recipe,
        loss: torch.nn.Module,
        collator: SharedBatches,
        callbacks: list[TrainerCallback],
        history: History,
        checkpoints: Checkpoints | None,
        **options: Any,
    ) -> None:
        self.recipe, self.history, self.checkpoints = recipe, history, checkpoints
        args = SentenceTransformerTrainingArguments(
            max_steps=recipe.steps,
            per_device_train_batch_size=1,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            seed=recipe.seed,
            save_strategy="no",  # a callback says when
            logging_steps=1,
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            dataloader_drop_last=True,  # no batch is ever partial; else several processes are warned
            **options,
        )
        steps = Dataset.from_dict({"step": list(range(recipe.steps))})
        collator = replace(collator, process=args.process_index, processes=args.world_size)
        super().__init__(model, args, steps, loss=loss, data_collator=collator, callbacks=callbacks)
        self.remove_callback(PrinterCallback)  # it prints the times, which differ each time

    def add_model_card_callback(self, _defaults: dict[str, Any]) -> None:
        """Leave the library's card out: it would describe the numbers of steps as if they were the data."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the steps one by one; they are not divided among processes, for each takes its share of every step."""
        return DataLoader(self.train_dataset, batch_size=1, collate_fn=self.data_collator)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:
        """Return the recipe's schedule: the library's would spend the first step at a rate of 0."""
        recipe = self.recipe
        self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda step: recipe.rate(step) / recipe.learning_rate)
        return self.lr_scheduler

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Train on one batch; stop before the weights move where the loss is no number."""
        loss: Tensor = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            step = self.state.global_step
            raise TrainingError(
                f"step {step + 1}: the loss is {float(loss)} at a learning rate of {self.recipe.rate(step):.2g}; the "
                "weights before this step are kept. Take a lower learning_rate, or look for rows that are no text"
            )
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Note the loss of a step, and let whatever the library logs to know what validation said after it."""
        if "loss" in logs:
            self.history.loss.append(logs["loss"])
            if self.state.global_step in self.history.checks:
                logs = logs | {"eval_validation": self.history.mean(self.state.global_step)}
        super().log(logs, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the weights alone: what is round them is the base's."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / WEIGHTS))

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint as a whole, and only then delete those that are not needed any more."""
        super()._save_checkpoint(*args, **kwargs)
        self.accelerator.wait_for_everyone()
        if self.checkpoints is not None and self.is_world_process_zero():
            step = self.state.global_step
            written = Path(self.args.output_dir) / f"checkpoint-{step}"
            self.checkpoints.keep(step, written, self.history.as_dict())
            self.checkpoints.prune({step, self.history.chosen()} if self.history.checks else {step})

    def _load_from_checkpoint(self, checkpoint_path: str, model: Any = None) -> None:
        load_model(self.model, str(Path(checkpoint_path) / WEIGHTS))


# --- trackers -------------------------------------------------------------------------------------


def require_trackers(names: Sequence[str]) -> None:
    """Raise a ParameterError where a tracker is unknown or its package is not installed; names it."""
    for name in names:
        if name not in TRACKERS:
            raise ParameterError(f"report_to: unknown tracker {name!r}{nearest(name, list(TRACKERS))}")
        if not getattr(integration_utils, f"is_{name}_available")():
            raise ParameterError(
                f"report_to names {name!r}, whose package is not installed: pip install {name}, or take it out"
            )


def trackers(names: Sequence[str], logs: Path) -> list[TrainerCallback]:
    """Return transformers' callbacks of some trackers; one that writes files writes them into ``logs``."""
    found = []
    for name in names:
        callback = integration_utils.INTEGRATION_TO_CALLBACK[name]()
        if name == "tensorboard" and callback.logging_dir is None:
            callback.logging_dir = str(logs)  # its own choice would go with the folder of unfinished checkpoints
        found.append(callback)
    return found
