"""The queue of doubtful positives: a person accepts or refuses each, and the next execution honours it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import pandas as pd

from embedlab.chain.artifacts.create_positives import REVIEW_QUEUE
from embedlab.chain.steps import get_step
from embedlab.chain.store import Store
from embedlab.report.judging import Cards, Judgments
from embedlab.report.pages import fragment

ACCEPT, REFUSE = "accept", "refuse"

LINES, CHARACTERS = 30, 200
"""Of the table that stands for the widget: rows, and characters of a document."""


@dataclass(frozen=True)
class Doubtful:
    """A positive that stands late, with both texts.

    ``text`` is the query's; ``above`` is the share of the documents that score higher, ``rival`` the
    first of them, ``waits`` whether it stays out of training until somebody accepts it.
    """

    query_id: str
    doc_id: str
    text: str
    document: str
    source: str
    above: float
    rival: str
    waits: bool

    @property
    def key(self) -> str:
        """What a decision is saved under."""
        return f"{self.query_id}|{self.doc_id}"


class Queue(Cards[Doubtful]):
    """A browser over doubtful positives, with a button to accept and one to refuse.

    Args:
        queue: ``query_id, doc_id, text, document, source, above, rival, waits``, whole texts.
        judgments: see :func:`decisions`.
    """

    noun = "positives"

    def __init__(self, queue: pd.DataFrame, judgments: Judgments) -> None:
        rows = queue[[field.name for field in fields(Doubtful)]].itertuples(index=False, name=None)
        super().__init__([Doubtful(*row) for row in rows], judgments)

    def key(self, item: Doubtful) -> str:
        """Return query and document id."""
        return item.key

    def label(self, item: Doubtful) -> str:
        """Return the query and the document's id."""
        return f"{item.text[:70]} → {item.doc_id}"

    def html(self, item: Doubtful) -> str:
        """Return the query and the whole document, escaped."""
        return fragment("queued.html.j2", item=item)

    def twin(self) -> pd.DataFrame:
        """Return the first lines of the queue, documents shortened."""
        shown = pd.DataFrame([vars(item) for item in self.items[:LINES]], columns=[f.name for f in fields(Doubtful)])
        shown["document"], shown["above"] = shown["document"].str[:CHARACTERS], shown["above"].map("{:.0%}".format)
        shown["unless decided"] = shown["waits"].map({True: "waits", False: "trains"})
        return shown[["text", "doc_id", "document", "rival", "above", "source", "unless decided"]]


def decisions(store: Store, data: str) -> Judgments:
    """Return what was decided in a run folder about the positives of these data, named by their hash."""
    return Judgments(store, data[:16], get_step(REVIEW_QUEUE.step).decisions, (ACCEPT, REFUSE))


def decided(queue: pd.DataFrame, values: Mapping[str, str], accept_rest: bool) -> pd.Series:
    """Return ``accept``, ``refuse`` or, undecided, an empty text for each queued positive.

    Args:
        queue: ``query_id, doc_id``.
        values: decision by ``query_id|doc_id``.
        accept_rest: accept what nobody decided.
    """
    keys = queue["query_id"] + "|" + queue["doc_id"]
    return keys.map(lambda key: values.get(key, ACCEPT if accept_rest else "")).astype(str)


def taken_out(queue: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    """Return ``query_id, doc_id, reason, evidence`` of queued positives that do not train: refused, or still waiting.

    Args:
        queue: ``query_id, doc_id, above, waits, decision``.
        cutoff: the rank beyond which both systems left those that wait.
    """
    found = []
    for query_id, doc_id, above, waits, decision in queue[
        ["query_id", "doc_id", "above", "waits", "decision"]
    ].itertuples(index=False, name=None):
        evidence = f"{above:.0%} of the documents score higher"
        if waits:
            evidence = f"beyond rank {cutoff} for both systems, {evidence}"
        if decision == REFUSE:
            found.append((query_id, doc_id, "refused in review", evidence))
        elif waits and not decision:
            found.append((query_id, doc_id, "review queue", evidence))
    return pd.DataFrame(found, columns=["query_id", "doc_id", "reason", "evidence"], dtype=str)
