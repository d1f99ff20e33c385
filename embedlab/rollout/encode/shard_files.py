"""What a folder of shards holds: the plan, one Parquet file a shard, and a journal of those that are finished."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from embedlab.errors import DataError, EmbedlabError, IntegrityError, ParameterError, StoreError, shown
from embedlab.files import replace_file, sha256_file, sha256_json
from embedlab.models.cache import Vectors
from embedlab.models.identity import EmbeddingIdentity
from embedlab.retrieval.systems import Settings
from embedlab.rollout.stores.base import Document, Entry

PLAN, JOURNAL = "shards.json", "journal.jsonl"

MEND = "run the command that made it again: it makes anew what is damaged, and nothing else"


# --- the plan -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """The documents of one shard: the first and the last id, how many, and a hash of their ids and contents."""

    first: str
    last: str
    documents: int
    content: str

    @classmethod
    def of(cls, contents: Sequence[tuple[str, str]]) -> Part:
        """Return the part of documents given as id and :attr:`Document.content`."""
        return cls(contents[0][0], contents[-1][0], len(contents), sha256_json([list(pair) for pair in contents]))


@dataclass(frozen=True)
class ShardPlan:
    """All that decides what stands in a folder of shards.

    Attributes:
        identity: the embedding space of the vectors.
        model: the model's name, for people.
        chunking: how documents are cut into passages.
        shard_size: documents a shard; the last one may hold fewer.
        parts: one a shard, in the order of the ids.
    """

    identity: EmbeddingIdentity
    model: str
    chunking: Mapping[str, Any]
    shard_size: int
    parts: tuple[Part, ...]

    @property
    def documents(self) -> int:
        """The number of documents."""
        return sum(part.documents for part in self.parts)

    @cached_property
    def content(self) -> str:
        """A hash of the ids and contents of all documents."""
        return sha256_json([part.content for part in self.parts])

    @cached_property
    def digest(self) -> str:
        """A hash of all but the names of the model: shards of one digest are the same shards."""
        return sha256_json([self.identity.digest, dict(self.chunking), self.shard_size, self.content])

    def to_json(self) -> str:
        """Return it as JSON."""
        whole = {
            "identity": self.identity.as_dict(),
            "model": self.model,
            "chunking": dict(self.chunking),
            "shard_size": self.shard_size,
            "documents": self.documents,
            "content": self.content,
            "shards": len(self.parts),
            "digest": self.digest,
            "parts": [asdict(part) for part in self.parts],
        }
        return json.dumps(whole, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str, where: str) -> ShardPlan:
        """Return what :meth:`to_json` wrote.

        Raises:
            IntegrityError: if it is damaged or was changed; names ``where``.
        """
        try:
            found = json.loads(text)
            identity = EmbeddingIdentity.from_dict(found["identity"], where, _NEW)
            parts = tuple(Part(**part) for part in found["parts"])
            plan = cls(identity, found["model"], found["chunking"], found["shard_size"], parts)
            recorded = found["digest"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise IntegrityError(f"{where}: not readable as a plan of shards: {shown(error)}; {_NEW}") from None
        if plan.digest != recorded:
            raise IntegrityError(f"{where}: the plan was changed after it was written; {_NEW}")
        return plan

    def require(self, other: ShardPlan, where: str) -> None:
        """Raise an error, naming what differs, unless the folder ``where`` holds shards of this very plan.

        Raises:
            IdentityError: if another model made them.
            EmbedlabError: if documents, chunking or shard size differ.
        """
        self.identity.require(other.identity, where)
        differ = []
        if dict(self.chunking) != dict(other.chunking):
            differ.append(f"chunking {chunking_in_words(other.chunking)} (here {chunking_in_words(self.chunking)})")
        if self.shard_size != other.shard_size:
            differ.append(f"{other.shard_size:,} documents a shard (here {self.shard_size:,})")
        elif self.parts != other.parts:
            differ.append(f"{other.documents:,} documents (here {self.documents:,}){self._first_change(other)}")
        if differ:
            raise EmbedlabError(f"{where} holds shards of another plan: {'; '.join(differ)}; {_NEW}")

    def _first_change(self, other: ShardPlan) -> str:
        for mine, theirs in zip(self.parts, other.parts, strict=False):
            if mine != theirs:
                return f", other ids or contents from {min(mine.first, theirs.first)!r} on"
        return ""


_NEW = "delete the folder or name a new one"


def chunking_of(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide what the passages are; whole documents have no words and no overlap."""
    if settings.chunk == "none":
        return {"chunk": "none"}
    return {"chunk": settings.chunk, "words": settings.passage_words, "overlap": settings.passage_overlap}


