"""How a document stands in Milvus: one row a passage, under a key that sorts as the document's id does."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from embedlab.errors import DataError, ParameterError, nearest
from embedlab.retrieval.indexes.index import KINDS
from embedlab.retrieval.indexes.settings import BUILD_WIDTH, LINKS, SEARCH_WIDTH
from embedlab.rollout.stores.base import Document, Entry

ID_BYTES, TEXT_BYTES, JSON_BYTES = 4_000, 65_535, 65_536
"""What a doc_id of ours may take, and what Milvus gives a VARCHAR and a JSON field."""

MOST_PASSAGES = 1_000_000
"""Six digits number them."""

REQUEST_BYTES, REQUEST_DOCUMENTS = 8 * 2**20, 256
"""What goes into one request; Milvus takes 64 MB."""

# Smaller than every character that an id may hold: so "a" comes before "a-b", as it does among the ids.
_SEPARATOR = "\x1f"
_DIGITS = 6

STAMP_KEY = _SEPARATOR
"""The row that says which change of the collection was the last; no document's key is as short."""

DOCUMENT_FIELDS = ["doc_id", "title", "text", "metadata"]
ALL_FIELDS = [*DOCUMENT_FIELDS, "key", "passage", "passages", "most_passages", "space", "checksum", "vector"]


def key_of(doc_id: str, passage: int) -> str:
    """Return the primary key of a passage."""
    return f"{doc_id}{_SEPARATOR}{passage:0{_DIGITS}d}"


def schema(dimensions: int, description: str) -> Any:
    """Return the schema of a collection, for ``MilvusClient.create_collection``.

    Title and text stand in the row of passage 0 alone, metadata in all, because a filter looks at each row.
    """
    from pymilvus import DataType, MilvusClient

    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
    made.add_field("key", DataType.VARCHAR, is_primary=True, max_length=ID_BYTES + len(_SEPARATOR) + _DIGITS)
    made.add_field("doc_id", DataType.VARCHAR, max_length=ID_BYTES)
    for number in ("passage", "passages", "most_passages"):
        made.add_field(number, DataType.INT64)
    for text in ("title", "text"):
        made.add_field(text, DataType.VARCHAR, max_length=TEXT_BYTES)
    made.add_field("metadata", DataType.JSON)
    for digest in ("space", "checksum"):
        made.add_field(digest, DataType.VARCHAR, max_length=128)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions)
    return made


def index_parameters(kind: str) -> Any:
    """Return how the vectors are indexed, for ``MilvusClient.create_index``; inner product, so that they stay as is.

    Raises:
        ParameterError: if the kind is neither ``flat`` nor ``hnsw``.
    """
    from pymilvus import MilvusClient

    if kind not in KINDS:
        raise ParameterError(f"unknown index kind {kind!r}{nearest(kind, list(KINDS))}")
    build = {"M": LINKS, "efConstruction": BUILD_WIDTH} if kind == "hnsw" else {}
    return MilvusClient.prepare_index_params("vector", index_type=kind.upper(), metric_type="IP", params=build)


def search_parameters(kind: str, depth: int) -> dict[str, Any]:
    """Return what Milvus is told for one search: an HNSW graph has to look at no fewer vectors than are wanted."""
    return {"metric_type": "IP", "params": {"ef": max(SEARCH_WIDTH, depth)} if kind == "hnsw" else {}}


def require_fits(entry: Entry, where: str) -> None:
    """Raise a DataError where Milvus cannot hold a document as it is; names the document, what it has and the limit.

    Milvus Lite would take some of it, and the server it is moved to later would not.
    """
    document = entry.document
    name = f"{where}: document {document.doc_id[:100]!r}"
    if not document.doc_id or any(character < " " for character in document.doc_id):
        raise DataError(f"{name}: an id must hold something, and no control character; give it another id")
    metadata = _as_json(document, name)
    limits = [
        ("its id", document.doc_id, ID_BYTES, "give it a shorter id"),
        ("its title", document.title, TEXT_BYTES, "put a part of it into the text"),
        ("its text", document.text, TEXT_BYTES, "split it into several documents"),
        ("its metadata as JSON", metadata, JSON_BYTES, "keep what is large elsewhere"),
    ]
    for what, text, limit, advice in limits:
        size = len(text.encode())
        if size > limit:
            raise DataError(f"{name}: {what} takes {size:,} bytes; Milvus holds {limit:,}: {advice}")
    if len(entry.vectors) > MOST_PASSAGES:
        raise DataError(f"{name} has {len(entry.vectors):,} passages; expected at most {MOST_PASSAGES:,}")


