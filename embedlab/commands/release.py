"""``embedlab release``: what answers, what could, and who switched when and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedlab.commands.index import ADDRESS, STATE
from embedlab.commands.terminal import out, read_settings, safe, say_facts, say_json, say_table

if TYPE_CHECKING:
    from embedlab.rollout.service.releases import Releases

app = typer.Typer(no_args_is_help=True, help="Releases: index, query encoder and stages, switched as one.")

StateFile = Annotated[Path, typer.Option("--state", help=STATE)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


@app.command("list")
def list_(state: StateFile, as_json: Json = False) -> None:
    """List the releases and the history of switches."""
    with _releases(state) as releases:
        live, before = releases.current(), releases.previous()
        found = [releases.get(name) for name in releases.names()]
        history = releases.history()
    roles = {release.name: role for role, release in (("previous", before), ("current", live)) if release is not None}
    if as_json:
        listed = [asdict(release) | {"role": roles.get(release.name)} for release in found]
        say_json({"releases": listed, "history": history})
        return
    rows = [(r.name, roles.get(r.name, ""), r.index, r.model, r.settings.in_words()) for r in found]
    say_table(("release", "role", "index", "model", "stages"), rows)
    out.print()
    say_table(
        ("number", "at", "release", "by", "why"),
        [[e[n] for n in ("number", "at", "release", "by", "why")] for e in history],
    )


@app.command()
def show(state: StateFile, name: Annotated[str, typer.Argument(help="Of the release")], as_json: Json = False) -> None:
    """Show a release."""
    with _releases(state) as releases:
        release = releases.get(name)
    if as_json:
        say_json(asdict(release))
        return
    say_facts(asdict(release).items())


@app.command()
def create(
    state: StateFile,
    name: Annotated[str, typer.Argument(help="Of the release")],
    index: Annotated[str, typer.Option(help=ADDRESS)],
    settings: Annotated[Path | None, typer.Option(help="JSON file: the stages; without one, the index's own")] = None,
) -> None:
    """Create a release from an index; it does not answer before it is promoted."""
    from embedlab.retrieval.systems import Settings

    with _releases(state, create=True) as releases:
        fields = read_settings(settings)
        release = releases.add(name, index, Settings(**fields) if fields else None)
        out.print(safe(f"{release.name}: {release.index}, queries by {release.model}, {release.settings.in_words()}."))


@app.command()
def promote(
    state: StateFile,
    name: Annotated[str, typer.Argument(help="Of the release")],
    why: Annotated[str, typer.Option(help="For the history")],
) -> None:
    """Let a release answer from now on."""
    from embedlab.rollout.service.switching import promote as promote_release

    with _releases(state) as releases:
        release = promote_release(releases.state, name, why)
        out.print(safe(f"{release.name} answers, from {release.index}."))


@app.command()
def rollback(
    state: StateFile, why: Annotated[str, typer.Option(help="For the history")] = "rolled back by hand"
) -> None:
    """Let the release answer that did before."""
    from embedlab.rollout.service.switching import roll_back

    with _releases(state) as releases:
        release = roll_back(releases.state, why)
        out.print(safe(f"{release.name} answers, from {release.index}."))


@contextmanager
def _releases(path: Path, create: bool = False) -> Iterator[Releases]:
    from embedlab.rollout.service.releases import Releases
    from embedlab.rollout.service.state import State

    state = State(path, create)
    try:
        yield Releases(state)
    finally:
        state.close()
