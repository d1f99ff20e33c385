"""Measure what our training takes beside the library's own, and how soon each is as good on dev.

    python benchmarks/train.py outputs/attack
    python benchmarks/train.py outputs/attack --rounds 1 --seconds 60

Reads a run whose steps 01 to 13 are done, prints a table and writes benchmarks/results/train.json. Ours is the training
of step 14: document-shared batches with its recipe. The other is SentenceTransformerTrainer as its documentation shows
it: MultipleNegativesRankingLoss, 64 pairs a batch without duplicates, texts cut where the model cuts them, a learning
rate of 2e-5, one epoch. Both begin with the same model, on the same rows, in the same precision, and are scored on the
same dev queries over a sample of the documents after about equally many pairs.

Each trains in a process of its own, in turn, round by round, so that other programs on the machine disturb both; times
are of training alone. Beside seconds of the clock stand those of the processor, which other programs change less. What
both reached on dev is the level to which their times are compared.
"""

import argparse
import contextlib
import copy
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).resolve().parent / "results" / "train.json"
OURS, LIBRARY = "ours", "library"
BATCH, RATE = 64, 2e-5
"""Of the library's training: pairs of a batch, and the learning rate that its documentation shows."""
PACKAGES = ("torch", "sentence-transformers", "transformers")


class TimeIsUpError(Exception):
    """Training took as long as it may."""


@dataclass
class Clock:
    """Training's own seconds, without what the checks between take; a row a check.

    Attributes:
        validation: what is scored.
        limit: seconds of training after which it stops.
        every: steps between two checks.
        pairs: of query and document that all steps up to each saw.
        rows: per check ``pairs, seconds, processor, quality``, since training began.
    """

    validation: object
    limit: float
    every: int
    pairs: list[int]
    rows: list = field(default_factory=list)
    _began: tuple = ()
    _spent: tuple = (0.0, 0.0)

    def scores(self, encode):
        """Score the model; called before the first step and every few steps."""
        now = (time.perf_counter(), time.process_time())
        if self._began:
            self._spent = tuple(s + n - b for s, n, b in zip(self._spent, now, self._began, strict=True))
        found = self.validation.scores(encode)
        step = min(len(self.rows) * self.every, len(self.pairs) - 1)
        row = {"pairs": self.pairs[step], "seconds": self._spent[0], "processor": self._spent[1]}
        self.rows.append(row | {"quality": float(found.mean())})
        if self._spent[0] >= self.limit:
            raise TimeIsUpError
        self._began = (time.perf_counter(), time.process_time())
        return found


# --- one training, in a process of its own --------------------------------------------------------


def inputs(run: Path, device: str, queries: int, documents: int):
    """Return a run's base model, training rows, texts, families, loss and dev as it is scored here."""
    from embedlab.chain.artifacts.choose_base_model import Choice
    from embedlab.chain.artifacts.choose_loss import Loss
    from embedlab.chain.artifacts.define_problem import CORPUS, DOCUMENT_FACTS, QRELS, QUERIES
    from embedlab.chain.artifacts.split_data import TRAINING
    from embedlab.chain.contract import Contract
    from embedlab.chain.store import Store
    from embedlab.data import Collection
    from embedlab.models import load_model
    from embedlab.training import validation_on

    store = Store(run)
    tables = {
        table.file: table.read(store.path(table.step, table.file)) for table in (CORPUS, QUERIES, QRELS, TRAINING)
    }
    facts = DOCUMENT_FACTS.read(store.path(DOCUMENT_FACTS.step, DOCUMENT_FACTS.file))
    corpus, asked, qrels, rows = tables.values()
    dev = Collection(corpus, asked, qrels).part("dev")
    dev.queries = dev.queries.sample(min(queries, len(dev.queries)), random_state=0)
    dev.qrels = dev.qrels[dev.qrels["query_id"].isin(dev.queries["query_id"])]
    known = facts[facts["relatives"] != ""]
    return (
        load_model(store.artifact(Choice).model, device=device),
        rows[rows["part"] == "train"].reset_index(drop=True),
        dev.document_texts(),
        dict(zip(known["doc_id"], known["relatives"], strict=True)),
        store.artifact(Loss).loss,
        validation_on(dev, store.artifact(Contract).primary_metric, documents),
    )


