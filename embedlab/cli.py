"""The command line: run, check, report, card, export, steps, validate, compare; others in rooms of their own."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from embedlab.chain.steps import LAST, STEPS, Step, step_number
from embedlab.commands import index, reindex, release
from embedlab.commands.terminal import BAD_INPUT, FINDINGS, NO_VERDICT, err, out, safe
from embedlab.errors import ContractError, EmbedlabError, IntegrityError, MissingInputError, shown
from embedlab.files import why_no_file

if TYPE_CHECKING:
    from rich.status import Status

    from embedlab.data.raw import Finding
    from embedlab.evaluation.results import Comparison

EXIT_OF = {"SHIP": 0, "DO_NOT_SHIP": 1, "INCONCLUSIVE": 2}
USAGE: type[Any] = typer.BadParameter.__mro__[2]  # click's ClickException, whichever copy of click typer carries
MEASURES = "Any measure that ir-measures computes through trec_eval, or one of ours such as Judged@10"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=f"Fine-tune an embedding model for retrieval, honestly: {len(STEPS)} notebooks, one verdict.",
)
app.add_typer(index.app, name="index")
app.add_typer(reindex.app, name="reindex")
app.add_typer(release.app, name="release")


@app.command()
def run(
    params: Annotated[Path, typer.Argument(help="Params file, such as params/attack.yaml")],
    from_: Annotated[str, typer.Option("--from", help="First step")] = "01",
    to: Annotated[str, typer.Option(help="Last step")] = LAST,
    only: Annotated[str | None, typer.Option(help="This step alone")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value, such as 14.steps=30 or run=mine")] = None,
    force: Annotated[bool, typer.Option(help="Execute steps that are up to date too")] = False,
) -> None:
    """Run the chain of notebooks; what is up to date is skipped."""
    from embedlab.chain.params import load_params
    from embedlab.chain.runner import run_chain

    loaded = load_params(params, set_ or [])
    first, last = (step_number(only), step_number(only)) if only else (step_number(from_), step_number(to))
    steps = [s for s in STEPS if first <= s.number <= last]
    if not steps:
        raise EmbedlabError(f"no step between --from {first} and --to {last}")
    begin = time.perf_counter()
    with out.status("") as status:
        outcome = run_chain(loaded, steps, force, _Lines(status))
    seconds = time.perf_counter() - begin
    if not outcome.executed:
        out.print(f"Nothing to do: all {len(outcome.skipped)} steps are up to date.")
    else:
        out.print(f"{len(outcome.executed)} steps executed, {len(outcome.skipped)} up to date, {seconds:.0f} s.")
    _closing(outcome.folder, bool(outcome.executed))


class _Lines:
    """One line a step: its state when it ends, a spinner while it runs."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def __call__(self, step: Step, state: str, detail: str) -> None:
        if state == "running":
            self.status.update(f"{step.number} {step.title} …")
        elif state == "done":
            out.print(f"[green]✓[/] {step.number} {step.title:<24} {detail:>8}")
        else:
            out.print(f"[dim]· {step.number} {step.title:<24} {detail}[/]")


def _closing(folder: Path, changed: bool) -> None:
    """Print the verdict and the report's path, where there are any."""
    from embedlab.chain.store import Store
    from embedlab.report.folder import build, standing_verdict

    verdict, refused = standing_verdict(Store(folder))
    page = folder / "report" / "index.html"
    if changed or not page.exists():
        page = build(Store(folder), (verdict, refused))
    if verdict:
        from embedlab.verdict.words import sentence

        out.print(safe(sentence(verdict)))
    _say_report(page, refused)


def _say_report(page: Path, refused: str) -> None:
    if refused:
        out.print(f"[yellow]No verdict:[/] {safe(refused)}")
    out.print(f"Report: {safe(page)}")


@app.command()
def check(folder: Annotated[Path, typer.Argument(help="Run folder, such as outputs/attack")]) -> None:
    """Print a run's verdict; exit code 0 SHIP, 1 DO_NOT_SHIP, 2 INCONCLUSIVE, 3 none or out of date."""
    from embedlab.verdict.rule import read_verdict
    from embedlab.verdict.words import sentence

    try:
        verdict = read_verdict(_run(folder))
    except (MissingInputError, IntegrityError, ContractError) as error:
        err.print(f"[red]No verdict:[/] {safe(error)}")
        raise typer.Exit(NO_VERDICT) from None
    out.print(safe(sentence(verdict)))
    if verdict["stage"] == "offline":
        out.print("Stage: offline (steps after 15 are not all done).")
    for name, key, good in (("Checklist", "checklist", "passed"), ("Mistakes", "mistakes", "present")):
        table = Table("", Column(no_wrap=True), Column(overflow="fold"), title=name, title_justify="left", box=None)
        table.show_header = False
        for item in verdict[key]:
            table.add_row(_mark(item[good], key == "mistakes"), safe(item["id"]), safe(item["evidence"]))
        out.print(table)
    raise typer.Exit(EXIT_OF[verdict["verdict"]])


