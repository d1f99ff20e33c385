"""Masked losses over document-shared batches: the library's own where nothing is masked; cut, guided and cached."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses as library
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from sentence_transformers.util import pairwise_cos_sim
from tiny_models import WORDS, load_tiny, save_tiny
from transformers import BertModel

import embedlab
from embedlab.errors import ParameterError
from embedlab.training import LOSSES, Job, Recipe, Trainer, Validation
from embedlab.training.loop import InBatchLoss, SharedBatches
from embedlab.training.losses import FORMATS, GUIDED, TAUGHT, guided
from embedlab.training.teachers import BiEncoderTeacher
from embedlab.trainset import FITS

RECIPE = Recipe(documents=4, queries_per_document=1, hard_negatives=4)
EACH = [pytest.param(name, marks=[pytest.mark.model] * (name in GUIDED | TAUGHT)) for name in LOSSES]
"""Every loss; one with a guide or a teacher loads that."""

CUT = {"matryoshka_dims": (16, 4), "matryoshka_weights": (3.0, 1.0)}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A bi-encoder of a few hundred random weights, with vectors of 16 numbers."""
    folder = tmp_path_factory.mktemp("tiny")
    body = Transformer(str(save_tiny(folder / "body", BertModel)))
    pooling = Pooling(body.get_embedding_dimension(), pooling_mode="mean")
    SentenceTransformer(modules=[body, pooling], device="cpu").save(str(folder / "model"), create_model_card=False)
    return embedlab.load_model(str(folder / "model"), "float32")


@pytest.fixture(scope="module")
def documents():
    return pd.Series({f"d{at}": f"a {word} starts with a {word}" for at, word in enumerate(WORDS)})


@pytest.fixture(scope="module")
def rows():
    """Two queries a document; all other documents are mined negatives of both."""
    made = []
    for at, word in enumerate(WORDS):
        others = [{"id": f"d{other}", "miner": "bm25", "score": 0.5} for other in range(len(WORDS)) if other != at]
        for number, text in enumerate((f"{word} river", f"road {word} key")):
            made.append({"query_id": f"q{at}-{number}", "text": text, "positive_ids": [f"d{at}"], "negatives": others})
    return pd.DataFrame(made)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Another bi-encoder, which knows other things."""
    return BiEncoderTeacher(load_tiny(tmp_path_factory.mktemp("teacher"), seed=5))


@pytest.fixture
def trainer_of(base, rows, documents, teacher):
    """Return a function that makes a trainer whose weights have left the base's."""

    def make(recipe, encoder=base, moved=0.1):
        trainer = Trainer(encoder, rows, documents, {}, recipe, teacher=teacher)
        torch.manual_seed(1)
        for weight in trainer.model.parameters():
            weight.data += moved * torch.randn_like(weight)
        return trainer

    return make


def inputs_of(trainer):
    """Return the features of the first step, the documents' first, and its labels."""
    inputs = SharedBatches(trainer.sampler, trainer.documents, trainer.reader, teacher=trainer.teacher)([{"step": 0}])
    labels = inputs.pop("label")
    names = dict.fromkeys(key.split("_")[0] for key in inputs)
    features = []
    for name in names:
        features.append({k.removeprefix(f"{name}_"): v for k, v in inputs.items() if k.startswith(f"{name}_")})
    return features, labels


def gradients(trainer, loss, features, labels):
    """Return a loss and its gradients by the name of the weight."""
    trainer.model.zero_grad()
    value = loss(features, labels)
    value.backward()
    weights = dict(trainer.model.named_parameters())
    return float(value.detach()), {name: w.grad.clone() for name, w in weights.items() if w.grad is not None}


def assert_alike(one, other, tolerance):
    assert one[0] == pytest.approx(other[0], abs=tolerance)
    assert one[1].keys() == other[1].keys()
    assert max(float(gradient.abs().max()) for gradient in one[1].values()) > 1e-3, "nothing would move"
    for name, gradient in one[1].items():
        assert torch.allclose(gradient, other[1][name], atol=tolerance), name


def ours(trainer):
    return gradients(trainer, InBatchLoss(trainer.model, trainer.rule, trainer.recipe), *inputs_of(trainer))


# --- the same as the library ----------------------------------------------------------------------


