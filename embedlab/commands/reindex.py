"""``embedlab reindex``: from the working index to a new one beside it, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedlab.commands.index import ADDRESS, MODEL, STATE, built_so
from embedlab.commands.terminal import FINDINGS, out, read_settings, safe, say_checks, say_facts, say_json

if TYPE_CHECKING:
    from embedlab.rollout.reindexing.machine import Reindex
    from embedlab.rollout.service.job import Job

app = typer.Typer(no_args_is_help=True, help="Re-index beside the live index; every command may be repeated.")

StateFile = Annotated[Path, typer.Option("--state", help=STATE)]


@app.command()
def plan(
    state: StateFile,
    from_: Annotated[str, typer.Option("--from", help=f"The index that answers now. {ADDRESS}")],
    to: Annotated[str, typer.Option(help=f"The new index, which must not exist. {ADDRESS}")],
    model: Annotated[str, typer.Option(help=f"The new model. {MODEL}")],
    run: Annotated[
        Path | None, typer.Option(help="Finished run: its stages, and canary queries with what 15 promised")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="JSON file: passages, kind of index, stages")] = None,
    chunk: Annotated[str | None, typer.Option(help="Passages: none, long or all")] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of index: flat or hnsw")] = None,
    release: Annotated[str, typer.Option(help="Name of the new release; blank: the new index's")] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Documents a batch")] = 64,
    rate: Annotated[float, typer.Option(min=0, help="Most documents a second; 0: as fast as it goes")] = 0.0,
    health: Annotated[str, typer.Option(help="Command; while it fails, the backfill waits")] = "",
    p95_ms: Annotated[
        float, typer.Option("--p95-ms", min=0, help="While the live index is slower, the backfill waits")
    ] = 0.0,
    retention_hours: Annotated[
        float, typer.Option(min=0, help="From the drain on, the old index is kept so long")
    ] = 24.0,
    sample: Annotated[int, typer.Option(min=0, help="Documents that the validation encodes again; 0: all")] = 256,
    patience: Annotated[float, typer.Option(min=0, help="Seconds that are waited for a store that is gone")] = 300.0,
    shards: Annotated[str, typer.Option(help="Folder of vectors that 'embedlab index encode' made")] = "",
    price_per_hour: Annotated[float | None, typer.Option(min=0, help="Of the machine that encodes")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Plan: batches, hours, storage and cost, from measured speed; nothing is begun."""
    from embedlab.commands.promises import promised
    from embedlab.retrieval.systems import Settings
    from embedlab.rollout.reindexing.planning import plan as make_plan
    from embedlab.rollout.service.job import Options

    options = Options(batch_size, rate, health, p95_ms, retention_hours, sample, patience=patience, shards=shards)
    canaries, stages = (None, None) if run is None else promised(run, model)
    fields = (stages.as_dict() if stages else {}) | read_settings(settings)
    asked: Settings | None = built_so(fields, chunk, kind) if fields or chunk or kind else None
    job = make_plan(state, from_, to, model, options, asked, release, canaries, price_per_hour)
    if as_json:
        say_json({"state": job.state} | asdict(job.plan))
        return
    _say_plan(job)


def _say_plan(job: Job) -> None:
    found = job.plan
    free = "not known" if found.free_bytes is None else f"{found.free_bytes / 1e6:,.1f} MB"
    cost = "not planned: no price given" if found.cost is None else f"{found.cost:,.2f}"
    checked = (
        "not checked: plan with --run RUN" if job.canaries is None else f"{len(job.canaries.queries):,} canary queries"
    )
    say_facts(
        [
            ("from, to", f"{job.source}, {job.target}"),
            ("documents, batches", f"{found.documents:,}, {found.batches:,} of {job.options.batch_size:,}"),
            ("documents a second", f"{found.documents_per_second:,.1f}, measured here"),
            ("hours", f"{found.hours:,.3f}"),
            ("beside the old index", f"about {found.extra_bytes / 1e6:,.1f} MB; free: {free}"),
            ("cost", cost),
            ("quality against step 15", checked),
        ]
    )
    out.print(safe(f"State: {job.state}."))


@app.command()
def start(state: StateFile) -> None:
    """Write to both indexes from now on, and fill the new one; goes on where it stopped."""
    _backfill(state, resume=False)


@app.command()
def resume(state: StateFile) -> None:
    """Go on with a backfill that was paused."""
    _backfill(state, resume=True)


