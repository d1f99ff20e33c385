"""What is decided about queued positives, and which of them do not train."""

import pandas as pd

from embedlab.report import decided, taken_out

QUEUE = pd.DataFrame({
    "query_id": ["a", "b", "c", "d"], "doc_id": ["d1", "d2", "d3", "d4"], "above": [0.25, 0.5, 0.75, 1.0],
    "waits": [True, True, False, False],
})  # fmt: skip


def test_what_is_refused_or_still_waits_is_taken_out_with_its_reason():
    queue = QUEUE.assign(decision=decided(QUEUE, {"b|d2": "accept", "c|d3": "refuse"}, accept_rest=False))
    assert taken_out(queue, cutoff=100).values.tolist() == [
        ["a", "d1", "review queue", "beyond rank 100 for both systems, 25% of the documents score higher"],
        ["c", "d3", "refused in review", "75% of the documents score higher"],
    ]


def test_nothing_is_taken_out_where_the_rest_is_accepted():
    queue = QUEUE.assign(decision=decided(QUEUE, {}, accept_rest=True))
    assert taken_out(queue, cutoff=100).empty
