"""One index, read once: what is wrong with which document, and whether its own search finds what exact search does."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from embedlab.errors import IntegrityError
from embedlab.models.cache import Vectors
from embedlab.progress import Progress
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.rollout.checks import LEAST_RECALL, SAME_COSINE
from embedlab.rollout.encode.documents import encode_documents
from embedlab.rollout.results import Check
from embedlab.rollout.stores.base import Collection, Entry, checksum_of, entry_pages

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

    def recall_check(self) -> Check:
        """Return whether the index's own search finds what exact search does."""
        try:
            recall = self.recall()
        except IntegrityError as error:  # a damaged entry is never searched
            return Check(f"searches answered ({error})", 0, f"{len(self._queries)}", False)
        name = f"recall@{K} against exact search, {len(self._queries)} queries"
        return Check(name, round(recall, 4), f"at least {LEAST_RECALL}", recall >= LEAST_RECALL)

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
                if by_bytes(entry.document.doc_id) <= by_bytes(last):
                    found.note(DOUBLE, entry.document.doc_id)
                last = entry.document.doc_id
            seen += len(entries)
            bar.advance(len(entries))
    for fault, doc_id in walk.faults:
        found.note(fault, doc_id)
    checks = [Check("documents", seen, f"{walk.documents}", seen == walk.documents)]
    checks += [found.check(fault) for fault in (DOUBLE, *VECTOR_FAULTS, NOT_REPRODUCED)]
    return [*checks, walk.sample_check(), walk.recall_check()]


def by_bytes(doc_id: str) -> bytes:
    """Return what ids are ordered by."""
    return doc_id.encode()
