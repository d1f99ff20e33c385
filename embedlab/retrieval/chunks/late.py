"""Late chunking: passages whose vectors are pooled from a document that the model has read as a whole.

Günther et al. 2024, "Late Chunking: Contextual Chunk Embeddings Using Long-Context Embedding Models".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embedlab.errors import ParameterError
from embedlab.models.cache import Vectors
from embedlab.models.encoder import ALONE, BATCH, Encoder, normalize
from embedlab.progress import Progress
from embedlab.retrieval.chunks.cutting import Cutter, Cutting, tokenizer_of
from embedlab.retrieval.chunks.search import PassageSearch, check_scores
from embedlab.retrieval.chunks.windows import Places, Span, token_starts, windows, word_starts, written

if TYPE_CHECKING:
    from tokenizers import Encoding

SHARED = 4
"""Neighbouring windows share the fourth part of what the model reads."""

TOGETHER = 65_536
"""Tokens whose vectors are held at a time: 100 MB of 384 dimensions."""

LEAD, TAIL = -1, np.iinfo(np.int64).max
"""Where tokens stand that are no part of a document's text: special tokens and the prompt before it, special behind."""


class LateChunked(PassageSearch):
    """Search over passages that were encoded in the context of their whole document.

    The model reads title and text of a document at once; a passage's vector is the mean of its own tokens' vectors.
    The special tokens and the prompt that stand before the document count as the first passage's, those behind it as
    the last one's, so that a document of one passage has the vector that the model itself gives it. A document longer
    than the model's limit is read in windows that share a fourth of their tokens; what two windows share is taken from
    the first of them (algorithm 2 of the paper).

    Args:
        encoder: a transformer with mean pooling; the longer its limit, the more a passage knows of its document.
        corpus: ``doc_id, title, text``.
        cutting: how; the title stands once, before the document, and no heading is repeated: the context tells.
        scores: how a document scores, as for :class:`PassageSearch`.
        top: passages in the mean.
        name: in tables.

    Raises:
        ParameterError: if the model has no vectors for tokens in context, or pools them in another way.
    """

    def __init__(
        self,
        encoder: Encoder,
        corpus: pd.DataFrame,
        cutting: Cutting,
        scores: str = "max",
        top: int = 3,
        name: str = "",
    ) -> None:
        check_scores(scores, top)
        require_mean_pooling(encoder)
        titles = corpus["title"] if cutting.title else ""
        texts = (titles + " " + corpus["text"]).str.strip().tolist()
        cutter = Cutter(replace(cutting, title=False), encoder)
        starts = token_starts(cutter.tokenizer, texts)
        spans = [cutter.spans(text, own, cutter.room) for text, own in zip(texts, starts, strict=True)]
        owners = [doc_id for doc_id, own in zip(corpus["doc_id"], spans, strict=True) for _ in own]
        passages = [written(text, span) for text, own in zip(texts, spans, strict=True) for span in own]
        vectors = late_vectors(encoder, texts, starts, spans)
        named = name or f"{encoder.name}, late chunking"
        super().__init__(encoder, pd.Series(passages, index=owners, dtype=object), vectors, scores, top, named)


def require_mean_pooling(encoder: Encoder) -> None:
    """Raise a ParameterError unless the model's vector is the mean of its tokens' vectors."""
    if not encoder.identity.max_length:
        raise ParameterError(
            f"late chunking needs a model that reads tokens in context; {encoder.name} is a table of word vectors"
        )
    mode = getattr(_pooling(encoder), "pooling_mode", None)
    if mode != "mean":
        raise ParameterError(
            f"late chunking needs a model with mean pooling; {encoder.name} pools by {mode or 'a module of its own'}: "
            "its token vectors were not trained to be averaged"
        )


def _pooling(encoder: Encoder) -> Any:
    """Return the module that makes one vector of a text's, or None."""
    return next((module for module in encoder.model if type(module).__name__ == "Pooling"), None)


