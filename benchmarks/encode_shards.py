"""Measure what Ray costs and gains: the same shards in this process, by one actor and by two.

    python benchmarks/encode_shards.py
    python benchmarks/encode_shards.py --models wordllama-256 --rounds 1

Prints a table a model and writes benchmarks/results/encode_shards.json. Every way encodes the same passages into a
folder of its own, in a process of its own, one after another and round by round, so that other programs on the
machine disturb all of them; the best round of each counts. The rate is that of the later half of the shards, when
every actor has its model; starting Ray and loading models is told by itself.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results" / "encode_shards.json"
WORDS, OVERLAP = 60, 15
SHARDS = 60
MODELS = {"sentence-transformers/all-MiniLM-L6-v2": 50, "wordllama-256": 2000}
"""Passages a shard: about a second's work of one thread."""

WAYS = {
    "this process, 1 thread": {"actors": 0, "threads": 1},
    "this process, 2 threads": {"actors": 0, "threads": 2},
    "Ray, 1 actor": {"actors": 1, "threads": 1},
    "Ray, 2 actors": {"actors": 2, "threads": 1},
}
ALONE, ONE, TWO = "this process, 1 thread", "Ray, 1 actor", "Ray, 2 actors"


def passages(count: int) -> list:
    """Return passages of ATT&CK's techniques, each as a document of its own."""
    import embedlab
    from embedlab.retrieval import titled_passages
    from embedlab.rollout.stores.base import Document

    texts = titled_passages(embedlab.load_collection("attack").corpus, WORDS, OVERLAP).tolist()
    return [Document(f"p{number:07d}", "", texts[number % len(texts)]) for number in range(count)]


def encode(model: str, folder: Path, actors: int, threads: int) -> None:
    """Encode the passages in one way; print when it began, on the clock of the files."""
    import torch

    from embedlab.retrieval import Settings
    from embedlab.rollout import encode_corpus

    size = MODELS[model]
    documents = passages(SHARDS * size)
    torch.set_num_threads(threads)
    began = time.time()
    encode_corpus(
        documents, model, folder, Settings(), actors=actors, shard_size=size, precision="float32", threads=threads
    )
    print(json.dumps({"began": began, "ended": time.time()}))


def measured(model: str, folder: Path, way: dict) -> dict[str, float]:
    """Encode in a process of its own; return documents a second in the later half, and seconds before and in all."""
    code = f"import encode_shards as b; b.encode({model!r}, b.Path({str(folder)!r}), **{way})"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    done = subprocess.run([sys.executable, "-B", "-c", code], env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    told = json.loads(done.stdout.splitlines()[-1])
    written = sorted(path.stat().st_mtime for path in folder.glob("shard-*.parquet"))
    half = SHARDS // 2
    return {
        "rate": half * MODELS[model] / (written[-1] - written[-1 - half]),
        "start": written[0] - told["began"],
        "all": told["ended"] - told["began"],
    }


def same(left: Path, right: Path) -> bool:
    """Return whether two folders hold the same bytes."""
    names = sorted(path.name for path in left.iterdir() if path.name != ".lock")
    return names == sorted(path.name for path in right.iterdir() if path.name != ".lock") and all(
        (left / name).read_bytes() == (right / name).read_bytes() for name in names
    )


def compare(model: str, rounds: int, scratch: Path) -> dict[str, dict]:
    """Return the best round of each way, and whether its shards are those of one thread of one process."""
    found: dict[str, dict] = {}
    for number in range(rounds):
        for name, way in WAYS.items():
            folder = scratch / f"{number} {name}"
            one = measured(model, folder, way)
            one["equal"] = same(folder, scratch / f"{number} {ALONE}")
            if name not in found or one["rate"] > found[name]["rate"]:
                found[name] = one | {"equal": one["equal"] and found.get(name, one)["equal"]}
    return found


def table(model: str, found: dict[str, dict]) -> str:
    """Return the table of one model, and what it says in a sentence."""
    alone = found[ALONE]["rate"]
    lines = [
        f"### {model}",
        "",
        "| way | documents a second | times one thread | s until the first shard | same bytes |",
        "|---|---|---|---|---|",
    ]
    for name, one in found.items():
        lines.append(
            f"| {name} | {one['rate']:,.1f} | {one['rate'] / alone:.2f} | {one['start']:.1f} | "
            f"{'yes' if one['equal'] else 'NO'} |"
        )
    overhead = 1 - found[ONE]["rate"] / alone
    gain = found[TWO]["rate"] / found[ONE]["rate"]
    lines += [
        "",
        f"One actor is {100 * overhead:.0f} % slower than the same thread alone; two are {gain:.2f} times one.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    results: dict[str, dict] = {}
    for model in options.models:
        with tempfile.TemporaryDirectory() as scratch:
            results[model] = compare(model, options.rounds, Path(scratch))
        print(table(model, results[model]), end="\n\n", flush=True)
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "load": round(os.getloadavg()[0], 1)}
    terms = {"shards": SHARDS, "passages": MODELS, "words": WORDS, "rounds": options.rounds}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, **terms, "models": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
