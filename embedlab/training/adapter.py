"""A linear map of query vectors, learned on vectors that stay as they are: no document is embedded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embedlab.errors import IdentityError, ParameterError
from embedlab.models.cache import VectorCache, Vectors
from embedlab.models.encoder import Encoder, Kind, normalize, through_cache
from embedlab.models.variants import EncodesTexts
from embedlab.progress import Progress
from embedlab.training.batches import Batch, BatchSampler
from embedlab.training.losses import multiple_negatives
from embedlab.training.recipe import Recipe
from embedlab.training.validation import Encode, Validation

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

FILE = "query_adapter.safetensors"


@dataclass(frozen=True)
class AdapterSettings:
    """Settings of an adapter's training.

    Attributes:
        steps: of each decay.
        pairs: of a query and its document, drawn for each step.
        learning_rate: of AdamW.
        decays: weight decays that are tried; each pulls the map towards one that changes nothing.
        check_every: steps between validations.
        seed: of the draws.
    """

    steps: int = 150
    pairs: int = 1024
    learning_rate: float = 1e-3
    decays: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0)
    check_every: int = 25
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "pairs", "check_every"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if not self.decays:
            raise ParameterError("decays must name one or more weight decays")


@dataclass(frozen=True)
class QueryAdapter:
    """A matrix that query vectors are multiplied by.

    Attributes:
        matrix: float32 ``[dimensions, dimensions]``; the identity changes nothing.
        base: digest of the identity of the model whose vectors it turns.
    """

    matrix: NDArray[np.float32]
    base: str

    def turned(self, vectors: Vectors) -> Vectors:
        """Return query vectors as the adapter turns them, of unit length."""
        return normalize(vectors @ self.matrix)

    def save(self, folder: Path) -> None:
        """Write the matrix and whose it is, as safetensors."""
        from safetensors.numpy import save_file

        save_file({"matrix": self.matrix}, folder / FILE, {"base": self.base})

    @classmethod
    def load(cls, folder: Path, encoder: EncodesTexts) -> QueryAdapter:
        """Return the adapter that was saved in a folder.

        Raises:
            IdentityError: if it was made for another model.
        """
        from safetensors import safe_open

        with safe_open(str(folder / FILE), framework="numpy") as file:
            found = cls(file.get_tensor("matrix"), file.metadata()["base"])
        if found.base != encoder.identity.digest:
            raise IdentityError(
                f"{folder / FILE}: made for the vectors of model {found.base}, not for {encoder.identity.digest} "
                f"({encoder.name})"
            )
        return found


@dataclass(frozen=True)
class Adapted:
    """A model whose queries go through an adapter; its documents' vectors, and every index, stay as they are."""

    encoder: EncodesTexts
    adapter: QueryAdapter

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one unit vector a text, float32 ``[len(texts), dimensions]``."""
        vectors = self.encoder.encode(texts, kind)
        return self.adapter.turned(vectors) if kind == "query" else vectors


class Frozen:
    """A function that encodes, as a model that computes no text twice.

    Args:
        encode: encodes (texts, kind).
        encoder: the model whose weights it began with.
        name: for tables.
        known: vectors that the same weights gave before; None for none.
    """

    routed = False

    def __init__(self, encode: Encode, encoder: Encoder, name: str, known: VectorCache | None = None) -> None:
        self.identity, self.prompt, self.name = encoder.identity, encoder.prompt, name
        self._encode = encode
        self._known = known or VectorCache(None, encoder.identity.digest)

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one unit vector a text, float32 ``[len(texts), dimensions]``."""
        return through_cache(self, self._known, texts, kind)

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return what :meth:`encode` does, computed anew."""
        found: Vectors = self._encode(texts, kind)
        return found


def add_route(model: SentenceTransformer, adapter: QueryAdapter) -> None:
    """Let the queries of a model go through an adapter, by a router behind its last module."""
    import torch
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    size = len(adapter.matrix)
    turn = Dense(size, size, bias=False, activation_function=torch.nn.Identity())
    turn.linear.weight.data = torch.from_numpy(adapter.matrix.T.copy())
    routes = {"query": [turn, Normalize()], "document": [Normalize()]}
    model.append(Router(routes, default_route="document"))


@dataclass(frozen=True)
class FittedAdapter:
    """An adapter and what it was chosen by.

    Attributes:
        adapter: the one of the best validation score; it changes nothing where no other was better than that.
        curve: ``decay, step, validation``, one row a check; step 0 is the model without an adapter.
        decay: of the one chosen.
        step: likewise.
    """

    adapter: QueryAdapter
    curve: pd.DataFrame
    decay: float
    step: int


def fit_adapter(
    encoder: EncodesTexts,
    rows: pd.DataFrame,
    documents: pd.Series,
    relatives: Mapping[str, str],
    validation: Validation,
    settings: AdapterSettings | None = None,
) -> FittedAdapter:
    """Learn a linear map of a model's query vectors; validation chooses how far it goes.

    The loss is multiple negatives ranking over all documents that are some row's positive, with the mask of the
    batches: a softmax over a whole corpus costs nothing where its vectors are known.

    Args:
        encoder: the model; its vectors are taken as they are.
        rows: training rows of the canonical store.
        documents: document texts by id.
        relatives: family by document id.
        validation: chooses decay and step, and whether there is to be an adapter at all.
        settings: of the training; None for the defaults.

    Raises:
        DataError: if there are fewer than two documents to learn from.
    """
    chosen = settings or AdapterSettings()
    sampler = BatchSampler(rows, relatives, Recipe(seed=chosen.seed))
    data = _Data.of(encoder, sampler.everything(), documents, sampler.recipe.queries_per_document)
    nothing = QueryAdapter(np.eye(encoder.identity.dimensions, dtype=np.float32), encoder.identity.digest)
    best = float(validation.scores(encoder.encode).mean())
    found, at = nothing, (0.0, 0)
    checks = [(0.0, 0, best)]
    with Progress("Fitting adapters", len(chosen.decays) * chosen.steps) as bar:
        for decay in chosen.decays:
            for step, matrix in _steps(data, decay, chosen, bar):
                adapter = QueryAdapter(matrix, nothing.base)
                score = float(validation.scores(Adapted(encoder, adapter).encode).mean())
                checks.append((decay, step, score))
                if score > best:
                    best, found, at = score, adapter, (decay, step)
    return FittedAdapter(found, pd.DataFrame(checks, columns=["decay", "step", "validation"]), *at)


@dataclass(frozen=True)
class _Data:
    """Vectors and masks of all pairs: queries ``[p, d]``, documents ``[m, d]``, and how often a pair is drawn."""

    queries: Tensor
    documents: Tensor
    target: Tensor
    allowed: Tensor
    weight: Tensor

    @classmethod
    def of(cls, encoder: EncodesTexts, batch: Batch, documents: pd.Series, at_most: int) -> _Data:
        """Encode a batch; a document's queries count together as at most so many, as in the batches of training."""
        import torch

        target = torch.from_numpy(batch.target)
        counts = torch.bincount(target).float()
        return cls(
            torch.from_numpy(encoder.encode(batch.queries, "query")),
            torch.from_numpy(encoder.encode([documents[doc_id] for doc_id in batch.documents])),
            target,
            torch.from_numpy(batch.allowed),
            (counts.clamp(max=at_most) / counts)[target],
        )


def _steps(
    data: _Data, decay: float, settings: AdapterSettings, bar: Progress
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Train with one decay; yield step and matrix at every check."""
    import torch
    from torch.nn.functional import normalize as unit

    size = data.queries.shape[1]
    change = torch.zeros(size, size, requires_grad=True)
    optimizer = torch.optim.AdamW([change], lr=settings.learning_rate, weight_decay=decay)
    draws = torch.Generator().manual_seed(settings.seed)
    for step in range(1, settings.steps + 1):
        drawn = torch.multinomial(data.weight, min(settings.pairs, len(data.weight)), generator=draws)
        queries = data.queries[drawn]
        scores = unit(queries + queries @ change, dim=1) @ data.documents.T
        loss = multiple_negatives(scores, data.target[drawn], data.allowed[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.advance()
        if step % settings.check_every == 0 or step == settings.steps:
            yield step, (torch.eye(size) + change.detach()).numpy()
