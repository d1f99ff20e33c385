"""Relevance judgments in TREC's format, with the texts of their queries in a file beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from embedlab.trainset.sources.examples import Example, Harvest, usable
from embedlab.trainset.sources.table import CHUNK, Table, lines

REQUIRED = ("query_id", "query")


def read(table: Table, documents: Collection[str], qrels: Table, chunk: int = CHUNK) -> Harvest:
    """Read graded qrels (``query 0 document grade``, or BEIR's three columns) and the texts of their queries.

    The highest grade of a query makes its positives, lower grades from 1 are known answers, and
    0 or less judged negatives.

    Args:
        table: the queries: ``query_id, query``.
        documents: the ids of the corpus.
        qrels: the judgments; not read as a table.
        chunk: rows at a time.
    """
    texts = {q: t for frame in table.chunks(chunk) for q, t in zip(frame["query_id"], frame["query"], strict=True)}
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    first: dict[str, int] = {}
    for number, line in enumerate(lines(qrels.path), start=1):
        fields = line.split()
        if not fields or (number == 1 and fields[-1] == "score"):
            continue
        qrels.rows_read += 1
        try:
            query_id, document, grade = fields[0], fields[-2 if len(fields) > 2 else 3], _grade(fields[-1])
        except (IndexError, ValueError):
            detail = f"expected query, 0, document and a whole-number grade, found {line.strip()!r}"
            qrels.fault("malformed", number, "", detail)
            continue
        if query_id not in texts:
            qrels.fault("unknown query", number, query_id, f"{query_id!r} is not in {table.path}")
        elif usable(qrels, number, texts[query_id], [document], documents):
            grades[query_id][document] = max(grade, grades[query_id].get(document, grade))
            first.setdefault(query_id, number)
    examples = []
    for query_id, judged in grades.items():
        best = max(judged.values())
        if best < 1:
            qrels.fault("no positive", first[query_id], query_id, "no document is judged relevant")
            continue
        negatives: list[dict[str, object]] = [
            {"id": d, "miner": "judged", "score": float(g)} for d, g in judged.items() if g < 1
        ]
        positives, known = ([d for d, g in judged.items() if g >= least] for least in (best, 1))
        where = f"{qrels.path}:{first[query_id]}, query {query_id}"
        examples.append(Example(texts[query_id], positives, where, "judgments file", known, negatives))
    return Harvest(examples)


def _grade(text: str) -> int:
    """Return a grade, which may be written ``2.0``; a ValueError where it is no whole number."""
    grade = float(text)
    if not grade.is_integer():  # infinite and not-a-number grades are none either
        raise ValueError
    return int(grade)
