"""The plan of a re-indexing: what it will take, from measured speed and size, before anything is begun."""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import replace
from pathlib import Path

from embedlab.errors import EmbedlabError, ParameterError
from embedlab.retrieval.base import EncodesWithIdentity
from embedlab.retrieval.systems import Settings
from embedlab.rollout.encode.documents import encode_documents
from embedlab.rollout.encode.shards import Shards
from embedlab.rollout.service.job import FINISHED, PLANNED, Canaries, Job, Options, Plan, read_job, write_job
from embedlab.rollout.service.releases import Releases
from embedlab.rollout.service.state import State
from embedlab.rollout.service.switching import promote
from embedlab.rollout.stores.addresses import has_collection, split_address, store_of, whole_address
from embedlab.rollout.stores.base import Collection, Document
from embedlab.rollout.stores.opened import Load, Opened, whole_name

MEASURED = 64
"""Documents that are encoded to measure the speed."""

EMPTY = 5_000_000
"""Bytes that an index takes beside its documents while it is written: a write-ahead log."""

OVERHEAD = 2.0
"""Bytes of a store over those of its vectors and texts: pages that are not full, checksums, ids."""


def plan(
    path: str | Path,
    source: str,
    target: str,
    model: str,
    options: Options | None = None,
    settings: Settings | None = None,
    release: str = "",
    canaries: Canaries | None = None,
    price_per_hour: float | None = None,
    documents_per_second: float | None = None,
    load: Load | None = None,
) -> Job:
    """Plan a re-indexing and write it down; the service's state file is made where there is none.

    Args:
        path: the state file.
        source: address of the index that answers now.
        target: address of the new one, which must not exist.
        model: the new model: a hub id, a packaged model or a folder.
        options: how it is run.
        settings: passages, kind of index and stages of the new one; None: those of the old one.
        release: name of the release that will search it; blank: the target's name.
        canaries: queries with known answers, and the quality that was promised for them.
        price_per_hour: of the machine that encodes; None: no cost is planned.
        documents_per_second: that were measured elsewhere; None measures here.
        load: returns a model by its name and precision; None: :func:`~embedlab.models.load_model`.

    Returns:
        the job; the one that is there, where the same was planned before and not finished.

    Raises:
        EmbedlabError: if another re-indexing is under way, the target exists, or its disk cannot hold it.
        ParameterError: if an option is out of its range, or both addresses are the same.
    """
    options = _checked(options or Options())
    if whole_address(source) == whole_address(target):
        raise ParameterError("--from and --to name the same index; a working index is never overwritten")
    opened = Opened(load)
    old = opened.collection(source)
    state = State(path, create=True)
    try:
        _make_current(state, source)
        settings = old.info.settings if settings is None else settings
        encoder = opened.new_encoder(model)
        release = release or split_address(target)[1]
        if options.shards:
            options = replace(options, shards=str(Path(options.shards).absolute()))
            Shards(Path(options.shards)).require(encoder.identity, settings)
        asked = Job(
            id=secrets.token_hex(8),
            state=PLANNED,
            source=state.stored_address(source),
            target=state.stored_address(target),
            release=release,
            model=whole_name(model),
            precision=encoder.identity.precision,
            settings=settings,
            options=options,
            plan=measured_plan(
                old, encoder, target, settings, options.batch_size, price_per_hour, documents_per_second
            ),
            canaries=canaries,
        )
        return _written(state, asked)
    finally:
        opened.close()
        state.close()


def _written(state: State, asked: Job) -> Job:
    with state.operating(), state.db.transaction():
        known = read_job(state)
        if known is not None and known.state != FINISHED:
            same = replace(
                known, id=asked.id, state=asked.state, plan=asked.plan, since=None, paused_by="", progress={}
            )
            if replace(same, validation=None, drained=None) == asked:
                return known
            raise EmbedlabError(
                f"{state.path}: another one is {known.state}, {known.source} to {known.target} by {known.model}; "
                "finish it, or roll it back and finish it"
            )
        if has_collection(state.address(asked.target)):
            raise EmbedlabError(f"{asked.target} exists already; an index is never overwritten: choose another --to")
        job = write_job(state, asked)
    state.backup()
    return job


