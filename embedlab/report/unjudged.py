"""Documents that nobody judged: a person says whether each answers its query, and that becomes further judgments."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from embedlab.chain.store import Store
from embedlab.report.judging import Cards, Judgments
from embedlab.report.pages import fragment

RELEVANT, IRRELEVANT = "relevant", "irrelevant"

FILE, EXPORT = "reviews/unjudged.json", "reviews/judged.tsv"

LINES, CHARACTERS = 20, 200
"""Of the table that stands for the widget: rows, and characters of a document."""


@dataclass(frozen=True)
class Unjudged:
    """A document that nobody judged for a query; nothing says which system shows it."""

    query_id: str
    doc_id: str
    query: str
    document: str

    @property
    def key(self) -> str:
        """What a judgment is saved under."""
        return f"{self.query_id}|{self.doc_id}"


class JudgingQueue(Cards[Unjudged]):
    """A browser over documents that nobody judged, with a button for relevant and one for irrelevant.

    Args:
        queue: ``query_id, doc_id, query, document``, whole texts, in the order in which they are judged.
        judgments: see :func:`unjudged_judgments`.
    """

    noun = "documents"

    def __init__(self, queue: pd.DataFrame, judgments: Judgments) -> None:
        rows = queue[[field.name for field in fields(Unjudged)]].itertuples(index=False, name=None)
        super().__init__([Unjudged(*row) for row in rows], judgments)

    def key(self, item: Unjudged) -> str:
        """Return query and document id."""
        return item.key

    def label(self, item: Unjudged) -> str:
        """Return the query and the document's id."""
        return f"{item.query[:70]} → {item.doc_id}"

    def html(self, item: Unjudged) -> str:
        """Return the query and the whole document, escaped."""
        return fragment("unjudged.html.j2", item=item)

    def twin(self) -> pd.DataFrame:
        """Return the first lines of the queue, documents shortened."""
        shown = pd.DataFrame([vars(item) for item in self.items[:LINES]], columns=[f.name for f in fields(Unjudged)])
        return shown.assign(document=shown["document"].str[:CHARACTERS])[["query", "doc_id", "document"]]


def unjudged_judgments(store: Store, data: str) -> Judgments:
    """Return what was said in a run folder about unjudged documents of these data, named by their hash."""
    return Judgments(store, data[:16], FILE, (RELEVANT, IRRELEVANT))


def export_judgments(store: Store, judgments: Judgments, grade: int) -> Path:
    """Write what was judged as further rows of BEIR's qrels, ``query-id, corpus-id, score``; return the file.

    Args:
        store: the run; its own judgments stay as they were sealed.
        judgments: by ``query_id|doc_id``.
        grade: of a relevant document.
    """
    lines = ["query-id\tcorpus-id\tscore\n"]
    for key, said in judgments.values.items():
        query_id, _, doc_id = key.partition("|")
        lines.append(f"{query_id}\t{doc_id}\t{grade if said == RELEVANT else 0}\n")
    store.write(EXPORT, "".join(lines))
    return store.folder / EXPORT
