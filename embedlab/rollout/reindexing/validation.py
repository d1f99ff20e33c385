"""Whether the new index may answer: everything in it is compared with the old one, in one walk over both."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from embedlab.errors import IntegrityError
from embedlab.evaluation.metrics import per_query
from embedlab.models.cache import Vectors
from embedlab.progress import Progress
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.rollout.checks import LEAST_RECALL, SAME_COSINE
from embedlab.rollout.encoding import encode_documents
from embedlab.rollout.job import Canaries
from embedlab.rollout.reindexing.backfill import MODULUS
from embedlab.rollout.results import Check
from embedlab.rollout.stores.base import Collection, Entry, Hit, checksum_of, entry_pages

PAGE = 512
"""Documents of each index that are in memory at once."""

QUERIES = 64
"""Documents whose nearest neighbours are compared with those of exact search."""

K = 10

NAMED = 3
"""Documents that a finding names."""


@dataclass
class Found:
    """What a walk over an index met: how many of each fault, and the first ids."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[str]] = field(default_factory=dict)

    def note(self, fault: str, doc_id: str) -> None:
        """Count a fault of a document."""
        self.counts[fault] = self.counts.get(fault, 0) + 1
        self.first.setdefault(fault, [])
        if len(self.first[fault]) < NAMED:
            self.first[fault].append(doc_id)

    def check(self, fault: str) -> Check:
        """Return a check that a fault was met nowhere; its name lists the first documents."""
        count = self.counts.get(fault, 0)
        where = f" ({', '.join(self.first[fault])}{', …' if count > NAMED else ''})" if count else ""
        return Check(f"{fault}{where}", count, "0", count == 0)


def vector_faults(entry: Entry, collection: Collection) -> Iterator[str]:
    """Yield what is wrong with an entry by itself."""
    vectors = entry.vectors
    if not np.isfinite(vectors).all():
        yield "documents with NaN or infinity"
    elif not _is_blank(entry) and np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 1e-3:
        yield "documents whose vectors are not of unit length"
    if entry.space != collection.info.identity.digest:
        yield "documents with vectors of another space, or of nobody's"
    if entry.checksum != checksum_of(entry.document, vectors, entry.space):
        yield "documents that are not what was written"


def _is_blank(entry: Entry) -> bool:
    """Return whether a document says nothing: a static model makes zeros of that."""
    return not (entry.document.title + entry.document.text).strip()


VECTOR_FAULTS = (
    "documents with NaN or infinity",
    "documents whose vectors are not of unit length",
    "documents with vectors of another space, or of nobody's",
    "documents that are not what was written",
)

DOUBLE = "ids that are double"

PAIR_FAULTS = ("documents missing", "documents that the old index does not have", "documents with another content")


