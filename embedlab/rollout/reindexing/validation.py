"""Whether the new index may answer: all of it is compared with the old one, while an application writes to both."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from embedlab.evaluation.metrics import per_query
from embedlab.progress import Progress
from embedlab.retrieval.base import DEPTH, EncodesWithIdentity
from embedlab.rollout.reindexing.backfill import MODULUS
from embedlab.rollout.reindexing.walk import NOT_REPRODUCED, PAGE, VECTOR_FAULTS, Found, Walk, by_bytes, vector_faults
from embedlab.rollout.results import Check
from embedlab.rollout.service.job import Canaries
from embedlab.rollout.stores.base import Collection, Entry, Filter, Hit

PAIR_FAULTS = ("documents missing", "documents that the old index does not have", "documents with another content")


class Comparison:
    """A new index against the old one, while an application goes on writing to both.

    The walk takes as long as it takes. What was written meanwhile is looked at again at the end, when nobody writes.

    Args:
        old: the index that answers.
        new: the one that shall.
        encoder: the new model.
        sample: documents to encode again, evenly spread; 0: all.
    """

    def __init__(self, old: Collection, new: Collection, encoder: EncodesWithIdentity, sample: int) -> None:
        self.old, self.new = old, new
        self._walk = Walk(new, encoder, sample)
        self._faults: list[tuple[str, str]] = []

    def walk(self, batches: Mapping[int, Mapping[str, Any]]) -> None:
        """Read both indexes once.

        Args:
            batches: what the backfill recorded, by number.
        """
        self._recorded = _Recorded(batches)
        seen = 0
        with Progress("Validating", self._walk.documents) as bar:
            for mine, theirs in _side_by_side(self.old, self.new):
                self._faults += pair_faults(mine, theirs)
                self._walk.take(seen, theirs)
                self._recorded.take(theirs)
                seen += len(theirs)
                bar.advance(len(theirs))
        self._recall = self._walk.recall_check()

    def checks(self, written_meanwhile: Sequence[str], written_since_backfill: Iterable[str]) -> list[Check]:
        """Return all checks, while nobody writes.

        Args:
            written_meanwhile: documents that were written since the walk began: they are looked at now.
            written_since_backfill: documents that were written since the backfill began: their batches have changed.
        """
        later = set(written_meanwhile)
        found = Found()
        for fault, doc_id in [*self._faults, *self._walk.faults]:
            if doc_id not in later:
                found.note(fault, doc_id)
        for fault, doc_id in faults_of(self.old, self.new, written_meanwhile):
            found.note(fault, doc_id)
        mine, theirs = self.old.count(), self.new.count()
        checks = [Check("documents", theirs, f"{mine}", mine == theirs)]
        checks += [found.check(fault) for fault in (*PAIR_FAULTS, *VECTOR_FAULTS, NOT_REPRODUCED)]
        return [*checks, self._recorded.check(written_since_backfill), self._walk.sample_check(), self._recall]


def faults_of(old: Collection, new: Collection, doc_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with some documents of a new index, and their ids."""
    for start in range(0, len(doc_ids), PAGE):
        part = doc_ids[start : start + PAGE]
        mine = {doc_id: entry.document.content for doc_id, entry in old.get(part).items()}
        theirs = list(new.get(part).values())
        yield from pair_faults(mine, theirs)
        for entry in theirs:
            for fault in vector_faults(entry, new):
                yield fault, entry.document.doc_id


def pair_faults(mine: Mapping[str, str], theirs: list[Entry]) -> Iterator[tuple[str, str]]:
    """Yield how new entries differ from the old content, and for which id.

    Args:
        mine: the content of old documents, by id.
        theirs: the new entries in the same stretch of ids.
    """
    there = {entry.document.doc_id: entry.document for entry in theirs}
    for doc_id, content in mine.items():
        if doc_id not in there:
            yield "documents missing", doc_id
        elif there[doc_id].content != content:
            yield "documents with another content", doc_id
    for doc_id in there.keys() - mine.keys():
        yield "documents that the old index does not have", doc_id


def _side_by_side(old: Collection, new: Collection) -> Iterator[tuple[dict[str, str], list[Entry]]]:
    """Yield, stretch by stretch of the ids, the content of each old document and the new entries."""
    after = ""
    while True:
        mine = {document.doc_id: document.content for document in old.documents(after, PAGE)}
        theirs = [document.doc_id for document in new.documents(after, PAGE)]
        if not mine and not theirs:
            return
        # A stretch ends where the shorter of the two pages does; a page that is not full reaches the end.
        ends = [max(ids, key=by_bytes) for ids in (list(mine), theirs) if len(ids) == PAGE]
        last = min(ends, key=by_bytes) if ends else max([*mine, *theirs], key=by_bytes)
        inside = [doc_id for doc_id in theirs if by_bytes(doc_id) <= by_bytes(last)]
        found = new.get(inside)
        yield (
            {doc_id: content for doc_id, content in mine.items() if by_bytes(doc_id) <= by_bytes(last)},
            [found[doc_id] for doc_id in inside if doc_id in found],
        )
        after = last


class _Recorded:
    """Compares the entries of each batch with the checksum that the backfill recorded for it."""

    def __init__(self, batches: Mapping[int, Mapping[str, Any]]) -> None:
        self._numbers = sorted(batches)
        self._batches = batches
        self._ends = [by_bytes(batches[number]["last"]) for number in self._numbers]
        self._sums = dict.fromkeys(self._numbers, 0)

    def take(self, entries: list[Entry]) -> None:
        """Add a page of entries to their batches."""
        for entry in entries:
            number = self._batch_of(entry.document.doc_id)
            if number is not None:
                self._sums[number] = (self._sums[number] + int(entry.checksum, 16)) % MODULUS

    def check(self, written: Iterable[str]) -> Check:
        """Return a check that no batch differs; one whose documents were written since the backfill is left out."""
        changed = {self._batch_of(doc_id) for doc_id in written}
        found = Found()
        for number in self._numbers:
            if number not in changed and f"{self._sums[number]:032x}" != self._batches[number]["checksum"]:
                found.note("batches with another checksum", str(number))
        return found.check("batches with another checksum")

    def _batch_of(self, doc_id: str) -> int | None:
        """Return the batch in whose stretch of ids a document lies, None behind the last one."""
        at = bisect_left(self._ends, by_bytes(doc_id))
        return None if at == len(self._ends) else self._numbers[at]


def canary_check(canaries: Canaries, search: Callable[[str, int, Filter], list[Hit]]) -> Check:
    """Ask the canary queries; their mean must not lie below the interval that was promised.

    Args:
        canaries: the queries, their answers and the promise.
        search: what the new release answers to a text: so many documents, given what the query says beside it.
    """
    rows = []
    with Progress("Canary queries", len(canaries.queries)) as bar:
        for query_id, text in canaries.queries.items():
            hits = search(text, DEPTH, canaries.metadata.get(query_id, {}))
            rows += [(query_id, hit.doc_id, hit.score) for hit in hits]
            bar.advance()
    run = pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])
    judged = [(q, d, relevance) for q, known in canaries.qrels.items() for d, relevance in known.items()]
    qrels = pd.DataFrame(judged, columns=["query_id", "doc_id", "relevance"])
    mean = float(per_query(qrels, run, [canaries.metric])[canaries.metric].mean())
    wanted = f"{canaries.low:.4f} to {canaries.high:.4f}, as evaluated; more is no fault"
    return Check(
        f"{canaries.metric} of {len(canaries.queries):,} canary queries", round(mean, 4), wanted, mean >= canaries.low
    )