def train_ours(encoder, rows, texts, relatives, loss, validation, options) -> Clock:
    """Train as step 14 does."""
    from embedlab.training import Recipe, Trainer

    recipe = Recipe(loss=loss, steps=options["steps"])
    trainer = Trainer(encoder, rows, texts, relatives, recipe)
    pairs = [0]
    for step in range(recipe.steps):
        pairs.append(pairs[-1] + len(trainer.sampler.batch(step).queries))
    every = max(1, round(options["check_pairs"] * recipe.steps / pairs[-1]))
    clock = Clock(validation, options["seconds"], every, pairs)
    trainer.validation = clock
    with contextlib.suppress(TimeIsUpError):
        trainer.fit(every)
    return clock


def train_library(encoder, rows, texts, relatives, loss, validation, options) -> Clock:
    """Train as the library's documentation shows it."""
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers
    from transformers import TrainerCallback

    from embedlab.models.encoder import encode_texts

    pairs = rows[["text", "positive_ids"]].explode("positive_ids")
    data = Dataset.from_dict({"anchor": pairs["text"].tolist(), "positive": texts[pairs["positive_ids"]].tolist()})
    model = SentenceTransformer(str(encoder.files.folder), device=encoder.device)
    batch = options["batch"]
    every = max(1, round(options["check_pairs"] / batch))
    clock = Clock(validation, options["seconds"], every, list(range(0, len(data) + batch, batch)))

    def encode(some, kind):
        frozen = copy.deepcopy(model)
        frozen.__dict__.pop("forward", None)  # autocast stands round it while it is trained
        frozen.to(getattr(torch, encoder.identity.precision)).eval()
        return encode_texts(frozen, some, encoder.prompt(kind), kind)

    class Checks(TrainerCallback):
        def on_train_begin(self, _args, _state, _control, **_others):
            clock.scores(encode)

        def on_step_end(self, _args, state, _control, **_others):
            if state.global_step % every == 0:
                clock.scores(encode)

    with tempfile.TemporaryDirectory() as scratch:
        args = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            num_train_epochs=1,
            per_device_train_batch_size=batch,
            learning_rate=RATE,
            warmup_steps=0.1,
            bf16=encoder.identity.precision == "bfloat16",
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            prompts={"anchor": encoder.prompt("query"), "positive": encoder.prompt("document")},
            use_cpu=encoder.device == "cpu",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        loss = MultipleNegativesRankingLoss(model)
        trainer = SentenceTransformerTrainer(model, args, data, loss=loss, callbacks=[Checks()])
        with contextlib.suppress(TimeIsUpError):
            trainer.train()
    return clock


TRAINERS = {OURS: train_ours, LIBRARY: train_library}


def train(name: str, run: Path, options: dict) -> None:
    """Train one way; print the checks, and the most bytes of memory that it took."""
    import torch

    from embedlab.models.hardware import peak_memory

    given = inputs(run, options["device"], options["queries"], options["documents"])
    clock = TRAINERS[name](*given, options)
    encoder = given[0]
    most = peak_memory(encoder.device)
    told = {"checks": clock.rows, "memory": most, "device": encoder.device, "precision": encoder.identity.precision}
    told["threads"] = torch.get_num_threads()
    told["gpu"] = torch.cuda.get_device_name() if encoder.device == "cuda" else None
    print(json.dumps(told))


