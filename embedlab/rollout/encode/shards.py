"""Vectors of a corpus as shards on the disk: made by one process or by many machines, in one format.

A shard is the unit of work. It counts when its Parquet file is on the disk and its checksum is in the journal after
that; so work that is killed anywhere goes on with the same command, and nothing that is finished is encoded twice.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from filelock import Timeout

from embedlab.errors import DataError, EmbedlabError, IntegrityError, LockedError, MissingInputError, StoreError
from embedlab.files import read_text, replace_file, sha256_file
from embedlab.locks import file_lock
from embedlab.models.cache import Vectors
from embedlab.models.identity import EmbeddingIdentity
from embedlab.progress import Progress
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.retrieval.systems import Settings
from embedlab.rollout.encode.documents import encode_documents
from embedlab.rollout.encode.shard_files import (
    MEND,
    PLAN,
    Part,
    ShardPlan,
    chunking_in_words,
    chunking_of,
    contents_of,
    make_plan,
    note,
    read_journal,
    read_shard,
    rewrite_journal,
    shard_name,
    split,
    write_shard,
)
from embedlab.rollout.stores.base import CollectionInfo, Document, require_space

SHARD_SIZE = 2048
"""Documents a shard: what a kill can cost, and what is in memory at once."""

CACHED = 2
"""Shards that a reader keeps in memory: a batch of documents may begin in one and end in the next."""

LOCK = ".lock"


def encode_shards(
    documents: Iterable[Document],
    encoder: EncodesWithIdentity,
    folder: Path,
    settings: Settings,
    shard_size: int = SHARD_SIZE,
) -> Shards:
    """Encode documents in this process, shard by shard; finished shards of the same plan stay as they are.

    Memory holds one shard, however many documents there are.

    Args:
        documents: in the order of their ids; read twice, so a generator will not do.
        encoder: the model.
        folder: where the shards go; empty, or holding shards of the same plan.
        settings: how documents are cut into passages.
        shard_size: documents a shard.

    Raises:
        DataError: if ids do not come in order, or the documents change while they are read.
        IdentityError: if the folder holds shards of another model.
        EmbedlabError: if it holds shards of another plan; names what differs.
        LockedError: if another process is writing the folder.
        StoreError: if it cannot be written.
    """
    plan = make_plan(documents, encoder.identity, encoder.name, settings, shard_size)
    with Writing.begin(folder, plan) as writing, Progress("Encoding documents", plan.documents) as bar:
        for number, part in enumerate(split(documents, shard_size)):
            if number not in writing.finished:
                writing.note(number, encode_shard(encoder, folder, plan, settings, number, part))
            bar.advance(len(part))
    return Shards(folder)


def encode_shard(
    encoder: EncodesWithIdentity,
    folder: Path,
    plan: ShardPlan,
    settings: Settings,
    number: int,
    documents: Sequence[Document],
) -> str:
    """Encode and write one shard; return the sha256 of its file, which makes it count once it is in the journal.

    Raises:
        DataError: if its documents are not those that were planned, or a vector holds NaN or infinity.
        StoreError: if it cannot be written.
    """
    planned = plan.parts[number] if number < len(plan.parts) else None
    if Part.of(contents_of(documents)) != planned:
        raise DataError(
            f"{folder / shard_name(number)}: the documents changed after they were counted, from "
            f"{documents[0].doc_id!r} on: encode a copy that nobody writes to"
        )
    entries = encode_documents(encoder, documents, settings)
    require_space(entries, CollectionInfo(plan.identity, plan.model, settings), str(folder / shard_name(number)))
    return write_shard(folder, number, entries)


class Writing:
    """A folder of shards while one process writes it; the lock dies with that process, however it dies.

    Attributes:
        finished: shard number to sha256, of those whose file is the one that was written.
    """

    def __init__(self, folder: Path, plan: ShardPlan) -> None:
        self.folder, self.plan = folder, plan
        self.finished = sound_shards(folder, plan)

    @classmethod
    @contextlib.contextmanager
    def begin(cls, folder: Path, plan: ShardPlan) -> Iterator[Writing]:
        """Open a folder for writing, with its plan in place; raises as :func:`encode_shards`."""
        with _only_writer(folder):
            _sweep(folder)
            path = folder / PLAN
            if path.exists():
                plan.require(_read_plan(folder), str(folder))
            else:
                replace_file(path, plan.to_json())
            writing = cls(folder, plan)
            yield writing
            missing = writing.missing()
            if missing:
                raise DataError(
                    f"{folder}: {len(missing):,} of {len(plan.parts):,} shards got no documents: fewer came than were "
                    "counted before; encode a copy that nobody writes to"
                )
            rewrite_journal(folder, plan, writing.finished)
            _sweep(folder)

    def note(self, number: int, digest: str) -> None:
        """Let a shard count."""
        note(self.folder, self.plan, number, digest)
        self.finished[number] = digest

    def missing(self) -> list[int]:
        """Return the numbers of the shards that have to be encoded."""
        return [number for number in range(len(self.plan.parts)) if number not in self.finished]


def sound_shards(folder: Path, plan: ShardPlan) -> dict[int, str]:
    """Return shard number to sha256 of the finished shards whose file has it; the others are encoded again."""
    sound = {}
    for number, digest in read_journal(folder, plan).items():
        path = folder / shard_name(number)
        if path.is_file() and sha256_file(path) == digest:
            sound[number] = digest
    return sound


def _sweep(folder: Path) -> None:
    """Remove what a process left that was killed in the middle of a file, this one before or a worker meanwhile."""
    for left in folder.glob(".*.tmp"):
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

    Raises:
        LockedError: if another process holds it.
        StoreError: if the folder cannot be written.
    """
    lock = file_lock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise LockedError(f"{folder} is being written by another process; wait for it or stop it") from None
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _read_plan(folder: Path) -> ShardPlan:
    path = folder / PLAN
    return ShardPlan.from_json(read_text(path, IntegrityError, "delete the folder or name a new one"), str(path))


