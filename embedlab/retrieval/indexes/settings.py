"""How an index keeps its vectors and finds them again: the kinds of FAISS and their numbers, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from embedlab.errors import ParameterError, nearest, shown

NUMBERS = {
    "flat": (),
    "sq8": (),
    "hnsw": ("links", "build_width", "search_width"),
    "ivf": ("lists", "probes"),
    "pq": ("parts", "bits"),
    "ivfpq": ("lists", "probes", "parts", "bits"),
}
"""The numbers that each kind of index has."""

LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 200, 64
"""HNSW: links a node, candidates kept while building and while searching (Malkov and Yashunin 2018)."""

PER_CENTROID = 39
"""Vectors that FAISS asks for each centroid before it calls its k-means trained."""

MOST_BITS = 8
"""A part of a vector is kept in a byte at most."""


@dataclass(frozen=True)
class IndexSetting:
    """One way to index vectors, all by inner product.

    ``flat`` keeps every vector and compares with all (exact); ``sq8`` keeps a byte a dimension; ``hnsw`` walks a
    graph (Malkov and Yashunin 2018); ``ivf`` looks into the nearest of some lists (Sivic and Zisserman 2003);
    ``pq`` keeps a code for each part of a vector (Jégou, Douze and Schmid 2011); ``ivfpq`` does both.

    Attributes:
        kind: one of :data:`NUMBERS`.
        links: of an HNSW node.
        build_width: candidates kept while an HNSW graph is built.
        search_width: candidates kept while it is searched.
        lists: of an IVF index.
        probes: lists that a query looks into.
        parts: into which a vector is cut for product quantization.
        bits: of the code of a part.

    Raises:
        ParameterError: if the kind is unknown, or a number is missing or makes no sense.
    """

    kind: str = "flat"
    links: int = 0
    build_width: int = 0
    search_width: int = 0
    lists: int = 0
    probes: int = 0
    parts: int = 0
    bits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in NUMBERS:
            raise ParameterError(f"unknown index kind {shown(self.kind)!r}{nearest(self.kind, list(NUMBERS))}")
        for name in _NAMES:
            value = getattr(self, name)
            if name not in NUMBERS[self.kind] and value:
                raise ParameterError(f"index {self.kind}: {name} is no number of this kind")
            if name in NUMBERS[self.kind] and (not isinstance(value, int) or value < 1):
                raise ParameterError(f"index {self.kind}: {name} must be a whole number of 1 or more, found {value!r}")
        if self.probes > self.lists:
            raise ParameterError(f"index {self.kind}: {self.probes} probes are more than its {self.lists} lists")
        if self.bits > MOST_BITS:
            raise ParameterError(f"index {self.kind}: {self.bits} bits a part, expected at most {MOST_BITS}")

    @classmethod
    def of(cls, setting: IndexSetting | str) -> IndexSetting:
        """Return a setting from its words: ``flat``, ``hnsw links=32``, ``ivf lists=16 probes=4``.

        Numbers of HNSW that are not named are those of :data:`LINKS` and so on; others have to be named.

        Raises:
            ParameterError: if the words cannot be read.
        """
        if isinstance(setting, IndexSetting):
            return setting
        kind, *given = setting.split() or [""]
        if kind not in NUMBERS:
            raise ParameterError(f"unknown index kind {shown(kind)!r}{nearest(kind, list(NUMBERS))}")
        numbers = {"links": LINKS, "build_width": BUILD_WIDTH, "search_width": SEARCH_WIDTH} if kind == "hnsw" else {}
        for word in given:
            name, _, value = word.partition("=")
            if name not in NUMBERS[kind] or not value.isdecimal():
                expected = " ".join(f"{known}=…" for known in NUMBERS[kind]) or "no number"
                raise ParameterError(f"index {shown(setting)!r}: {shown(word)!r}: {kind} has {expected}")
            numbers[name] = int(value)
        return cls(kind, **numbers)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> IndexSetting:
        """Return what :meth:`as_dict` gave; a ParameterError where it is something else."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ParameterError(f"no index setting: {error}") from None

    def as_dict(self) -> dict[str, Any]:
        """Return the kind and its numbers, for JSON."""
        values = asdict(self)
        return {name: values[name] for name in ("kind", *NUMBERS[self.kind])}

    def __str__(self) -> str:
        """Return the words that :meth:`of` reads."""
        numbers = [f"{name}={getattr(self, name)}" for name in NUMBERS[self.kind]]
        return " ".join([self.kind, *numbers])

    def misfit(self, count: int, dimensions: int) -> str:
        """Return why such vectors cannot be indexed like this, blank where they can.

        Args:
            count: vectors that there are to learn from.
            dimensions: of each.
        """
        if self.parts and dimensions % self.parts:
            return f"{dimensions} dimensions cannot be cut into {self.parts} equal parts"
        centroids = max(self.lists, 2**self.bits if self.bits else 0)
        if count < PER_CENTROID * centroids:
            needed = PER_CENTROID * centroids
            return f"{centroids} centroids are learned from {needed:,} vectors or more, there are {count:,}"
        return ""

    def empty(self, dimensions: int) -> Any:
        """Return a FAISS index without vectors; the seeds of its k-means are FAISS's own, fixed ones."""
        import faiss

        index: Any = faiss.index_factory(dimensions, self._factory(), faiss.METRIC_INNER_PRODUCT)
        if self.kind == "hnsw":
            index.hnsw.efConstruction = self.build_width
            index.hnsw.efSearch = self.search_width
        if self.probes:
            index.nprobe = self.probes
        return index

    def _factory(self) -> str:
        """Return the setting in FAISS's own words."""
        written = {
            "flat": "Flat",
            "sq8": "SQ8",
            "hnsw": f"HNSW{self.links},Flat",
            "ivf": f"IVF{self.lists},Flat",
            "pq": f"PQ{self.parts}x{self.bits}np",
            "ivfpq": f"IVF{self.lists},PQ{self.parts}x{self.bits}np",
        }
        return written[self.kind]


_NAMES = [field.name for field in fields(IndexSetting) if field.name != "kind"]
