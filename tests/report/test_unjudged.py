"""Unjudged documents are shown without their system, and what is said of them becomes rows of qrels."""

import pandas as pd
import pytest

from embedlab.errors import EmbedlabError
from embedlab.report import JudgingQueue, export_judgments, unjudged_judgments

EVIL = "<script>alert(1)</script>"
QUEUE = pd.DataFrame(
    {"query_id": ["q1", "q2"], "doc_id": ["d|1", "d2"], "query": ["first", EVIL], "document": [EVIL, "long " * 200]}
)
QUEUE["moves"] = [0.4, 0.2]


@pytest.fixture
def judgments(store):
    return unjudged_judgments(store, "a" * 64)


def test_texts_are_escaped_and_no_system_is_named(judgments):
    queue = JudgingQueue(QUEUE, judgments)
    for item in queue.items:
        html = queue.html(item)
        assert EVIL not in html
        assert "moves" not in html
        assert "system" not in html
    assert EVIL not in queue.twin().to_html()
    assert queue.twin().columns.tolist() == ["query", "doc_id", "document"]
    assert len(queue.twin()["document"].iloc[1]) == 200


def test_what_is_said_becomes_rows_of_qrels(store, judgments):
    queue = JudgingQueue(QUEUE, judgments)
    judgments.save(queue.items[0].key, "relevant")
    judgments.save(queue.items[1].key, "irrelevant")
    again = unjudged_judgments(store, "a" * 64)
    table = pd.read_csv(export_judgments(store, again, grade=2), sep="\t")
    assert table.values.tolist() == [["q1", "d|1", 2], ["q2", "d2", 0]]


def test_judgments_of_other_data_do_not_count(store, judgments):
    judgments.save("q1|d1", "relevant")
    assert unjudged_judgments(store, "b" * 64).values == {}
    with pytest.raises(EmbedlabError, match="one of relevant, irrelevant"):
        judgments.save("q1|d1", "perhaps")
