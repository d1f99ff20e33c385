"""A folder in BEIR's layout through all 22 steps, from the command line, as a stranger would run it."""

import json
from dataclasses import dataclass
from pathlib import Path

from conftest import command

from embedlab.chain import STEPS

BRIEF = {
    "03.timing_queries": 4, "03.timing_documents": 4, "07.probe_steps": 1, "09.probe_steps": 1, "11.steps": 1,
    "12.probe_steps": 1, "13.probe_steps": 1,
    "14.steps": 2, "14.check_every": 1, "14.documents": 8, "01.retention_documents": 60, "01.retention_queries": 10,
    "22.pool": 20, "22.to_label": 5,
}  # fmt: skip
"""Settings that make every step as short as it can be."""

CODES = {"SHIP": 0, "DO_NOT_SHIP": 1, "INCONCLUSIVE": 2}


@dataclass(frozen=True)
class Finished:
    """A finished run: its folder, its verdict, what each step concluded, and the report's page."""

    folder: Path
    verdict: dict
    conclusions: dict[str, str]
    page: str


def run_steps(outputs: Path, path: object, run: str, settings: dict, *more: str) -> Path:
    """Run the steps on a folder, all or those that further words of the command line name; return the run's folder."""
    options = [w for key, value in settings.items() for w in ("--set", f"{key}={value}")]
    shared = ["--set", "source=beir", "--set", f"path={path}", "--set", f"run={run}"]
    done = command(outputs, "embedlab", "run", "params/own_data.yaml", *shared, *options, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return outputs / run


def page_of(folder: Path) -> str:
    """Return the front page of a run's report."""
    return (folder / "report/index.html").read_text(encoding="utf-8")


def run_all(outputs: Path, path: object, run: str, settings: dict) -> Finished:
    """Run every step on a folder, and ask what came of it."""
    folder = run_steps(outputs, path, run, settings)
    files = {s.number: folder / "artifacts" / s.name / "summary.json" for s in STEPS}
    conclusions = {number: json.loads(file.read_text())["conclusion"] for number, file in files.items()}
    verdict = json.loads((folder / "verdict.json").read_text())
    checked = command(outputs, "embedlab", "check", str(folder))
    assert checked.returncode == CODES[verdict["verdict"]], checked.stderr
    return Finished(folder, verdict, conclusions, page_of(folder))
