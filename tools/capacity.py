"""Print the tables of docs/capacity.md: hours, machines, storage, network, index and cost of a number of passages.

    .venv/bin/python tools/capacity.py --write docs/capacity.md
    .venv/bin/python tools/capacity.py --rate 900 --cores 1 --price 1.20 --dimensions 1024 --count 250e6

Rates and bytes are those of benchmarks/results unless others are given; every line shows what it is made of.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
COUNTS = (1_000_000, 100_000_000, 10_000_000_000)
GB = 1e9
HOURS_OF_WEEK = 168
USABLE = 0.75
"""Share of a machine's memory that an index may fill."""

PQ_BITS = 8
DISK_DEGREE, DISK_SECTOR, DISK_MEMORY = 56, 4096, 0.125 + 0.125
"""DISKANN in Milvus: MaxDegree, bytes that are read at once, PQCodeBudgetGBRatio and SearchCacheBudgetGBRatio."""


@dataclass(frozen=True)
class Terms:
    """What is measured or given.

    Attributes:
        rate: passages a second of one core.
        scaling: what each core of a full machine still does of that.
        cores: of a machine.
        price: of a machine's hour, in any currency.
        dimensions: numbers a vector.
        text_bytes: of a passage.
        shard_share: bytes of a passage in a shard to those of its vector; compressed, with its ids.
        graph_bytes: of a vector in an HNSW index, beside the vector.
        reader_bytes: of a vector in a reader's memory, beside the vector; HNSW.
        memory: of a machine that searches, bytes.
    """

    rate: float
    scaling: float
    cores: int
    price: float
    dimensions: int
    text_bytes: int
    shard_share: float
    graph_bytes: float
    reader_bytes: float
    memory: float

    @property
    def vector(self) -> int:
        """Bytes of a vector: float32."""
        return 4 * self.dimensions


def read(name: str) -> dict:
    """Return what a benchmark wrote."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def count_of(number: int) -> str:
    """Return a count as one says it."""
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:,.4g} {word}"
    return f"{number:,}"


def size_of(number: float) -> str:
    """Return bytes to three digits, in the largest unit that leaves something before the point."""
    for size, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:,.3g} {unit}"
    return f"{number:,.0f} B"


def number_of(value: float) -> str:
    """Return three digits of a number, all of a large one."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machines_of(count: int) -> str:
    return f"{count:,} machine" + ("" if count == 1 else "s")


# --- encoding -------------------------------------------------------------------------------------


def machine_hours(count: int, terms: Terms) -> float:
    return count / terms.rate / 3600 / (terms.cores * terms.scaling)


def steps(count: int, terms: Terms) -> str:
    """Return the arithmetic of encoding so many passages, a step a line."""
    core_hours = count / terms.rate / 3600
    hours = machine_hours(count, terms)
    machines = math.ceil(hours / HOURS_OF_WEEK)
    share = f"{terms.cores} cores × {terms.scaling:.2f}"
    return "\n".join(
        [
            f"{count_of(count)} passages",
            f"  {count:,} ÷ {terms.rate:.1f} a second and core ÷ 3,600 = {number_of(core_hours)} core hours",
            f"  {number_of(core_hours)} ÷ ({share}) = {number_of(hours)} machine hours",
            f"  {number_of(hours)} ÷ {HOURS_OF_WEEK} hours = {machines_of(machines)} for a week",
            f"  {number_of(hours)} × {terms.price:.2f} an hour = {number_of(hours * terms.price)}",
        ]
    )


def encoding(counts: list[int], terms: Terms) -> str:
    lines = ["| passages | machine hours | done in a week by | cost, example price |", "|---|---|---|---|"]
    for count in counts:
        hours = machine_hours(count, terms)
        machines = math.ceil(hours / HOURS_OF_WEEK)
        lines.append(
            f"| {count_of(count)} | {number_of(hours)} | {machines_of(machines)} | {number_of(hours * terms.price)} |"
        )
    return "\n".join(lines)


