"""The model card of a tuned model: what the hub reads of it, what it claims, and when there is none."""

import json
import re

import pytest
from conftest import command
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from makers import training

from embedlab.chain import Store
from embedlab.cli import EXIT_OF
from embedlab.errors import MissingInputError
from embedlab.report import model_card
from embedlab.report.model_card import CARD, write_card
from embedlab.verdict.words import WORDS

pytestmark = pytest.mark.chain


@pytest.fixture
def card(copied):
    """The finished smoke run's card: its text, and the run."""
    done = command(copied.outputs, "embedlab", "card", str(copied.folder))
    assert done.returncode == 0, done.stderr
    assert str(copied.folder / CARD) in done.stdout.replace("\n", "")
    return (copied.folder / CARD).read_text(encoding="utf-8"), copied


def test_the_hubs_own_reader_takes_its_head(card):
    text, run = card
    head = ModelCard(text).data
    assert head.library_name == "sentence-transformers"
    assert head.license == "apache-2.0"
    assert head.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    verdict = json.loads((run.folder / "verdict.json").read_text())
    [result] = head.eval_results
    assert result.metric_value == round(verdict["tuned"], 4)
    name, again = model_index_to_eval_results(head.to_dict()["model-index"])
    assert (name, again) == ("smoke", [result])


def test_it_gives_every_gain_with_the_verdicts_interval(card):
    text, run = card
    verdict = json.loads((run.folder / "verdict.json").read_text())
    for found in (verdict["versus_production"], verdict, verdict["retention"]):
        low, high = found["ci95"]
        assert f"{found['delta']:+.3f} [{low:+.3f}, {high:+.3f}]" in text
    assert f"**{WORDS[verdict['verdict']]}.**" in text
    assert json.loads((run.folder / "artifacts/14_train/training.json").read_text())["weights"] in text


def test_it_stands_beside_the_models_folder_and_the_verdict_still_stands(card):
    text, run = card
    assert not (run.folder / "models/tuned/README.md").exists()
    assert command(run.outputs, "embedlab", "check", str(run.folder)).returncode == EXIT_OF[run.verdict()["verdict"]]
    assert re.search(r"^# smoke: ", text, re.MULTILINE)


def test_what_a_user_wrote_is_data():
    said = model_card._plain("find <script>alert(1)</script>\n# a heading `and` \u202eback")
    assert said == "find &lt;script&gt;alert(1)&lt;/script&gt; # a heading 'and' \\u202eback"


def test_of_a_base_that_was_kept_there_is_no_card(finish):
    folder = finish(training(kept="base"))
    with pytest.raises(MissingInputError, match="step 14 kept the base model; there is no tuned model to describe"):
        write_card(Store(folder))
    assert not (folder / CARD).exists()


def test_without_a_run_or_a_verdict_it_says_so(tmp_path):
    done = command(tmp_path, "embedlab", "card", str(tmp_path))
    assert done.returncode != 0
    assert "no run folder" in done.stderr
