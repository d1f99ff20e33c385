"""False negatives by experiment: hidden answers that come back, and the margin chosen by them."""

import numpy as np
import pandas as pd
from mined import made

from embedlab.trainset import (
    Mining,
    choose_margin,
    come_back,
    exclusions,
    hide,
)


def relatives(data, each=3):
    """Return the rows with further known answers: the documents closest to the query but the positive."""
    collection, encoder, rows = data
    cosines = encoder.encode(rows["text"].tolist()) @ encoder.encode(collection.document_texts().tolist()).T
    ids = collection.corpus["doc_id"].to_numpy()
    near = [
        list(dict.fromkeys([p[0], *ids[np.argsort(-c)[:each]]]))
        for p, c in zip(rows["positive_ids"], cosines, strict=True)
    ]
    return rows.assign(known_ids=pd.Series(near, dtype=object))


def test_a_fifth_of_the_further_answers_is_hidden_and_never_a_rows_last_positive():
    rows = relatives(made())
    rows.at[0, "positive_ids"] = rows.at[0, "known_ids"]
    left, hidden = hide(rows)
    further = sum(len(set(ids)) - 1 for ids in rows["known_ids"])
    assert len(hidden) == round(0.2 * further) > 0
    assert (left["positive_ids"].map(len) > 0).all()
    for query_id, doc_id in hidden.itertuples(index=False):
        row = left[left["query_id"] == query_id].iloc[0]
        assert doc_id not in {*row["positive_ids"], *row["known_ids"]}
    assert hide(rows)[1].equals(hidden)


def test_hidden_answers_that_come_back_are_counted_by_miner_and_margin():
    data = made(quota := 60, 60)
    rows = relatives(data)
    left, hidden = hide(rows, 0.5)
    exclude = exclusions(left, pd.DataFrame({"text": [], "known_ids": []}), {})
    mining = Mining(data[1], ["judged", "dense", "random"], quota)
    table = come_back(data[0], left, hidden, mining, [0.5, 9.0], exclude=exclude).set_index(["margin", "miner"])
    below = [
        float(data[1].vectors[f"text {d}"] @ data[1].vectors[f"asks {q}"])
        < float(
            data[1].vectors[f"text {rows.set_index('query_id').at[q, 'positive_ids'][0]}"]
            @ data[1].vectors[f"asks {q}"]
        )
        for q, d in hidden.itertuples(index=False)
    ]
    assert table.loc[(9.0, "dense"), "returned"] == sum(below) == table.loc[(9.0, "all miners"), "returned"]
    assert table.loc[(0.5, "dense"), "returned"] < sum(below)
    assert set(table["hidden"]) == {len(hidden)}
    assert "judged" not in table.index.get_level_values("miner")


def curve(**rates):
    lines = [
        (m, name, 100, rate) for name, found in rates.items() for m, rate in zip((0.8, 0.9, 1.0), found, strict=True)
    ]
    return pd.DataFrame(lines, columns=["margin", "miner", "hidden", "rate"])


def test_the_margin_is_the_loosest_at_which_each_miner_that_can_be_helped_is_rarely_wrong():
    table = curve(dense=[0.01, 0.04, 0.2], random=[0, 0, 0], sibling=[0.3, 0.4, 0.5])
    assert choose_margin(table, 0.05) == (0.9, ["sibling"])
    assert choose_margin(curve(dense=[0.3, 0.4, 0.5]), 0.05) == (0.8, ["dense"])


def test_few_hidden_answers_choose_no_margin():
    assert choose_margin(curve(dense=[0, 0, 0]).assign(hidden=19), 0.05) is None
    rows = made()[2]
    left, hidden = hide(rows)
    assert hidden.empty
    assert left["positive_ids"].tolist() == rows["positive_ids"].tolist()
