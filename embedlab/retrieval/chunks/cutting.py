"""Documents cut into passages by the model's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from embedlab.errors import ParameterError, nearest
from embedlab.models.identity import EmbeddingIdentity
from embedlab.models.loading import naming, tokenizer_file
from embedlab.progress import Progress
from embedlab.retrieval.base import Encodes
from embedlab.retrieval.chunks.sections import sections, sentence_starts
from embedlab.retrieval.chunks.windows import (
    Places,
    Span,
    packed,
    spans_of,
    token_starts,
    windows,
    word_starts,
    written,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KINDS = ("fixed", "sentences", "headings")

BATCH = 1000
"""Documents whose tokens are held at a time."""


@dataclass(frozen=True)
class Cutting:
    """How documents are cut into passages.

    A passage never has more tokens than ``tokens``, by the model's own tokenizer and with all that the model reads
    with it: special tokens, the model's prompt, the title and the heading. Title and heading take at most half of
    what special tokens and prompt leave; a longer title is cut there, a longer heading is not repeated.

    Attributes:
        kind: ``fixed``: windows of tokens, which end between words where there are any; ``sentences``: whole
            sentences, as many as fit, and a window where one alone does not; ``headings``: a new passage at every
            heading, sections that do not fit cut at sentences, with the heading before each part.
        tokens: of a passage.
        overlap: tokens that neighbouring passages share; sentences are shared whole, as many as fit.
        title: whether the document's title stands before every passage.
        language: whose abbreviations end no sentence, ISO 639-1.

    Raises:
        ParameterError: for another kind, or numbers that no text can be cut by.
    """

    kind: str = "fixed"
    tokens: int = 128
    overlap: int = 16
    title: bool = True
    language: str = "en"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ParameterError(f"unknown kind of passages {self.kind!r}{nearest(self.kind, list(KINDS))}")
        if not 0 <= self.overlap <= self.tokens // 2:
            raise ParameterError(
                f"passages of {self.tokens} tokens cannot overlap by {self.overlap}: choose an overlap from 0 to "
                f"{max(self.tokens // 2, 0)} tokens, half of a passage"
            )

    def in_words(self) -> str:
        """Return it as tables show it, such as ``sentences, 128 tokens, overlap 16``."""
        bare = "" if self.title else ", without title"
        return f"{self.kind}, {self.tokens} tokens, overlap {self.overlap}{bare}"


def cut(corpus: pd.DataFrame, cutting: Cutting, encoder: Encodes) -> pd.Series:
    """Return passages by the id of their document; passages of one document stand together, in their order.

    A document that fits is one passage: its title and its text. An empty one is one passage, too.

    Args:
        corpus: ``doc_id, title, text``.
        cutting: how.
        encoder: whose tokenizer counts. One that comes without the files of a model, such as one behind an endpoint,
            is counted for by words, punctuation marks and Chinese characters.

    Raises:
        ParameterError: if the model reads less than a passage, or its prompt leaves no room in one.
    """
    cutter = Cutter(cutting, encoder)
    titles = corpus["title"].tolist() if cutting.title else [""] * len(corpus)
    documents = list(zip(titles, corpus["text"], strict=True))
    owners: list[str] = []
    found: list[str] = []
    with Progress("Cutting documents", len(documents), worth_showing=len(documents) > 2 * BATCH) as bar:
        for start in range(0, len(documents), BATCH):
            part = documents[start : start + BATCH]
            ids = corpus["doc_id"].iloc[start : start + BATCH]
            for doc_id, own in zip(ids, cutter.passages(part), strict=True):
                owners += [doc_id] * len(own)
                found += own
            bar.advance(len(part))
    return pd.Series(found, index=owners, dtype=object)


def tokenizer_of(encoder: Encodes) -> Tokenizer:
    """Return a model's tokenizer, which cuts nothing off; one by words where the encoder has no files of a model."""
    from tokenizers import Tokenizer

    files = getattr(encoder, "files", None)
    if files is None:
        return _by_words()
    with naming(files.folder):
        tokenizer = Tokenizer.from_file(str(tokenizer_file(files)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def limit_and_prompt(encoder: Encodes) -> tuple[int, str]:
    """Return the tokens that a model reads of a document, 0 for any number, and what it wants before it."""
    if getattr(encoder, "files", None) is None:
        return 0, ""
    identity: EmbeddingIdentity = encoder.identity  # type: ignore[attr-defined]
    return identity.max_length, identity.document_prompt


def _by_words() -> Tokenizer:
    """Return a tokenizer whose tokens are words, punctuation marks and Chinese characters."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = BertNormalizer(strip_accents=False, lowercase=False)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


class Cutter:
    """Cuts texts by one tokenizer.

    Args:
        cutting: how.
        encoder: whose tokenizer, prompt and limit count.

    Raises:
        ParameterError: as :func:`cut` does.
    """

    def __init__(self, cutting: Cutting, encoder: Encodes) -> None:
        self.cutting = cutting
        self.tokenizer = tokenizer_of(encoder)
        limit, self.prompt = limit_and_prompt(encoder)
        if limit and cutting.tokens > limit:
            raise ParameterError(
                f"passages of {cutting.tokens} tokens: {encoder.name} reads at most {limit} and would cut "
                f"the rest off; choose {limit} or less"
            )
        self.room = cutting.tokens - len(self.tokenizer.encode(self.prompt))
        """Tokens for title, heading and text."""
        if self.room < 4:
            raise ParameterError(
                f"passages of {cutting.tokens} tokens leave {self.room} for a text after the special tokens and the "
                f"prompt of {encoder.name}; choose {cutting.tokens - self.room + 4} or more"
            )

    def passages(self, documents: Sequence[tuple[str, str]]) -> list[list[str]]:
        """Return the passages of each document, given as title and text."""
        titles = self._titles([title for title, _ in documents])
        texts = [text for _, text in documents]
        tokens = token_starts(self.tokenizer, texts)
        rooms = [self.room - used for _, used in titles]
        heads = [title for title, _ in titles]
        found = []
        for head, text, starts, room in zip(heads, texts, tokens, rooms, strict=True):
            found.append(self._written(head, text, self.spans(text, starts, room)))
        excess = self._excess(found)
        # Cut off from its neighbours, a piece of a word may be more tokens than it was within: then less is taken.
        while excess:
            for at, more in excess.items():
                rooms[at] = max(rooms[at] - more, 1)
                found[at] = self._written(heads[at], texts[at], self.spans(texts[at], tokens[at], rooms[at]))
            excess = self._excess([own if at in excess and rooms[at] > 1 else [] for at, own in enumerate(found)])
        return found

    def _titles(self, titles: list[str]) -> list[tuple[str, int]]:
        """Return each title, cut at half of the room, with its number of tokens."""
        most = self.room // 2
        found = []
        for title, starts in zip(titles, token_starts(self.tokenizer, titles), strict=True):
            kept = title if len(starts) <= most else title[: starts[most]].rstrip()
            found.append((kept, min(len(starts), most)))
        return found

    def _written(self, title: str, text: str, spans: list[Span]) -> list[str]:
        found = []
        for span in spans:
            before = f"{title} {span.heading}".strip()
            found.append(f"{before} {written(text, span)}".strip())
        return found

    def _excess(self, documents: list[list[str]]) -> dict[int, int]:
        """Return by position of a document by how many tokens its longest passage is too long, if it is."""
        owners = [at for at, own in enumerate(documents) for _ in own]
        passages = [self.prompt + passage for own in documents for passage in own]
        found: dict[int, int] = {}
        for at, encoding in zip(owners, self.tokenizer.encode_batch_fast(passages), strict=True):
            excess = len(encoding) - self.cutting.tokens
            if excess > found.get(at, 0):
                found[at] = excess
        return found

    def spans(self, text: str, starts: Places, room: int) -> list[Span]:
        """Return the passages of a text as stretches of it, which together cover it.

        Args:
            text: of the document.
            starts: the characters at which its tokens begin.
            room: tokens of a passage.
        """
        overlap = min(self.cutting.overlap, room // 2)
        if self.cutting.kind == "headings":
            return self._by_headings(text, starts, room, overlap)
        if self.cutting.kind == "sentences":
            ranges = self._by_sentences(text, starts, room, overlap)
        else:
            ranges = windows(len(starts), word_starts(text, starts), room, overlap)
        return spans_of(ranges, starts, 0, len(text))

    def _by_sentences(self, text: str, starts: Places, room: int, overlap: int) -> list[tuple[int, int]]:
        if len(starts) <= room:
            return [(0, len(starts))]
        first = np.searchsorted(starts, sentence_starts(text, self.cutting.language))
        bounds = np.unique(np.r_[0, first, len(starts)])
        return packed(bounds, word_starts(text, starts), room, overlap)

    def _by_headings(self, text: str, starts: Places, room: int, overlap: int) -> list[Span]:
        found: list[Span] = []
        for section in sections(text):
            first, body, last = np.searchsorted(starts, section).tolist()
            if last - first <= room:
                found.append(Span(section.start, section.end))
                continue
            begin, heading = section.heading_end, " ".join(text[section.start : section.heading_end].split())
            if body - first > room // 2:
                # It would leave too little to the text, so it stands where it is and is not repeated.
                begin, body, heading = section.start, first, ""
            left = room - (body - first)
            own = starts[body:last]
            ranges = self._by_sentences(text[begin : section.end], own - begin, left, min(overlap, left // 2))
            parts = spans_of(ranges, own, begin, section.end)
            # Before the first part the heading stands already.
            found.append(parts[0]._replace(start=section.start))
            found += [span._replace(heading=heading) for span in parts[1:]]
        return found
