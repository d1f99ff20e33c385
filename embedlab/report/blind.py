"""Blind review: two systems side by side, and nothing that says which is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from embedlab.chain.artifacts.qualitative_review import Changes
from embedlab.chain.steps import get_step
from embedlab.chain.store import Store
from embedlab.data.collection import Collection
from embedlab.data.text import stable_hash
from embedlab.report.judging import Cards, Judgments
from embedlab.report.pages import fragment
from embedlab.report.review import Hit, first_documents, snippet

LEFT, SAME, RIGHT = "left", "same", "right"


@dataclass(frozen=True)
class Sides:
    """A query with what two systems show for it, on sides drawn by lot; neither scores nor judgments stand here."""

    query_id: str
    text: str
    left: tuple[Hit, ...]
    right: tuple[Hit, ...]


@dataclass(frozen=True)
class Tally:
    """What blind judgments say of the second system: how many there are, and in how many it is better or worse."""

    judged: int
    better: int
    worse: int


def swapped(pair: str, query_id: str) -> bool:
    """Whether the second system stands on the left: by lot, and the same lot whenever it is asked."""
    return stable_hash("side", pair, query_id) % 2 == 1


def draw(
    runs: tuple[pd.DataFrame, pd.DataFrame], group_of: Mapping[str, str], depth: int, count: int, seed: int
) -> list[str]:
    """Return a random sample of the queries for which two runs show something else, one of a group at most.

    The largest gains and losses are no sample: there are as many of either as somebody asked for, which a sign
    test would take for the truth. And it takes judgments as independent, which those of one group are not.

    Args:
        runs: ``query_id, doc_id, score``, of both systems.
        group_of: group by query id.
        depth: results that are shown.
        count: queries at most.
        seed: of the draw.
    """
    one, two = (first_documents(run, depth) for run in runs)
    changed = [q for q in {**one, **two} if one.get(q) != two.get(q)]
    of_group: dict[str, str] = {}
    for query_id in sorted(changed, key=lambda q: stable_hash("blind", seed, q)):
        of_group.setdefault(group_of[query_id], query_id)
    return list(of_group.values())[:count]


def blind_sides(
    query_ids: Sequence[str], collection: Collection, runs: tuple[pd.DataFrame, pd.DataFrame], pair: str, depth: int = 5
) -> list[Sides]:
    """Return queries with the first ``depth`` results of both runs, sides drawn by lot.

    Args:
        query_ids: the queries, as :func:`draw` returns them.
        collection: documents and the queries' texts.
        runs: of both systems.
        pair: names the two systems; the lot is drawn anew for another pair.
        depth: results that are shown.
    """
    queries = collection.query_texts()
    titles = collection.corpus.set_index("doc_id")["title"].to_dict()
    texts = collection.corpus.set_index("doc_id")["text"].to_dict()
    tops = [first_documents(run, depth) for run in runs]
    found = []
    for query_id in query_ids:
        shown = []
        for top in tops:
            ids = top.get(query_id, [])
            # Grade 0 for all: a check mark would say what the judgments think, which is not to be asked for.
            hits = [Hit(n, d, titles.get(d) or d, snippet(texts.get(d, "")), 0) for n, d in enumerate(ids, start=1)]
            shown.append(tuple(hits))
        if swapped(pair, query_id):
            shown.reverse()
        found.append(Sides(query_id, str(queries[query_id]), shown[0], shown[1]))
    return found


def blind_judgments(store: Store, pair: str) -> Judgments:
    """Return what was judged blind in a run folder about a pair of systems."""
    return Judgments(store, pair, get_step(Changes.step).decisions, (LEFT, SAME, RIGHT))


def tally(values: Mapping[str, str], pair: str, query_ids: Sequence[str]) -> Tally:
    """Count blind judgments for and against the second system.

    Args:
        values: side by query id.
        pair: as for :func:`blind_sides`.
        query_ids: the queries that were drawn; a judgment of any other was not asked for and does not count.
    """
    better = worse = same = 0
    for query_id in query_ids:
        choice = values.get(query_id)
        if choice == SAME:
            same += 1
        elif choice in (LEFT, RIGHT):
            is_second = (choice == LEFT) == swapped(pair, query_id)
            better += is_second
            worse += not is_second
    return Tally(better + worse + same, better, worse)


class BlindBrowser(Cards[Sides]):
    """Two unnamed systems side by side, with a button for each side and one for no difference."""

    noun = "queries, sides unnamed,"

    def key(self, item: Sides) -> str:
        """Return the query's id."""
        return item.query_id

    def label(self, item: Sides) -> str:
        """Return the query."""
        return item.text[:70]

    def html(self, item: Sides) -> str:
        """Return both sides, escaped."""
        return fragment("blind.html.j2", item=item)

    def twin(self) -> pd.DataFrame:
        """Return the plain table of the queries, with the first titles of each side."""
        rows = []
        for item in self.items:
            left, right = (" · ".join(hit.title for hit in hits[:3]) for hits in (item.left, item.right))
            rows.append({"text": item.text, "left shows": left, "right shows": right})
        return pd.DataFrame(rows, columns=["text", "left shows", "right shows"])

    def button(self, choice: str) -> str:
        """Return which side is better."""
        return "no difference" if choice == SAME else f"{choice} is better"
