"""A finished run's folder that somebody touched: ``embedlab check``, ``report``, ``steps`` and ``run`` on it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from embedlab.chain.paths import REGISTRY
from embedlab.files import sha256_file, sha256_json
from faulty import Kind, Outcome, Row, command

FACE = "`embedlab check`, `report`, `steps` and `run` on a finished run"

RUN = "trial"
TRAINING, DRIFT = "artifacts/14_train/training.json", "artifacts/22_monitor_drift/drift.json"
MANIFEST, VERDICT, PARAMS, LEDGER, LOOKS = (
    *("manifest.json", "verdict.json", "params.yaml"),
    *("seal_ledger.jsonl", "dev_looks.json"),
)
DEPLOYED_STATE, DEPLOYED_INDEX = "indexes/deployed/service.db", "indexes/deployed/new/identity.json"
OPENINGS = f"../{REGISTRY}"
SPEED = "artifacts/03_choose_base_model/decisions.json"

Change = Callable[[Path], object]


# --- what somebody does to the folder -------------------------------------------------------------


def clear(path: Path) -> None:
    """Remove what stands there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def text(name: str, content: str | bytes) -> Change:
    """Write something else into a file."""

    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        clear(folder / name)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def edited(name: str, act: Callable[[Any], object]) -> Change:
    """Change what a JSON file holds; ``act`` changes it in place, or returns what takes its place."""

    def change(folder: Path) -> None:
        found = json.loads((folder / name).read_text())
        instead = act(found)
        (folder / name).write_text(json.dumps(found if instead is None else instead, indent=1))

    return change


def put(**values: Any) -> Callable[[dict[str, Any]], None]:
    """Return what writes these entries into an object."""
    return lambda found: found.update(values)


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    """Return what takes an entry out of an object."""
    return lambda found: found.__delitem__(name)


def in_entry(number: str, **values: Any) -> Change:
    """Change the manifest's entry of a step."""
    return edited(MANIFEST, lambda found: found["steps"][number].update(values))


def in_output(**values: Any) -> Change:
    """Change what the manifest says of an output of the last step."""
    return edited(MANIFEST, lambda found: found["steps"]["22"]["outputs"][0].update(values))


def cut(name: str) -> Change:
    """Keep the first half of a file."""
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    )


def replaced(name: str, old: str, new: str) -> Change:
    """Change a word of a file."""
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new))


def twice(name: str) -> Change:
    """Write what a file holds once more behind it."""
    return lambda folder: (folder / name).write_text(2 * (folder / name).read_text())


def gone(name: str) -> Change:
    """Take a file away."""
    return lambda folder: (folder / name).unlink()


def folder_at(name: str) -> Change:
    """Put a folder where a file should be."""

    def change(folder: Path) -> None:
        clear(folder / name)
        (folder / name).mkdir()

    return change


def link_at(name: str, target: str) -> Change:
    """Put a link where a file should be."""

    def change(folder: Path) -> None:
        clear(folder / name)
        (folder / name).symlink_to(target)

    return change


def moved_and_linked(name: str) -> Change:
    """Move a file elsewhere and leave a link to it."""

    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return change


def forged(name: str, content: str) -> Change:
    """Write an artifact of the last step and its new hash into the manifest, so that nothing seems changed."""

    def change(folder: Path) -> None:
        (folder / name).write_text(content)
        found = json.loads((folder / MANIFEST).read_text())
        for output in found["steps"]["22"]["outputs"]:
            if output["path"] == name:
                output["sha256"] = sha256_file(folder / name)
        (folder / MANIFEST).write_text(json.dumps(found, indent=1))

    return change


def relined(act: Callable[[dict[str, Any]], object]) -> Change:
    """Change the registry's line and its hash, so that it seems whole."""

    def change(folder: Path) -> None:
        line = json.loads((folder / OPENINGS).read_text())
        act(line)
        line["hash"] = sha256_json({name: value for name, value in line.items() if name != "hash"})
        (folder / OPENINGS).write_text(json.dumps(line) + "\n")

    return change


def opened(**changes: Any) -> Change:
    """Write one line of the ledger of openings, with something else in it."""
    line = {"step": "15", "key": "k", "kind": "opening", "reason": "score", "models": []}
    return text(LEDGER, json.dumps(line | {"time": "2024-01-01T00:00:00+0000"} | changes) + "\n")


# --- what that leads to, by command ---------------------------------------------------------------

Told = str | tuple[Kind, str]