class Columns:
    """The texts of a trainer's first batch in the library's formats."""

    def __init__(self, trainer):
        self.batch, self.reader = trainer.sampler.batch(0), trainer.reader
        assert self.batch.allowed.all()
        assert self.batch.target.tolist() == [0, 1, 2, 3]
        self.texts = [trainer.documents[doc_id] for doc_id in self.batch.documents]

    def pairs(self):
        return [self.reader.features(self.batch.queries, "query"), self.reader.features(self.texts[:4], "document")]

    def with_negatives(self):
        """Four queries, their documents, and four mined ones: each of these is a negative of every query."""
        assert len(self.texts) == 8
        return [*self.pairs(), self.reader.features(self.texts[4:], "document")]

    def hardest(self, model):
        """Each query with its document and the nearest other one."""
        with torch.no_grad():
            pair = [self.reader.features(self.batch.queries, "query"), self.reader.features(self.texts, "document")]
            queries, documents = (torch.nn.functional.normalize(model(f)["sentence_embedding"], dim=1) for f in pair)
        cosines = queries @ documents.T
        cosines[torch.arange(4), torch.arange(4)] = -1
        negatives = [self.texts[at] for at in cosines.argmax(dim=1)]
        return [*self.pairs(), self.reader.features(negatives, "document")]

    def every_pair(self):
        """Every query with every document, and 1 where they belong together."""
        queries = np.repeat(self.batch.queries, len(self.texts)).tolist()
        features = [self.reader.features(queries, "query"), self.reader.features(self.texts * 4, "document")]
        return features, torch.eye(4, len(self.texts)).flatten()

    def ranked(self):
        """The queries, their documents, and all other documents of the batch, each a column."""
        others = [[at for at in range(len(self.texts)) if at != own] for own in range(4)]
        columns = [[self.texts[found[rank]] for found in others] for rank in range(len(self.texts) - 1)]
        return [*self.pairs(), *[self.reader.features(column, "document") for column in columns]]

    def taught(self, teacher):
        """What the teacher says of :meth:`ranked`, ``[queries, documents]``, the own document first."""
        cosines = teacher.encoder.encode(self.batch.queries, "query") @ teacher.encoder.encode(self.texts).T
        return torch.tensor(np.array([[row[own], *np.delete(row, own)] for own, row in enumerate(cosines)]))


class Together(torch.nn.Module):
    """The library's ranking loss and its KL divergence, each of what it wants."""

    def __init__(self, ranking, pairs, divergence):
        super().__init__()
        self.ranking, self.pairs, self.divergence = ranking, pairs, divergence

    def forward(self, features, labels):
        return self.ranking(self.pairs, torch.empty(0)) + 400 * self.divergence(features, labels)


def taught_reference(name, trainer, columns):
    """Return the library's loss of what a teacher says, with what it is given."""
    model, cosine = trainer.model, pairwise_cos_sim
    given = columns.ranked(), columns.taught(trainer.teacher)
    if name == "margin_mse":
        return library.MarginMSELoss(model, similarity_fct=cosine), *given
    divergence = library.DistillKLDivLoss(model, similarity_fct=cosine, temperature=1 / 20)
    if name == "kl":
        return lambda *found: 400 * divergence(*found), *given  # the library takes the temperature's square out again
    ranking = library.MultipleNegativesRankingLoss(model, scale=20.0)
    return Together(ranking, columns.with_negatives(), divergence), *given


def reference(name, trainer, columns):
    """Return the library's loss, with what it is given."""
    model, nothing = trainer.model, torch.empty(0)
    if name in TAUGHT:
        return taught_reference(name, trainer, columns)
    if name == "mnr":
        return library.MultipleNegativesRankingLoss(model, scale=20.0), columns.pairs(), nothing
    if name == "mnr_hard":
        return library.MultipleNegativesRankingLoss(model, scale=20.0), columns.with_negatives(), nothing
    if name == "mnr_symmetric":
        both = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
        return library.MultipleNegativesRankingLoss(model, scale=20.0, **both), columns.pairs(), nothing
    if name == "triplet":
        distance = library.TripletDistanceMetric.COSINE
        return library.TripletLoss(model, distance, triplet_margin=0.3), columns.hardest(model), nothing
    if name == "cosent":
        return library.CoSENTLoss(model, scale=20.0), *columns.every_pair()
    if name == "cosine":
        return library.CosineSimilarityLoss(model), *columns.every_pair()
    assert name == "gist"
    guide = trainer.encoder.model
    guided_by = library.GISTEmbedLoss(model, guide, 1 / 20, contrast_anchors=False, contrast_positives=False)
    return guided_by, columns.with_negatives(), nothing


@pytest.mark.parametrize("name", EACH)
def test_where_nothing_is_masked_a_loss_and_its_gradients_are_the_librarys(trainer_of, name):
    trainer = trainer_of(replace(RECIPE, loss=name))
    expected = gradients(trainer, *reference(name, trainer, Columns(trainer)))
    assert_alike(ours(trainer), expected, 1e-5)