def _as_json(document: Document, name: str) -> str:
    """Return metadata as JSON; raises a DataError where they would come back as something else."""
    import orjson  # what pymilvus reads JSON with

    text = _json_of(document)
    try:
        read = json.dumps(orjson.loads(text), ensure_ascii=False, sort_keys=True)
    except ValueError as error:
        raise DataError(f"{name}: Milvus cannot hold its metadata: {error}; mend or leave out that value") from None
    if read != text:
        raise DataError(
            f"{name}: its metadata would come back changed from Milvus; the usual cause is an integer of more than "
            "64 bits: store it as a text"
        )
    return text


def _json_of(document: Document) -> str:
    return json.dumps(dict(document.metadata), ensure_ascii=False, sort_keys=True)


def rows_of(entry: Entry, most_passages: int) -> list[dict[str, Any]]:
    """Return the rows of a document.

    Args:
        entry: the document.
        most_passages: that it ever had in this collection; keys up to it may be taken.
    """
    document = entry.document
    shared = {
        "doc_id": document.doc_id,
        "passages": len(entry.vectors),
        "most_passages": most_passages,
        "title": "",
        "text": "",
        "metadata": _json_of(document),
        "space": entry.space,
        "checksum": entry.checksum,
    }
    rows = []
    for passage, vector in enumerate(np.asarray(entry.vectors, dtype=np.float32)):
        rows.append({**shared, "key": key_of(document.doc_id, passage), "passage": passage, "vector": vector})
    rows[0] |= {"title": document.title, "text": document.text}
    return rows


def stamp_row(dimensions: int) -> dict[str, Any]:
    """Return a row that makes the collection's version another one; it is no document: its passage is -1."""
    blank = {name: "" for name in ("doc_id", "title", "space", "checksum")}
    numbers = {"passage": -1, "passages": 0, "most_passages": 0}
    vector = np.zeros(dimensions, dtype=np.float32)
    return {**blank, **numbers, "key": STAMP_KEY, "text": uuid.uuid4().hex, "metadata": {}, "vector": vector}


def document_of(row: dict[str, Any]) -> Document:
    """Return the document of a row of passage 0."""
    return Document(row["doc_id"], row["title"], row["text"], dict(row["metadata"]))


def entry_of(rows: Sequence[dict[str, Any]]) -> Entry | None:
    """Return the document of some rows; None where they are not what was written, as a whole and at once."""
    ordered = sorted(rows, key=lambda row: int(row["passage"]))
    first = ordered[0]
    if [row["passage"] for row in ordered] != list(range(first["passages"])):
        return None
    vectors = np.asarray([row["vector"] for row in ordered], dtype=np.float32)
    entry = Entry.of(document_of(first), vectors, first["space"])
    return entry if entry.checksum == first["checksum"] else None


def portions(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Yield entries in parts that fit into one request; a document is never parted."""
    portion: list[Entry] = []
    size = 0
    for entry in entries:
        document = entry.document
        texts = len(document.title) + len(document.text) + len(str(document.metadata)) * len(entry.vectors)
        entry_size = entry.vectors.size * 4 + 4 * texts  # a character takes at most four bytes
        if portion and (size + entry_size > REQUEST_BYTES or len(portion) == REQUEST_DOCUMENTS):
            yield portion
            portion, size = [], 0
        portion.append(entry)
        size += entry_size
    if portion:
        yield portion
