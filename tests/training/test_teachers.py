"""What losses learn from: what bi-encoders and cross-encoders say of a batch, and which runs they belong to."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sentence_transformers import CrossEncoder
from tiny_models import load_tiny, save_tiny, word_documents, word_rows
from transformers import BertForMaskedLM, BertForSequenceClassification

from embedlab.errors import IntegrityError, ModelError, ParameterError
from embedlab.models import MINILM
from embedlab.models.cross_encoder import CrossScorer
from embedlab.training import BatchSampler, Job, Recipe, Trainer, Validation, teachers
from embedlab.training.losses import TAUGHT
from embedlab.training.teachers import BiEncoderTeacher, CrossEncoderTeacher, cosines, load_teacher

RECIPE = Recipe(documents=4, queries_per_document=1, hard_negatives=4, loss="kl")

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return load_tiny(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def cross_folder(tmp_path_factory):
    """A cross-encoder as transformers saves it."""
    return save_tiny(tmp_path_factory.mktemp("cross") / "model", BertForSequenceClassification, seed=3, num_labels=1)


@pytest.fixture(scope="module")
def bi_folder(tmp_path_factory):
    """Another bi-encoder, which knows other things."""
    return load_tiny(tmp_path_factory.mktemp("bi"), seed=5).files.folder


@pytest.fixture(params=["bi-encoder", "cross-encoder"])
def teacher(request, base, bi_folder, cross_folder):
    return load_teacher(str(bi_folder if request.param == "bi-encoder" else cross_folder), base)


@pytest.fixture(scope="module")
def rows():
    return word_rows()


@pytest.fixture(scope="module")
def documents():
    return word_documents()


@pytest.fixture
def batch(rows):
    return BatchSampler(rows, {}, RECIPE).batch(0)


@pytest.fixture
def validation(rows, documents):
    qrels = pd.DataFrame({"query_id": ["q0-0"], "doc_id": ["d0"], "relevance": [1]})
    return Validation(pd.Series({"q0-0": rows["text"][0]}), qrels, documents, "nDCG@10")


# --- what they say --------------------------------------------------------------------------------


def test_a_bi_encoder_says_its_cosine_of_every_pair(base, bi_folder, batch, documents):
    teacher = load_teacher(str(bi_folder), base)
    asked = teacher.encoder.encode(batch.queries, "query")
    texts = teacher.encoder.encode([documents[doc_id] for doc_id in batch.documents])
    np.testing.assert_allclose(teacher.scores(batch, documents), asked @ texts.T, atol=1e-6)


def test_a_cross_encoder_says_its_logit_of_the_positive_and_the_nearest_others(
    base, cross_folder, batch, documents, monkeypatch
):
    monkeypatch.setattr(teachers, "ASKED", 2)
    teacher = load_teacher(str(cross_folder), base)
    found, near = teacher.scores(batch, documents), cosines(base, batch, documents)
    for row, own in enumerate(batch.target):
        others = [at for at in np.argsort(-near[row]) if at != own][:2]
        asked = sorted([int(own), *map(int, others)])
        assert np.flatnonzero(~np.isnan(found[row])).tolist() == asked
        pairs = [(batch.queries[row], documents[batch.documents[at]]) for at in asked]
        np.testing.assert_allclose(found[row, asked], teacher.scorer.scores(pairs) / 20, atol=1e-6)


def test_of_a_small_batch_a_cross_encoder_is_asked_about_everything(base, cross_folder, batch, documents):
    assert len(batch.documents) <= 1 + teachers.ASKED
    assert not np.isnan(load_teacher(str(cross_folder), base).scores(batch, documents)).any()


def test_what_was_prepared_is_asked_at_once_and_never_again(base, cross_folder, rows, documents, tmp_path, monkeypatch):
    asked = []
    scores = CrossScorer.scores
    monkeypatch.setattr(
        CrossScorer, "scores", lambda self, pairs, n=0: asked.append(len(pairs)) or scores(self, pairs, n)
    )
    sampler = BatchSampler(rows, {}, RECIPE)
    batches = [sampler.batch(step) for step in range(3)]
    teacher = load_teacher(str(cross_folder), base, tmp_path)
    teacher.prepare(batches, documents)
    assert len(asked) == 1
    again = load_teacher(str(cross_folder), base, tmp_path)
    for batch in batches:
        np.testing.assert_array_equal(teacher.scores(batch, documents), again.scores(batch, documents))
    assert len(asked) == 1


# --- what is learned ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TAUGHT))
def test_a_pupil_comes_nearer_to_its_teacher(base, teacher, rows, documents, name):
    recipe = replace(RECIPE, loss=name, steps=30, queries_per_document=2, learning_rate=1e-2)
    trainer = Trainer(base, rows, documents, {}, recipe, teacher=teacher)
    batches = [trainer.sampler.batch(step) for step in range(6)]

    def distance():
        model, apart = trainer.frozen(), []
        for batch in batches:
            margins = [
                _margins(scores, batch)
                for scores in (teacher.scores(batch, documents), cosines(model, batch, documents))
            ]
            apart.append(np.abs(margins[0] - margins[1]).mean())
        return float(np.mean(apart))

    before = distance()
    trainer.fit()
    assert distance() < (0.5 if name == "margin_mse" else 0.9) * before


def _margins(scores, batch):
    """Return how far each query's positive stands above the other documents."""
    return np.take_along_axis(scores, batch.target[:, None], axis=1) - scores


