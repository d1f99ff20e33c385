"""The shadow test: which queries are replayed, how both sides are timed, and when the gate closes."""

import numpy as np
import pandas as pd
import pytest
from toy_encoder import DOCUMENTS, NEW

from embedlab.errors import ParameterError
from embedlab.evaluation import compare_scores
from embedlab.retrieval import build_index
from embedlab.rollout import gate, latencies, latest, percentiles, slower_at, within_budget


def toy_index():
    return build_index(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist(), NEW.identity)


def test_without_dates_all_queries_are_replayed_in_id_order():
    queries = pd.DataFrame({"query_id": ["q3", "q1", "q2"]})
    found, dated = latest(queries, 2)
    assert (found["query_id"].tolist(), dated) == (["q1", "q2", "q3"], False)
    found, dated = latest(queries.assign(created=["2020", "2022", "2021"]), 2)
    assert (found["query_id"].tolist(), dated) == (["q2", "q1"], True)


def _comparison(delta):
    ids = [f"q{i}" for i in range(40)]
    base = pd.Series(np.linspace(0.3, 0.7, 40), index=ids)
    return compare_scores(base, base + delta)


def test_the_gate_fails_on_worse_answers_missing_answers_and_slow_answers():
    assert gate(_comparison(0.1), 0, True, 100)[0]
    assert not gate(_comparison(-0.1), 0, True, 100)[0]
    assert not gate(_comparison(0.1), 1, True, 100)[0]
    passed, reason = gate(_comparison(0.1), 0, False, 100)
    assert not passed
    assert "100 ms" in reason


def test_a_slow_machine_is_not_held_against_the_candidate():
    def times(base, tuned, worst):
        return pd.DataFrame({"base": [base, worst], "tuned": [tuned, worst]}, index=["p50", "p95"])

    assert within_budget(times(20, 80, 99), 100) is True
    assert within_budget(times(20, 80, 130), 100) is False
    assert within_budget(times(120, 130, 140), 100) is None
    assert within_budget(times(20, 21, 900), 100) is None
    assert gate(_comparison(0.1), 0, None, 100)[0]


def test_a_budget_is_judged_for_any_two_services_and_any_noise():
    times = percentiles(pd.DataFrame({"live": [40.0] * 20, "candidate": [55.0] * 20}))
    assert times.loc["p50"].tolist() == [40.0, 55.0]
    assert within_budget(times, 50, "live", "candidate") is False
    assert within_budget(times, 50, "live", "candidate", slower_by=1.5) is None
    assert within_budget(times, 60, "live", "candidate") is True


def test_both_pipelines_are_timed_and_neither_always_goes_first():
    asked = []

    class Spy:
        def __init__(self, name):
            self.name = name

        def answer(self, text):
            asked.append((self.name, text))

    times = latencies({"base": Spy("base"), "tuned": Spy("tuned")}, ["one", "two"])
    assert times.shape == (2, 2)
    assert list(times.columns) == ["base", "tuned"]
    assert (times >= 0).all().all()
    assert {name for name, _ in asked[::2]} == {"base", "tuned"}


def test_a_search_of_more_vectors_takes_longer_and_of_no_more_the_same():
    index, queries = toy_index(), NEW.encode(["topic3", "word21"], "query")
    assert slower_at(index, queries, 50, 10).tolist() == [0.0, 0.0]
    longer = slower_at(index, queries, 300_000, 10)
    assert longer.shape == (2,)
    assert longer.min() > 0


def test_what_cannot_be_measured_is_said():
    queries = NEW.encode(["topic3"], "query")
    with pytest.raises(ParameterError, match=r"1,000,000,000 vectors take 256\.0 GB; at most 4 GB are measured"):
        slower_at(toy_index(), queries, 10**9, 10)
    graph = build_index(NEW.encode(DOCUMENTS.tolist()), DOCUMENTS.index.tolist(), NEW.identity, "hnsw")
    with pytest.raises(ParameterError, match="only a flat index"):
        slower_at(graph, queries, 1000, 10)