def traffic(counts: list[int], terms: Terms) -> str:
    """Return storage, and what passes between the machines and the shared folder in the week of encoding."""
    shard = terms.vector * terms.shard_share
    lines = [
        f"| passages | texts, {terms.text_bytes} B each | shards, {shard:,.0f} B each | both indexes while they stand "
        "side by side | over the network | a second, in one week |",
        "|---|---|---|---|---|---|",
    ]
    for count in counts:
        # Texts are put there by one machine and read by another.
        moved = count * (2 * terms.text_bytes + shard)
        index = count * (terms.text_bytes + terms.vector + terms.graph_bytes)
        lines.append(
            f"| {count_of(count)} | {size_of(count * terms.text_bytes)} | {size_of(count * shard)} | "
            f"{size_of(2 * index)} | {size_of(moved)} | {size_of(moved / HOURS_OF_WEEK / 3600)} |"
        )
    return "\n".join(lines)


# --- indexes --------------------------------------------------------------------------------------


def cells(count: int) -> int:
    """Return the lists of an IVF index: 4 √n, the lower end of what FAISS advises."""
    return round(4 * math.sqrt(count))


def index_memory(count: int, terms: Terms) -> dict[str, float]:
    """Return the bytes of memory that each kind of index needs, replicas not counted."""
    codes = math.ceil(terms.dimensions / 8 * PQ_BITS / 8)
    return {
        "flat": count * terms.vector,
        "HNSW": count * (terms.vector + terms.graph_bytes),
        "IVF-PQ": count * (codes + 8) + cells(count) * terms.vector,
        "DISKANN": count * terms.vector * DISK_MEMORY,
    }


def disk_bytes(terms: Terms) -> int:
    """Return the bytes of a vector in a DISKANN index: whole nodes in sectors, or whole sectors for a node."""
    node = terms.vector + 4 + 4 * DISK_DEGREE
    if node > DISK_SECTOR:
        return math.ceil(node / DISK_SECTOR) * DISK_SECTOR
    return DISK_SECTOR // (DISK_SECTOR // node)


