"""A cross-encoder trained from the base's own weights: what it learns from, and that it is the same again."""

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from tiny_models import WORDS, save_tiny
from transformers import BertModel

import embedlab
from embedlab.errors import DataError, ModelError, ParameterError
from embedlab.files import sha256_file
from embedlab.models import WORDLLAMA, load_cross_encoder
from embedlab.training import CrossEncoderSettings, train_cross_encoder
from embedlab.training.cross_encoder import labelled_lists

DOCUMENTS = pd.Series({f"d{at}": f"{word} {WORDS[at - 1]}" for at, word in enumerate(WORDS)})

SHORT = CrossEncoderSettings(steps=3, queries=2, negatives=3, max_tokens=16)


def negatives(*ids):
    return [{"id": doc_id, "miner": "bm25", "score": 0.5} for doc_id in ids]


ROWS = pd.DataFrame(
    {
        "query_id": [f"q{at}" for at in range(6)],
        "text": WORDS[:6],
        "positive_ids": [[f"d{at}"] for at in range(6)],
        "known_ids": [[f"d{at}", f"d{at + 1}"] for at in range(6)],
        "negatives": [negatives(*(f"d{(at + step) % 12}" for step in range(1, 6))) for at in range(6)],
    }
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = save_tiny(tmp_path_factory.mktemp("base") / "bert", BertModel)
    return embedlab.load_model(str(folder), "float32")


@pytest.mark.parametrize("loss", ["listwise", "pairwise", "pointwise"])
def test_what_is_trained_is_a_cross_encoder_that_starts_from_the_base(loss, base, tmp_path):
    settings = CrossEncoderSettings(loss, steps=3, queries=2, negatives=3, max_tokens=16)
    folder = train_cross_encoder(base, ROWS, DOCUMENTS, settings, tmp_path / "cross")
    scorer = load_cross_encoder(str(folder), "float32").load()
    assert scorer.max_length == 16
    before, after = load_file(base.files.folder / "model.safetensors"), load_file(folder / "model.safetensors")
    moved = [np.abs(after[f"bert.{name}"] - weights).max() for name, weights in before.items()]
    assert 0 < max(moved) < 0.01
    assert not list(folder.rglob("*.bin")) + list(folder.rglob("*.pt"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_run_twice_gives_the_same_weights(precision, base, tmp_path):
    encoder = embedlab.load_model(str(base.files.folder), precision)
    folders = [train_cross_encoder(encoder, ROWS, DOCUMENTS, SHORT, tmp_path / name) for name in ("one", "two")]
    one, two = (sha256_file(folder / "model.safetensors") for folder in folders)
    assert one == two


def test_another_seed_gives_other_weights(base, tmp_path):
    settings = [CrossEncoderSettings(steps=1, queries=2, negatives=3, max_tokens=16, seed=seed) for seed in (0, 1)]
    folders = [train_cross_encoder(base, ROWS, DOCUMENTS, s, tmp_path / str(s.seed)) for s in settings]
    one, two = (sha256_file(folder / "model.safetensors") for folder in folders)
    assert one != two


def test_what_was_trained_before_is_not_trained_again(base, tmp_path):
    folder = train_cross_encoder(base, ROWS, DOCUMENTS, SHORT, tmp_path / "cross")
    before = (folder / "model.safetensors").stat().st_mtime_ns
    train_cross_encoder(base, ROWS, DOCUMENTS, SHORT, folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    train_cross_encoder(base, ROWS.assign(text=ROWS["text"] + " otter"), DOCUMENTS, SHORT, folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns > before


def test_training_prints_nothing(base, tmp_path, capsys):
    train_cross_encoder(base, ROWS, DOCUMENTS, SHORT, tmp_path / "cross")
    assert capsys.readouterr().out == ""


def test_it_learns_to_put_the_positive_in_front(base, tmp_path):
    settings = CrossEncoderSettings(steps=80, queries=6, negatives=3, learning_rate=5e-3, max_tokens=16)
    folder = train_cross_encoder(base, ROWS, DOCUMENTS, settings, tmp_path / "cross")
    scorer = load_cross_encoder(str(folder), "float32")
    lists = labelled_lists(ROWS, DOCUMENTS, settings)[:6]
    first = []
    for query, texts in zip(lists["query"], lists["documents"], strict=True):
        first.append(int(scorer.scores([(query, text) for text in texts]).argmax()))
    assert first.count(0) >= 5


def test_a_document_known_to_answer_is_no_negative():
    settings = CrossEncoderSettings(steps=3, queries=2, negatives=10)
    lists = labelled_lists(ROWS, DOCUMENTS, settings)
    at = {text: number for number, text in enumerate(WORDS)}
    for query, texts, labels in zip(lists["query"], lists["documents"], lists["labels"], strict=True):
        assert texts[0] == DOCUMENTS[f"d{at[query]}"]
        assert DOCUMENTS[f"d{at[query] + 1}"] not in texts
        assert len(texts) == len(labels) == 5
        assert labels.index(max(labels)) == 0


def test_every_row_is_drawn_before_one_comes_again_and_those_without_a_negative_never():
    rows = ROWS.assign(negatives=[*ROWS["negatives"][:-1], []])
    drawn = labelled_lists(rows, DOCUMENTS, CrossEncoderSettings(steps=5, queries=2))["query"]
    assert sorted(drawn[:5]) == sorted(WORDS[:5])
    assert drawn[:5] == drawn[5:]


def test_rows_without_any_negative_are_refused(base, tmp_path):
    rows = ROWS.assign(negatives=[[] for _ in range(len(ROWS))])
    with pytest.raises(DataError, match="no training row has a negative"):
        train_cross_encoder(base, rows, DOCUMENTS, SHORT, tmp_path / "cross")


def test_a_document_that_is_not_there_is_named(base, tmp_path):
    with pytest.raises(DataError, match=r"q\d: 'd\d' is no document of the collection"):
        train_cross_encoder(base, ROWS, DOCUMENTS.iloc[:3], SHORT, tmp_path / "cross")


def test_a_table_of_word_vectors_cannot_be_trained(tmp_path):
    static = embedlab.load_model(WORDLLAMA, "float32")
    with pytest.raises(ModelError, match="reads no token in context"):
        train_cross_encoder(static, ROWS, DOCUMENTS, SHORT, tmp_path / "cross")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "listwize"}, "unknown loss 'listwize'; did you mean 'listwise'"),
        ({"steps": 0}, "steps must be 1 or more, found 0"),
        ({"learning_rate": 2.0}, "learning_rate must lie between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, said):
    with pytest.raises(ParameterError, match=said):
        CrossEncoderSettings(**changes)