class Shards:
    """A folder of shards, for reading; the finished ones can be read while others are being made.

    Args:
        folder: what :func:`encode_shards` wrote, or many machines did.

    Raises:
        MissingInputError: if it holds no plan of shards.
        IntegrityError: if the plan is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / PLAN).is_file():
            raise MissingInputError(f"{folder} holds no shards: it lacks {PLAN}; encode the documents")
        self.plan = _read_plan(folder)
        self.finished = read_journal(folder, self.plan)
        self._firsts = [part.first for part in self.plan.parts]
        self._loaded: OrderedDict[int, dict[str, tuple[str, Vectors]]] = OrderedDict()

    def require(self, identity: EmbeddingIdentity, settings: Settings) -> None:
        """Raise an error unless the vectors are those of a model and of a way to cut documents.

        Raises:
            IdentityError: if another model made them.
            EmbedlabError: if the passages are others.
        """
        identity.require(self.plan.identity, str(self.folder))
        wanted = chunking_of(settings)
        if wanted != dict(self.plan.chunking):
            raise EmbedlabError(
                f"{self.folder} holds vectors of passages cut by {chunking_in_words(self.plan.chunking)}, "
                f"asked for {chunking_in_words(wanted)}; encode the documents again"
            )

    def find(self, documents: Sequence[Document]) -> dict[str, Vectors]:
        """Return the vectors of those documents that are the ones encoded; changed and unknown ones are left out.

        Asked in the order of their ids, in batches of any size, every shard is read once.

        Returns:
            float32 ``[passages, dimensions]`` by document id.

        Raises:
            IntegrityError: if a shard is damaged; names it.
        """
        found = {}
        for document in documents:
            number = self._shard_of(document.doc_id)
            if number is None:
                continue
            content, vectors = self._load(number).get(document.doc_id, ("", None))
            if vectors is not None and content == document.content:
                found[document.doc_id] = vectors
        return found

    def vectors(self) -> tuple[list[str], Vectors]:
        """Return all vectors, in the order of the document ids; every shard is checked as it is read.

        Returns:
            the document of each vector, and float32 ``[passages, dimensions]``.

        Raises:
            IntegrityError: if a shard is damaged or not finished; names it, and the document whose vector is no number.
        """
        ids: list[str] = []
        found = []
        for number, part in enumerate(self.plan.parts):
            path = self.folder / shard_name(number)
            if number not in self.finished:
                raise IntegrityError(f"{path}: not finished; {MEND}")
            shard = read_shard(path, self.finished[number], part, self.plan.identity.dimensions)
            for (doc_id, _), count in zip(shard.contents, np.diff(shard.firsts).tolist(), strict=True):
                ids += [doc_id] * count
            found.append(shard.vectors)
        if not found:
            return [], np.empty((0, self.plan.identity.dimensions), dtype=np.float32)
        return ids, np.concatenate(found)

    def file_of(self, doc_id: str) -> str:
        """Return the name of the file that would hold a document's vectors, blank where no finished shard does."""
        number = self._shard_of(doc_id)
        return "" if number is None else shard_name(number)

    def _shard_of(self, doc_id: str) -> int | None:
        """Return the finished shard that could hold a document."""
        number = bisect_right(self._firsts, doc_id) - 1
        if number not in self.finished or doc_id > self.plan.parts[number].last:
            return None
        return number

    def _load(self, number: int) -> dict[str, tuple[str, Vectors]]:
        """Return content hash and vectors by id, of one shard."""
        if number not in self._loaded:
            path, digest = self.folder / shard_name(number), self.finished[number]
            shard = read_shard(path, digest, self.plan.parts[number], self.plan.identity.dimensions)
            self._loaded[number] = shard.by_id()
            if len(self._loaded) > CACHED:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(number)
        return self._loaded[number]

    def check(self) -> dict[str, str]:
        """Read all shards; return what is wrong, by the name of the file: nothing where all is well."""
        damage = {}
        for number, part in enumerate(self.plan.parts):
            path = self.folder / shard_name(number)
            if number not in self.finished:
                damage[path.name] = f"{path}: not finished; {MEND}"
                continue
            try:
                read_shard(path, self.finished[number], part, self.plan.identity.dimensions)
            except IntegrityError as error:
                damage[path.name] = str(error)
        return damage