def _mark(value: bool | None, bad: bool) -> str:
    if value is None:
        return "[yellow]?[/]"
    return "[green]✓[/]" if value != bad else "[red]✗[/]"


def _run(folder: Path) -> Path:
    why = why_no_file(folder / "manifest.json")
    if why:
        raise EmbedlabError(
            f"{shown(folder)} is no run folder: it has no manifest.json ({why}); expected outputs/<run>"
        )
    return folder


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Run folder, such as outputs/attack")]) -> None:
    """Render the HTML report of a run, one folder that opens from disk."""
    from embedlab.chain.store import Store
    from embedlab.report.folder import build, standing_verdict

    store = Store(_run(folder))
    standing = standing_verdict(store)
    _say_report(build(store, standing), standing[1])


@app.command()
def card(folder: Annotated[Path, typer.Argument(help="Run folder, such as outputs/attack")]) -> None:
    """Write the model card of a run's tuned model, in the form of the Hugging Face hub."""
    from embedlab.chain.store import Store
    from embedlab.report.model_card import write_card

    out.print(f"Model card: {safe(write_card(Store(_run(folder))))}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Run folder, such as outputs/attack")],
    to: Annotated[str, typer.Option(help="onnx or openvino")],
    target: Annotated[Path | None, typer.Option("--out", help="Folder; models/tuned.<to> of the run if not")] = None,
    force: Annotated[bool, typer.Option(help="Write anew what was exported before")] = False,
) -> None:
    """Export a run's tuned model; exit code 5 where its vectors are not those of the original."""
    from embedlab.chain.store import Store
    from embedlab.commands.export import export_tuned

    raise typer.Exit(0 if export_tuned(Store(_run(folder)), to, target, force) else FINDINGS)


@app.command()
def steps(
    folder: Annotated[Path | None, typer.Argument(help="Run folder: say of each step whether it is up to date")] = None,
) -> None:
    """List the steps; of a run, whether each is up to date, and why not."""
    table = Table(box=None, header_style="bold")
    if folder is None:
        for column in ("step", "question", "reads"):
            table.add_column(column)
        for step in STEPS:
            table.add_row(step.name, step.question, " ".join(step.reads))
    else:
        table.add_column("step")
        table.add_column("state", overflow="fold")
        for step, reason in _states(_run(folder)):
            table.add_row(step.name, "[green]up to date[/]" if reason is None else safe(reason))
    out.print(table)


def _states(folder: Path) -> list[tuple[Step, str | None]]:
    """Return why each step of a run would have to run again, None where it is up to date."""
    from embedlab.chain.keys import params_of, why_stale
    from embedlab.chain.store import Store

    store = Store(folder)
    params = params_of(store)
    return [(step, why_stale(store, step, params)) for step in STEPS]


@app.command()
def validate(
    path: Annotated[Path, typer.Argument(help="Folder with corpus.jsonl, queries.jsonl and qrels/")],
    most: Annotated[int, typer.Option(min=0, help="Findings to list of each kind")] = 20,
) -> None:
    """Say whether a folder is a usable collection, and what is wrong with it, row by row."""
    from embedlab.data.load import collection_of, read_raw, stop_at_errors
    from embedlab.data.raw import Finding

    raw = read_raw("beir", path=path)
    fault, findings = "", raw.findings
    try:
        stop_at_errors(raw)
        # Of how the parts are made there may be something to say too.
        rows = collection_of(raw).findings.itertuples(index=False)
        findings = [Finding(*row) for row in rows]
    except EmbedlabError as error:
        fault = str(error)
    _list(findings, most)
    out.print(f"{len(raw.corpus):,} documents, {len(raw.queries):,} queries, {len(raw.qrels):,} judgments")
    if fault:
        out.print(f"[red]Not usable:[/] {safe(fault)}")
    else:
        out.print("Usable, with the findings above." if findings else "Usable; nothing found.")
    raise typer.Exit(FINDINGS if findings or fault else 0)


