"""A stranger's folder through all 22 steps: no metadata, no dates, no families, few queries."""

import json

import pytest
from conftest import CRANFIELD, PROJECT, command, needs_cranfield, toy_rows, write_beir

from embedlab.chain import STEPS

pytestmark = [pytest.mark.chain, pytest.mark.model]

BRIEF = {
    "03.timing_queries": 4, "03.timing_documents": 4, "07.probe_steps": 1, "09.probe_steps": 1, "11.steps": 1,
    "12.probe_steps": 1, "13.probe_steps": 1,
    "14.steps": 2, "14.check_every": 1, "14.documents": 8, "01.retention_documents": 60, "01.retention_queries": 10,
    "22.pool": 20, "22.to_label": 5,
}  # fmt: skip
TOO_LITTLE = {"09": "this collection has none to offer", "19": "without dates", "22": "no dates"}
"""What a step with too little to work with says, in its conclusion."""


def run_all(outputs, path, run, settings):
    """Run every step on a BEIR folder from the command line; return verdict, conclusions and what was printed."""
    options = [w for key, value in settings.items() for w in ("--set", f"{key}={value}")]
    shared = ["--set", "source=beir", "--set", f"path={path}", "--set", f"run={run}"]
    done = command(outputs, "embedlab", "run", "params/own_data.yaml", *shared, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = outputs / run
    files = {s.number: folder / "artifacts" / s.name / "summary.json" for s in STEPS}
    conclusions = {number: json.loads(file.read_text())["conclusion"] for number, file in files.items()}
    verdict = json.loads((folder / "verdict.json").read_text())
    checked = command(outputs, "embedlab", "check", str(folder))
    assert checked.returncode == {"SHIP": 0, "DO_NOT_SHIP": 1, "INCONCLUSIVE": 2}[verdict["verdict"]], checked.stderr
    return verdict, conclusions, (folder / "report/index.html").read_text(encoding="utf-8")


def test_a_small_plain_collection_goes_through_all_steps_and_says_what_it_lacks(tmp_path):
    corpus, queries, judgments = toy_rows(80)
    folder = write_beir(tmp_path / "data", corpus, queries, {"test": judgments})
    verdict, conclusions, _ = run_all(tmp_path, folder, "plain", BRIEF)
    assert verdict["stage"] == "final"
    for number, words in TOO_LITTLE.items():
        assert words in conclusions[number].lower(), (number, conclusions[number])


@needs_cranfield
@pytest.mark.full
def test_cranfield_ends_in_an_honest_verdict_about_new_queries_over_known_documents(tmp_path):
    path = CRANFIELD.relative_to(PROJECT.parent)
    verdict, conclusions, page = run_all(tmp_path, f"../{path}", "cranfield", {})
    assert verdict["claim"] == "new queries over known documents"
    assert verdict["claim"] in page
    assert verdict["unseen_only"] is None
    if verdict["verdict"] == "SHIP":
        assert verdict["ci95"][0] >= verdict["min_gain"]
    for number in ("19", "22"):  # it has no dates; metadata and judged negatives it has
        assert TOO_LITTLE[number] in conclusions[number].lower(), (number, conclusions[number])
