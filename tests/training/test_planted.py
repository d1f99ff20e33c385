"""Faults planted in a training: labels that say nothing, a rate that ruins the model, bases that are none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from faulty.models import (
    AUTO,
    MARKER,
    WEIGHTS,
    WORDS,
    all_of,
    code,
    module,
    pickled,
    vocabulary,
    with_,
    without,
    write_tiny,
)
from planted_models import shallow_minilm

import embedlab
from embedlab.errors import ModelError, ParameterError
from embedlab.evaluation import compare_scores
from embedlab.training import Job, Recipe, Trainer, Validation, validation_on

pytestmark = pytest.mark.model

MIN_GAIN = 0.02
STEPS = 12
RECIPE = Recipe(
    *("mnr", STEPS), documents=12, queries_per_document=2, learning_rate=1e-3, document_tokens=48, query_tokens=32
)


@pytest.fixture(scope="module")
def collection():
    """A slice of the demo's collection."""
    return embedlab.load_collection("attack", techniques=120)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The first layer of the packaged model: it learns in seconds."""
    return embedlab.load_model(str(shallow_minilm(tmp_path_factory.mktemp("shallow") / "model", 1)), "float32")


@pytest.fixture(scope="module")
def rows(collection):
    train = collection.part("train")
    right = train.qrels[train.qrels["relevance"] >= 2].groupby("query_id")["doc_id"].agg(list)
    found = train.queries.merge(right.rename("positive_ids"), on="query_id")
    return found.assign(negatives=[[] for _ in range(len(found))], weight=1.0)


@pytest.fixture(scope="module")
def trained(base, rows, collection):
    """Return a function that trains on rows, and tells the run and the gain over the base on dev."""
    dev = collection.part("dev")
    validation = validation_on(dev, "nDCG@10", 60)

    def train(learned, recipe=RECIPE, **stops):
        history = Trainer(base, learned, collection.document_texts(), {}, recipe, validation).fit(**stops)
        last = max(history.checks)
        scores = [pd.Series(history.checks[step]) for step in (0, last)]
        return history, compare_scores(*scores, "nDCG@10", MIN_GAIN, dev.groups())

    return train


def test_shuffled_labels_gain_nothing_for_sure_and_the_base_goes_on(trained, rows):
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = rows.assign(positive_ids=rows["positive_ids"].to_numpy()[order])
    history, gain = trained(shuffled, check_every=STEPS)
    assert np.mean(history.loss[-4:]) < np.mean(history.loss[:4])  # the loss falls all the same
    assert gain.ci95[0] < MIN_GAIN
    assert history.chosen() == 0


def test_the_labels_as_they_are_gain_more_than_the_minimum_for_sure(trained, rows):
    history, gain = trained(rows, check_every=STEPS)
    assert gain.ci95[0] > MIN_GAIN
    assert history.chosen() == STEPS


def test_a_learning_rate_of_1_is_refused():
    with pytest.raises(ParameterError, match=r"learning_rate must lie between 0 and 1, found 1\.0"):
        replace(RECIPE, learning_rate=1.0)


def test_a_rate_that_ruins_the_model_is_stopped_and_the_base_goes_on(trained, rows):
    history, gain = trained(rows, replace(RECIPE, learning_rate=0.9), check_every=1, patience=2)
    assert len(history.loss) == 2
    assert history.chosen() == 0
    assert gain.delta < 0


# --- bases that must not be trained ---------------------------------------------------------------

BASES = {
    "pickles alone": (
        all_of(without(WEIGHTS), pickled("pytorch_model.bin")),
        "from safetensors only, never from pickles",
    ),
    "code of its own": (all_of(with_("config.json", auto_map=AUTO), code("evil.py")), "names code of its own"),
    "a module from elsewhere": (all_of(module(1, type="evil.Evil"), code("evil.py")), "'evil.Evil' is not among"),
    "a pooling of another length": (
        with_("1_Pooling/config.json", word_embedding_dimension=384),
        "pools vectors of 384 numbers, but by the config.json of the module before it they have 8",
    ),
    "tokens without a vector": (
        vocabulary({word: at for at, word in enumerate([*WORDS, "heron"])}),
        "its tokenizer knows token 6, but its weights have vectors of 6 tokens only",
    ),
}


@pytest.mark.parametrize("fault", BASES)
def test_a_base_with_a_fault_is_refused_by_the_training_and_nothing_of_it_is_executed(fault, tmp_path, monkeypatch):
    change, said = BASES[fault]
    write_tiny(tmp_path / "model")
    rows = pd.DataFrame({"query_id": ["a", "b"], "text": WORDS[4:6], "positive_ids": [["d0"], ["d1"]], "weight": 1.0})
    rows["negatives"] = [[], []]
    documents = pd.Series(WORDS[4:6], ["d0", "d1"])
    judged = pd.DataFrame({"query_id": ["a", "b"], "doc_id": ["d0", "d1"], "relevance": 1})
    validation = Validation(rows.set_index("query_id")["text"], judged, documents, "nDCG@10")
    encoder = embedlab.load_model(str(tmp_path / "model"), "float32")
    recipe = Recipe(steps=1, documents=2, queries_per_document=1, hard_negatives=0)
    job = Job.write(tmp_path / "job", encoder, rows, documents, {}, recipe, validation, 1, 0)
    change(tmp_path / "model")
    monkeypatch.chdir(tmp_path / "model")  # where code of the folder's own would be found
    monkeypatch.syspath_prepend(str(tmp_path / "model"))
    with pytest.raises(ModelError, match=said):
        Job.read(job.folder).trainer()
    assert not (tmp_path / MARKER).exists()
