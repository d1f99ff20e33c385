"""What belongs together: queries that must stay in one part, and documents that say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pandas as pd

from embedlab.data.text import near_duplicates

Member = TypeVar("Member", bound=Hashable)

Node = tuple[str, str]
"""``("d", doc_id)`` or ``("q", query_id)``: a document and a query may have the same id."""

GLUED = 0.5
"""Where one group holds more than this share of all queries, the unit is the query."""

GLUE_SHOWN = 5
"""So many of the links that join most queries are named."""

GLUE_COLUMNS = ["kind", "name", "queries", "largest share without"]


@dataclass(frozen=True)
class Link:
    """What ties queries and documents together: a document, a family, or near-duplicates of either.

    Attributes:
        kind: ``document``, ``family``, ``near-duplicate documents`` or ``near-duplicate queries``.
        name: that of the document or family, or of the first near-duplicate.
        members: what it ties, documents and queries.
        queries: the queries that it joins, directly or through its documents, sorted.
    """

    kind: str
    name: str
    members: tuple[Node, ...]
    queries: tuple[str, ...]


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
    group = _grouped_by(queries, (link.members for link in links))
    sizes = Counter(group)
    largest_share = max(sizes.values(), default=0) / max(len(group), 1)
    if largest_share <= GLUED:
        return Grouping(group, "group", largest_share)
    largest = sizes.most_common(1)[0][0]
    glue = _glue(queries, links, inside=set(group.index[group == largest]))
    return Grouping(query_groups(queries), "query", largest_share, glue)


def links_between(corpus: pd.DataFrame, queries: pd.DataFrame, qrels: pd.DataFrame) -> list[Link]:
    """Return everything that ties queries together; arguments as for :func:`group_queries`."""
    relevant = qrels[qrels["relevance"] >= 1]
    asked: dict[str, list[str]] = {}
    for doc_id, query_ids in relevant.groupby("doc_id")["query_id"]:
        asked[str(doc_id)] = list(query_ids)
    links = []
    for same in _near_duplicate_queries(queries):
        links.append(Link("near-duplicate queries", same[0], _queries(same), tuple(same)))
    for doc_id in asked:
        joined = _asking(asked, [doc_id])
        links.append(Link("document", doc_id, _documents([doc_id]) + _queries(joined), joined))
    # A document ties its queries, so what ties documents alone need not name the queries again.
    for same in _near_duplicate_documents(corpus):
        links.append(Link("near-duplicate documents", same[0], _documents(same), _asking(asked, same)))
    of_family: dict[str, list[str]] = {}
    for doc_id, family in _families(corpus).items():
        of_family.setdefault(family, []).append(doc_id)
    for family in sorted(of_family):
        ids = of_family[family]
        links.append(Link("family", family, _documents(ids), _asking(asked, ids)))
    return links


def _documents(ids: Iterable[str]) -> tuple[Node, ...]:
    return tuple(("d", doc_id) for doc_id in ids)


def _queries(ids: Iterable[str]) -> tuple[Node, ...]:
    return tuple(("q", query_id) for query_id in ids)


def _asking(asked: Mapping[str, Iterable[str]], doc_ids: Iterable[str]) -> tuple[str, ...]:
    """Return every query that one of these documents answers, sorted."""
    found: set[str] = set()
    for doc_id in doc_ids:
        found.update(asked.get(doc_id, ()))
    return tuple(sorted(found))


def _near_duplicate_queries(queries: pd.DataFrame) -> list[list[str]]:
    ids = queries["query_id"].tolist()
    found = []
    for positions in near_duplicates(queries["text"].tolist()):
        # A link takes its name from the first, which must not depend on the order of the rows.
        found.append(sorted(ids[position] for position in positions))
    return found


def _near_duplicate_documents(corpus: pd.DataFrame) -> list[list[str]]:
    ids = corpus["doc_id"].tolist()
    texts = (corpus["title"] + " " + corpus["text"]).tolist()
    found = []
    for positions in near_duplicates(texts):
        found.append([ids[position] for position in positions])
    return found


def _grouped_by(queries: pd.DataFrame, ties: Iterable[Iterable[Node]]) -> pd.Series:
    """Return the group of each query, named after its smallest query id, so that content alone names it."""
    first = connected(_queries(sorted(queries["query_id"])), ties)
    names = {query_id: first["q", query_id][1] for query_id in queries["query_id"]}
    return pd.Series(names, dtype=str)


def _glue(queries: pd.DataFrame, links: Sequence[Link], inside: set[str]) -> pd.DataFrame:
    """Return the links that join most queries of the largest group, and what cutting them would leave.

    Args:
        queries: ``query_id``.
        links: all of them.
        inside: the queries of the largest group.
    """
    gluing = []
    for link in links:
        # A link of one query joins nothing.
        if len(link.queries) > 1 and not inside.isdisjoint(link.queries):
            gluing.append(link)
    gluing.sort(key=lambda link: (-len(link.queries), link.kind, link.name))
    rows = []
    left = list(links)
    for link in gluing[:GLUE_SHOWN]:
        left = [other for other in left if other is not link]
        sizes = Counter(_grouped_by(queries, (other.members for other in left)))
        rows.append((link.kind, link.name, len(link.queries), max(sizes.values()) / len(queries)))
    return pd.DataFrame(rows, columns=GLUE_COLUMNS)


def query_groups(queries: pd.DataFrame) -> pd.Series:
    """Group queries with their near-duplicates alone; a Series over query ids."""
    return _grouped_by(queries, (_queries(same) for same in _near_duplicate_queries(queries)))


def near_duplicate_documents(corpus: pd.DataFrame) -> dict[str, set[str]]:
    """Return for each document its near-duplicates; documents without any are left out.

    Args:
        corpus: ``doc_id, title, text``.
    """
    found: dict[str, set[str]] = {}
    for same in _near_duplicate_documents(corpus):
        for doc_id in same:
            found.setdefault(doc_id, set()).update(set(same) - {doc_id})
    return found


def relatives_of(corpus: pd.DataFrame) -> dict[str, str]:
    """Return by document id the name of its relatives: its family, joined with near-duplicate documents.

    Relatives are named after the first of them in the corpus. A document without a family and
    without a near-duplicate is left out.

    Args:
        corpus: ``doc_id, title, text`` and, where documents form families, ``family``.
    """
    ties: list[list[Hashable]] = [list(same) for same in _near_duplicate_documents(corpus)]
    families = _families(corpus)
    for doc_id, family in families.items():
        # A family ties its documents as a pair, so that no document can have the same id.
        ties.append([("family", family), doc_id])
    found = connected(corpus["doc_id"].tolist(), ties)
    sizes = Counter(found.values())
    return {doc_id: name for doc_id, name in found.items() if doc_id in families or sizes[name] > 1}


def _families(corpus: pd.DataFrame) -> dict[str, str]:
    """Return the family of each document that has one: a blank is no family that documents could share."""
    if "family" not in corpus:
        return {}
    families = corpus["family"].fillna("").astype(str)
    return {doc_id: family for doc_id, family in zip(corpus["doc_id"], families, strict=True) if family}


def connected(members: Sequence[Member], ties: Iterable[Iterable[Hashable]]) -> dict[Member, Member]:
    """Return for each member the first of those that it hangs together with; itself where it is that one.

    Args:
        members: in the order that decides who is first.
        ties: sets of what hangs together, of members and of others that only tie; none is empty.
    """
    from scipy.cluster.hierarchy import DisjointSet

    groups = DisjointSet(members)
    for tie in ties:
        one, *others = tie
        # What only ties is added here; adding a member again changes nothing.
        groups.add(one)
        for other in others:
            groups.add(other)
            groups.merge(one, other)
    # The set's own representative of a group is any of them, so the first member is looked for.
    first: dict[Hashable, Member] = {}
    for member in members:
        first.setdefault(groups[member], member)
    return {member: first[groups[member]] for member in members}


def document_facts(corpus: pd.DataFrame) -> pd.DataFrame:
    """Return what documents have to do with one another.

    Returns:
        ``doc_id, relatives`` (the name of its family and near-duplicates, blank where it has none) and
        ``near_duplicates`` (ids), one row a document.
    """
    ids = corpus["doc_id"].tolist()
    relatives, near = relatives_of(corpus), near_duplicate_documents(corpus)
    return pd.DataFrame(
        {
            "doc_id": ids,
            "relatives": [relatives.get(d, "") for d in ids],
            "near_duplicates": [sorted(near.get(d, ())) for d in ids],
        }
    )
