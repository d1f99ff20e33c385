"""What belongs together: queries that must stay in one part, and documents that say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import pandas as pd

from embedlab.data.text import (
    near_duplicates,
)

GLUED = 0.5
"""Where one group holds more than this share of all queries, the unit is the query."""

GLUE_SHOWN = 5

GLUE_COLUMNS = ["kind", "name", "queries", "largest share without"]


@dataclass(frozen=True)
class Link:
    """What ties queries and documents together: a document, a family, or near-duplicates of either.

    ``name`` is that of the document or family, or of the first near-duplicate; ``queries`` is how
    many queries the link joins.
    """

    kind: str
    name: str
    members: tuple[Hashable, ...]
    queries: int


@dataclass(frozen=True)
class Grouping:
    """The group of every query and what a group is here.

    ``unit`` is ``group`` (queries that share documents, families or near-duplicates stay
    together) or ``query`` (a query with its near-duplicates: new queries over known documents).
    ``glue`` names, where one group holds more than half of the queries, the links that join most of
    them: ``kind, name, queries``, and the largest group's share without this link and those above it.
    """

    group: pd.Series
    unit: str
    largest_share: float
    glue: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=GLUE_COLUMNS))


def group_queries(corpus: pd.DataFrame, queries: pd.DataFrame, qrels: pd.DataFrame) -> Grouping:
    """Group queries that share a relevant document, a family, or a near-duplicate of either.

    Args:
        corpus: ``doc_id, title, text`` and, where documents form families, ``family``.
        queries: ``query_id, text``.
        qrels: ``query_id, doc_id, relevance``; relevance of 1 or more counts.
    """
    links = links_between(corpus, queries, qrels)
    named = _components(queries, links)
    sizes = Counter(named)
    largest = max(sizes.values(), default=0) / max(len(named), 1)
    if largest <= GLUED:
        return Grouping(named, "group", largest)
    swallowed = set(named.index[named == sizes.most_common(1)[0][0]])
    return Grouping(query_groups(queries), "query", largest, _glue(queries, links, swallowed))


def links_between(corpus: pd.DataFrame, queries: pd.DataFrame, qrels: pd.DataFrame) -> list[Link]:
    """Return everything that ties queries together; arguments as for :func:`group_queries`."""
    relevant = qrels[qrels["relevance"] >= 1]
    asked: dict[str, list[str]] = {str(d): list(q) for d, q in relevant.groupby("doc_id")["query_id"]}
    found = [_link("near-duplicate queries", clique[0], [], clique) for clique in _near_queries(queries)]
    found += [_link("document", d, [d], q) for d, q in asked.items()]
    doc_ids = corpus["doc_id"].tolist()
    for clique in near_duplicates((corpus["title"] + " " + corpus["text"]).tolist()):
        alike = [doc_ids[i] for i in clique]
        found.append(_link("near-duplicate documents", alike[0], alike, (q for d in alike for q in asked.get(d, ()))))
    for name, ids in corpus.groupby("family")["doc_id"] if "family" in corpus else ():
        found.append(_link("family", str(name), ids, (q for d in ids for q in asked.get(d, ()))))
    return found


def _link(kind: str, name: str, documents: Iterable[str], queries: Iterable[str]) -> Link:
    """Documents tie themselves; only a document or a near-duplicate ties its queries directly."""
    joined = sorted(set(queries))
    own = joined if kind in ("document", "near-duplicate queries") else []
    return Link(kind, name, (*(("d", d) for d in documents), *(("q", q) for q in own)), len(joined))


def _components(queries: pd.DataFrame, links: Iterable[Link]) -> pd.Series:
    groups = Groups()
    for link in links:
        groups.join(link.members)
    return _name(queries, groups)


def _glue(queries: pd.DataFrame, links: list[Link], swallowed: set[str]) -> pd.DataFrame:
    """Return the links of the largest group that join most queries, and what cutting them would leave."""
    groups = Groups()
    for link in links:
        groups.join(link.members)
    root = groups.find(("q", min(swallowed)))
    inside = [link for link in links if groups.find(link.members[0]) == root and link.queries > 1]
    top = sorted(inside, key=lambda link: (-link.queries, link.kind, link.name))[:GLUE_SHOWN]
    rows = []
    for count, link in enumerate(top, start=1):
        cut = {id(gone) for gone in top[:count]}
        left = Counter(_components(queries, (other for other in links if id(other) not in cut)))
        rows.append((link.kind, link.name, link.queries, max(left.values()) / len(queries)))
    return pd.DataFrame(rows, columns=GLUE_COLUMNS)


def query_groups(queries: pd.DataFrame) -> pd.Series:
    """Group queries with their near-duplicates alone; a Series over query ids."""
    groups = Groups()
    for members in _near_queries(queries):
        groups.join(("q", q) for q in members)
    return _name(queries, groups)


def _near_queries(queries: pd.DataFrame) -> list[list[str]]:
    ids = queries["query_id"].tolist()
    return [sorted(ids[i] for i in clique) for clique in near_duplicates(queries["text"].tolist())]


def _name(queries: pd.DataFrame, groups: Groups) -> pd.Series:
    """Name each group after its smallest query id, so that the name depends on content alone."""
    roots = {q: groups.find(("q", q)) for q in queries["query_id"]}
    names: dict[object, str] = {}
    for query_id in sorted(roots):
        names.setdefault(roots[query_id], query_id)
    return pd.Series({q: names[root] for q, root in roots.items()}, dtype=str)


def twins(corpus: pd.DataFrame) -> dict[str, set[str]]:
    """Return for each document its near-duplicates; documents without any are left out."""
    ids = corpus["doc_id"].tolist()
    found: dict[str, set[str]] = {}
    for clique in near_duplicates((corpus["title"] + " " + corpus["text"]).tolist()):
        for i in clique:
            found.setdefault(ids[i], set()).update(ids[j] for j in clique if j != i)
    return found


class Groups:
    """Connected components over hashable members (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def find(self, member: Hashable) -> Hashable:
        """Return the representative of a member's component."""
        root = member
        while self._parent.setdefault(root, root) != root:
            root = self._parent[root]
        while self._parent[member] != root:
            self._parent[member], member = root, self._parent[member]
        return root

    def join(self, members: Iterable[Hashable]) -> None:
        """Put all members into one component."""
        roots = [self.find(member) for member in members]
        for root in roots[1:]:
            self._parent[self.find(root)] = self.find(roots[0])


def relatives_of(corpus: pd.DataFrame) -> dict[str, str]:
    """Return by document id the name of its relatives: its family, joined with near-duplicate documents.

    A document without a family and without a near-duplicate is left out.
    """
    ids = corpus["doc_id"].tolist()
    groups = Groups()
    if "family" in corpus:
        for doc_id, family in zip(ids, corpus["family"], strict=True):
            groups.join([("family", family), doc_id])
    for clique in near_duplicates((corpus["title"] + " " + corpus["text"]).tolist()):
        groups.join(ids[i] for i in clique)
    names: dict[object, str] = {}
    found = {d: names.setdefault(groups.find(d), d) for d in ids}
    sizes = Counter(found.values())
    return found if "family" in corpus else {d: name for d, name in found.items() if sizes[name] > 1}


def document_facts(corpus: pd.DataFrame) -> pd.DataFrame:
    """Return what documents have to do with one another.

    Returns:
        ``doc_id, relatives`` (the name of its family and near-duplicates, blank where it has none) and
        ``near_duplicates`` (ids), one row a document.
    """
    ids = corpus["doc_id"].tolist()
    relatives, near = relatives_of(corpus), twins(corpus)
    return pd.DataFrame(
        {
            "doc_id": ids,
            "relatives": [relatives.get(d, "") for d in ids],
            "near_duplicates": [sorted(near.get(d, ())) for d in ids],
        }
    )