def chunking_in_words(chunking: Mapping[str, Any]) -> str:
    """Return chunking as a message names it, such as ``all (120 words, overlap 30)``."""
    if "words" not in chunking:
        return str(chunking.get("chunk"))
    return f"{chunking['chunk']} ({chunking['words']} words, overlap {chunking['overlap']})"


def split(documents: Iterable[Document], shard_size: int) -> Iterator[list[Document]]:
    """Yield the documents of each shard.

    Raises:
        DataError: if ids do not come in the order of their UTF-8 bytes, each once; names both.
    """
    part: list[Document] = []
    before: str | None = None
    for document in documents:
        # Python compares code points, and UTF-8 keeps their order.
        if before is not None and document.doc_id <= before:
            raise DataError(
                f"documents must come in the order of their ids, each once: {document.doc_id!r} comes after {before!r}"
            )
        before = document.doc_id
        part.append(document)
        if len(part) == shard_size:
            yield part
            part = []
    if part:
        yield part


def contents_of(documents: Sequence[Document]) -> list[tuple[str, str]]:
    """Return id and content hash of each document."""
    return [(document.doc_id, document.content) for document in documents]


def make_plan(
    documents: Iterable[Document], identity: EmbeddingIdentity, model: str, settings: Settings, shard_size: int
) -> ShardPlan:
    """Read all documents once and return the plan of their shards; no more than one shard is in memory.

    Raises:
        ParameterError: if a shard would hold nothing, or ``documents`` can be read only once.
        DataError: as :func:`split`.
    """
    if shard_size < 1:
        raise ParameterError(f"a shard holds at least one document, found {shard_size}")
    if isinstance(documents, Iterator):
        raise ParameterError(
            "documents are read twice, for the plan and for the vectors: give a list, or an object that starts anew "
            "each time it is iterated, not a generator"
        )
    parts = tuple(Part.of(contents_of(part)) for part in split(documents, shard_size))
    return ShardPlan(identity, model, chunking_of(settings), shard_size, parts)


# --- one shard ------------------------------------------------------------------------------------


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:06d}.parquet"