def _make_current(state: State, source: str) -> None:
    """Let the source answer, in a state file that knows of no release yet; raises where another index answers."""
    releases = Releases(state)
    live = releases.current()
    if live is None:
        name = split_address(source)[1]
        releases.add(name, source)
        promote(state, name, "as it was when the first re-indexing was planned")
    elif state.address(live.index) != whole_address(source):
        raise EmbedlabError(f"{source} does not answer now: {live.index} does ({live.name}); plan from that one")


def measured_plan(
    old: Collection,
    encoder: EncodesWithIdentity,
    target: str,
    settings: Settings,
    batch_size: int,
    price_per_hour: float | None = None,
    documents_per_second: float | None = None,
) -> Plan:
    """Return what a re-indexing will need, from a sample of the documents that is encoded now.

    Raises:
        EmbedlabError: if the old index is empty, or the target's disk cannot hold the new one.
        ParameterError: if the stages filter by a field that the documents do not have.
    """
    documents = old.count()
    sample = _spread(old, documents)
    if not sample:
        raise EmbedlabError(f"{old.address} holds no document: there is nothing to re-index")
    if settings.filter_field and not any(settings.filter_field in document.metadata for document in sample):
        raise ParameterError(
            f"{old.address}: the new release would filter by {settings.filter_field!r}, which none of {len(sample)} "
            "documents has: write them with it, or plan with other stages"
        )
    encode_documents(encoder, sample[:4], settings)  # the first call loads the weights
    begin = time.perf_counter()
    entries = encode_documents(encoder, sample, settings)
    speed = documents_per_second or len(sample) / max(time.perf_counter() - begin, 1e-9)
    size = sum(entry.vectors.nbytes + len(repr(entry.document)) for entry in entries) / len(entries)
    needed = EMPTY + math.ceil(documents * size * OVERHEAD)
    store = store_of(target)
    free = store.free_bytes()
    store.close()
    if free is not None and needed > free:
        raise EmbedlabError(
            f"{target} cannot hold the new index: it needs about {needed / 1e9:,.2f} GB, {free / 1e9:,.2f} GB are free"
        )
    hours = documents / speed / 3600
    cost = None if price_per_hour is None else hours * price_per_hour
    batches = math.ceil(documents / batch_size)
    return Plan(documents, batches, encoder.identity.dimensions, speed, hours, needed, free, cost)


def scaled(plan: Plan, documents: int, batch_size: int) -> Plan:
    """Return what a plan comes to for another number of documents like those that it was made for.

    Args:
        plan: of a corpus at hand.
        documents: of the other one; what its disk has free is not known.
        batch_size: documents a batch.
    """
    times = documents / plan.documents
    return Plan(
        documents=documents,
        batches=math.ceil(documents / batch_size),
        dimensions=plan.dimensions,
        documents_per_second=plan.documents_per_second,
        hours=plan.hours * times,
        extra_bytes=EMPTY + math.ceil((plan.extra_bytes - EMPTY) * times),
        free_bytes=None,
        cost=None if plan.cost is None else plan.cost * times,
    )


def _spread(old: Collection, documents: int) -> list[Document]:
    """Return documents from the whole index, evenly spread."""
    step = max(1, documents // MEASURED)
    picked = [doc_id for at, doc_id in enumerate(old.ids()) if at % step == 0][:MEASURED]
    return [entry.document for entry in old.get(picked).values()]


def _checked(options: Options) -> Options:
    """Return options; raises a ParameterError where one is out of its range."""
    least = {"batch_size": 1, "attempts": 1, "documents_per_second": 0, "p95_ms": 0, "retention_hours": 0, "sample": 0}
    for name, low in (least | {"patience": 0}).items():
        value = getattr(options, name)
        if not low <= value < math.inf:
            raise ParameterError(f"{name} must be {low} or more, found {value!r}")
    return options