def late_vectors(encoder: Encoder, texts: list[str], starts: list[Places], spans: list[list[Span]]) -> Vectors:
    """Return one vector a passage, float32 ``[passages, dimensions]``, of unit length.

    Args:
        encoder: with mean pooling.
        texts: of whole documents.
        starts: the characters at which the tokens of each begin.
        spans: the passages of each, which cover it.
    """
    reader = _Reader(encoder)
    # Documents of like length are read together, the longest first, so that memory fails early.
    order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
    size = max(TOGETHER // encoder.identity.max_length, 1)
    means: dict[int, list[Vectors]] = {}
    with Progress("Encoding documents as a whole", len(texts), worth_showing=len(texts) > BATCH) as bar:
        for begin in range(0, len(order), size):
            part = order[begin : begin + size]
            read = reader.read([texts[at] for at in part], [starts[at] for at in part])
            for at, (places, vectors) in zip(part, read, strict=True):
                means[at] = [_mean(places, vectors, span) for span in spans[at]]
            bar.advance(len(part))
    found = [mean for at in range(len(texts)) for mean in means[at]]
    return _after_pooling(encoder, found)


class _Reader:
    """Reads whole documents: a vector for each token, and the character of the document at which it stands."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.prompt = encoder.prompt("document")
        limit = encoder.identity.max_length
        self.tokenizer = tokenizer_of(encoder)
        self.room = limit - len(self.tokenizer.encode(self.prompt))
        # As the model does where a window has more tokens by itself than it had within its document.
        self.tokenizer.enable_truncation(limit)
        # Models that leave their prompt out of the mean leave out the special token before it, too.
        self.first = LEAD if not self.prompt or _pooling(encoder).include_prompt else 0

    def read(self, texts: list[str], starts: list[Places]) -> list[tuple[Places, Vectors]]:
        """Return for each text the places of its tokens ``[tokens]`` and their vectors ``[tokens, d]``."""
        stretches = [self._windows(text, own) for text, own in zip(texts, starts, strict=True)]
        windows_read = []
        for text, own in zip(texts, stretches, strict=True):
            windows_read += [self.prompt + text[begin:end] for begin, end in own]
        encodings = iter(self.tokenizer.encode_batch(windows_read))
        vectors = iter(self._vectors(windows_read))
        found = []
        for text, own in zip(texts, stretches, strict=True):
            places = [self._places(next(encodings), begin) for begin, _ in own]
            matrices = [next(vectors) for _ in own]
            found.append(_joined(places, matrices, self.first, len(text)))
        return found

    def _windows(self, text: str, starts: Places) -> list[tuple[int, int]]:
        """Return the stretches of a text that are read at once, in characters."""
        ranges = windows(len(starts), word_starts(text, starts), self.room, self.room // SHARED)
        bounds = np.r_[0, starts[1:], len(text)] if len(starts) else np.array([0, len(text)])
        return [(int(bounds[first]), int(bounds[last] if len(starts) else len(text))) for first, last in ranges]

    def _vectors(self, texts: list[str]) -> list[Vectors]:
        """Return the vectors of each text's tokens, special ones and prompt included."""
        model = self.encoder.model
        with ALONE:
            rows = model.encode(texts, batch_size=BATCH, show_progress_bar=False, output_value="token_embeddings")
        return [row.float().cpu().numpy() for row in rows]

    def _places(self, encoding: Encoding, begin: int) -> Places:
        """Return where in the document each token stands: :data:`LEAD` before its text, :data:`TAIL` behind it."""
        places = np.array([start for start, _ in encoding.offsets], dtype=np.int64) - len(self.prompt)
        is_special = np.array(encoding.special_tokens_mask, dtype=bool)
        is_text = ~is_special & (places >= 0)
        is_behind = is_special & (np.cumsum(~is_special) == (~is_special).sum())
        is_behind[:1] &= len(places) == 1
        return np.where(is_text, places + begin, np.where(is_behind, TAIL, LEAD))


def _joined(places: list[Places], vectors: list[Vectors], first: int, length: int) -> tuple[Places, Vectors]:
    """Return what windows of one document have read, each token once, by the first window that reads it.

    Args:
        places: of the tokens of each window.
        vectors: of these tokens.
        first: the first place that counts.
        length: characters of the document.
    """
    found_places, found = [], []
    read = first - 1
    for number, (here, matrix) in enumerate(zip(places, vectors, strict=True), start=1):
        is_last = number == len(places)
        is_new = (here > read) & ((here < TAIL) | is_last)
        found_places.append(here[is_new])
        found.append(matrix[is_new])
        read = int(here[here < TAIL].max(initial=read))
    return np.clip(np.concatenate(found_places), 0, max(length - 1, 0)), np.concatenate(found)


def _mean(places: Places, vectors: Vectors, span: Span) -> Vectors:
    """Return the mean vector of the tokens that begin within a passage; of all, where it has none."""
    own = (places >= span.start) & (places < span.end)
    return np.asarray((vectors[own] if own.any() else vectors).mean(axis=0), dtype=np.float32)


def _after_pooling(encoder: Encoder, means: list[Vectors]) -> Vectors:
    """Return what the modules behind the model's pooling make of vectors, such as a smaller size, at unit length."""
    import torch

    if not means:
        return np.empty((0, encoder.identity.dimensions), dtype=np.float32)
    weights = next(encoder.model.parameters())
    features = {"sentence_embedding": torch.from_numpy(np.stack(means)).to(weights)}
    modules = list(encoder.model)
    behind = modules[modules.index(_pooling(encoder)) + 1 :]
    with ALONE, torch.inference_mode():
        for module in behind:
            features = module(features)
    return normalize(features["sentence_embedding"].float().cpu().numpy())
