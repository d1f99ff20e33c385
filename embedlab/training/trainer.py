"""A fine-tuning run: sentence-transformers' trainer, validation by retrieval, checkpoints that resume."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from embedlab.errors import ModelError, ParameterError, nearest
from embedlab.files import sha256_json
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Encoder, Kind, encode_texts
from embedlab.models.hardware import peak_memory, reset_peak_memory
from embedlab.models.loading import load_sentence_transformer, quiet
from embedlab.progress import Progress
from embedlab.training.adapter import Frozen, QueryAdapter, add_route
from embedlab.training.batches import BatchSampler
from embedlab.training.checkpoints import WEIGHTS, Checkpoints
from embedlab.training.lora import add_lora, has_lora, merge_lora, plain_copy, require_peft
from embedlab.training.losses import GUIDED, LOSSES, TAUGHT
from embedlab.training.recipe import Recipe
from embedlab.training.results import Usage
from embedlab.training.teachers import BiEncoderTeacher, Teacher
from embedlab.training.validation import History, Validation

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embedlab.training.loop import Reader

UNFINISHED = "unfinished-"
"""How the folder of a checkpoint begins that is being written."""

LEARNED = ("text", "positive_ids", "known_ids", "weight", "negatives")
"""Columns of the training rows that training depends on."""


class Trainer:
    """Fine-tune a copy of a model.

    Args:
        encoder: the base model; its device and its precision are those of the training, too.
        rows: the canonical training store (its ``train`` rows).
        documents: document texts by id.
        relatives: family by document id; may be empty.
        recipe: all settings.
        validation: what the model is scored on while it learns; None for a run without.
        folder: where checkpoints go; a run with the same inputs continues from there, and one with others is refused.
        report_to: names of trackers that follow the run: ``tensorboard`` (files in ``folder/logs``), ``wandb``,
            ``mlflow``, ``trackio``; each sees the loss of every step and the mean of every validation.
        teacher: what the losses ``kl``, ``mnr_kl`` and ``margin_mse`` learn from; others take no notice.

    Attributes:
        usage: what the steps of the last :meth:`fit` read and took.

    Raises:
        ParameterError: if loss or tracker is unknown, the loss wants a teacher and there is none, or the recipe or a
            tracker needs a package that is not installed.
    """

    def __init__(
        self,
        encoder: Encoder,
        rows: pd.DataFrame,
        documents: pd.Series,
        relatives: Mapping[str, str],
        recipe: Recipe,
        validation: Validation | None = None,
        folder: Path | None = None,
        report_to: Sequence[str] = (),
        teacher: Teacher | None = None,
    ) -> None:
        if recipe.loss not in LOSSES:
            raise ParameterError(f"unknown loss {recipe.loss!r}{nearest(recipe.loss, list(LOSSES))}")
        if recipe.loss in TAUGHT and teacher is None:
            raise ParameterError(f"the loss {recipe.loss} learns from a teacher, and none is given")
        self.teacher = teacher if recipe.loss in TAUGHT else None
        require_peft(recipe.lora_rank)
        self.report_to = tuple(report_to)
        if self.report_to:
            from embedlab.training.loop import require_trackers

            require_trackers(self.report_to)
        self.rule, wants_hard = LOSSES[recipe.loss]
        self.recipe = recipe if wants_hard else replace(recipe, hard_negatives=0)
        self.encoder, self.documents, self.validation = encoder, documents, validation
        self.sampler = BatchSampler(rows, relatives, self.recipe)
        self.history = History()
        self.usage = Usage()
        self.checkpoints = None
        if folder is not None:
            self.checkpoints = Checkpoints(folder, self._made_from(rows, relatives))
        self.model = self._fresh()

    def _made_from(self, rows: pd.DataFrame, relatives: Mapping[str, str]) -> dict[str, str]:
        """Return a hash of each thing that the run depends on."""
        learned = [name for name in LEARNED if name in rows]
        found = {
            "base": self.encoder.identity.digest,
            "recipe": sha256_json(self.recipe.as_dict()),
            "training rows": sha256_json(rows[learned].to_json(orient="split", index=False, default_handler=str)),
            "documents": sha256_json(list(self.documents.items())),
            "relatives": sha256_json(sorted(relatives.items())),
        }
        if self.validation is not None:
            found["validation"] = self.validation.digest
        if self.teacher is not None:
            found["teacher"] = self.teacher.digest
        return found

    def _fresh(self) -> SentenceTransformer:
        """Return the base as it is before the first step."""
        model = self._base()
        self._prepare(model)
        return model.to(self.encoder.device)

    def _prepare(self, model: SentenceTransformer) -> None:
        """Make of the base what the recipe trains."""
        if self.recipe.lora_rank:
            add_lora(model, self.recipe.lora_rank)
        transformer = model.transformers_model
        if self.recipe.gradient_checkpointing and transformer is not None:
            if not transformer.supports_gradient_checkpointing:
                raise ModelError(
                    f"{self.encoder.name}: gradient_checkpointing is on, and {type(transformer).__name__} cannot do "
                    "it; set it to False"
                )
            transformer.activation_checkpointing_enable({"use_reentrant": False})

    def _base(self) -> SentenceTransformer:
        """Load the base in fp32, without dropout, and on a CPU with eager attention, which is faster to train there."""
        import torch

        torch.manual_seed(self.recipe.seed)
        if self.encoder.routed:
            raise ModelError(
                f"{self.encoder.name}: its queries take a route of their own: it was tuned before; train its base"
            )
        model = load_sentence_transformer(self.encoder.files)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if self.encoder.device == "cpu":
            _attend(model, "eager")
        return model.to(self.encoder.device)

    # --- the run --------------------------------------------------------------------------

    def fit(self, check_every: int = 0, patience: int = 0) -> History:
        """Train until the recipe's last step, or until validation stops getting better.

        Args:
            check_every: validate and save a checkpoint after so many steps; 0 for never.
            patience: stop after so many checks without a new best; 0 for never.

        Raises:
            TrainingError: if the loss is no number any more.
            IntegrityError: if a checkpoint is damaged, or of a run that was made from something else.
        """
        if self.recipe.lora_rank and not has_lora(self.model):  # load_step has merged them
            self.model = self._fresh()
        step = self._resume()
        with Progress(f"Training ({self.recipe.loss})", self.recipe.steps) as bar:
            bar.note = self.history.drawn()
            bar.advance(step)
            if step < self.recipe.steps and not self.history.is_exhausted(patience):
                self._train(step, bar, check_every, patience)
        return self.history

    def _resume(self) -> int:
        """Take up the last checkpoint, if there is one, and return its step."""
        from safetensors.torch import load_model

        steps = self.checkpoints.steps() if self.checkpoints is not None else []
        if not steps:
            return 0
        assert self.checkpoints is not None
        self.history = History.from_dict(self.checkpoints.read(steps[-1]))
        load_model(self.model, str(self.checkpoints.of(steps[-1]) / WEIGHTS))
        return steps[-1]

    def _train(self, step: int, bar: Progress, check_every: int, patience: int) -> None:
        from embedlab.training import loop

        keeps = self.checkpoints is not None
        watch = loop.Watch(self._scores if self.validation else None, self.history, bar, check_every, patience, keeps)
        self._ask_others(step)
        collator = loop.SharedBatches(self.sampler, self.documents, self.reader, teacher=self.teacher)
        logs = self.checkpoints.folder / "logs" if self.checkpoints is not None else Path("logs")
        reset_peak_memory(self.encoder.device)
        with quiet(), tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=self._scratch()) as scratch:
            trainer = loop.SharedBatchTrainer(
                self.model,
                self.recipe,
                loop.InBatchLoss(self.model, self.rule, self.recipe),
                collator,
                [watch, *loop.trackers(self.report_to, logs)],
                self.history,
                self.checkpoints,
                output_dir=scratch,
                use_cpu=self.encoder.device == "cpu",
                bf16=self.encoder.identity.precision == "bfloat16",
                fp16=self.encoder.identity.precision == "float16",
                report_to=[],
            )
            trainer.train(resume_from_checkpoint=str(self.checkpoints.of(step)) if step and self.checkpoints else None)
            trainer.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        read = collator.read_before(trainer.state.global_step)
        self.usage = Usage(*read, seconds=watch.seconds, memory=peak_memory(self.encoder.device))

    def _ask_others(self, step: int) -> None:
        """Let the teacher, or the guide, read what the steps from this one on ask it."""
        other = BiEncoderTeacher(self.encoder) if self.recipe.loss in GUIDED else self.teacher
        if other is not None:
            batches = [self.sampler.batch(later) for later in range(step, self.recipe.steps)]
            other.prepare(batches, self.documents)

    def _scratch(self) -> Path | None:
        """Return where a checkpoint is written before it is taken over: on the same file system."""
        if self.checkpoints is None:
            return None
        self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
        if "WORLD_SIZE" not in os.environ:  # what a killed run left; of several processes one could delete another's
            for left in self.checkpoints.folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left, ignore_errors=True)
        return self.checkpoints.folder

    @property
    def reader(self) -> Reader:
        """What makes features of texts, as training sees them."""
        from embedlab.training.loop import Reader

        return Reader(self.model, self.encoder, self.recipe)

    def _scores(self) -> dict[str, float]:
        """Return the validation scores of the weights as they are now, by query id."""
        assert self.validation is not None
        encode = self.frozen_encode()
        if not self.history.checks:  # at the first check they are the base's, whose vectors are often known
            encode = Frozen(encode, self.encoder, self.encoder.name, self.encoder.known).encode
        return {str(q): float(score) for q, score in self.validation.scores(encode).items()}

    # --- what comes out ------------------------------------------------------------------

    def frozen_encode(self) -> Callable[[list[str], Kind], Vectors]:
        """Return a function that encodes (texts, kind) with the weights as they are now."""
        import torch

        frozen = plain_copy(self.model)
        frozen.__dict__.pop("forward", None)  # autocast stands round it while it is trained
        frozen.to(getattr(torch, self.encoder.identity.precision))
        frozen.eval()
        _attend(frozen, "sdpa")  # faster without gradients
        if self.encoder.identity.max_length:
            frozen.max_seq_length = self.encoder.identity.max_length

        def encode(texts: list[str], kind: Kind) -> Vectors:
            return encode_texts(frozen, texts, self.encoder.prompt(kind), kind)

        return encode

    def frozen(self) -> Frozen:
        """Return the weights as they are now, as a model that computes no text twice."""
        return Frozen(self.frozen_encode(), self.encoder, f"{self.encoder.name}, tuned")

    def save_model(self, folder: Path, adapter: QueryAdapter | None = None) -> None:
        """Save the weights as they are now, in sentence-transformers' format, safetensors only.

        Args:
            folder: of the model.
            adapter: that its queries go through; None for none.
        """
        if self.encoder.identity.max_length:
            self.model.max_seq_length = self.encoder.identity.max_length
        backend = getattr(getattr(self.model, "tokenizer", None), "backend_tokenizer", None)
        if backend is not None:  # a tokenizer saves how it cut its last batch: files would differ by history
            backend.no_truncation()
            backend.no_padding()
        saved = plain_copy(self.model)
        if adapter is not None:
            add_route(saved, adapter)
        saved.save(str(folder), create_model_card=False, safe_serialization=True)

    def weights(self, step: int) -> Path:
        """Return the file of a checked step's weights, for another trainer to average with its own."""
        assert self.checkpoints is not None
        return self.checkpoints.weights(step)

    def load_step(self, step: int, share: float = 1.0, others: Sequence[Path] = ()) -> None:
        """Take the weights of a checked step, mixed with the base's: ``base + share · (tuned - base)``.

        A mix often serves what training did not see better than either end (WiSE-FT, Wortsman et al. 2022).

        Args:
            step: one with a checkpoint, or 0 for the base.
            share: of the tuned weights, 1 for them alone.
            others: weights of runs that began from the same base with other seeds; the mean of all is then the tuned
                model (model soups, Wortsman et al. 2022).

        Raises:
            ParameterError: if the share does not lie above 0 and up to 1.
        """
        if not 0 < share <= 1:
            raise ParameterError(f"a share of the tuned weights must lie above 0 and up to 1, found {share}")
        if step == 0:
            self.model = self._base()
            return
        self.model = self._merged(self.weights(step))
        for number, file in enumerate(others, start=2):  # the mean so far, so that two models are held at a time
            _move(self.model, self._merged(file), 1 / number)
        if share < 1:
            tuned, self.model = self.model, self._base()
            _move(self.model, tuned, share)

    def _merged(self, file: Path) -> SentenceTransformer:
        """Return the model of saved weights, as an ordinary one."""
        from safetensors.torch import load_model

        model = self._base()
        self._prepare(model)
        load_model(model, str(file))
        merge_lora(model)
        return model


def _move(model: SentenceTransformer, other: SentenceTransformer, share: float) -> None:
    """Move a model's weights by a share of the way to another's."""
    import torch

    ends = other.state_dict()
    for name, weight in model.state_dict().items():
        if weight.is_floating_point():
            weight.copy_(torch.lerp(weight, ends[name], share))


def _attend(model: SentenceTransformer, implementation: str) -> None:
    """Let a transformer attend as is fastest; one that knows a single way keeps to it, and need not say so."""
    if hasattr(model[0], "auto_model"):
        with quiet():
            model[0].auto_model.set_attn_implementation(implementation)