def trained(name: str, run: Path, options: dict) -> dict:
    """Train in a process of its own and return what it told."""
    code = f"import train as b; b.train({name!r}, b.Path({str(run.resolve())!r}), {options!r})"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parent), *sys.path])}
    done = subprocess.run([sys.executable, "-B", "-c", code], env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


# --- what comes out -------------------------------------------------------------------------------


def level(rounds: dict[str, list[dict]]) -> float | None:
    """Return the highest quality that every training of both reached; None where one of them never passed its start."""
    trainings = [one["checks"] for some in rounds.values() for one in some]
    if any(max(check["quality"] for check in checks) <= checks[0]["quality"] for checks in trainings):
        return None
    return min(max(check["quality"] for check in checks) for checks in trainings)


def reached(checks: list[dict], wanted: float) -> dict:
    """Return the first check at which a training is as good as is wanted."""
    return next(check for check in checks if check["quality"] >= wanted)


def rate(check: dict, clock: str) -> float:
    """Return the pairs a second, of the clock or of the processor, up to a check; 0 where nothing was trained."""
    return check["pairs"] / check[clock] if check["pairs"] else 0.0


def figures(some: list[dict], wanted: float | None) -> dict[str, float | None]:
    """Return pairs a second, what it took to the level, and memory of one way to train: medians over its rounds."""
    last = [one["checks"][-1] for one in some]
    found = {
        "pairs_per_second": median(rate(check, "seconds") for check in last),
        "pairs_per_processor_second": median(rate(check, "processor") for check in last),
        "memory": median(one["memory"] for one in some),
    }
    for name in ("pairs", "seconds", "processor"):
        found[f"{name}_to_level"] = None
        if wanted is not None:
            found[f"{name}_to_level"] = median(reached(one["checks"], wanted)[name] for one in some)
    return found


def compared(rounds: dict[str, list[dict]]) -> dict:
    """Return the figures of both, and the ratio of each, ours over the library's; None where there is none."""
    wanted = level(rounds)
    found = {name: figures(some, wanted) for name, some in rounds.items()}
    ratio = {name: found[OURS][name] / value if value else None for name, value in found[LIBRARY].items()}
    base = median(one["checks"][0]["quality"] for some in rounds.values() for one in some)
    return {"level": wanted, "base": base, **found, "ratio": ratio}


LABELS = {
    "pairs_per_second": "pairs a second",
    "pairs_per_processor_second": "pairs a second of the processor",
    "memory": "memory at most, MiB",
    "pairs_to_level": "pairs to the level",
    "seconds_to_level": "seconds to the level",
    "processor_to_level": "seconds of the processor to the level",
}


def table(found: dict) -> str:
    """Return the comparison as Markdown, and what it says in a sentence."""
    lines = ["| | ours | library | ratio |", "|---|---|---|---|"]
    for name, label in LABELS.items():
        unit = 2**20 if name == "memory" else 1
        shown = ["-" if found[way][name] is None else f"{found[way][name] / unit:,.1f}" for way in (OURS, LIBRARY)]
        ratio = found["ratio"][name]
        lines.append(f"| {label} | {' | '.join(shown)} | {'-' if ratio is None else f'{ratio:.2f}'} |")
    told = f"There is no level: within the time given one of them got no better than the base, {found['base']:.3f}."
    if found["level"] is not None:
        told = f"The level is {found['level']:.3f} on dev, that of the base {found['base']:.3f}."
    return "\n".join([*lines, "", told])


def machine(load: float, one: dict) -> dict:
    """Return what it was measured on, and whether other programs were at work when it began."""
    cores = os.cpu_count() or 1
    return {
        "cores": cores,
        "threads": one["threads"],
        "processor": platform.machine(),
        "gpu": one["gpu"],
        "precision": one["precision"],
        "load": round(load, 1),
        "busy": load > cores / 2,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder with steps 01 to 13")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps or auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=600.0, help="of training, in each round at most")
    parser.add_argument("--steps", type=int, default=40, help="of ours")
    parser.add_argument("--batch", type=int, default=BATCH, help="pairs of a batch of the library's")
    parser.add_argument("--check-pairs", type=int, default=300, help="pairs between two checks on dev")
    parser.add_argument("--queries", type=int, default=100, help="of dev")
    parser.add_argument("--documents", type=int, default=300, help="searched in a check")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = vars(parser.parse_args())
    run, rounds, out = options.pop("run"), options.pop("rounds"), options.pop("out")
    load = os.getloadavg()[0]
    found: dict[str, list[dict]] = {OURS: [], LIBRARY: []}
    for _ in range(rounds):
        for name, some in found.items():
            some.append(trained(name, run, options))
    result = compared(found)
    print(table(result))
    told = {"machine": machine(load, found[OURS][0]), **options, "rounds": rounds, **result, "trainings": found}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
