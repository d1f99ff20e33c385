"""Support tickets: what a customer wrote, and the article that solved it."""

from __future__ import annotations

import re

from embedlab.trainset.sources.examples import Example, Harvest, Reading, usable
from embedlab.trainset.sources.table import Table, split_ids

REQUIRED = ("subject", "body", "documents")

WORDS = 120
"""Words of subject and body that are kept: the problem stands at the beginning."""

_PREFIX = re.compile(
    r"^\s*(?:(?:re|fwd?|aw|wg)\s*:|\[[^\]]*\d[^\]]*\]|(?:ticket|case)\s*(?:id|no\.?)?\s*[#:]?\s*\d+\s*[-:]?)\s*", re.I
)

_NUMBER = re.compile(
    r"\[?\b(?:(?:ticket|case|request)\s*(?:id|no\.?|number)?\s*[#:]?\s*\d{3,}|[A-Z]{2,}-\d{3,}(?=\]))\]?|#\d{3,}\b",
    re.I,
)

_QUOTE_STARTS = re.compile(
    r"^\s*(?:on .{5,120} wrote:|am .{5,120} schrieb.*:|-{2,}\s*original message\s*-{2,}|-{2,}\s*forwarded message.*|"
    r"_{10,}|from:\s.+)\s*$",
    re.I,
)

_SIGNATURE = re.compile(
    r"^\s*(?:--\s*|(?:kind|best|warm|many)?\s*regards\b.{0,20}|(?:many )?thanks(?: and regards)?[,.!]?|cheers[,.!]?|"
    r"sincerely\b.{0,20}|sent from my .*|get outlook for .*)\s*$",
    re.I,
)


def read(table: Table, reading: Reading) -> Harvest:
    """Read ``subject, body, documents``; several documents are separated by ``|``."""
    examples = []
    for frame in table.chunks(reading.chunk):
        for subject, body, ids, row in frame[[*REQUIRED, "row"]].itertuples(index=False):
            query = question(subject, body)
            found = usable(table, int(row), query, split_ids(ids), reading.documents)
            if found:
                examples.append(Example(query, found, f"{table.path}:{row}", "support ticket"))
    return Harvest(examples)


def question(subject: str, body: str) -> str:
    """Return subject and body as a query: without quoted mail, signature and ticket numbers."""
    while (shorter := _PREFIX.sub("", subject)) != subject:
        subject = shorter
    kept: list[str] = []
    for line in body.splitlines():
        if _QUOTE_STARTS.match(line) or (kept and _SIGNATURE.match(line)):
            break
        if not line.lstrip().startswith(">"):
            kept.append(line)
    words = _NUMBER.sub(" ", f"{subject.strip()}\n{' '.join(kept)}").split()
    return " ".join(words[:WORDS])
