"""Speeds side by side: every model is asked every query, in turns, and a slower one shows as slower."""

import numpy as np
import pytest
from toy_encoder import ToyEncoder

from embedlab.evaluation import speed_table
from embedlab.evaluation.bakeoff.speed import query_times

QUERIES = [f"topic{n}" for n in range(6)]


class Listening(ToyEncoder):
    """A toy encoder that writes down what it is asked anew."""

    def __init__(self, name, heard):
        super().__init__(name)
        self.heard = heard

    def encode_uncached(self, texts, kind="document"):
        self.heard.append((self.name, kind, tuple(texts)))
        return super().encode_uncached(texts, kind)


@pytest.fixture
def heard():
    return []


def test_the_models_take_turns_and_another_begins_each_time(heard):
    query_times({name: Listening(name, heard) for name in ("a", "b", "c")}, QUERIES)
    counted = heard[6:]
    assert [name for name, _, _ in counted] == list("abcbcacab" * 2)
    assert [texts for _, _, texts in counted[::3]] == [(query,) for query in QUERIES]


def test_each_model_is_warm_before_the_first_query_that_counts(heard):
    query_times({name: Listening(name, heard) for name in ("a", "b")}, QUERIES)
    assert [name for name, _, _ in heard[:4]] == ["a", "a", "b", "b"]


def test_a_table_has_percentiles_of_a_query_and_documents_a_second(heard):
    table = speed_table({"a": Listening("a", heard), "b": Listening("b", heard)}, QUERIES, ["one", "two"])
    assert list(table.columns) == ["query p50 (ms)", "query p95 (ms)", "query p99 (ms)", "documents/s"]
    assert list(table.index) == ["a", "b"]
    assert (np.diff(table[["query p50 (ms)", "query p95 (ms)", "query p99 (ms)"]], axis=1) >= 0).all()
    assert (table > 0).all().all()
    assert [kind for _, kind, _ in heard[-2:]] == ["document"] * 2


def test_one_query_is_enough(heard):
    assert query_times({"a": Listening("a", heard)}, QUERIES[:1]).shape == (1, 1)