def test_who_begins_as_its_teacher_has_nothing_to_learn(base, rows, documents):
    trainer = Trainer(base, rows, documents, {}, replace(RECIPE, steps=1), teacher=BiEncoderTeacher(base))
    assert trainer.fit().loss == pytest.approx([0], abs=1e-5)


def test_a_loss_that_wants_a_teacher_is_refused_without_one(base, rows, documents):
    with pytest.raises(ParameterError, match="the loss kl learns from a teacher, and none is given"):
        Trainer(base, rows, documents, {}, RECIPE)


def test_a_loss_that_wants_none_takes_no_notice(base, teacher, rows, documents):
    assert Trainer(base, rows, documents, {}, replace(RECIPE, loss="mnr"), teacher=teacher).teacher is None


def test_a_run_under_another_teacher_is_another_run(base, teacher, rows, documents, validation, tmp_path):
    recipe = replace(RECIPE, steps=2)
    job = Job.write(tmp_path / "job", base, rows, documents, {}, recipe, validation, 1, 0, teacher=teacher)
    assert Job.read(job.folder).trainer().teacher.digest == teacher.digest
    assert len(job.run().loss) == 2
    other = BiEncoderTeacher(base)
    changed = Job.write(job.folder, base, rows, documents, {}, recipe, validation, 1, 0, teacher=other)
    with pytest.raises(IntegrityError, match="made from other teacher"):
        changed.run()


def test_a_job_that_goes_on_need_not_ask_its_teacher_again(
    base, cross_folder, rows, documents, validation, tmp_path, monkeypatch
):
    teacher = load_teacher(str(cross_folder), base)
    written = base, rows, documents, {}, replace(RECIPE, steps=2), validation, 1, 0
    job = Job.write(tmp_path / "job", *written, teacher=teacher)
    losses = job.run().loss
    for checkpoint in job.folder.glob("checkpoint-*"):
        checkpoint.rename(tmp_path / checkpoint.name)

    def refuse(*_):
        raise AssertionError("the teacher was asked again")

    monkeypatch.setattr(CrossScorer, "scores", refuse)
    assert job.run().loss == losses


# --- which it is ----------------------------------------------------------------------------------


def test_what_a_teacher_is_its_folder_says(base, bi_folder, cross_folder, tmp_path):
    CrossEncoder(str(cross_folder), device="cpu").save(str(tmp_path / "saved"), create_model_card=False)
    for folder in (cross_folder, tmp_path / "saved"):
        assert isinstance(load_teacher(str(folder), base), CrossEncoderTeacher)
    for name in (str(bi_folder), MINILM):
        assert isinstance(load_teacher(name, base), BiEncoderTeacher)


def test_what_is_neither_is_refused(base, tmp_path):
    with pytest.raises(ModelError, match="neither a folder nor to be had from the hub"):
        load_teacher("nobody/nothing", base)
    several = save_tiny(tmp_path / "classes", BertForSequenceClassification, num_labels=3)
    teacher = load_teacher(str(several), base)
    with pytest.raises(ModelError, match="it gives 3 numbers for a pair"):
        teacher.scorer.load()
    save_tiny(tmp_path / "sparse", BertForMaskedLM)
    (tmp_path / "sparse" / "config_sentence_transformers.json").write_text('{"model_type": "SparseEncoder"}')
    (tmp_path / "sparse" / "modules.json").write_text("[]")
    with pytest.raises(ModelError, match="it holds a sparse encoder"):
        load_teacher(str(tmp_path / "sparse"), base)
