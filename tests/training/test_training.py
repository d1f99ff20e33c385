"""Batches without false negatives, losses that agree with references, runs that resume."""

import numpy as np
import pandas as pd
import pytest
import torch
from interrupted import KilledAfter
from scipy.special import logsumexp

import embedlab
from embedlab.errors import DataError, ParameterError
from embedlab.training import LOSSES, BatchSampler, History, Recipe, Trainer, Validation

ANIMALS = ["otter", "badger", "heron", "lynx", "marten", "stoat", "weasel", "falcon"]


@pytest.fixture(scope="module")
def rows():
    """Two queries a document; every document's look-alike is a mined negative."""
    return pd.DataFrame(
        [
            {
                "query_id": f"q{i}{c}",
                "text": f"{c} {name}",
                "positive_ids": [f"d{i}"],
                "negatives": [{"id": f"d{(i + 1) % len(ANIMALS)}", "miner": "bm25", "score": 0.5}],
                "weight": 1.0,
            }
            for i, name in enumerate(ANIMALS)
            for c in ("where lives the", "what eats the")
        ]
    )


@pytest.fixture(scope="module")
def documents():
    return pd.Series({f"d{i}": f"The {name} lives by the river and eats fish." for i, name in enumerate(ANIMALS)})


def recipe(**changes):
    return Recipe(**{"steps": 4, "documents": 4, "queries_per_document": 2, "hard_negatives": 2, **changes})


def test_a_batch_is_a_function_of_seed_and_step(rows):
    one, two = (BatchSampler(rows, {}, recipe()).batch(3) for _ in range(2))
    assert one.queries == two.queries
    assert one.documents == two.documents
    assert BatchSampler(rows, {}, recipe(seed=1)).batch(3).documents != one.documents


def test_no_batch_holds_a_known_positive_or_a_relative_as_negative(rows):
    several = rows.copy()
    several["positive_ids"] = [[*ids, "d7"] for ids in rows["positive_ids"]]
    family = {f"d{i}": f"f{i // 2}" for i in range(len(ANIMALS))}
    positives = dict(zip(several["text"], several["positive_ids"], strict=True))
    sampler = BatchSampler(several, family, recipe(documents=6))
    for step in range(20):
        batch = sampler.batch(step)
        assert len(set(batch.documents)) == len(batch.documents)
        assert batch.queries
        for query, target, allowed in zip(batch.queries, batch.target, batch.allowed, strict=True):
            assert batch.documents[target] in positives[query]
            families = {family[d] for d in positives[query]}
            negatives = [d for i, d in enumerate(batch.documents) if allowed[i] and i != target]
            assert not [d for d in negatives if d in positives[query] or family[d] in families]


def test_hard_negatives_stand_in_the_batch(rows):
    batch = BatchSampler(rows, {}, recipe()).batch(0)
    mined = {f"d{(int(d[1:]) + 1) % len(ANIMALS)}" for d in batch.documents[:4]}
    assert batch.documents[4:]
    assert set(batch.documents[4:]) <= mined
    assert max(batch.target) == 3


def test_too_few_documents_is_a_clear_error(rows):
    with pytest.raises(DataError, match="2 or more are needed"):
        BatchSampler(rows.head(2), {}, recipe())


def random_scores():
    rng = np.random.default_rng(0)
    scores = torch.tensor(rng.uniform(-1, 1, (6, 5)), dtype=torch.float32)
    target = torch.tensor([0, 1, 2, 3, 0, 1])
    allowed = torch.tensor(rng.random((6, 5)) < 0.8)
    allowed[torch.arange(6), target] = True
    return scores, target, allowed


