"""The same shards on many machines: Ray Data hands out shard numbers to a pool of actors, each with its own model.

The folder must lie on a file system that every machine sees under the same path. An actor reads the documents of a
shard there and writes the shard there itself: vectors are larger than the texts that they are made from, and would
otherwise all pass through the one machine that started the work. That machine only hears a checksum of each shard
and writes it into the journal, so that one process alone decides what is finished, just as without Ray.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from embedlab.errors import EmbedlabError, IdentityError, ParameterError, StoreError, shown
from embedlab.files import replace_file
from embedlab.models.encoder import Encoder, load_model
from embedlab.progress import Progress
from embedlab.retrieval.systems import Settings
from embedlab.rollout.encode.ray_session import connected, hush, is_outside, require_listening, require_ray
from embedlab.rollout.encode.shard_files import PLAN, ShardPlan, make_plan, split
from embedlab.rollout.encode.shards import SHARD_SIZE, Shards, Writing, encode_shard, encode_shards
from embedlab.rollout.stores.base import Document

Results = Generator[Mapping[str, Any], None, None]
"""What the actors return: number, sha256 and fault of each shard."""

STAGED = "documents"
"""Folder inside that of the shards: the documents of unfinished ones, while the work runs."""

TRIES = 4
"""How often a shard is begun whose worker dies; Ray alone would try forever one that takes too much memory."""

TRIED = ".tried"
"""Suffix of a file beside the documents of a shard: a byte for each time that it was begun."""


def encode_corpus(
    documents: Iterable[Document],
    model: str,
    folder: Path,
    settings: Settings,
    actors: int = 0,
    address: str | None = None,
    shard_size: int = SHARD_SIZE,
    precision: str = "auto",
    threads: int = 1,
) -> Shards:
    """Encode documents as shards, in this process or by Ray; the same command goes on after any kill.

    Args:
        documents: in the order of their ids; read twice, so a generator will not do.
        model: a packaged model's hub id, a local folder, or any hub id; every machine loads it by this name.
        folder: where the shards go; with machines, on a file system that all of them see under this path.
        settings: how documents are cut into passages.
        actors: encoders that Ray runs side by side; 0 encodes in this process, without Ray.
        address: of a Ray cluster: ``HOST:PORT`` from one of its machines, ``ray://HOST:PORT`` from outside; None
            starts Ray on this machine.
        shard_size: documents a shard.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``auto``: that of the shards that are there, else what is
            faster here.
        threads: processor cores that each actor takes; more actors use cores better than more threads do.

    Raises:
        ParameterError: if actors, threads and address do not go together.
        StoreError: if Ray cannot be reached or lost too many workers; what is finished stays.
        EmbedlabError: if Ray is not installed, a worker cannot do its work, and as :func:`encode_shards`.
    """
    if actors < 0 or threads < 1:
        raise ParameterError(f"actors are 0 or more and threads 1 or more, found {actors} and {threads}")
    if address and not actors:
        raise ParameterError(f"{address} is asked for no actors: say how many, such as one a processor core")
    if address:
        require_listening(address)
    if actors:
        require_ray()
    encoder = load_model(model, _precision(folder, precision))
    if not actors:
        return encode_shards(documents, encoder, folder, settings, shard_size)
    name = str(Path(model).resolve()) if Path(model).is_dir() else model
    work = Work(name, encoder.identity.precision, folder.resolve(), settings, actors, threads)
    return _encode_on_ray(documents, encoder, work, address, shard_size)


def _precision(folder: Path, precision: str) -> str:
    """Return the precision to encode in; measured again it could come out another way than when the work began."""
    if precision == "auto" and (folder / PLAN).is_file():
        return Shards(folder).plan.identity.precision
    return precision


@dataclass(frozen=True)
class Work:
    """What every actor is told.

    Attributes:
        model: how it is loaded.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        folder: absolute.
        settings: how documents are cut into passages.
        actors: how many there are.
        threads: of each.
    """

    model: str
    precision: str
    folder: Path
    settings: Settings
    actors: int
    threads: int


def _encode_on_ray(
    documents: Iterable[Document], encoder: Encoder, work: Work, address: str | None, shard_size: int
) -> Shards:
    plan = make_plan(documents, encoder.identity, encoder.name, work.settings, shard_size)
    with Writing.begin(work.folder, plan) as writing, Progress("Encoding documents", plan.documents) as bar:
        bar.advance(sum(plan.parts[number].documents for number in writing.finished))
        missing = writing.missing()
        if missing:
            _stage(documents, writing)
            with connected(address, work.actors * work.threads) as ray:
                for number, digest in _finished_shards(ray, work, missing, address):
                    writing.note(number, digest)
                    _unstage(work.folder, number)
                    bar.advance(plan.parts[number].documents)
    shutil.rmtree(work.folder / STAGED, ignore_errors=True)
    return Shards(work.folder)


# --- documents for the actors ---------------------------------------------------------------------


def _staged_file(folder: Path, number: int) -> Path:
    return folder / STAGED / f"documents-{number:06d}.jsonl"


def _stage(documents: Iterable[Document], writing: Writing) -> None:
    """Write the documents of each unfinished shard where the actors read them; one shard is in memory.

    Raises:
        StoreError: if they cannot be written.
    """
    for number, part in enumerate(split(documents, writing.plan.shard_size)):
        _unstage(writing.folder, number)
        if number in writing.finished:
            continue
        lines = []
        for document in part:
            row = [document.doc_id, document.title, document.text, dict(document.metadata)]
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        path = _staged_file(writing.folder, number)
        try:
            replace_file(path, "".join(lines))
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def _unstage(folder: Path, number: int) -> None:
    staged = _staged_file(folder, number)
    staged.unlink(missing_ok=True)
    staged.with_suffix(TRIED).unlink(missing_ok=True)


def _read_staged(path: Path) -> list[Document]:
    documents = []
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            documents.append(Document(*json.loads(line)))
    return documents


# --- what runs on the machines --------------------------------------------------------------------


class ShardEncoder:
    """An actor: one model, loaded once, that encodes one shard after another.

    What a user can act on is returned and not raised: Ray would bury it under its own traceback.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Encode the shard whose number stands in ``batch``; return ``number, sha256, fault``, a row each."""
        number = int(batch["number"][0])
        digest = fault = ""
        try:
            digest = self._encode(number)
        except (EmbedlabError, OSError) as error:
            fault = f"{socket.gethostname()}: {error}"
        return {"number": [number], "sha256": [digest], "fault": [fault]}

    def _encode(self, number: int) -> str:
        folder = self._work.folder
        if not folder.is_dir():
            raise StoreError(f"{folder} is not there: every machine must see it under this path, such as by NFS")
        staged = _staged_file(folder, number)
        _count_try(staged)
        return encode_shard(self._encoder, folder, self._plan, self._work.settings, number, _read_staged(staged))

    @cached_property
    def _plan(self) -> ShardPlan:
        return Shards(self._work.folder).plan

    @cached_property
    def _encoder(self) -> Encoder:
        """The model of this machine, if it is the one of the plan."""
        import torch

        # Ray says how many cores an actor has in the environment, which torch reads only where nothing was set before.
        torch.set_num_threads(self._work.threads)
        encoder = load_model(self._work.model, self._work.precision)
        differ = encoder.identity.differences(self._plan.identity)
        if differ:
            raise IdentityError(
                f"{self._work.model} has other files here than where the work was planned: {', '.join(differ)}; "
                "vectors of two models must not be mixed: put the same files on every machine"
            )
        return encoder


def _count_try(staged: Path) -> None:
    """Note that a shard is begun; raises a StoreError where that was in vain too often."""
    with staged.with_suffix(TRIED).open("ab") as stream:
        stream.write(b".")
        before = stream.tell() - 1
    if before >= TRIES:
        raise StoreError(
            f"{staged.name}: the worker that encoded it died {before} times, perhaps for want of memory: fewer actors "
            "on a machine or fewer documents a shard need less"
        )


def _results(work: Work, numbers: list[int]) -> Results:
    """Yield what the actors return, as soon as each shard is finished; runs on a machine of the cluster."""
    import ray.data

    hush()
    # A row a block: a shard is handed out, finished and told by itself.
    shards = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
    pool = ray.data.ActorPoolStrategy(size=min(work.actors, len(numbers)), max_tasks_in_flight_per_actor=1)
    results = shards.map_batches(
        ShardEncoder,
        batch_size=1,
        compute=pool,
        fn_constructor_args=(work,),
        num_cpus=work.threads,
    )
    for block in results.iter_batches(batch_size=None, prefetch_batches=0):
        for number, digest, fault in zip(block["number"], block["sha256"], block["fault"], strict=True):
            yield {"number": int(number), "sha256": str(digest), "fault": str(fault)}


# --- what runs here -------------------------------------------------------------------------------


def _finished_shards(ray: Any, work: Work, numbers: list[int], address: str | None) -> Iterator[tuple[int, str]]:
    """Yield number and sha256 of each shard as it is finished.

    Raises:
        EmbedlabError: if a worker cannot do its work; says which and why.
        StoreError: if Ray gives up.
    """
    results = _results_from_outside(ray, work, numbers) if is_outside(address) else _results(work, numbers)
    try:
        # Closed before Ray is: what hands out shards would trip over a Ray that is gone.
        with contextlib.closing(results):
            for result in results:
                if result["fault"]:
                    raise EmbedlabError(result["fault"])
                yield result["number"], result["sha256"]
    except ray.exceptions.RayError as error:
        cause = shown(" ".join(str(error).split())[-400:], 400)
        raise StoreError(f"Ray gave up: {cause}; what is finished stays, and the same command goes on") from error


def _results_from_outside(ray: Any, work: Work, numbers: list[int]) -> Results:
    """Yield as :func:`_results`: Ray Data does not run through Ray's client, so a task inside runs it for us."""
    from ray.util.queue import Empty, Queue

    queue = Queue(actor_options={"num_cpus": 0})
    task = ray.remote(_put_results).options(num_cpus=0, max_retries=0).remote(queue, work, numbers)
    left = len(numbers)
    while left:
        is_over = bool(ray.wait([task], timeout=0)[0])
        try:
            yield queue.get(timeout=1)
            left -= 1
        except Empty:
            if is_over:
                ray.get(task)  # raises what it died of
                return


def _put_results(queue: Any, work: Work, numbers: list[int]) -> None:
    for result in _results(work, numbers):
        queue.put(result)
