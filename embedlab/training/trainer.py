"""The training loop: bf16 autocast, validation by retrieval, checkpoints that resume."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embedlab.errors import ParameterError, nearest
from embedlab.files import replace_folder
from embedlab.models.cache import Vectors
from embedlab.models.encoder import Encoder, Kind, encode_texts
from embedlab.models.loading import load_sentence_transformer
from embedlab.progress import Progress
from embedlab.training.batches import Batch, BatchSampler
from embedlab.training.losses import LOSSES
from embedlab.training.recipe import Recipe
from embedlab.training.validation import History, Validation

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


QUERY_CHUNK = 64


class Trainer:
    """Fine-tune a copy of a model.

    Args:
        encoder: the base model.
        rows: the canonical training store (its ``train`` rows).
        documents: document texts by id.
        relatives: family by document id; may be empty.
        recipe: all settings.
        validation: what the model is scored on while it learns; None for a run without.
        folder: where checkpoints go; a run with the same inputs continues from there.
    """

    def __init__(
        self,
        encoder: Encoder,
        rows: pd.DataFrame,
        documents: pd.Series,
        relatives: dict[str, str],
        recipe: Recipe,
        validation: Validation | None = None,
        folder: Path | None = None,
    ) -> None:
        if recipe.loss not in LOSSES:
            raise ParameterError(f"unknown loss {recipe.loss!r}{nearest(recipe.loss, list(LOSSES))}")
        self.loss, wants_hard = LOSSES[recipe.loss]
        self.recipe = recipe if wants_hard else replace(recipe, hard_negatives=0)
        self.encoder, self.documents, self.validation, self.folder = encoder, documents, validation, folder
        self.sampler = BatchSampler(rows, relatives, self.recipe)
        self.history = History()
        self.step = 0
        self.model = self._fresh()
        self.optimizer = self._optimizer()

    def _fresh(self) -> SentenceTransformer:
        """Load the base in fp32, without dropout and with eager attention (faster to train on a CPU)."""
        import torch

        torch.manual_seed(self.recipe.seed)
        model = load_sentence_transformer(self.encoder.files)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if hasattr(model[0], "auto_model"):
            model[0].auto_model.set_attn_implementation("eager")
        return model

    def _optimizer(self) -> Any:
        import torch

        weights = [p for p in self.model.parameters() if p.requires_grad]
        return torch.optim.AdamW(weights, lr=self.recipe.learning_rate, weight_decay=self.recipe.weight_decay)

    # --- the loop -------------------------------------------------------------------------

    def fit(self, check_every: int = 0, patience: int = 0) -> History:
        """Train until the recipe's last step, or until validation stops getting better.

        Args:
            check_every: validate and save a checkpoint after so many steps; 0 for never.
            patience: stop after so many checks without a new best; 0 for never.
        """
        self._resume()
        if check_every and not self.history.checks:
            self._check()
        with Progress(f"Training ({self.recipe.loss})", self.recipe.steps) as bar:
            bar.advance(self.step)
            while self.step < self.recipe.steps and not self._exhausted(patience):
                self.history.loss.append(self._train_step(self.sampler.batch(self.step)))
                self.step += 1
                bar.advance()
                if check_every and (self.step % check_every == 0 or self.step == self.recipe.steps):
                    self._check()
        return self.history

    def _exhausted(self, patience: int) -> bool:
        steps = list(self.history.checks)
        return bool(patience and steps) and len(steps) - 1 - steps.index(self.history.best()) >= patience

    def _train_step(self, batch: Batch) -> float:
        import torch

        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        low = self.encoder.identity.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            texts = [self.documents[d] for d in batch.documents]
            documents = self.embed(texts, "document", self.recipe.document_tokens)
            queries = self._embed_queries(batch.queries)
        scores = queries.float() @ documents.float().T
        loss = self.loss(scores, torch.from_numpy(batch.target), torch.from_numpy(batch.allowed))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _embed_queries(self, texts: list[str]) -> Tensor:
        """Encode queries in chunks of similar length, in the order given."""
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        chunks = [order[i : i + QUERY_CHUNK] for i in range(0, len(order), QUERY_CHUNK)]
        parts = [self.embed([texts[i] for i in chunk], "query", self.recipe.query_tokens) for chunk in chunks]
        back = torch.tensor(np.argsort(order))
        return torch.cat(parts)[back]

    def embed(self, texts: list[str], kind: str, tokens: int) -> Tensor:
        """Return unit vectors of texts cut at so many tokens, ``[texts, d]``, as training sees them: with gradients."""
        from torch.nn.functional import normalize as unit

        prompt = self.encoder.prompt("query" if kind == "query" else "document")
        if self.encoder.identity.max_length:  # a static model has no limit to set
            self.model.max_seq_length = min(tokens, self.encoder.identity.max_length)
        features = self.model.preprocess(texts, prompt=prompt) if prompt else self.model.preprocess(texts)
        return unit(self.model(features)["sentence_embedding"].float(), dim=1)

    # --- validation and checkpoints -------------------------------------------------------

    def _check(self) -> None:
        if self.validation is not None:
            scores = self.validation.scores(self.frozen_encode())
            self.history.checks[self.step] = {str(q): float(v) for q, v in scores.items()}
        if self.folder is not None:
            self._save()

    def frozen_encode(self) -> Callable[[list[str], Kind], Vectors]:
        """Return a function that encodes (texts, kind) with the weights as they are now."""
        import torch

        frozen = copy.deepcopy(self.model).to(getattr(torch, self.encoder.identity.precision))
        frozen.eval()
        if hasattr(frozen[0], "auto_model"):
            frozen[0].auto_model.set_attn_implementation("sdpa")  # faster without gradients
        if self.encoder.identity.max_length:
            frozen.max_seq_length = self.encoder.identity.max_length

        def encode(texts: list[str], kind: Kind) -> Vectors:
            return encode_texts(frozen, texts, self.encoder.prompt(kind), kind)

        return encode

    def save_model(self, folder: Path) -> None:
        """Save the weights as they are now, in sentence-transformers' format, safetensors only."""
        if self.encoder.identity.max_length:
            self.model.max_seq_length = self.encoder.identity.max_length
        backend = getattr(getattr(self.model, "tokenizer", None), "backend_tokenizer", None)
        if backend is not None:  # a tokenizer saves how it cut its last batch: files would differ by history
            backend.no_truncation()
            backend.no_padding()
        self.model.save(str(folder), create_model_card=False, safe_serialization=True)

    def load_step(self, step: int, share: float = 1.0) -> None:
        """Take the weights of a checked step, mixed with the base's: ``base + share · (tuned - base)``.

        A mix often serves what training did not see better than either end (WiSE-FT, Wortsman et al. 2022).

        Args:
            step: one with a checkpoint, or 0 for the base.
            share: of the tuned weights, 1 for them alone.

        Raises:
            ParameterError: if the share does not lie above 0 and up to 1.
        """
        import torch
        from safetensors.torch import load_model

        if not 0 < share <= 1:
            raise ParameterError(f"a share of the tuned weights must lie above 0 and up to 1, found {share}")
        self.model = self._fresh()
        if step == 0:
            return
        assert self.folder is not None
        base = {name: weight.clone() for name, weight in self.model.state_dict().items()}
        load_model(self.model, str(self.folder / f"step-{step:05d}" / "weights.safetensors"))
        if share != 1.0:
            for name, weight in self.model.state_dict().items():
                if weight.is_floating_point():
                    weight.copy_(torch.lerp(base[name], weight, share))

    def _save(self) -> None:
        """Save this step atomically; weights are kept for the chosen step and the last one."""
        import torch
        from safetensors.torch import save_model

        assert self.folder is not None
        state = {"step": self.step, "loss": self.history.loss, "checks": self.history.checks}
        with replace_folder(self.folder / f"step-{self.step:05d}") as checkpoint:
            save_model(self.model, str(checkpoint / "weights.safetensors"))
            torch.save(self.optimizer.state_dict(), checkpoint / "optimizer.pt")
            (checkpoint / "state.json").write_text(json.dumps(state))
        keep = {self.step, self.history.chosen() if self.history.checks else self.step}
        for old in self.folder.glob("step-*"):
            if int(old.name.split("-")[1]) not in keep:
                shutil.rmtree(old)

    def _resume(self) -> None:
        """Continue from the last complete checkpoint, if there is one."""
        import torch
        from safetensors.torch import load_model

        found = sorted(self.folder.glob("step-*")) if self.folder is not None else []
        if not found:
            return
        state = json.loads((found[-1] / "state.json").read_text())
        load_model(self.model, str(found[-1] / "weights.safetensors"))
        self.optimizer.load_state_dict(torch.load(found[-1] / "optimizer.pt", weights_only=True))
        self.step = state["step"]
        self.history = History(state["loss"], {int(s): c for s, c in state["checks"].items()})