def _backfill(state: Path, resume: bool) -> None:
    with _opened(state) as machine:
        job = machine.start(resume)
        found = machine.status()
        out.print(safe(f"State: {job.state}; {found['done']:,} of {found['total']:,} documents."))
        for number, aside in found["aside"].items():
            for doc_id, why in aside.items():
                out.print(f"[red]✗[/] batch {number}, document {safe(doc_id)} is put aside: {safe(why)}")
        if found["failed"]:
            out.print("Mend or delete them, then run 'embedlab reindex resume'; until then nothing is cut over.")
            raise typer.Exit(FINDINGS)


@app.command()
def pause(state: StateFile) -> None:
    """Let a backfill stop after its present batch."""
    with _opened(state) as machine:
        out.print(safe(f"Paused by {machine.pause().paused_by}; go on with 'embedlab reindex resume'."))


@app.command()
def status(state: StateFile, as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Say where it stands."""
    with _opened(state) as machine:
        found = machine.status()
    if as_json:
        say_json(found)
        return
    say_facts(_facts(found))


def _facts(found: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "state", found["state"] + (f", paused by {found['paused_by']}" if found["paused_by"] else "")
    yield "live", f"{found['live']} ({found['index']})"
    yield "documents", f"{found['done']:,} of {found['total']:,}"
    amounts = {
        "documents a second": ("rate", "{:,.1f}"),
        "time left": ("seconds_left", "{:,.0f} s at this rate"),
        "waits": ("waits_for", "{}"),
        "encoding waited": ("waited_for_store", "{:,.1f} s for the store"),
        "put aside": ("failed", "{:,} documents"),
        "old index kept": ("retention_left_hours", "{:,.2f} h more from the drain on"),
    }
    for name, (key, form) in amounts.items():
        if found[key]:
            yield name, form.format(found[key])
    for index, lacking in found["writes_behind"].items():
        yield "writes", f"{index} has all" if not lacking else f"{index} lacks {lacking:,}"
    if found["validation"]:
        outcome = "passed" if found["validation"]["passed"] else "failed"
        yield "validation", f"{outcome}, {found['validation']['at']}"


@app.command()
def validate(state: StateFile, as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Compare the new index with the old one and the model; exit code 5 with findings."""
    with _opened(state) as machine:
        checks = machine.validate()
        job = machine.job
    passed = all(check.passed for check in checks)
    if as_json:
        say_json({"state": job.state, "passed": passed, "checks": [asdict(check) for check in checks]})
    else:
        say_checks(checks)
        if job.canaries is None:
            out.print("Quality against step 15 was not checked: plan with --run RUN.")
        out.print(safe(f"State: {job.state}."))
    raise typer.Exit(0 if passed else FINDINGS)


@app.command()
def cutover(
    state: StateFile,
    revalidate: Annotated[bool, typer.Option(help="Check what was written since the validation now")] = False,
) -> None:
    """Let the new index answer: alias, query encoder and stages in one switch."""
    with _opened(state) as machine:
        job = machine.cutover(revalidate)
        out.print(safe(f"State: {job.state}; {job.release} answers, from {job.target}."))


@app.command()
def rollback(
    state: StateFile, why: Annotated[str, typer.Option(help="For the history")] = "rolled back by hand"
) -> None:
    """Go back to the old index at once; possible until it is deleted."""
    with _opened(state) as machine:
        job = machine.rollback(why)
        out.print(safe(f"State: {job.state}; {job.source} answers."))
        lacking = machine.status()["writes_behind"].get(job.source, 0)
        if lacking:
            out.print(
                f"[yellow]![/] It lacks {lacking:,} writes that its store did not take; the next write brings them."
            )


@app.command()
def drain(state: StateFile) -> None:
    """Begin the retention period of the old index."""
    with _opened(state) as machine:
        job = machine.drain()
        left = machine.retention_left() / 3600
        out.print(
            safe(f"State: {job.state}; {job.source} can be deleted in {left:.2f} h, by 'embedlab reindex finish'.")
        )


@app.command()
def finish(state: StateFile) -> None:
    """Delete the index that does not answer: the old one after its retention, the new one after a rollback."""
    with _opened(state) as machine:
        job = machine.finish()
        out.print(safe(f"State: {job.state}; {machine.status()['index']} answers."))


@contextmanager
def _opened(state: Path) -> Iterator[Reindex]:
    from embedlab.rollout.reindexing.machine import Reindex

    machine = Reindex(state)
    try:
        yield machine
    finally:
        machine.close()
