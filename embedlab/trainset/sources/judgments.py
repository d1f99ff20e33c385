"""Relevance judgments in TREC's format, with the texts of their queries in a file beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from embedlab.data.trec import judgment_lines, parse_judgment
from embedlab.errors import ParameterError
from embedlab.trainset.sources.examples import Example, Harvest, Reading, usable
from embedlab.trainset.sources.table import Table, lines

REQUIRED = ("query_id", "query")


def read(qrels: Table, reading: Reading) -> Harvest:
    """Read graded qrels (``query 0 document grade``, or BEIR's three columns) and the texts of their queries.

    The highest grade of a query makes its positives, lower grades from 1 are known answers, and
    0 or less judged negatives.

    Args:
        qrels: the judgments; not read as a table, so its columns are those of the queries' file.
        reading: names the file of the queries: ``query_id, query``.

    Raises:
        ParameterError: if no such file is named.
    """
    if not reading.judgment_queries:
        raise ParameterError(f"judgments {qrels.path}: give the file with the queries' texts as judgment_queries")
    table = replace(qrels, path=Path(reading.judgment_queries))  # findings of both are collected in one list
    texts: dict[str, str] = {}
    for frame in table.chunks(reading.chunk):
        texts |= dict(zip(frame["query_id"], frame["query"], strict=True))
    grades, first = _graded(qrels, texts, table.path, reading.documents)
    examples = []
    for query_id, judged in grades.items():
        best = max(judged.values())
        if best < 1:
            qrels.fault("no positive", first[query_id], query_id, "no document is judged relevant")
            continue
        where = f"{qrels.path}:{first[query_id]}, query {query_id}"
        example = Example(texts[query_id], [d for d, g in judged.items() if g >= best], where, "judgments file")
        example.known = [d for d, g in judged.items() if g >= 1]
        example.negatives = [{"id": d, "miner": "judged", "score": float(g)} for d, g in judged.items() if g < 1]
        examples.append(example)
    return Harvest(examples)


def _graded(
    qrels: Table, texts: Mapping[str, str], named_by: Path, documents: Collection[str]
) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Return by query the grade of each document, the highest one given, and the line of its first judgment."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    first: dict[str, int] = {}
    for number, line in judgment_lines(lines(qrels.path)):
        qrels.rows_read += 1
        try:
            query_id, document, graded = parse_judgment(line)
        except ValueError:
            detail = f"expected query, 0, document and a whole-number grade, found {line.strip()!r}"
            qrels.fault("malformed", number, "", detail)
            continue
        grade = int(graded)
        if query_id not in texts:
            qrels.fault("unknown query", number, query_id, f"{query_id!r} is not in {named_by}")
        elif usable(qrels, number, texts[query_id], [document], documents):
            grades[query_id][document] = max(grade, grades[query_id].get(document, grade))
            first.setdefault(query_id, number)
    return grades, first
