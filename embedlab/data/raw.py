"""What a source hands over: rows as read, and what was noticed on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral

import pandas as pd

from embedlab.data.text import stable_hash
from embedlab.errors import ParameterError


@dataclass(frozen=True)
class Finding:
    """Something noticed on loading; ``level`` is ``error`` (stops a run) or ``warning``."""

    kind: str
    level: str
    where: str
    id: str
    detail: str


@dataclass
class Raw:
    """What a source reads, before parts are made.

    ``given`` maps query id to its own split; ``judgments`` are the judgments as they stand in the
    files, ``query_id, doc_id, relevance, where``, for validation to name the row.
    """

    corpus: pd.DataFrame
    queries: pd.DataFrame
    qrels: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)
    documentation: pd.DataFrame | None = None
    notice: str = ""
    cap: int | None = None
    judgments: pd.DataFrame | None = None
    judgment_rows: int = 0


def whole_families(corpus: pd.DataFrame, documents: int) -> pd.DataFrame:
    """Return at most so many documents of a corpus, whole families of a fixed order; 0 for all.

    Raises:
        ParameterError: if that is no number of documents.
    """
    if isinstance(documents, bool) or not isinstance(documents, Integral) or documents < 0:
        raise ParameterError(f"documents to keep must be a whole number of 0 or more, found {documents!r}")
    if not documents:
        return corpus
    order = sorted(set(corpus["family"]), key=lambda family: stable_hash("slice", family))
    running = corpus.groupby("family").size().loc[order].cumsum()
    return corpus[corpus["family"].isin(running.index[running <= documents])].reset_index(drop=True)