def test_multiple_negatives_is_the_masked_cross_entropy():
    scores, target, allowed = random_scores()
    expected = []
    for s, t, a in zip(scores.numpy() * 20, target, allowed.numpy(), strict=True):
        expected.append(logsumexp(s[a]) - s[t])
    found = LOSSES["mnr"][0](scores, target, allowed)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def test_triplet_uses_the_hardest_allowed_negative():
    scores, target, allowed = random_scores()
    expected = []
    for i, (s, t) in enumerate(zip(scores.numpy(), target.tolist(), strict=True)):
        negatives = [s[j] for j in range(5) if j != t and allowed[i, j]]
        expected.append(max(0.0, max(negatives, default=-1.0) - s[t] + 0.3))
    assert float(LOSSES["triplet"][0](scores, target, allowed)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_cosent_agrees_with_sentence_transformers():
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    scores, target, _ = random_scores()
    everything = torch.ones_like(scores, dtype=torch.bool)
    labels = torch.zeros_like(scores)
    labels[torch.arange(6), target] = 1.0

    class Fixed(CoSENTLoss):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.scale, self.similarity_fct = 20.0, lambda a, b: scores.flatten()

    reference = Fixed().compute_loss_from_embeddings([torch.zeros(30, 1)] * 2, labels.flatten())
    assert float(LOSSES["cosent"][0](scores, target, everything)) == pytest.approx(float(reference), rel=1e-5)


def test_an_unknown_loss_names_the_nearest(minilm, rows, documents):
    with pytest.raises(ParameterError, match="did you mean 'mnr_hard'"):
        Trainer(minilm, rows, documents, {}, recipe(loss="mnr_hrad"))


@pytest.fixture(scope="module")
def validation(rows, documents):
    queries = rows.drop_duplicates("query_id").set_index("query_id")["text"]
    pairs = rows.explode("positive_ids").rename(columns={"positive_ids": "doc_id"})
    qrels = pairs[["query_id", "doc_id"]].assign(relevance=1)
    return Validation(queries, qrels, documents, "nDCG@10")


def test_a_killed_run_ends_where_an_uninterrupted_one_does(minilm, rows, documents, validation, tmp_path):
    whole = Trainer(minilm, rows, documents, {}, recipe(), validation, tmp_path / "whole")
    whole.fit(check_every=2)
    first = Trainer(minilm, rows, documents, {}, recipe(), KilledAfter(2, validation), tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        first.fit(check_every=2)
    again = Trainer(minilm, rows, documents, {}, recipe(), validation, tmp_path / "killed")
    again.fit(check_every=2)
    assert again.history.loss == whole.history.loss
    for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_moves_the_loss_and_step_zero_is_the_base(minilm, rows, documents, validation, tmp_path):
    trainer = Trainer(minilm, rows, documents, {}, recipe(steps=6), validation, tmp_path / "run")
    history = trainer.fit(check_every=3)
    assert list(history.checks) == [0, 3, 6]
    assert np.mean(history.loss[-2:]) < np.mean(history.loss[:2])
    base = validation.scores(minilm.encode)
    assert pd.Series(history.checks[0]).sub(base).abs().max() < 1e-6


def test_patience_stops_a_run_that_gets_no_better(minilm, rows, documents, validation, tmp_path):
    ruined = recipe(steps=40, learning_rate=0.5)
    history = Trainer(minilm, rows, documents, {}, ruined, validation, tmp_path / "run").fit(1, patience=2)
    assert len(history.loss) == 2 + history.best()


def test_a_saved_model_loads_from_safetensors_and_gives_the_same_vectors(minilm, rows, documents, tmp_path):
    trainer = Trainer(minilm, rows, documents, {}, recipe(steps=1))
    trainer.fit()
    trainer.save_model(tmp_path / "tuned")
    loaded = embedlab.load_model(str(tmp_path / "tuned"), "float32")
    texts = documents.tolist()
    assert np.allclose(loaded.encode(texts), trainer.frozen_encode()(texts, "document"), atol=1e-5)
    assert not list((tmp_path / "tuned").glob("*.bin"))
    assert loaded.identity.digest != minilm.identity.digest


def test_a_share_mixes_the_base_with_the_checkpoint(minilm, rows, documents, validation, tmp_path):
    trainer = Trainer(minilm, rows, documents, {}, recipe(), validation, tmp_path / "run")
    trainer.fit(check_every=2)
    last = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    trainer.load_step(0)
    base = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    trainer.load_step(4, 0.25)
    for name, weight in trainer.model.state_dict().items():
        expected = base[name] + 0.25 * (last[name] - base[name]) if weight.is_floating_point() else last[name]
        assert torch.allclose(weight, expected, atol=1e-7), name
    trainer.load_step(4)
    assert all(torch.equal(weight, last[name]) for name, weight in trainer.model.state_dict().items())
    with pytest.raises(ParameterError, match=r"above 0 and up to 1, found 1\.5"):
        trainer.load_step(4, 1.5)


def test_a_later_checkpoint_goes_on_unless_validation_tells_it_from_the_best():
    rng = np.random.default_rng(0)
    best = dict(enumerate(rng.uniform(0.4, 0.6, 50)))
    near = {q: v + d for (q, v), d in zip(best.items(), rng.normal(0, 0.1, 50) - 0.005, strict=True)}
    far = {q: v - 0.1 + d for (q, v), d in zip(best.items(), rng.normal(0, 0.01, 50), strict=True)}
    low = dict.fromkeys(best, 0.1)
    assert History(checks={0: low, 10: best, 20: far}).chosen() == 10
    assert History(checks={0: low, 10: best, 20: near, 30: far}).chosen() == 20
    assert History(checks={0: best, 10: low}).chosen() == 0
    assert History(checks={0: {"q": 1.0}}).chosen() == 0


def test_the_validation_so_far_is_drawn_from_its_lowest_to_its_highest():
    assert History().drawn() == ""
    assert History(checks={0: {"a": 0.2, "b": 0.4}}).drawn() == "validation ▁ 0.300"
    checks = {10: {"a": 1.0}, 0: {"a": 0.0}, 20: {"a": 0.5}}
    assert History(checks=checks).drawn() == "validation ▁█▅ 0.500"


def test_heavier_rows_are_drawn_more_often():
    rows = pd.DataFrame(
        {
            "query_id": [f"q{i}" for i in range(20)],
            "text": [f"query {i}" for i in range(20)],
            "positive_ids": [["a"] if i < 10 else ["b"] for i in range(20)],
            "negatives": [[] for _ in range(20)],
            "weight": [9.0 if i in (0, 10) else 1.0 for i in range(20)],
        }
    )
    sampler = BatchSampler(rows, {}, Recipe(documents=2, queries_per_document=1, hard_negatives=0))
    drawn = pd.Series([text for step in range(200) for text in sampler.batch(step).queries]).value_counts()
    assert drawn["query 0"] / 200 == pytest.approx(0.5, abs=0.1)
    assert drawn["query 3"] / 200 == pytest.approx(1 / 18, abs=0.06)


@pytest.mark.parametrize("metric", ["nDCG@3", "RR@1", "AP"])
def test_a_validation_scores_as_if_it_had_searched_deeper(metric):
    """Also where copies of a document tie at the cutoff."""
    rng = np.random.default_rng(0)
    documents = rng.normal(size=(40, 8)).astype(np.float32).repeat(2, axis=0)
    queries = rng.normal(size=(30, 8)).astype(np.float32)
    names = pd.Series([f"d{at}" for at in range(80)], index=[f"d{at}" for at in range(80)])
    asked = pd.Series([f"q{at}" for at in range(30)], index=[f"q{at}" for at in range(30)])
    qrels = pd.DataFrame({"query_id": asked.index.repeat(2), "doc_id": names.sample(60, random_state=0).to_numpy()})
    validation = Validation(asked, qrels.assign(relevance=1), names, metric)

    def encode(_, kind):
        return documents if kind == "document" else queries

    pd.testing.assert_series_equal(validation.scores(encode), validation.judged(validation.run(encode)))
