"""Milvus: embedded in a file, a server, or a cluster, through one client.

A change is made by requests that Milvus keeps one by one, not by a transaction: each leaves the collection readable,
and a change that was broken off is completed when it is repeated.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from embedlab.errors import EmbedlabError, IntegrityError, MissingInputError, ParameterError
from embedlab.models.cache import Vectors
from embedlab.rollout.stores.base import (
    CollectionInfo,
    Document,
    Entry,
    Filter,
    Hit,
    best_first,
    has_all,
    is_settled,
    require_space,
)
from embedlab.rollout.stores.milvus_filter import any_of, equals, literal
from embedlab.rollout.stores.milvus_link import LOAD_SECONDS, SCAN_SECONDS, SECONDS, Link, NotLoadedError
from embedlab.rollout.stores.milvus_rows import (
    ALL_FIELDS,
    DOCUMENT_FIELDS,
    STAMP_KEY,
    document_of,
    entry_of,
    index_parameters,
    key_of,
    portions,
    require_fits,
    rows_of,
    schema,
    search_parameters,
    stamp_row,
)

INFO = "embedlab.info"
"""Milvus keeps what a collection says of itself as its description; Milvus Lite drops that, but keeps a property."""

DEEPEST = 16_384
"""Rows that Milvus finds for a query at most, and that it gives at once."""

KEYS_AT_ONCE, QUERIES_AT_ONCE = 500, 256
"""Of one request."""

READS, PAUSE = 3, 0.05
"""How often a document is read that another process may be writing, and the seconds between."""

# Only what asks as pymilvus' own iterator does gets rows in the order of their keys, from Milvus and Milvus Lite alike.
IN_ORDER = {"iterator": "True", "reduce_stop_for_best": "True"}


class MilvusStore:
    """The collections of one Milvus.

    Args:
        uri: ``FILE.db`` for an embedded one, ``http://HOST:PORT`` or ``https://…`` for a server or cluster.
        token: of a server that asks for one.

    Raises:
        StoreError: if ``pymilvus`` is not installed.
    """

    def __init__(self, uri: str, token: str = "") -> None:
        self._link = Link(uri, token)

    def create(self, name: str, info: CollectionInfo) -> MilvusCollection:
        """Make an empty collection; as :class:`~embedlab.rollout.stores.base.VectorStore` says."""
        index_parameters(info.settings.index)
        if self._link.folder is not None:
            self._link.folder.parent.mkdir(parents=True, exist_ok=True)
        if self._link.call("has_collection", name):
            raise EmbedlabError(
                f"{self._address(name)} exists already; an index is never overwritten: choose another name"
            )
        text = info.to_json()
        # Strong: what a process has written, every process reads.
        self._link.call(
            "create_collection",
            name,
            schema=schema(info.identity.dimensions, text),
            properties={INFO: text},
            consistency_level="Strong",
        )
        return self.open(name)

    def open(self, name: str) -> MilvusCollection:
        """Return a collection."""
        missing = MissingInputError(f"{self._address(name)} holds no index; build it")
        if not self._is_there():
            raise missing
        try:
            found = self._link.call("describe_collection", name)
        except MissingInputError:
            raise missing from None
        # An alias is answered with the collection that it names.
        if found["collection_name"] != name:
            raise missing
        text = found["description"] or found["properties"].get(INFO, "")
        if not text:
            raise IntegrityError(
                f"{self._address(name)} does not say whose vectors it holds: embedlab did not make it; "
                "choose another name"
            )
        info = CollectionInfo.from_json(text, self._address(name))
        # The index is no part of the collection's creation: a process may have been killed between the two.
        if not self._link.call("list_indexes", name):
            self._link.call("create_index", name, index_parameters(info.settings.index), sync=False)
        return MilvusCollection(self._link.again(), name, info)

    def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return sorted(self._link.call("list_collections")) if self._is_there() else []

    def drop(self, name: str) -> None:
        """Delete a collection and the aliases that name it: Milvus deletes none that has one."""
        # Milvus Lite would follow an alias, and delete what it names.
        if name not in self.names():
            return
        for alias in self._link.call("list_aliases", name)["aliases"]:
            self._link.call("drop_alias", alias)
        self._link.call("drop_collection", name)

    def alias(self, alias: str) -> str | None:
        """Return the collection that an alias names."""
        if not self._is_there():
            return None
        try:
            return str(self._link.call("describe_alias", alias)["collection_name"])
        except MissingInputError:
            return None

    def set_alias(self, alias: str, name: str) -> None:
        """Let an alias name a collection, atomically; raises a MissingInputError where there is no such collection."""
        method = "create_alias" if self.alias(alias) is None else "alter_alias"
        self._link.call(method, name, alias)

    def free_bytes(self) -> int | None:
        """Return the free bytes of an embedded Milvus' disk, None for a server."""
        if self._link.folder is None:
            return None
        path = self._link.folder.absolute()
        return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free

    def close(self) -> None:
        """Close the connection; collections that were opened stay open."""
        self._link.close()

    def _is_there(self) -> bool:
        """Return False for a file that does not exist: to look into it would make it."""
        return self._link.folder is None or self._link.folder.exists()

    def _address(self, name: str) -> str:
        return f"{self._link.name}#{name}"