def write_shard(folder: Path, number: int, entries: Sequence[Entry]) -> str:
    """Write one shard as a whole: a row a passage; the same entries always give the same bytes.

    Returns:
        the sha256 of the file, in hex.

    Raises:
        StoreError: if it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    dimensions = entries[0].vectors.shape[1]
    counts = [len(entry.vectors) for entry in entries]
    vectors = np.concatenate([entry.vectors for entry in entries])
    columns = {
        "doc_id": pa.array(np.repeat(np.array([e.document.doc_id for e in entries], dtype=object), counts)),
        "content": pa.array(np.repeat(np.array([e.document.content for e in entries], dtype=object), counts)),
        "passage": pa.array(np.concatenate([np.arange(count, dtype=np.int32) for count in counts])),
        "passages": pa.array(np.repeat(np.array(counts, dtype=np.int32), counts)),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dimensions),
    }
    table = pa.table(columns)
    try:
        return replace_file(folder / shard_name(number), lambda path: pq.write_table(table, path, compression="zstd"))
    except OSError as error:
        raise StoreError(f"cannot write {folder / shard_name(number)}: {error.strerror or error}") from error


@dataclass(frozen=True)
class Shard:
    """A shard in memory.

    Attributes:
        contents: id and content hash of each document, in order.
        firsts: the row of each document's first passage, and the number of rows.
        vectors: float32 ``[passages, dimensions]``.
    """

    contents: list[tuple[str, str]]
    firsts: list[int]
    vectors: Vectors

    def by_id(self) -> dict[str, tuple[str, Vectors]]:
        """Return content hash and vectors of each document."""
        found = {}
        for at, (doc_id, content) in enumerate(self.contents):
            found[doc_id] = (content, self.vectors[self.firsts[at] : self.firsts[at + 1]])
        return found


def read_shard(path: Path, digest: str, part: Part, dimensions: int) -> Shard:
    """Read a shard and check all that can be checked.

    Args:
        path: the file.
        digest: the sha256 that the journal holds.
        part: what the plan says of its documents.
        dimensions: numbers a vector must have.

    Raises:
        IntegrityError: if the file is missing or is not the one written, a vector has other dimensions or is no
            number, or its documents are not those of the plan; names the file.
    """
    if not path.is_file():
        raise IntegrityError(f"{path}: there is no such file; {MEND}")
    found = sha256_file(path)
    if found != digest:
        raise IntegrityError(f"{path}: not what was written: found {found[:12]}, recorded {digest[:12]}; {MEND}")
    shard = _parse(path, dimensions)
    is_finite = np.isfinite(shard.vectors).all(axis=1)
    if not is_finite.all():
        row = int(np.argmin(is_finite))
        at = int(np.searchsorted(shard.firsts, row, side="right")) - 1
        raise IntegrityError(f"{path}: a vector of document {shard.contents[at][0]!r} holds NaN or infinity; {MEND}")
    if Part.of(shard.contents) != part:
        raise IntegrityError(f"{path}: its documents are not those of the plan; {MEND}")
    return shard


def _parse(path: Path, dimensions: int) -> Shard:
    """Return what a Parquet file holds, in the types of a shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path).combine_chunks()
        vector = table["vector"].chunk(0)
        if vector.type != pa.list_(pa.float32(), dimensions):
            raise IntegrityError(f"{path}: its vectors are {vector.type}, expected {dimensions} numbers each; {MEND}")
        # A number that is missing turns into NaN here.
        vectors = vector.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, dimensions)
        firsts = np.flatnonzero(table["passage"].to_numpy() == 0)
        ids = table["doc_id"].take(firsts).to_pylist()
        contents = table["content"].take(firsts).to_pylist()
    except (OSError, pa.ArrowException, KeyError, ValueError, IndexError) as error:
        raise IntegrityError(f"{path}: not readable as a shard: {shown(error)}; {MEND}") from None
    return Shard(list(zip(ids, contents, strict=True)), [*firsts.tolist(), table.num_rows], vectors)


# --- the journal ----------------------------------------------------------------------------------


def read_journal(folder: Path, plan: ShardPlan) -> dict[int, str]:
    """Return shard number to sha256 of the shards that are finished; a torn line counts as not written."""
    path = folder / JOURNAL
    if not path.exists():
        return {}
    finished = {}
    for text in path.read_bytes().splitlines():
        try:
            line = json.loads(text)
            # A line of another plan that stood here before says nothing of this one.
            if line["plan"] == plan.digest and 0 <= line["shard"] < len(plan.parts):
                finished[line["shard"]] = str(line["sha256"])
        except (ValueError, TypeError, KeyError):
            continue
    return finished


def note(folder: Path, plan: ShardPlan, number: int, digest: str) -> None:
    """Add a finished shard to the journal, on the disk when this returns.

    Raises:
        StoreError: if it cannot be written.
    """
    # Whatever a kill left of the line before, this one begins on a line of its own.
    line = "\n" + _line(plan, number, digest)
    try:
        with (folder / JOURNAL).open("ab") as stream:
            stream.write(line.encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StoreError(f"cannot write {folder / JOURNAL}: {error.strerror or error}") from error


def rewrite_journal(folder: Path, plan: ShardPlan, finished: Mapping[int, str]) -> None:
    """Write the journal anew, in order: however often the work was stopped, the folder ends up the same."""
    replace_file(folder / JOURNAL, "".join(_line(plan, number, finished[number]) for number in sorted(finished)))


def _line(plan: ShardPlan, number: int, digest: str) -> str:
    return json.dumps({"shard": number, "sha256": digest, "plan": plan.digest}) + "\n"
