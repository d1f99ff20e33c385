"""Passages of so many words."""

from __future__ import annotations

import pandas as pd

from embedlab.errors import ParameterError


def passages(text: str, words: int, overlap: int) -> list[str]:
    """Cut a text into passages of ``words`` words that overlap by ``overlap``; an empty text is one passage.

    Raises:
        ParameterError: passages that overlap by all their words, which would never come to an end.
    """
    if not 0 <= overlap < words:
        raise ParameterError(
            f"passages of {words} words cannot overlap by {overlap}: choose an overlap from 0 to {words - 1} words"
        )
    tokens = text.split()
    # A passage that starts later would hold words of the passage before it alone.
    stop = max(len(tokens) - overlap, 1)
    found = []
    for start in range(0, stop, words - overlap):
        found.append(" ".join(tokens[start : start + words]))
    return found


def titled_passages(corpus: pd.DataFrame, words: int, overlap: int, is_cut: pd.Series | None = None) -> pd.Series:
    """Return passages by the id of their document, each with the document's title before it.

    Args:
        corpus: ``doc_id, title, text``.
        words: words in a passage, its title not counted.
        overlap: words that neighbouring passages share.
        is_cut: by row of the corpus, whether the document is cut; the others stay whole. None: all are cut.
    """
    if is_cut is None:
        is_cut = pd.Series(True, index=corpus.index)
    owners: list[str] = []
    found: list[str] = []
    documents = zip(corpus["doc_id"], corpus["title"], corpus["text"], is_cut, strict=True)
    for doc_id, title, text, is_long in documents:
        parts = passages(text, words, overlap) if is_long else [text]
        for part in parts:
            owners.append(doc_id)
            found.append(f"{title} {part}".strip())
    return pd.Series(found, index=owners)