class MilvusCollection:
    """One collection; :meth:`MilvusStore.open` returns it.

    One process at a time may write a document; several may write to the collection, and any number read.
    """

    def __init__(self, link: Link, name: str, info: CollectionInfo) -> None:
        self._link, self._name, self._info = link, name, info

    @property
    def address(self) -> str:
        """Milvus' address and the collection's name."""
        return f"{self._link.name}#{self._name}"

    @property
    def info(self) -> CollectionInfo:
        """What it says of itself."""
        return self._info

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Store entries, in requests of at most 8 MB that each hold whole documents.

        Raises:
            IdentityError: if one is of another embedding space; nothing is stored then.
            DataError: if one holds what is no number, or is larger than Milvus allows; nothing is stored then.
        """
        require_space(entries, self._info, self.address)
        latest = {entry.document.doc_id: entry for entry in entries}
        for entry in latest.values():
            require_fits(entry, self.address)
        for portion in portions(list(latest.values())):
            self._replace(portion)

    def _replace(self, entries: Sequence[Entry]) -> None:
        before = self._most_passages([entry.document.doc_id for entry in entries])
        rows, surplus = [], []
        for entry in entries:
            doc_id, count = entry.document.doc_id, len(entry.vectors)
            most = max(before.get(doc_id, 0), count)
            rows += rows_of(entry, most)
            surplus += [key_of(doc_id, passage) for passage in range(count, most)]
        self._call("upsert", [*rows, self._stamp()])
        # After the new passages are there: a reader finds the old or the new document, and a change that was broken
        # off here is completed by the next, since the rows remember how many passages there ever were.
        self._remove(surplus)

    def delete(self, doc_ids: Sequence[str]) -> None:
        """Remove documents; unknown ids are no error."""
        for part in _parts(doc_ids):
            most = self._most_passages(part)
            self._remove([key_of(doc_id, passage) for doc_id in most for passage in range(most[doc_id])])

    def _most_passages(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Return how many passages each of the documents that are there ever had."""
        keys = [key_of(doc_id, 0) for doc_id in doc_ids]
        return {row["doc_id"]: row["most_passages"] for row in self._rows(keys, ["doc_id", "most_passages"])}

    def _remove(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        # Killed after the deletion, it must not look unchanged; so it is stamped before, and for who read meanwhile,
        # after it. Passage 0 goes last: it says which others there are.
        self._call("upsert", [self._stamp()])
        for part in _parts(sorted(keys, key=lambda key: key[-6:], reverse=True)):
            self._call("delete", filter=any_of("key", part))
        self._call("upsert", [self._stamp()])

    def _stamp(self) -> dict[str, Any]:
        return stamp_row(self._info.identity.dimensions)

    def get(self, doc_ids: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of those ids that are there.

        Raises:
            IntegrityError: if one is not what was written.
        """
        found: dict[str, Entry] = {}
        for start in range(0, len(doc_ids), 100):
            found |= self._entries(list(dict.fromkeys(doc_ids[start : start + 100])))
        return found

    def _entries(self, doc_ids: Sequence[str]) -> dict[str, Entry]:
        """Return entries; one that does not fit together is read again, as another process may be writing it."""
        found: dict[str, Entry] = {}
        waiting = list(doc_ids)
        for _ in range(READS):
            torn = []
            for doc_id, rows in self._rows_by_document(waiting).items():
                entry = entry_of(rows)
                if entry is None:
                    torn.append(doc_id)
                else:
                    found[doc_id] = entry
            if not torn:
                return found
            waiting = torn
            time.sleep(PAUSE)
        raise IntegrityError(
            f"{self.address}: document {waiting[0]!r} is not what was written: its passages do not fit together or "
            "were changed; write the document again"
        )

    def _rows_by_document(self, doc_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of each document that is there."""
        firsts = self._rows([key_of(doc_id, 0) for doc_id in doc_ids], ALL_FIELDS)
        rows = {first["doc_id"]: [first] for first in firsts}
        others = [key_of(first["doc_id"], passage) for first in firsts for passage in range(1, first["passages"])]
        for row in self._rows(others, ALL_FIELDS):
            rows[row["doc_id"]].append(row)
        return rows

    def _rows(self, keys: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for part in _parts(keys):
            found += self._read("query", filter=any_of("key", part), output_fields=list(fields))
        return found

    def search(self, queries: Vectors, k: int, where: Filter | None = None) -> list[list[Hit]]:
        """Return the best documents of each query.

        Raises:
            ParameterError: if more are asked for than Milvus finds, or a filter cannot be written for it.
        """
        if k >= DEEPEST:
            raise ParameterError(f"{self.address}: Milvus finds at most {DEEPEST - 1:,} for a query, asked for {k:,}")
        if k < 1 or not len(queries):
            return [[] for _ in range(len(queries))]
        found: list[list[Hit]] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            found += self._best(queries[start : start + QUERIES_AT_ONCE], k, dict(where or {}))
        return found

    def _best(self, queries: Vectors, k: int, where: Filter) -> list[list[Hit]]:
        """Return the best documents, looking deeper until every query has enough."""
        condition = equals(where)
        # One more than is wanted shows whether the last has others of the same score beside it.
        depth = k + 1
        while True:
            answers = self._read(
                "search",
                data=list(np.ascontiguousarray(queries, dtype=np.float32)),
                anns_field="vector",
                filter=condition,
                limit=depth,
                output_fields=["doc_id", "metadata"] if where else ["doc_id"],
                search_params=search_parameters(self._info.settings.index, depth),
            )
            best = [_best_of_each(rows, where) for rows in answers]
            if depth == DEEPEST or all(
                len(rows) < depth or is_settled(scores, k, rows[-1]["distance"])
                for rows, scores in zip(answers, best, strict=True)
            ):
                return [best_first(scores, k) for scores in best]
            depth = min(4 * depth, DEEPEST)

    def count(self) -> int:
        """Return the number of documents."""
        # Milvus Lite counts all rows fast, and those of a condition by reading them: so the few are asked for.
        rows, others = (self._count_rows(condition) for condition in ("", "passage != 0"))
        return rows - others

    def _count_rows(self, condition: str) -> int:
        found = self._read("query", filter=condition, output_fields=["count(*)"], seconds=SCAN_SECONDS)
        return int(found[0]["count(*)"])

    def ids(self) -> Iterator[str]:
        """Yield all ids in order, asking for as many at once as Milvus gives."""
        for row in self._following("", ["doc_id"], DEEPEST):
            yield row["doc_id"]

    def documents(self, after: str = "", limit: int = 256) -> list[Document]:
        """Return the next documents in order."""
        rows = self._following(after, DOCUMENT_FIELDS, min(limit, 256))
        return [document_of(row) for row in islice(rows, limit)]

    def _following(self, after: str, fields: Sequence[str], page: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of passage 0 of all documents after an id, in order."""
        while True:
            condition = "passage == 0"
            if after:
                condition += f" and key > {literal(key_of(after, 0))}"
            rows = self._read(
                "query", filter=condition, limit=page, output_fields=list(fields), seconds=SCAN_SECONDS, **IN_ORDER
            )
            # A short page may have others after it; an empty one has none.
            if not rows:
                return
            yield from rows
            after = rows[-1]["doc_id"]

    def version(self) -> str:
        """Return the stamp of the last change.

        It does not notice what was changed by another program than this package.
        """
        return "".join(row["text"] for row in self._rows([STAMP_KEY], ["text"]))

    def size_bytes(self) -> int | None:
        """Return the size of the files of an embedded Milvus, None for a server."""
        if self._link.folder is None:
            return None
        files = (self._link.folder / "collections" / self._name).rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._link.close()

    def _call(self, method: str, *args: Any, seconds: float = SECONDS, **named: Any) -> Any:
        try:
            return self._link.call(method, self._name, *args, seconds=seconds, **named)
        except NotLoadedError:
            # Released by another process, or its server was started anew.
            self._link.call("load_collection", self._name, seconds=LOAD_SECONDS)
            return self._link.call(method, self._name, *args, seconds=seconds, **named)

    def _read(self, method: str, seconds: float = SECONDS, **named: Any) -> Any:
        return self._call(method, seconds=seconds, consistency_level="Strong", **named)


def _best_of_each(rows: Sequence[Mapping[str, Any]], where: Filter) -> dict[str, float]:
    """Return the best score of each document among some rows, best first, that has what a filter asks for."""
    best: dict[str, float] = {}
    for row in rows:
        found = row["entity"]
        # The stamp of the last change is no document, and has no id.
        if found["doc_id"] and (not where or has_all(found["metadata"], where)):
            best.setdefault(found["doc_id"], float(row["distance"]))
    return best


def _parts(values: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), KEYS_AT_ONCE):
        yield list(values[start : start + KEYS_AT_ONCE])