class Walk:
    """One walk over an index, page by page: faults of its entries, a sample encoded again, exact neighbours.

    Args:
        collection: the index.
        encoder: its model; None encodes nothing again.
        sample: documents to encode again, evenly spread; 0: all.

    Attributes:
        faults: what was wrong with which document.
    """

    def __init__(self, collection: Collection, encoder: EncodesWithIdentity | None, sample: int) -> None:
        self.collection, self.encoder = collection, encoder
        self.faults: list[tuple[str, str]] = []
        self.documents = collection.count()
        self._encoded = 0
        self._lowest = 1.0
        self._step = 1 if sample <= 0 else max(1, self.documents // sample)
        self._queries = self._query_vectors()
        self._nearest: list[list[tuple[float, str]]] = [[] for _ in self._queries]

    def _query_vectors(self) -> Vectors:
        """Return the first vector of some documents, evenly spread."""
        step = max(1, self.documents // QUERIES)
        picked = [doc_id for at, doc_id in enumerate(self.collection.ids()) if at % step == 0][:QUERIES]
        entries = self.collection.get(picked).values()
        sound = [entry.vectors[0] for entry in entries if np.isfinite(entry.vectors).all()]
        return np.stack(sound) if sound else np.zeros((0, self.collection.info.identity.dimensions), np.float32)

    def take(self, first: int, entries: list[Entry]) -> None:
        """Look at a page, whose first entry is the ``first``-th of all."""
        for entry in entries:
            for fault in vector_faults(entry, self.collection):
                self.faults.append((fault, entry.document.doc_id))
        picked = [entry for at, entry in enumerate(entries, first) if at % self._step == 0]
        self._encode_again(picked)
        self._rank(entries)

    def _encode_again(self, entries: list[Entry]) -> None:
        if self.encoder is None or not entries:
            return
        again = encode_documents(self.encoder, [e.document for e in entries], self.collection.info.settings)
        for entry, fresh in zip(entries, again, strict=True):
            cosine = _lowest_cosine(entry.vectors, fresh.vectors)
            if cosine < SAME_COSINE:
                self.faults.append((NOT_REPRODUCED, entry.document.doc_id))
            self._lowest = min(self._lowest, cosine)
            self._encoded += 1

    def _rank(self, entries: list[Entry]) -> None:
        """Keep each query's best documents so far, by exact inner products."""
        if not len(self._queries) or not entries:
            return
        owners = [entry.document.doc_id for entry in entries for _ in entry.vectors]
        scores = self._queries @ np.nan_to_num(np.concatenate([entry.vectors for entry in entries])).T
        depth = min(scores.shape[1], 4 * K)
        for query, line in enumerate(scores):
            at = np.argpartition(-line, depth - 1)[:depth]
            best = {doc_id: score for score, doc_id in self._nearest[query]}
            for position in at:
                doc_id = owners[position]
                best[doc_id] = max(best.get(doc_id, -np.inf), float(line[position]))
            self._nearest[query] = heapq.nlargest(K, [(score, doc_id) for doc_id, score in best.items()])

    def recall(self) -> float:
        """Return the share of the exact neighbours' scores that the index's own search reaches."""
        if not len(self._queries):
            return 1.0
        found = self.collection.search(self._queries, K)
        hits = total = 0
        for exact, mine in zip(self._nearest, found, strict=True):
            # Equal scores may stand in any order, and a sum in another one differs in the last digit.
            least = min((score for score, _ in exact), default=0.0) - 1e-5
            hits += min(sum(hit.score >= least for hit in mine), len(exact))
            total += len(exact)
        return hits / max(total, 1)

    def recall_checks(self) -> list[Check]:
        """Return whether the index's own search finds what exact search does."""
        try:
            recall = self.recall()
        except IntegrityError as error:  # a damaged entry is never searched
            return [Check(f"searches answered ({error})", 0, f"{len(self._queries)}", False)]
        name = f"recall@{K} against exact search, {len(self._queries)} queries"
        return [Check(name, round(recall, 4), f"at least {LEAST_RECALL}", recall >= LEAST_RECALL)]

    def sample_check(self) -> Check:
        """Return whether the model makes the vectors of the sample again."""
        name = f"lowest cosine of {self._encoded:,} documents encoded again"
        wanted = f"at least {SAME_COSINE}" if self.encoder is not None else "not checked: the model is not at hand"
        return Check(name, round(self._lowest, 5), wanted, self._lowest >= SAME_COSINE)


NOT_REPRODUCED = "documents whose vectors the model does not make again"


def _lowest_cosine(mine: Vectors, theirs: Vectors) -> float:
    if mine.shape != theirs.shape or not np.isfinite(mine).all():
        return -1.0
    # Where both are zeros, of a text without a word that the model knows, they are the same.
    products = np.where(mine.any(axis=1) | theirs.any(axis=1), (mine * theirs).sum(axis=1), 1.0)
    return float(products.min())


def verify(collection: Collection, encoder: EncodesWithIdentity | None, sample: int) -> list[Check]:
    """Check an index by itself: counts, ids, identity, vectors, a sample encoded again, recall.

    Args:
        collection: the index.
        encoder: its model; None encodes nothing again.
        sample: documents to encode again, evenly spread; 0: all.
    """
    walk = Walk(collection, encoder, sample)
    found, last, seen = Found(), "", 0
    with Progress("Verifying", walk.documents) as bar:
        for entries in entry_pages(collection, PAGE):
            walk.take(seen, entries)
            for entry in entries:
                if _key(entry.document.doc_id) <= _key(last):
                    found.note(DOUBLE, entry.document.doc_id)
                last = entry.document.doc_id
            seen += len(entries)
            bar.advance(len(entries))
    for fault, doc_id in walk.faults:
        found.note(fault, doc_id)
    checks = [Check("documents", seen, f"{walk.documents}", seen == walk.documents)]
    checks += [found.check(fault) for fault in (DOUBLE, *VECTOR_FAULTS, NOT_REPRODUCED)]
    return [*checks, walk.sample_check(), *walk.recall_checks()]


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
        self._recall: list[Check] = []

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
        self._recall = self._walk.recall_checks()

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
        return [*checks, self._recorded.check(written_since_backfill), self._walk.sample_check(), *self._recall]


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
        ends = [max(ids, key=_key) for ids in (list(mine), theirs) if len(ids) == PAGE]
        last = min(ends, key=_key) if ends else max([*mine, *theirs], key=_key)
        inside = [doc_id for doc_id in theirs if _key(doc_id) <= _key(last)]
        found = new.get(inside)
        yield (
            {doc_id: content for doc_id, content in mine.items() if _key(doc_id) <= _key(last)},
            [found[doc_id] for doc_id in inside if doc_id in found],
        )
        after = last


def _key(doc_id: str) -> bytes:
    """Return what ids are ordered by."""
    return doc_id.encode()


class _Recorded:
    """Compares the entries of each batch with the checksum that the backfill recorded for it."""

    def __init__(self, batches: Mapping[int, Mapping[str, Any]]) -> None:
        self._numbers = sorted(batches)
        self._batches = batches
        self._ends = [_key(batches[number]["last"]) for number in self._numbers]
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
        at = bisect_left(self._ends, _key(doc_id))
        return None if at == len(self._ends) else self._numbers[at]


def canary_check(canaries: Canaries, search: Callable[[str, int], list[Hit]]) -> Check:
    """Ask the canary queries; their mean must not lie below the interval that was promised.

    Args:
        canaries: the queries, their answers and the promise.
        search: what the new release answers to a text, so many documents.
    """
    rows = []
    with Progress("Canary queries", len(canaries.queries)) as bar:
        for query_id, text in canaries.queries.items():
            rows += [(query_id, hit.doc_id, hit.score) for hit in search(text, 100)]
            bar.advance()
    run = pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])
    judged = [(q, d, relevance) for q, known in canaries.qrels.items() for d, relevance in known.items()]
    qrels = pd.DataFrame(judged, columns=["query_id", "doc_id", "relevance"])
    mean = float(per_query(qrels, run, [canaries.metric])[canaries.metric].mean())
    wanted = f"{canaries.low:.4f} to {canaries.high:.4f}, as evaluated; more is no fault"
    return Check(
        f"{canaries.metric} of {len(canaries.queries):,} canary queries", round(mean, 4), wanted, mean >= canaries.low
    )
