"""How many mined negatives the batches really hold, counted by hand."""

from dataclasses import replace

import pandas as pd
import pytest

from embedlab.training import BatchSampler, Checkpoint, History, MinedUse, Recipe, count_mined

TEXTS = ["where do otters sleep", "who repairs the bridge", "a cure for hiccups"]

RECIPE = Recipe(documents=3, queries_per_document=1, hard_negatives=0)


def rows_with(*negatives):
    """Return three rows, one a document, with these documents mined for each."""
    found = []
    for i, ids in enumerate(negatives):
        mined = [{"id": doc_id, "miner": "dense", "score": 0.5} for doc_id in ids]
        row = {"query_id": f"q{i}", "text": TEXTS[i], "positive_ids": [f"d{i}"], "negatives": mined}
        found.append(row | {"weight": 1.0})
    return pd.DataFrame(found)


def test_a_mined_negative_counts_where_it_stands_beside_its_query():
    # Every batch holds d0, d1 and d2; d9 is nobody's positive and is never drawn.
    sampler = BatchSampler(rows_with(["d1", "d9"], ["d0"], []), {}, RECIPE)
    assert count_mined(sampler, 1) == MinedUse(pairs=3, used=2, queries=3, met=2)


def test_a_pair_counts_once_however_often_it_is_met():
    sampler = BatchSampler(rows_with(["d1"], [], []), {}, RECIPE)
    found = count_mined(sampler, 5)
    assert (found.used, found.queries, found.met) == (1, 15, 5)


def test_a_masked_document_is_no_negative():
    sampler = BatchSampler(rows_with(["d1"], [], []), {"d0": "family", "d1": "family"}, RECIPE)
    assert count_mined(sampler, 3).used == 0


def test_the_mined_negative_of_another_query_is_not_met():
    sampler = BatchSampler(rows_with([], ["d9"], ["d9"]), {}, RECIPE)
    assert count_mined(sampler, 3).met == 0


def test_what_is_drawn_as_a_hard_negative_counts_too():
    rows, two = rows_with(["d1"], ["d2"], ["d0"]), replace(RECIPE, documents=2)
    plain = count_mined(BatchSampler(rows, {}, two), 6)
    drawn = count_mined(BatchSampler(rows, {}, replace(two, hard_negatives=1)), 6)
    # Of three documents two are taken; the third is mined for one of their queries and fills the batch.
    assert (plain.met, drawn.met) == (6, 12)


@pytest.mark.parametrize(("found", "share"), [(MinedUse(8, 2, 9, 3), 0.25), (MinedUse(0, 0, 9, 0), 0.0)])
def test_the_share_is_that_of_the_pairs(found, share):
    assert found.share == share


def test_nothing_was_used_before_the_first_step():
    sampler = BatchSampler(rows_with(["d1"], ["d0"], []), {}, RECIPE)
    assert count_mined(sampler, 0) == MinedUse(pairs=2, used=0, queries=0, met=0)


def test_checkpoints_say_how_far_each_stands_behind_the_best():
    checks = {0: {"a": 0.0, "b": 0.2}, 2: {"a": 0.6, "b": 0.4}, 3: {"a": 0.4, "b": 0.5}}
    base, best, last = History([3.0, 1.0, 2.0], checks).checkpoints()
    assert base == Checkpoint(0, None, pytest.approx(0.1), pytest.approx(0.4), pytest.approx(0.2))
    assert best == Checkpoint(2, 2.0, 0.5, 0.0, 0.0)
    assert last == Checkpoint(3, 2.0, pytest.approx(0.45), pytest.approx(0.05), pytest.approx(0.15))
    assert [c.near_best for c in (base, best, last)] == [False, True, True]


def test_the_chosen_step_is_one_that_its_checkpoint_calls_near_the_best():
    checks = {0: {"a": 0.0, "b": 0.2}, 2: {"a": 0.6, "b": 0.4}, 3: {"a": 0.4, "b": 0.5}}
    history = History([3.0, 1.0, 2.0], checks)
    near = [c.step for c in history.checkpoints() if c.near_best]
    assert history.chosen() == max(near) == 3