@pytest.mark.parametrize("name", ["mnr", "mnr_symmetric", "cosent", "cosine"])
def test_over_cut_vectors_a_loss_is_the_librarys_matryoshka_loss_with_these_weights(trainer_of, name):
    trainer = trainer_of(replace(RECIPE, loss=name, **CUT))
    loss, *given = reference(name, trainer, Columns(trainer))
    cut = library.MatryoshkaLoss(trainer.model, loss, [16, 4], [0.75, 0.25])
    expected = gradients(trainer, cut, *given)
    assert_alike(ours(trainer), expected, 1e-5)
    whole = gradients(trainer, *reference(name, trainer, Columns(trainer)))
    assert abs(whole[0] - expected[0]) > 1e-4


@pytest.mark.model
def test_the_untuned_base_guides_whatever_the_weights_have_become(trainer_of, base):
    trainer = trainer_of(replace(RECIPE, loss="gist"), moved=1.0)
    batch = trainer.sampler.batch(0)
    texts = [trainer.documents[doc_id] for doc_id in batch.documents]
    cosines = base.encode(batch.queries, "query") @ base.encode(texts).T
    expected = [[cosines[q, d] <= cosines[q, batch.target[q]] for d in range(len(texts))] for q in range(4)]
    assert 4 < np.sum(expected) < np.size(expected), "the guide masks some negatives, not all"
    assert inputs_of(trainer)[1]["allowed"].tolist() == expected


# --- chunks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [{}, CUT], ids=["whole", "cut"])
@pytest.mark.parametrize("name", EACH)
def test_in_chunks_a_loss_and_its_gradients_are_those_of_the_whole_batch(trainer_of, name, cut):
    recipe = replace(RECIPE, loss=name, queries_per_document=2, **cut)
    found = ours(trainer_of(replace(recipe, chunk=3)))
    assert_alike(found, ours(trainer_of(recipe)), 1e-6)


def test_in_chunks_the_model_never_reads_more_texts_at_once(trainer_of):
    trainer = trainer_of(replace(RECIPE, queries_per_document=2, chunk=3))
    seen = []
    trainer.model[0].register_forward_pre_hook(lambda _, given: seen.append(len(given[0]["input_ids"])))
    ours(trainer)
    assert max(seen) == 3
    assert sum(seen) == 2 * (8 + 8), "each text twice: once for its vector, once for its gradient"


def test_a_run_in_chunks_has_the_loss_curve_of_one_without(trainer_of):
    recipe = replace(RECIPE, steps=4, learning_rate=1e-2, **CUT)
    whole = trainer_of(recipe).fit().loss
    assert trainer_of(replace(recipe, chunk=3)).fit().loss == pytest.approx(whole, abs=1e-5)
    assert whole[-1] < whole[0]


def test_two_processes_have_the_loss_curve_of_one(base, rows, documents, tmp_path):
    recipe = replace(RECIPE, steps=4, queries_per_document=2, learning_rate=1e-2, loss="mnr_symmetric", chunk=3, **CUT)
    qrels = pd.DataFrame({"query_id": ["q0-0"], "doc_id": ["d0"], "relevance": [1]})
    validation = Validation(pd.Series({"q0-0": rows["text"][0]}), qrels, documents, "nDCG@10")
    one, two = (Job.write(tmp_path / name, base, rows, documents, {}, recipe, validation, 2, 0) for name in ("1", "2"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    quiet = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "-m", "embedlab.training", str(two.folder)], capture_output=True, env=quiet)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (two.folder / "checkpoint-000004").is_dir()
    assert two.run().loss == pytest.approx(one.run().loss, abs=1e-4)


# --- masks ----------------------------------------------------------------------------------------


def random_scores():
    """Six queries, the first and the fifth of one document, the second and the sixth of another; some are masked."""
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.uniform(-1, 1, (6, 5)), dtype=torch.float32, requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, 0, 1])
    allowed = torch.tensor(rng.random((6, 5)) < 0.6)
    allowed[torch.arange(6), target] = True
    return scores, target, allowed


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in TAUGHT])
def test_what_is_masked_moves_nothing_and_a_positive_does(name):
    scores, target, allowed = random_scores()
    LOSSES[name][0](scores, target, allowed).backward()
    assert not scores.grad[~allowed].any()
    assert scores.grad[torch.arange(6), target].sum() < 0
    assert (scores.grad.scatter(1, target[:, None], 0.0) >= 0).all() or name == "cosine"


def test_a_margin_to_what_is_masked_moves_nothing():
    scores, target, allowed = random_scores()
    LOSSES["margin_mse"][0](scores, target, allowed, torch.zeros(6, 5)).backward()
    assert not scores.grad[~allowed].any()
    assert scores.grad[allowed].any()


def test_a_teacher_also_says_what_is_masked():
    """What the mask leaves out may be right: the teacher tells how right, and is followed there, too."""
    scores, target, allowed = random_scores()
    LOSSES["kl"][0](scores, target, allowed, torch.eye(6, 5)).backward()
    assert scores.grad[~allowed].any()


