"""Click logs: clicks drawn from a known position model, whose bias and preferences are recovered."""

import numpy as np
import pandas as pd
import pytest
from given_files import file, given

from embedlab.trainset import Reading, Table
from embedlab.trainset.sources import click_log

TRUE = 1.0 / np.arange(1, 6) ** 1.5


RELEVANCE = {"d1": 0.36, "d2": 0.8, "d3": 0.1}


def drawn_clicks(swaps: bool, shows: int = 4000) -> pd.DataFrame:
    """Draw clicks: a document is clicked if its rank is looked at and it is relevant."""
    rng, rows = np.random.default_rng(0), []
    for query in ("reset", "invoice", "printer"):
        for _ in range(shows):
            order = ["d1", "d2", "d3", "none-a", "none-b"]  # production ranks the weak d1 first
            if swaps and rng.random() < 0.3:
                a, b = rng.choice(5, 2, replace=False)
                order[a], order[b] = order[b], order[a]
            clicked = rng.random(5) < TRUE * [RELEVANCE.get(d, 0.05) for d in order]
            rows += [(query, d, k + 1, int(c)) for k, (d, c) in enumerate(zip(order, clicked, strict=True))]
    return pd.DataFrame(rows, columns=["query", "document", "rank", "clicked"])


@pytest.fixture(scope="module")
def swapped(tmp_path_factory):
    path = tmp_path_factory.mktemp("clicks") / "clicks.parquet"
    drawn_clicks(swaps=True).to_parquet(path)
    return path


ALL = ["d1", "d2", "d3", "none-a", "none-b"]


def counted(path, documents=ALL):
    return click_log.counts(Table("click_log", path, click_log.REQUIRED), documents, chunk=9000)


def test_position_bias_is_recovered_from_swapped_impressions(swapped):
    bias = click_log.propensities(counted(swapped))
    assert bias.estimated
    assert np.abs(bias.by_rank.to_numpy() - TRUE).max() < 0.06


def test_weighted_labels_recover_the_true_preference_where_raw_clicks_do_not(swapped):
    log = counted(swapped)
    table = click_log.labels(log, click_log.propensities(log)).set_index(["query", "document"])
    for query in ("reset", "invoice", "printer"):
        assert table.loc[query]["clicks"].idxmax() == "d1"
        assert table.loc[query]["corrected"].idxmax() == "d2"
        corrected = table.loc[query].loc[list(RELEVANCE), "corrected"]
        assert np.abs(corrected - pd.Series(RELEVANCE)).max() < 0.12
    harvest = click_log.read(Table("click_log", swapped, click_log.REQUIRED), Reading(pd.DataFrame({"doc_id": ALL})))
    assert [e.positives for e in harvest.examples] == [["d2"]] * 3


def test_without_swaps_the_curve_is_assumed_and_said(tmp_path):
    path = tmp_path / "clicks.csv"
    drawn_clicks(swaps=False, shows=300).to_csv(path, index=False)
    bias = click_log.propensities(counted(path), eta=1.5)
    assert not bias.estimated
    assert "1/rank^1.5 is assumed" in bias.how
    assert bias.by_rank.to_numpy() == pytest.approx(TRUE)


def impressions(*rows):
    return "query,document,rank,clicked\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def test_weights_are_clipped_and_their_mean_is_one(tmp_path):
    rows = [("a", "d1", 1, 1)] * 3 + [("b", "d2", 90, 1)] * 3 + [("c", "d3", 1, 0)]
    own = given(click_log=file(tmp_path, "c.csv", impressions(*rows)))
    weights = {e.query: e.weight for e in own.examples}
    assert weights["b"] / weights["a"] == pytest.approx(1 / click_log.CLIP, rel=1e-3)
    assert np.mean(list(weights.values())) == pytest.approx(1, abs=1e-3)


def test_documents_skipped_above_a_click_are_candidate_negatives(tmp_path):
    rows = [("a", "d1", 1, 0), ("a", "d2", 2, 1), ("a", "d3", 3, 0)] * 3
    (example,) = given(click_log=file(tmp_path, "c.csv", impressions(*rows))).examples
    assert [(n["id"], n["miner"], n["score"]) for n in example.negatives] == [("d1", "skipped above", 3.0)]


def test_clicks_on_rank_one_are_warned_of_with_their_number(tmp_path):
    rows = [("a", "d1", 1, 1)] * 6 + [("a", "d2", 2, 1)] * 3 + [("a", "d3", 3, 0)]
    note = given(click_log=file(tmp_path, "c.csv", impressions(*rows))).table()["note"].iloc[0]
    assert "67% of 9 clicks are on rank 1" in note
    rows = [("a", "d1", 1, 1)] * 3 + [("a", "d2", 2, 1)] * 3 + [("a", "d3", 3, 0)]
    assert (
        "on rank 1: clicks" not in given(click_log=file(tmp_path, "c.csv", impressions(*rows))).table()["note"].iloc[0]
    )


def test_a_log_of_clicks_alone_is_warned_of(tmp_path):
    rows = [("a", "d1", 1, 1), ("a", "d2", 2, 1)] * 3
    assert (
        "every row is clicked" in given(click_log=file(tmp_path, "c.csv", impressions(*rows))).table()["note"].iloc[0]
    )


def test_a_rank_or_click_that_is_none_is_named(tmp_path):
    rows = [("a", "d1", 1, 1)] * 3 + [
        ("a", "d1", 0, 1),
        ("a", "d1", "x", 1),
        ("a", "d1", 1, "maybe"),
        ("a", "d8", 1, 1),
    ]
    own = given(click_log=file(tmp_path, "c.csv", impressions(*rows)))
    assert [(f.kind, f.where.rpartition(":")[2]) for f in own.findings] == [
        ("malformed", "5"), ("malformed", "6"), ("malformed", "7"), ("unknown document", "8")
    ]  # fmt: skip