def _list(findings: Sequence[Finding], most: int) -> None:
    """Print the first findings of each kind, and how many more there are."""
    seen: dict[str, int] = {}
    for finding in findings:
        seen[finding.kind] = seen.get(finding.kind, 0) + 1
        if seen[finding.kind] <= most:
            shade = "red" if finding.level == "error" else "yellow"
            out.print(f"[{shade}]{finding.kind}[/] {safe(finding.where)} {safe(finding.id)}: {safe(finding.detail)}")
    for kind, count in seen.items():
        if count > most:
            out.print(f"… and {count - most} more of kind {kind!r}")


@app.command()
def compare(
    baseline: Annotated[Path, typer.Argument(help="TREC run to beat")],
    candidate: Annotated[Path, typer.Argument(help="TREC run that should be better")],
    qrels: Annotated[Path, typer.Option(help="Judgments: TREC qrels or BEIR TSV")],
    metric: Annotated[str, typer.Option(help=MEASURES)] = "nDCG@10",
    min_gain: Annotated[float, typer.Option(help="Smallest gain worth having")] = 0.0,
    groups: Annotated[Path | None, typer.Option(help="TSV with header query-id, group")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Compare two TREC runs query by query; exit code 0 SHIP, 1 DO_NOT_SHIP, 2 INCONCLUSIVE."""
    from embedlab.evaluation.comparison import compare as compare_runs

    found = compare_runs(qrels, baseline, candidate, metric, min_gain, groups)
    if as_json:
        sys.stdout.write(json.dumps(found.as_dict(), indent=1) + "\n")
    else:
        _show(found, baseline.name, candidate.name)
    raise typer.Exit(EXIT_OF[found.verdict])


def _show(found: Comparison, baseline: str, candidate: str) -> None:
    shade = {"SHIP": "green", "DO_NOT_SHIP": "red"}.get(found.verdict, "yellow")
    out.print(f"[bold {shade}]{found.verdict}[/]  {safe(candidate)} against {safe(baseline)}")
    out.print(safe(found.in_words()) + "\n")
    for name, value, note in _compared(found, baseline, candidate):
        out.print(safe(f"{name:<24}{value:<20}{note}"))
    for warning in found.warnings:
        out.print(f"[yellow]![/] {safe(warning)}")


def _compared(found: Comparison, baseline: str, candidate: str) -> list[tuple[str, str, str]]:
    """Return what, how much, and what that means: a row each."""
    wanted = f"at least {found.min_gain:+.4f} is wanted" if found.min_gain else "more than zero is wanted"
    rows = [
        (f"{found.metric}, baseline", f"{found.baseline:.4f}", baseline),
        (f"{found.metric}, candidate", f"{found.candidate:.4f}", candidate),
        ("gain", f"{found.delta:+.4f}", wanted),
        ("95 % interval", _span(found.ci95_queries), f"over {found.n_queries:,} queries"),
    ]
    if found.ci95_groups is not None:
        worth = f"over {found.n_groups:,} groups, worth {found.effective_groups:.0f} of equal size"
        rows.append(("95 % interval", _span(found.ci95_groups), worth))
        rows.append(("95 % interval", _span(found.ci95), "the farther end on each side: decides"))
    rows.append(("better / same / worse", f"{found.wins} / {found.ties} / {found.losses}", "queries"))
    rows.append(("p-value", f"{found.p_value:.4f}", "of no difference (randomization); decides nothing"))
    if found.verdict == "INCONCLUSIVE":
        rows.append(("needed", found.needed(), "if the gain seen is the true one"))
    return rows


def _span(ends: tuple[float, float]) -> str:
    return f"{ends[0]:+.4f} to {ends[1]:+.4f}"


def main() -> None:
    """Run the command line; user errors end with code 4, damaged runs with 3, and neither with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # A name may hold what the terminal's encoding has not, and half a character of a file's name.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except IntegrityError as error:
        err.print(f"[red]Damaged:[/] {safe(error)}")
        sys.exit(NO_VERDICT)
    except EmbedlabError as error:
        err.print(f"[red]Error:[/] {safe(error)}")
        sys.exit(BAD_INPUT)
    except USAGE as error:
        error.show()  # type: ignore[attr-defined]
        sys.exit(BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        err.print("Interrupted; the same command continues from here.")
        sys.exit(130)
