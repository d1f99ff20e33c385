"""Side-by-side review of two systems: which queries to look at, a browser, and its static twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from embedlab.data.collection import Collection
from embedlab.data.trec import trec_order
from embedlab.report.judging import Cards, Judgments
from embedlab.report.pages import fragment, page

KINDS = {
    "improved": "what is proposed scores higher",
    "regressed": "what is proposed scores lower",
    "odd": "the score stays, the documents change",
}

SAME_SCORE = 0.02
"""Scores closer than this count as unchanged."""


@dataclass(frozen=True)
class Hit:
    """One result that is shown; ``relevance`` 0 where it is irrelevant or nobody judged it."""

    rank: int
    doc_id: str
    title: str
    snippet: str
    relevance: int


@dataclass(frozen=True)
class Item:
    """One query with what both systems show for it."""

    query_id: str
    kind: str
    text: str
    slices: tuple[str, ...]
    wanted: tuple[str, ...]
    scores: tuple[float, float]
    hits: tuple[tuple[Hit, ...], tuple[Hit, ...]]


def rank_changes(qrels: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame, k: int) -> pd.DataFrame:
    """Return the relevant documents that enter or leave the top ``k``.

    Returns:
        ``query_id, doc_id, before, after`` (ranks, NaN where not retrieved) and ``change``,
        ``gained`` or ``lost``.
    """
    table = qrels.loc[qrels["relevance"] >= 1, ["query_id", "doc_id"]]
    for name, run in (("before", before), ("after", after)):
        ordered = trec_order(run)
        ordered[name] = (ordered.groupby("query_id").cumcount() + 1).astype(float)
        table = table.merge(ordered[["query_id", "doc_id", name]], on=["query_id", "doc_id"], how="left")
    shown = [table["before"] <= k, table["after"] <= k]
    table["change"] = ""
    table.loc[shown[1] & ~shown[0], "change"] = "gained"
    table.loc[shown[0] & ~shown[1], "change"] = "lost"
    return table[table["change"] != ""].sort_values(["query_id", "doc_id"], ignore_index=True)


def choose(scores: pd.DataFrame, overlap: pd.Series, each: int) -> pd.DataFrame:
    """Return the queries most worth a look.

    Args:
        scores: columns ``today`` and ``proposed``, by query id.
        overlap: share of the shown documents that both systems have, by query id.
        each: how many of each kind at most.

    Returns:
        ``query_id, kind, today, proposed, delta, overlap``: largest gains, largest losses, and queries
        whose score stays although the documents change most.
    """
    table = scores.assign(
        delta=scores["proposed"] - scores["today"], overlap=overlap.reindex(scores.index)
    ).reset_index()
    up = table[table["delta"] > SAME_SCORE].sort_values(["delta", "query_id"], ascending=[False, True])
    down = table[table["delta"] < -SAME_SCORE].sort_values(["delta", "query_id"])
    odd = table[(table["delta"].abs() <= SAME_SCORE) & (table["overlap"] < 1)].sort_values(["overlap", "query_id"])
    parts = [part.head(each).assign(kind=kind) for kind, part in zip(KINDS, (up, down, odd), strict=True)]
    chosen = pd.concat(parts, ignore_index=True)
    return chosen[["query_id", "kind", "today", "proposed", "delta", "overlap"]]


def side_by_side(
    chosen: pd.DataFrame,
    collection: Collection,
    runs: tuple[pd.DataFrame, pd.DataFrame],
    slices: pd.DataFrame,
    depth: int = 5,
) -> list[Item]:
    """Return the chosen queries with the first ``depth`` results of both runs."""
    titles = collection.corpus.set_index("doc_id")["title"].to_dict()
    texts = collection.corpus.set_index("doc_id")["text"].to_dict()
    grades = {
        (q, d): int(r) for q, d, r in collection.qrels[["query_id", "doc_id", "relevance"]].itertuples(index=False)
    }
    wanted = chosen["query_id"]
    tops = [first_documents(run[run["query_id"].isin(wanted)], depth) for run in runs]
    queries, relevant = collection.query_texts(), collection.relevant()

    def hits(query_id: str, ids: list[str]) -> tuple[Hit, ...]:
        return tuple(
            Hit(n, d, titles.get(d) or d, snippet(texts.get(d, "")), grades.get((query_id, d), 0))
            for n, d in enumerate(ids, start=1)
        )

    return [
        Item(
            query_id,
            kind,
            str(queries[query_id]),
            tuple(name for name in slices.columns if slices.loc[query_id, name]),
            tuple(titles.get(d) or d for d in sorted(relevant.get(query_id, ()))),
            (float(today), float(proposed)),
            (hits(query_id, tops[0].get(query_id, [])), hits(query_id, tops[1].get(query_id, []))),
        )
        for query_id, kind, today, proposed in chosen[["query_id", "kind", "today", "proposed"]].to_numpy().tolist()
    ]


def first_documents(run: pd.DataFrame, depth: int) -> dict[str, list[str]]:
    """Return the ids of the first ``depth`` documents of each query, in trec_eval's order."""
    top = trec_order(run).groupby("query_id").head(depth)
    return {str(q): ids.tolist() for q, ids in top.groupby("query_id")["doc_id"]}


def snippet(text: str, length: int = 140) -> str:
    """Return the beginning of a text on one line, cut between words."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[:length].rsplit(" ", 1)[0] + " …"


def table(items: Sequence[Item], depth: int = 3) -> pd.DataFrame:
    """Return the plain table of the items: the browser's static twin; a relevant title has a check mark."""

    def titles(hits: tuple[Hit, ...]) -> str:
        return " · ".join(f"{'✓ ' if h.relevance else ''}{h.title}" for h in hits[:depth])

    rows = [
        {
            "kind": item.kind,
            "text": item.text,
            "should find": ", ".join(item.wanted),
            "today": item.scores[0],
            "proposed": item.scores[1],
            "today shows": titles(item.hits[0]),
            "proposed shows": titles(item.hits[1]),
            "slices": ", ".join(item.slices),
        }
        for item in items
    ]
    columns = ["kind", "text", "should find", "today", "proposed", "today shows", "proposed shows", "slices"]
    return pd.DataFrame(rows, columns=columns)


def to_html(items: Sequence[Item], measure: str, notice: str, judged: Mapping[str, str], agreed: str = "") -> str:
    """Return a page with every item side by side; it opens from disk and every text is escaped.

    ``agreed`` is the hash of the contract that the scores were made under.
    """
    grouped = [(kind, KINDS[kind], [i for i in items if i.kind == kind]) for kind in KINDS]
    return page(
        "review.html.j2", agreed, title="Review", grouped=grouped, measure=measure, notice=notice, judged=judged
    )


class Browser(Cards[Item]):
    """Both systems side by side for each chosen query, with a button for each judgment of the proposed one."""

    noun = "queries"

    def __init__(self, items: Sequence[Item], judgments: Judgments, measure: str) -> None:
        super().__init__(items, judgments)
        self.measure = measure

    def key(self, item: Item) -> str:
        """Return the query's id."""
        return item.query_id

    def label(self, item: Item) -> str:
        """Return the kind of change and the query."""
        return f"{item.kind}: {item.text[:70]}"

    def html(self, item: Item) -> str:
        """Return both results, side by side."""
        return fragment("item.html.j2", item=item, measure=self.measure)

    def twin(self) -> pd.DataFrame:
        """Return the plain table of the queries."""
        return table(self.items).round(3)

    def button(self, choice: str) -> str:
        """Return what is said of what is proposed."""
        return f"proposed is {choice}"