def rows(where: str, what: str, change: Change, **told: Told) -> list[Row]:
    """Return a row a command; one that only says something is an error."""
    found = []
    for name, expected in told.items():
        kind, says = ("error", expected) if isinstance(expected, str) else expected
        found.append(Row(where, f"{what}; `{name}`", kind, says, (name, change)))
    return found


def every(says: Told) -> dict[str, Told]:
    """Return that every command says this."""
    return dict.fromkeys(("check", "report", "steps", "run"), says)


def read(says: Told) -> dict[str, Told]:
    """Return that the commands say this which read the verdict."""
    return dict.fromkeys(("check", "report"), says)


def ok(says: str = "") -> tuple[Kind, str]:
    """Return that this is taken, and said."""
    return "accepted", says


DAMAGED = "manifest.json: not readable as JSON"
ENTRY = "manifest.json: step 22: "
REWRITE = "--only 22 --force"
EDITED = "verdict.json is not what the artifacts give; to have it written again, run: embedlab run"
CHANGED = "training.json is not what step 14 wrote: found"
BROKEN = "is broken in line 1: "

ROWS = (
    *rows("everything", "as it was left", lambda folder: None, check=ok("SHIP: "), report=ok("Report: "),
          steps=ok("up to date"), run=ok("Nothing to do: all 22 steps are up to date")),
    # --- the manifest
    *rows(MANIFEST, "empty", text(MANIFEST, ""), **every(DAMAGED)),
    *rows(MANIFEST, "cut off", cut(MANIFEST), **every(DAMAGED)),
    *rows(MANIFEST, "a list", text(MANIFEST, "[]"), **every("expected an object {…}, found a list")),
    *rows(MANIFEST, "of another version", text(MANIFEST, '{"version": 2, "runs": []}'),
          **every("'steps' is missing or no object: this is no manifest of embedlab's")),
    *rows(MANIFEST, "not UTF-8", text(MANIFEST, b"\xff\xfe{}"), check="manifest.json: cannot be read"),
    *rows(MANIFEST, "100,000 brackets", text(MANIFEST, "[" * 100_000), check=DAMAGED),
    *rows(MANIFEST, "missing", gone(MANIFEST), check="is no run folder", report="is no run folder",
          steps="is no run folder"),
    *rows(MANIFEST, "a folder", folder_at(MANIFEST), check="a folder stands where a file should be",
          run="a folder stands where a file should be"),
    *rows(MANIFEST, "a link that leads nowhere", link_at(MANIFEST, "nowhere"), check="it is no regular file",
          run="it is no regular file"),
    *rows(MANIFEST, "a link to an endless device", link_at(MANIFEST, "/dev/zero"), check="it is no regular file"),
    *rows(MANIFEST, "steps in a list", edited(MANIFEST, put(steps=[])), check="'steps' is missing or no object"),
    *rows(MANIFEST, "an entry that is a word", edited(MANIFEST, lambda found: found["steps"].update({"22": "done"})),
          check=ENTRY + "it is no object", steps=ENTRY + "it is no object"),
    *rows(MANIFEST, "outputs that are a word", in_entry("22", outputs="all"), check=ENTRY + "outputs is all"),
    *rows(MANIFEST, "a finished step without outputs",
          edited(MANIFEST, lambda found: drop("outputs")(found["steps"]["22"])),
          check=ENTRY + "it is finished, but lists no outputs"),
    *rows(MANIFEST, "an output without a hash", in_output(sha256=None), check=ENTRY + "an output is"),
    *rows(MANIFEST, "an output outside the run folder", in_output(path="../../mine.txt"),
          **every(ENTRY + "an output is")),
    *rows(MANIFEST, "an output at an absolute path", in_output(path="/etc/passwd"), check=ENTRY + "an output is"),
    *rows(MANIFEST, "a status that is a number", in_entry("22", status=7), check=ENTRY + "status is 7"),
    *rows(MANIFEST, "a status that there is not", in_entry("22", status="finished"), check="step 22 is finished",
          report=ok("No verdict: step 22 is finished")),
    *rows(MANIFEST, "a key in a list", in_entry("22", key=["k"]), check=ENTRY + "key is"),
    *rows(MANIFEST, "seconds in words", in_entry("22", seconds="long"), check=ENTRY + "seconds is long"),
    *rows(MANIFEST, "a time that is none", in_entry("22", finished_at="soon"), check=ENTRY + "finished_at is soon"),
    *rows(MANIFEST, "inputs in a list", in_entry("22", made_of={"inputs": []}), check=ENTRY + "inputs of what it is"),
    *rows(MANIFEST, "a step that there is not", edited(MANIFEST, lambda found: found["steps"].update({"99": {}})),
          check=ok("SHIP: ")),
    *rows(MANIFEST, "another key", in_entry("14", key="0" * 64), check="step 14 is stale",
          report=ok("No verdict: step 14 is stale"), steps=ok("step 14 is stale")),
    # --- the verdict
    *rows(VERDICT, "empty", text(VERDICT, ""), check="verdict.json: not readable as JSON",
          report="verdict.json: not readable as JSON", run=REWRITE),
    *rows(VERDICT, "cut off", cut(VERDICT), check="verdict.json: not readable as JSON", report=REWRITE),
    *rows(VERDICT, "a list", text(VERDICT, '["SHIP"]'), check="expected an object {…}", report=REWRITE),
    *rows(VERDICT, "null", text(VERDICT, "null"), check="expected an object {…}, found null"),
    *rows(VERDICT, "not UTF-8", text(VERDICT, b"\xff"), check="verdict.json: cannot be read"),
    *rows(VERDICT, "missing", gone(VERDICT), check="there is no such file; to have it written again", report=REWRITE,
          run=REWRITE, steps=ok("up to date")),
    *rows(VERDICT, "a folder", folder_at(VERDICT), check="a folder stands where a file should be", report=REWRITE),
    *rows(VERDICT, "a link that leads nowhere", link_at(VERDICT, "nowhere"), check="it is no regular file"),
    *rows(VERDICT, "an unknown word", edited(VERDICT, put(verdict="MAYBE")), check=EDITED, report=EDITED, run=EDITED),
    *rows(VERDICT, "another word", edited(VERDICT, put(verdict="DO_NOT_SHIP")), check=EDITED, report=EDITED),
    *rows(VERDICT, "a key missing", edited(VERDICT, drop("versus_production")), check=EDITED, report=EDITED),
    *rows(VERDICT, "a number in words", edited(VERDICT, put(delta="much")), check=EDITED, report=EDITED),
    *rows(VERDICT, "a gain of NaN", edited(VERDICT, put(delta=float("nan"))), check=EDITED),
    *rows(VERDICT, "a gain edited", edited(VERDICT, put(delta=0.9)), check=EDITED, report=EDITED),
    *rows(VERDICT, "a stage that there is not", edited(VERDICT, put(stage=["final"])), check=EDITED),
    # --- artifacts
    *rows(TRAINING, "edited", edited(TRAINING, put(kept="base")), check=CHANGED, report=CHANGED,
          steps=ok("step 14 wrote")),
    *rows(TRAINING, "cut off", cut(TRAINING), check=CHANGED, report=CHANGED),
    *rows(TRAINING, "deleted", gone(TRAINING), check=f"{CHANGED} no file", report=f"{CHANGED} no file",
          steps=ok("found no file")),
    *rows(TRAINING, "a folder", folder_at(TRAINING), check=f"{CHANGED} a folder", report=f"{CHANGED} a folder",
          steps=ok("found a folder")),
    *rows(TRAINING, "a link that leads nowhere", link_at(TRAINING, "nowhere"),
          **read(f"{CHANGED} a link that leads nowhere")),
    *rows(TRAINING, "a link to itself", link_at(TRAINING, "training.json"),
          check=f"{CHANGED} a link that leads nowhere"),
    *rows(TRAINING, "a link to where it was moved", moved_and_linked(TRAINING), check=ok("SHIP: ")),
    *rows(DEPLOYED_STATE, "cut off", cut(DEPLOYED_STATE), check="service.db is not what step 21 wrote"),
    *rows(DEPLOYED_INDEX, "another model's", edited(DEPLOYED_INDEX, put(model="other")),
          check="identity.json is not what step 21 wrote"),
    *rows(DRIFT, "another one, with its hash in the manifest: a list", forged(DRIFT, "[]"),
          **read("drift.json: expected an object")),
    *rows(DRIFT, "another one, with its hash: no JSON", forged(DRIFT, "{"), check="drift.json: not readable as JSON"),
    *rows(DRIFT, "another one, with its hash: fields missing", forged(DRIFT, "{}"),
          check="drift.json: passed: Field required"),
    *rows(DRIFT, "another one, with its hash: 100,000 brackets", forged(DRIFT, "[" * 100_000),
          check="drift.json: not readable as JSON"),
    *rows("artifacts/22_monitor_drift/summary.json", "another one, with its hash: no figures",
          forged("artifacts/22_monitor_drift/summary.json", '{"conclusion": "well"}'),
          report="summary.json: expected a conclusion and figures"),
    *rows(SPEED, "cut off", cut(SPEED), check="decisions.json: not readable as JSON", report="decisions.json"),
    *rows(SPEED, "a list", text(SPEED, "[]"), check="decisions.json: expected an object"),
    *rows(SPEED, "missing", gone(SPEED), check=EDITED),
    *rows("artifacts/22_monitor_drift/summary.json", "another one, with its hash: half a surrogate pair",
          forged("artifacts/22_monitor_drift/summary.json", r'{"conclusion": "\ud800", "figures": {}}'),
          report="summary.json: not readable as JSON"),
    *rows(SPEED, "one number as a speed", edited(SPEED, put(speed={"base": 7})), check="no speeds: [7, 100.0]"),
    *rows(SPEED, "speeds in words", edited(SPEED, put(speed="fast")), check="decisions.json"),
    *rows("artifacts/01_define_problem/timings.json", "cut off", text("artifacts/01_define_problem/timings.json", "{"),
          check=ok("SHIP: "), report="timings.json: not readable as JSON"),
    *rows("artifacts/01_define_problem/timings.json", "speeds in words",
          text("artifacts/01_define_problem/timings.json", '{"fp32_gflops": "fast"}'), report=ok("Report: ")),
    # --- the parameters
    *rows(PARAMS, "broken", text(PARAMS, "run: [\n"), **every("params.yaml: not readable as YAML")),
    *rows(PARAMS, "a list", text(PARAMS, "- run\n"), check="the run's own parameters are damaged",
          report="the run's own parameters are damaged", steps="the run's own parameters are damaged"),
    *rows(PARAMS, "an unknown parameter", text(PARAMS, "colour: red\n"), check="unknown shared parameter 'colour'"),
    *rows(PARAMS, "a wrong type", text(PARAMS, "seed: many\n"), steps="seed of step 01 must be int"),
    *rows(PARAMS, "not UTF-8", text(PARAMS, b"run: \xff\n"), check="the run's own parameters are damaged"),
    *rows(PARAMS, "a folder", folder_at(PARAMS), check="the run's own parameters are damaged",
          steps="the run's own parameters are damaged"),
    *rows(PARAMS, "another seed", text(PARAMS, f"run: {RUN}\nseed: 9\n"), check="parameter seed changed since it ran",
          report=ok("No verdict: step 01 is stale: parameter seed"), steps=ok("parameter seed changed")),
    # --- what was opened and looked at
    *rows(LEDGER, "no JSON", text(LEDGER, "opened\n"), **read("seal_ledger.jsonl:1: not readable as JSON")),
    *rows(LEDGER, "cut off in its second line", text(LEDGER, '{"step"'), check="seal_ledger.jsonl:1: not readable"),
    *rows(LEDGER, "a line that is a list", text(LEDGER, "[]\n"), check="seal_ledger.jsonl:1: no opening of the test"),
    *rows(LEDGER, "a line without its models", opened(models=None),
          check="seal_ledger.jsonl:1: no opening of the test"),
    *rows(LEDGER, "a step that there is not", opened(step="99"), check="seal_ledger.jsonl:1: no opening of the test"),
    *rows(LEDGER, "a time that is none", opened(time="soon"), check="seal_ledger.jsonl:1: no time: soon"),
    *rows(LEDGER, "a folder", folder_at(LEDGER), check="a folder stands where a file should be"),
    *rows(LEDGER, "an opening by a step that may not", opened(step="02"), check=EDITED, report=EDITED),
    *rows(LOOKS, "cut off", text(LOOKS, "["), **read("dev_looks.json: not readable as JSON")),
    *rows(LOOKS, "an object", text(LOOKS, "{}"), check="dev_looks.json: expected a list"),
    *rows(LOOKS, "a look that is a word", text(LOOKS, '["weight"]'), check="dev_looks.json: no look at dev: weight"),
    *rows(LOOKS, "a folder", folder_at(LOOKS), check="a folder stands where a file should be"),
    *rows("reviews/blind.json", "cut off", text("reviews/blind.json", "{"), steps=ok("reviews/blind.json"),
          check="reviews/blind.json changed since it ran", report=ok("No verdict: step 16 is stale")),
    *rows("reviews/judgments.json", "cut off, which no later step reads", text("reviews/judgments.json", "{"),
          check=ok("SHIP: ")),
    # --- the registry of openings
    *rows("the registry", "missing", gone(OPENINGS), **read("that file was deleted or is another one")),
    *rows("the registry", "empty", text(OPENINGS, ""), check="is not registered in"),
    *rows("the registry", "cut off", cut(OPENINGS), check=BROKEN + "it is cut off", report=BROKEN, run=BROKEN),
    *rows("the registry", "a word edited", replaced(OPENINGS, '"seed": 0', '"seed": 1'),
          **read(BROKEN + "it was edited")),
    *rows("the registry", "no JSON", text(OPENINGS, "opened\n"), check=BROKEN + "it is not readable"),
    *rows("the registry", "a list", text(OPENINGS, "[]\n"), check=BROKEN + "it is no line of a registry"),
    *rows("the registry", "100,000 brackets", text(OPENINGS, "[" * 100_000 + "\n"),
          check=BROKEN + "it is not readable"),
    *rows("the registry", "not UTF-8", text(OPENINGS, b'"\xff"\n'), check=BROKEN + "it is not readable"),
    *rows("the registry", "a line twice", twice(OPENINGS),
          check="is broken in line 2: it does not follow the line before it"),
    *rows("the registry", "a folder", folder_at(OPENINGS), check="is not registered in"),
    *rows("the registry", "a line without its run, with a hash that fits", relined(drop("run")), check=BROKEN),
    *rows("the registry", "a seed in words, with a hash that fits", relined(put(seed="many")),
          check=BROKEN + "its seed"),
    *rows("the registry", "no weights, with a hash that fits", relined(drop("weights")),
          check="line 1: weights: Field"),
    *rows("the registry", "another run's name, with a hash that fits", relined(put(run="other")),
          check="this folder is a copy of that run, or it was renamed"),
    # --- what else lies there
    *rows("an executed notebook", "no JSON", text("notebooks/16_qualitative_review.ipynb", "%PDF"), check=ok("SHIP: "),
          report="16_qualitative_review.ipynb: cannot be read as a notebook"),
    *rows("an executed notebook", "a list", text("notebooks/16_qualitative_review.ipynb", "[]"),
          report="16_qualitative_review.ipynb: cannot be read as a notebook"),
    *rows("an executed notebook", "cells in words", text("notebooks/16_qualitative_review.ipynb", '{"cells": "all"}'),
          report="16_qualitative_review.ipynb: cannot be read as a notebook"),
    *rows("the report", "a file in place of its folder", text("report", "mine"), report=ok("Report: ")),
    *rows("the report", "a link that leads nowhere", link_at("report", "nowhere"), report=ok("Report: ")),
    *rows(".lock", "what no run wrote", text(".lock", "[1]"), check=ok("SHIP: "), report=ok("Report: ")),
    *rows(".lock", "a folder", folder_at(".lock"), check=ok("SHIP: "), run="cannot write to"),
    # --- another folder
    *rows("the folder", "none", "nowhere", check="is no run folder", report="is no run folder",
          steps="is no run folder"),
    *rows("the folder", "a file", f"{RUN}/{MANIFEST}", check="is no run folder"),
    *rows("the folder", "the folder of all runs", ".", check="is no run folder"),
    *rows("the folder", "a name of 10,000 characters", "x" * 10_000, check="File name too long",
          steps="File name too long"),
    *rows("the folder", "a terminal's control characters", "\x1b[2J", check=r"\x1b[2J is no run folder"),
    *rows("the folder", "half a surrogate pair", "\udcff", check=r"\udcff is no run folder"),
)  # fmt: skip


@cache
def finished() -> tempfile.TemporaryDirectory[str]:
    """Write a finished run once, with its registry; every row touches a copy of it, and it goes when Python ends."""
    from conftest import finished_run

    outputs = tempfile.TemporaryDirectory(prefix="faulty-run-")
    surroundings = {"EMBEDLAB_OUTPUTS": outputs.name, "EMBEDLAB_REGISTRY": str(Path(outputs.name) / REGISTRY)}
    with mock.patch.dict(os.environ, surroundings):
        folder = finished_run(run=RUN)
        # What is up to date is noted as skipped, so that a further run changes nothing.
        command("run", folder / PARAMS)
    return outputs


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Copy the finished run, touch it as the row has it, and return the command on it."""
    outputs = folder / "outputs"
    shutil.copytree(finished().name, outputs)
    os.environ["EMBEDLAB_REGISTRY"] = str(outputs / REGISTRY)  # put back by the test
    name, change = row.given
    place = outputs / (change if isinstance(change, str) else RUN)
    if not isinstance(change, str):
        change(place)
    return lambda: command(name, place / PARAMS if name == "run" else place)
