"""Re-indexing with the model of a finished run: its stages go along, and its promise is kept or missed."""

import json

import pandas as pd
import pytest
from conftest import embedlab_here

from embedlab.models import MINILM, WORDLLAMA
from embedlab.rollout import State
from embedlab.rollout.service.job import the_job

pytestmark = pytest.mark.chain


@pytest.fixture
def place(smoke, tmp_path):
    """Return a folder with an index of the smoke run's corpus by another model, and a runner of commands."""
    corpus = pd.read_parquet(smoke.folder / "artifacts" / "01_define_problem" / "corpus.parquet")
    rows = corpus.rename(columns={"doc_id": "_id"}).to_dict("records")
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))

    def command(*words, code=0):
        done = embedlab_here(tmp_path, *[str(word) for word in words])
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    command("index", "build", "--model", WORDLLAMA, "--path", tmp_path / "corpus.jsonl", "--out", tmp_path / "old")
    return tmp_path, command


def plan_words(folder, run, model):
    places = ["--state", folder / "s.db", "--from", folder / "old", "--to", folder / "new"]
    return ["reindex", "plan", *places, "--model", model, "--run", run]


def test_what_the_run_promised_of_its_canary_queries_is_kept(smoke, place):
    folder, command = place
    command(*plan_words(folder, smoke.folder, smoke.folder / "models" / "tuned"))
    proposed = json.loads((smoke.folder / "artifacts" / "15_evaluate" / "evaluation.json").read_text())["proposed"]
    job = the_job(State(folder / "s.db"))
    assert job.settings.as_dict() == proposed["settings"]
    assert job.canaries.low <= job.canaries.high
    command("reindex", "start", "--state", folder / "s.db")
    found = json.loads(command("reindex", "validate", "--state", folder / "s.db", "--json"))
    checks = {check["check"]: check["passed"] for check in found["checks"]}
    assert checks[f"{job.canaries.metric} of {len(job.canaries.queries)} canary queries"]
    assert found["state"] == "validated"


def test_another_model_than_was_evaluated_is_refused(smoke, place):
    folder, command = place
    said = command(*plan_words(folder, smoke.folder, MINILM), code=4)
    assert "evaluated weights" in said
    assert "give the run's models/tuned" in said


def test_a_run_that_promised_nothing_is_named(smoke, place):
    folder, command = place
    (folder / "empty").mkdir()
    (folder / "empty" / "manifest.json").write_text('{"steps": {}}')
    assert "nothing is promised" in command(*plan_words(folder, folder / "empty", MINILM), code=4)


def test_documents_without_the_field_that_the_run_filters_by_are_refused(smoke, place):
    folder, command = place
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    (folder / "bare.jsonl").write_text("".join(json.dumps({"_id": r["_id"], "text": r["text"]}) + "\n" for r in rows))
    command("index", "build", "--model", WORDLLAMA, "--path", folder / "bare.jsonl", "--out", folder / "bare")
    (folder / "filtered.json").write_text('{"filter_field": "matrix"}')
    words = ["--state", folder / "b.db", "--from", folder / "bare", "--to", folder / "new", "--model", WORDLLAMA]
    said = command("reindex", "plan", *words, "--settings", folder / "filtered.json", code=4)
    assert "would filter by 'matrix', which none of" in said