def test_who_says_what_its_teacher_says_is_not_moved():
    scores, target, allowed = random_scores()
    LOSSES["kl"][0](scores, target, allowed, scores.detach()).backward()
    assert float(scores.grad.abs().max()) < 1e-6


@pytest.mark.parametrize("name", sorted(TAUGHT))
def test_where_a_teacher_is_not_asked_the_loss_is_that_of_the_other_documents_alone(name):
    scores, target, allowed = random_scores()
    allowed[:] = True
    taught = torch.full((6, 5), torch.nan)
    taught[:, :4] = torch.tensor(np.random.default_rng(1).uniform(-1, 1, (6, 4)))
    found = LOSSES[name][0](scores, target, allowed, taught)
    narrow = LOSSES[name][0](scores[:, :4], target, allowed[:, :4], taught[:, :4])
    if name == "mnr_kl":  # what was judged still counts for every document
        judged = LOSSES["mnr"][0]
        narrow += judged(scores, target, allowed) - judged(scores[:, :4], target, allowed[:, :4])
    assert float(found.detach()) == pytest.approx(float(narrow.detach()), abs=1e-6)
    found.backward()
    assert torch.isfinite(scores.grad).all()
    assert bool(scores.grad[:, 4].any()) is (name == "mnr_kl")


def test_from_a_document_other_queries_of_its_own_and_masked_ones_are_no_negatives():
    scores, target, allowed = random_scores()
    scores = scores.detach()
    known, mask = scores.numpy() * 20, allowed.numpy()
    expected = []
    for i, t in enumerate(target.tolist()):
        queries = [j for j in range(6) if j == i or (mask[j, t] and target[j] != t)]
        to_query = logsumexp(known[queries, t]) - known[i, t]
        expected.append((logsumexp(known[i][mask[i]]) - known[i, t] + to_query) / 2)
    assert float(LOSSES["mnr_symmetric"][0](scores, target, allowed)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_guide_takes_negatives_out_that_it_finds_nearer_than_the_positive():
    cosines = np.array([[0.5, 0.6, 0.5], [0.9, 0.1, 0.2]], dtype=np.float32)
    allowed = np.array([[True, True, True], [True, True, False]])
    assert guided(allowed, np.array([0, 1]), cosines).tolist() == [[True, False, True], [False, True, False]]


# --- recipes --------------------------------------------------------------------------------------


def test_a_job_keeps_how_vectors_are_cut_and_chunked(base, rows, documents, tmp_path):
    recipe = replace(RECIPE, chunk=3, **CUT)
    qrels = pd.DataFrame({"query_id": ["q0-0"], "doc_id": ["d0"], "relevance": [1]})
    validation = Validation(pd.Series({"q0-0": "otter"}), qrels, documents, "nDCG@10")
    job = Job.write(tmp_path / "job", base, rows, documents, {}, recipe, validation, 2, 0)
    assert Job.read(job.folder).recipe == recipe
    assert Recipe(matryoshka_dims=[8, 4]).matryoshka == {8: 0.5, 4: 0.5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chunk": -1}, "chunk must be 0 or more, found -1"),
        ({"matryoshka_dims": (8, 8)}, r"numbers of 1 or more, each once; found \[8, 8\]"),
        ({"matryoshka_dims": (8, 0)}, r"numbers of 1 or more, each once; found \[8, 0\]"),
        (
            {"matryoshka_dims": (16, 4), "matryoshka_weights": (1.0,)},
            "as many as matryoshka_dims, or none; found 1 and 2",
        ),
        ({"matryoshka_dims": (8,), "matryoshka_weights": (0.0,)}, r"numbers above 0; found \[0\.0\]"),
    ],
)
def test_an_illegal_recipe_is_named(changes, said):
    with pytest.raises(ParameterError, match=said):
        replace(RECIPE, **changes)


def test_vectors_cannot_be_cut_to_more_numbers_than_they_have(trainer_of):
    with pytest.raises(ParameterError, match="at most 16, the length of the model's vectors; found 32"):
        trainer_of(replace(RECIPE, matryoshka_dims=(16, 32))).fit()


@pytest.mark.model
def test_a_table_of_word_vectors_takes_no_chunks_and_can_be_guided(trainer_of):
    table = embedlab.load_model("wordllama-256")
    with pytest.raises(ParameterError, match="chunk must be 0 for a table of word vectors, found 3"):
        trainer_of(replace(RECIPE, chunk=3), table).fit()
    history = trainer_of(replace(RECIPE, steps=4, loss="gist", learning_rate=1e-2), table, moved=0).fit()
    assert history.loss[-1] < history.loss[0]


def test_every_loss_has_a_format_that_there_is():
    assert FORMATS.keys() == LOSSES.keys()
    assert set(FORMATS.values()) <= FITS.keys()
