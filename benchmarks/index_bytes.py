"""Measure what this project's indexes take of disk, memory and time, with random unit vectors.

    python benchmarks/index_bytes.py

Prints a table and writes benchmarks/results/index_bytes.json. Times are processor seconds of one thread, so that
other programs on the machine count little. Bytes do not depend on what the vectors mean; random ones, which have no
near neighbours, are the worst case for the recall of a graph and for the time of its build.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results" / "index_bytes.json"
COUNTS = (10_000, 100_000)
DIMENSIONS = 384
TEXT_BYTES = 500
"""Of the text that a collection keeps beside each vector."""
KINDS = ("flat", "hnsw")
QUERIES = 50


def unit_vectors(count: int, seed: int) -> np.ndarray:
    """Return random unit vectors, float32 ``[count, dimensions]``."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSIONS), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def identity():
    """Return the identity of a model that does not exist."""
    from embedlab.models import EmbeddingIdentity

    return EmbeddingIdentity("random", "none", "none", DIMENSIONS, 0, "", "", "float32")


def write(folder: Path, count: int, kind: str) -> None:
    """Write a collection of so many documents of one vector each."""
    from embedlab.retrieval import Settings
    from embedlab.rollout.stores.base import CollectionInfo, Document, Entry
    from embedlab.rollout.stores.faiss import FaissStore

    info = CollectionInfo(identity(), "random", Settings(index=kind))
    collection = FaissStore(folder).create("trial", info)
    vectors = unit_vectors(count, 0)
    for start in range(0, count, 1000):
        entries = []
        for at in range(start, min(start + 1000, count)):
            document = Document(f"d{at:09d}", "", "x" * TEXT_BYTES)
            entries.append(Entry.of(document, vectors[at : at + 1], info.identity.digest))
        collection.upsert(entries)
    collection.close()


def read(folder: Path) -> dict[str, float]:
    """Return the bytes in memory of a reader, the seconds to its first answer and the milliseconds of the others."""
    import faiss
    import psutil

    from embedlab.rollout.stores.faiss import FaissStore

    collection = FaissStore(folder).open("trial")
    queries = unit_vectors(QUERIES, 1)
    process = psutil.Process()
    faiss.omp_set_num_threads(1)
    before, began = process.memory_info().rss, time.process_time()
    collection.search(queries[:1], 10)
    first = time.process_time() - began
    memory = process.memory_info().rss - before
    spent = []
    for at in range(QUERIES):
        began = time.process_time()
        collection.search(queries[at : at + 1], 10)
        spent.append(time.process_time() - began)
    return {"memory": memory, "first_s": first, "query_ms": 1000 * float(np.median(spent))}


def in_process(call: str) -> dict:
    """Return what a call gives in a process of its own, so that memory is that of it alone."""
    code = f"import json, index_bytes as b; print(json.dumps(b.{call}))"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    done = subprocess.run([sys.executable, "-B", "-c", code], env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(count: int, kind: str) -> dict[str, float]:
    """Return bytes and times of one index, a vector each where they grow with it."""
    import faiss

    from embedlab.retrieval.indexes.index import build_index

    vectors = unit_vectors(count, 0)
    began = time.process_time()
    index = build_index(vectors, [f"d{at:09d}" for at in range(count)], identity(), kind)
    built = time.process_time() - began
    index_bytes = int(faiss.serialize_index(index.faiss).nbytes)
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch), count, kind)
        stored = sum(path.stat().st_size for path in Path(scratch, "trial").iterdir())
        reader = in_process(f"read(b.Path({scratch!r}))")
    return {
        "vectors": count,
        "kind": kind,
        "index_bytes": index_bytes / count,
        "beside_vector": index_bytes / count - 4 * DIMENSIONS,
        "build_s": built,
        "stored_bytes": stored / count,
        "memory_bytes": reader["memory"] / count,
        "first_s": reader["first_s"],
        "query_ms": reader["query_ms"],
    }


def shard_bytes(count: int = 10_000) -> float:
    """Return the bytes of a passage in a shard, its vector among them."""
    from embedlab.rollout.encode.shard_files import write_shard
    from embedlab.rollout.stores.base import Document, Entry

    vectors = unit_vectors(count, 0)
    entries = []
    for at in range(count):
        document = Document(f"d{at:09d}", "", f"text {at}")
        entries.append(Entry.of(document, vectors[at : at + 1], "random"))
    with tempfile.TemporaryDirectory() as scratch:
        write_shard(Path(scratch), 0, entries)
        return sum(path.stat().st_size for path in Path(scratch).iterdir()) / count


def table(rows: list[dict]) -> str:
    """Return the measurements as Markdown."""
    lines = [
        "| vectors | kind | index, bytes a vector | of that not the vector | build, s "
        "| collection on disk, bytes a document | reader's memory, bytes a vector | first answer, s | query, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['vectors']:,} | {row['kind']} | {row['index_bytes']:,.0f} | {row['beside_vector']:,.0f} | "
            f"{row['build_s']:,.1f} | {row['stored_bytes']:,.0f} | {row['memory_bytes']:,.0f} | "
            f"{row['first_s']:,.1f} | {row['query_ms']:,.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", nargs="+", type=int, default=list(COUNTS))
    options = parser.parse_args()
    rows = []
    for count in options.counts:
        for kind in KINDS:
            rows.append(measure(count, kind))
    in_shard = shard_bytes()
    print(table(rows), f"\nA passage in a shard takes {in_shard:,.0f} bytes.")
    whole = {"dimensions": DIMENSIONS, "text_bytes": TEXT_BYTES, "cores": os.cpu_count(), "shard_bytes": in_shard}
    whole["rows"] = rows
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
