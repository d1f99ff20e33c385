"""A cross-encoder trained from the base model's own weights, to put first results in a better order."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from embedlab.data.text import stable_hash
from embedlab.errors import DataError, ModelError, ParameterError, nearest
from embedlab.files import read_json, replace_folder, sha256_json
from embedlab.models.encoder import Encoder
from embedlab.models.files.folder import modules_of
from embedlab.models.loading import naming, quiet
from embedlab.progress import Progress
from embedlab.trainset.answers import known_answers

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

MADE_FROM = "embedlab.json"
"""File of a trained cross-encoder that says what it was trained from."""

SURE = 20.0
"""Grade of a list's positive: listwise targets are a softmax over grades, of which this makes one that is all but 1."""

LOSSES = ("listwise", "pairwise", "pointwise")
"""Softmax over each query's list; LambdaLoss over its pairs; binary cross-entropy of each pair by itself."""


@dataclass(frozen=True)
class CrossEncoderSettings:
    """Settings of a cross-encoder's training.

    ``listwise`` is the cross-entropy of the positive within its list (localized contrastive estimation,
    Gao et al. 2021), ``pairwise`` LambdaLoss (Wang et al. 2018), ``pointwise`` binary cross-entropy.

    Attributes:
        loss: one of :data:`LOSSES`.
        steps: batches of the whole training.
        queries: lists a batch, each of one query.
        negatives: documents of a list beside its positive, at most.
        learning_rate: the highest one; it rises linearly during warm-up and then falls to 0.
        warmup: share of the steps.
        weight_decay: of AdamW.
        max_tokens: tokens of a pair that are read.
        seed: of the new head's weights, the rows and their order.
    """

    loss: str = "listwise"
    steps: int = 300
    queries: int = 4
    negatives: int = 7
    learning_rate: float = 1e-4
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_tokens: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ParameterError(f"unknown loss {self.loss!r}{nearest(self.loss, list(LOSSES))}")
        for name in ("steps", "queries", "negatives", "max_tokens"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise ParameterError(f"learning_rate must lie between 0 and 1, found {self.learning_rate}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def train_cross_encoder(
    encoder: Encoder, rows: pd.DataFrame, documents: pd.Series, settings: CrossEncoderSettings, folder: Path
) -> Path:
    """Train a cross-encoder that begins as the base model with a new head, and save it.

    The same arguments give the same weights on the same machine's processor; where the folder holds them already,
    nothing is trained again.

    Args:
        encoder: the base model; its device and its precision are those of the training, too.
        rows: of the canonical store: ``query_id, text, positive_ids, negatives`` and, where judged, ``known_ids``.
        documents: texts by document id.
        settings: of the training.
        folder: where it is saved, as safetensors, for :func:`embedlab.models.load_cross_encoder`; replaced as a whole.

    Returns:
        the folder.

    Raises:
        DataError: if no row has a negative, or a row names a document that is not there.
        ModelError: if the base is no transformer.
    """
    lists = labelled_lists(rows, documents, settings)
    key = sha256_json([encoder.identity.digest, settings.as_dict(), lists.to_dict()])
    with Progress("Training the cross-encoder", settings.steps) as bar:
        if _key_of(folder) == key:
            bar.advance(settings.steps)
            return folder
        model = _trained(encoder, lists, settings, bar)
    with replace_folder(folder) as new:
        _save(model, new)
        (new / MADE_FROM).write_text(json.dumps({"key": key, "settings": settings.as_dict()}))
    return folder


def _key_of(folder: Path) -> str | None:
    """Return the key of the training whose result lies in a folder; None where there is none."""
    file = folder / MADE_FROM
    return read_json(file, dict, DataError, f"delete {folder}").get("key") if file.is_file() else None


def _trained(encoder: Encoder, lists: Dataset, settings: CrossEncoderSettings, bar: Progress) -> CrossEncoder:
    from sentence_transformers.cross_encoder import CrossEncoderTrainer
    from transformers import PrinterCallback

    with naming(encoder.files.folder), quiet():
        model = _headed(encoder, settings)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = CrossEncoderTrainer(
            model=model,
            args=_arguments(settings, encoder, scratch),
            train_dataset=lists,
            loss=_loss(model, settings),
            callbacks=[_bar_mover(bar)],
        )
        trainer.remove_callback(PrinterCallback)  # it prints the times, which differ each time
        trainer.train()
    return model


# --- what it learns from --------------------------------------------------------------------------


def labelled_lists(rows: pd.DataFrame, documents: pd.Series, settings: CrossEncoderSettings) -> Dataset:
    """Return the training's data in sentence-transformers' form: queries with documents and their labels.

    A row gives a list: one of its positives, drawn by the seed, and its first negatives. Rows are drawn by the
    seed, each once before any comes a second time. A document known to answer a query is never its negative.
    """
    from datasets import Dataset

    found = list(_lists(rows, documents, settings))
    if not found:
        raise DataError("no training row has a negative: mine some, a cross-encoder learns from nothing else")
    wanted = settings.steps * settings.queries
    drawn = (found * (wanted // len(found) + 1))[:wanted]
    if settings.loss == "pointwise":
        return Dataset.from_list(
            [
                {"query": query, "document": text, "label": float(at == 0)}
                for query, texts in drawn
                for at, text in enumerate(texts)
            ]
        )
    top = SURE if settings.loss == "listwise" else 1.0
    labels = [[top] + [0.0] * (len(texts) - 1) for _, texts in drawn]
    queries, texts = zip(*drawn, strict=True)
    return Dataset.from_dict({"query": list(queries), "documents": list(texts), "labels": labels})


def _lists(rows: pd.DataFrame, documents: pd.Series, settings: CrossEncoderSettings) -> Iterator[tuple[str, list[str]]]:
    """Yield each query with its positive's text first and those of its negatives, in the order of the draw."""
    order = sorted(range(len(rows)), key=lambda at: stable_hash("list", settings.seed, rows["query_id"].iloc[at]))
    answers = known_answers(rows)
    for at in order:
        row = rows.iloc[at]
        wrong = [negative["id"] for negative in row["negatives"] if negative["id"] not in answers[at]]
        if not wrong:
            continue
        positive = min(row["positive_ids"], key=lambda d: stable_hash("positive", settings.seed, row["query_id"], d))
        ids = [positive, *wrong[: settings.negatives]]
        missing = [doc_id for doc_id in ids if doc_id not in documents.index]
        if missing:
            raise DataError(f"{row['query_id']}: {missing[0]!r} is no document of the collection")
        yield row["text"], [documents[doc_id] for doc_id in ids]


# --- the model ------------------------------------------------------------------------------------


def _headed(encoder: Encoder, settings: CrossEncoderSettings) -> CrossEncoder:
    """Return the base in fp32 with a new head for one number, without dropout, and on a CPU with eager attention.

    Both make training on a processor about twice as fast.
    """
    import torch
    from sentence_transformers import CrossEncoder

    if encoder.files.is_static:
        raise ModelError(f"{encoder.name}: it reads no token in context, and cannot compare a query with a document")
    place = next(module.folder for module in modules_of(encoder.files.folder) if module.kind == "Transformer")
    attention = {"attn_implementation": "eager"} if encoder.device == "cpu" else {}
    torch.manual_seed(settings.seed)  # the head is drawn at random
    model = CrossEncoder(
        str(place),
        num_labels=1,
        max_length=min(settings.max_tokens, encoder.identity.max_length),
        activation_fn=torch.nn.Identity(),
        device=encoder.device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True} | attention,
    )
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def _loss(model: CrossEncoder, settings: CrossEncoderSettings) -> Any:
    from sentence_transformers.cross_encoder import losses

    if settings.loss == "pointwise":
        return losses.BinaryCrossEntropyLoss(model)
    # All pairs of a batch go through the model at once.
    kind = losses.ListNetLoss if settings.loss == "listwise" else losses.LambdaLoss
    return kind(model, mini_batch_size=-1)


def _arguments(settings: CrossEncoderSettings, encoder: Encoder, scratch: str) -> Any:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    pairs = settings.negatives + 1 if settings.loss == "pointwise" else 1
    return CrossEncoderTrainingArguments(
        output_dir=scratch,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.queries * pairs,
        learning_rate=settings.learning_rate,
        warmup_steps=round(settings.warmup * settings.steps),
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        bf16=encoder.identity.precision == "bfloat16",
        fp16=encoder.identity.precision == "float16",
        use_cpu=encoder.device == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _bar_mover(bar: Progress) -> Any:
    """Return what the trainer calls after each step, so that our bar moves."""
    from transformers import TrainerCallback

    class Mover(TrainerCallback):
        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            bar.advance()

    return Mover()


def _save(model: CrossEncoder, folder: Path) -> None:
    """Save the weights and a tokenizer that does not tell what it cut last."""
    tokenizer = model.tokenizer.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model.save(str(folder), create_model_card=False, safe_serialization=True)