def formulas(terms: Terms) -> str:
    codes = math.ceil(terms.dimensions / 8 * PQ_BITS / 8)
    node = terms.vector + 4 + 4 * DISK_DEGREE
    rows = [
        ("flat", f"4 d = {terms.vector:,}", "0", "4 d [1]"),
        (
            "HNSW, M = 32",
            f"4 d + {terms.graph_bytes:.0f} = {terms.vector + terms.graph_bytes:,.0f}",
            "0",
            "measured here",
        ),
        (
            f"IVF-PQ, {codes} × {PQ_BITS} bits",
            f"{codes} + 8 = {codes + 8}, and 4 d a list",
            "0",
            "⌈M bits / 8⌉ + 8 [1]",
        ),
        (
            f"DISKANN, degree {DISK_DEGREE}",
            f"{DISK_MEMORY:.3g} × 4 d = {terms.vector * DISK_MEMORY:,.0f}",
            f"⌊{DISK_SECTOR:,} / {node:,}⌋ a sector = {disk_bytes(terms):,}",
            "4 d + 4 + 4 degree, in sectors [2]; memory [3]",
        ),
    ]
    lines = ["| index | memory, bytes a vector | disk, bytes a vector | from |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def memory_table(counts: list[int], terms: Terms) -> str:
    usable = terms.memory * USABLE
    lines = [
        f"| passages | index | memory | machines of {size_of(terms.memory)}, {USABLE:.0%} used | disk |",
        "|---|---|---|---|---|",
    ]
    for count in counts:
        for name, size in index_memory(count, terms).items():
            disk = size_of(count * disk_bytes(terms)) if name == "DISKANN" else "as much, to start from"
            lines.append(f"| {count_of(count)} | {name} | {size_of(size)} | {math.ceil(size / usable):,} | {disk} |")
    return "\n".join(lines)


def files_table(terms: Terms, measured: dict) -> str:
    """Return what FAISS files in this project hold at most, by the memory of each process that searches them."""
    rows = {(row["vectors"], row["kind"]): row for row in measured["rows"]}
    largest = max(vectors for vectors, _ in rows)
    flat, hnsw = rows[largest, "flat"], rows[largest, "hnsw"]
    lines = [
        "| a reader's memory | passages that fit | first answer, flat | first answer, HNSW of random vectors "
        "| one exact search |",
        "|---|---|---|---|---|",
    ]
    for memory in (1 * GB, 4 * GB, 16 * GB, 64 * GB):
        fit = memory * USABLE / (terms.vector + terms.reader_bytes)
        # In proportion; the build of a graph grows faster, but random vectors are its worst case.
        times = fit / largest
        lines.append(
            f"| {size_of(memory)} | {count_of(int(fit // 10_000) * 10_000)} | {minutes(flat['first_s'] * times)} | "
            f"{minutes(hnsw['first_s'] * times)} | {number_of(flat['query_ms'] * times)} ms |"
        )
    return "\n".join(lines)


def minutes(seconds: float) -> str:
    """Return a time in the unit that one would use."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} hours"


def measured_table(measured: dict) -> str:
    lines = [
        "| vectors | kind | index, B a vector | of that beside the vector | build | collection on disk, B a document "
        "| reader's memory, B a vector | first answer | a search |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in measured["rows"]:
        lines.append(
            f"| {row['vectors']:,} | {row['kind']} | {row['index_bytes']:,.0f} | {row['beside_vector']:,.0f} | "
            f"{row['build_s']:.1f} s | {row['stored_bytes']:,.0f} | {row['memory_bytes']:,.0f} | "
            f"{row['first_s']:.1f} s | {row['query_ms']:.1f} ms |"
        )
    return "\n".join(lines)


def throughput_table(measured: dict) -> str:
    lines = [
        "| model | way | passages a second | times one thread | until the first shard | same bytes |",
        "|---|---|---|---|---|---|",
    ]
    for model, ways in measured["models"].items():
        alone = next(iter(ways.values()))["rate"]
        for way, one in ways.items():
            lines.append(
                f"| {model.rsplit('/', 1)[-1]} | {way} | {one['rate']:,.1f} | {one['rate'] / alone:.2f} | "
                f"{one['start']:.0f} s | {'yes' if one['equal'] else 'NO'} |"
            )
    return "\n".join(lines)


# --- the page's tables ----------------------------------------------------------------------------


def tables(counts: list[int], terms: Terms) -> dict[str, str]:
    """Return every table of the page by its name."""
    index = read("index_bytes")
    return {
        "throughput": throughput_table(read("encode_shards")),
        "arithmetic": "```\n" + "\n\n".join(steps(count, terms) for count in counts) + "\n```",
        "encoding": encoding(counts, terms),
        "storage and network": traffic(counts, terms),
        "measured indexes": measured_table(index),
        "formulas": formulas(terms),
        "indexes": memory_table(counts, terms),
        "files": files_table(terms, index),
    }


def written(page: str, found: dict[str, str]) -> str:
    """Return a page with its tables in their places: between ``<!-- name -->`` and ``<!-- /name -->``."""
    for name, text in found.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        if not rest or end not in rest:
            raise SystemExit(f"the page has no place for the table {name!r}: {begin} … {end}")
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def measured_terms() -> dict[str, float]:
    """Return the terms that the benchmarks measured."""
    ways = read("encode_shards")["models"][MODEL]
    index = read("index_bytes")
    largest = [row for row in index["rows"] if row["kind"] == "hnsw"][-1]
    return {
        "rate": ways["this process, 1 thread"]["rate"],
        "scaling": ways["Ray, 2 actors"]["rate"] / ways["this process, 1 thread"]["rate"] / 2,
        "shard_share": index["shard_bytes"] / (4 * index["dimensions"]),
        "graph_bytes": largest["beside_vector"],
        "reader_bytes": largest["memory_bytes"] - 4 * index["dimensions"],
    }


def main() -> None:
    measured = measured_terms()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=measured["rate"], help="passages a second of one core, or GPU")
    parser.add_argument("--scaling", type=float, default=measured["scaling"], help="of that, on a full machine")
    parser.add_argument("--cores", type=int, default=8, help="of a machine, or its GPUs")
    parser.add_argument("--price", type=float, default=0.40, help="an hour of a machine: an example, not a quote")
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--text-bytes", type=int, default=500)
    parser.add_argument("--memory", type=float, default=64.0, help="of a machine that searches, GB")
    parser.add_argument("--count", type=float, nargs="+", default=list(COUNTS), help="passages")
    parser.add_argument("--write", type=Path, help="a page whose tables are replaced, in place of printing them")
    options = parser.parse_args()
    terms = Terms(
        options.rate,
        options.scaling,
        options.cores,
        options.price,
        options.dimensions,
        options.text_bytes,
        measured["shard_share"],
        measured["graph_bytes"],
        measured["reader_bytes"],
        options.memory * GB,
    )
    found = tables([int(count) for count in options.count], terms)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(written(page, found), encoding="utf-8")
        return
    for name, text in found.items():
        print(f"<!-- {name} -->\n\n{text}\n")


if __name__ == "__main__":
    main()
