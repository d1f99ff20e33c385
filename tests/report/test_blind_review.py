"""Blind review: a fair sample, sides that nobody can tell, and a count of what was said."""

import pandas as pd
import pytest

from embedlab.chain import get_step
from embedlab.data import Collection
from embedlab.errors import EmbedlabError
from embedlab.report import BlindBrowser, blind_judgments, blind_sides, draw, tally
from embedlab.report.blind import swapped

EVIL = "<script>alert(1)</script>"
QUERIES = [f"q{i}" for i in range(60)]
GROUPS = {q: f"g{i // 2}" for i, q in enumerate(QUERIES)}


def run_of(lists):
    """Return a run with these documents for each query, best first."""
    rows = [(q, d, float(-rank)) for q, docs in lists.items() for rank, d in enumerate(docs)]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])


BASE = run_of({q: ["a", "b", "c"] for q in QUERIES})
TUNED = run_of({q: ["b", "a", "c"] if i % 3 else ["a", "b", "c"] for i, q in enumerate(QUERIES)})
RUNS = (BASE, TUNED)


@pytest.fixture
def collection():
    titles = {"a": "title of base", "b": "title of tuned", "c": EVIL}
    corpus = pd.DataFrame([{"doc_id": d, "title": t, "text": f"text of {d}"} for d, t in titles.items()])
    queries = pd.DataFrame([{"query_id": q, "text": f"ask {q}", "group": GROUPS[q], "part": "test"} for q in QUERIES])
    qrels = pd.DataFrame({"query_id": QUERIES, "doc_id": "b", "relevance": 1})
    return Collection(corpus, queries, qrels)


def test_only_queries_whose_first_results_differ_are_drawn_one_a_group():
    drawn = draw(RUNS, GROUPS, 3, 100, 0)
    assert all(QUERIES.index(q) % 3 for q in drawn)
    assert len({GROUPS[q] for q in drawn}) == len(drawn) == 30


def test_a_change_below_what_is_shown_is_none():
    assert draw((run_of({"q0": "ab"}), run_of({"q0": "ac"})), GROUPS, 1, 9, 0) == []


def test_a_query_for_which_one_run_finds_nothing_can_be_drawn():
    assert draw((run_of({"q0": "a"}), run_of({"q1": "a", "q0": "a"})), GROUPS, 3, 9, 0) == ["q1"]


def test_the_draw_follows_the_seed_and_stops_at_the_number_asked_for():
    assert draw(RUNS, GROUPS, 3, 10, 0) == draw(RUNS, GROUPS, 3, 100, 0)[:10]
    assert draw(RUNS, GROUPS, 3, 10, 0) != draw(RUNS, GROUPS, 3, 10, 1)


def test_each_side_is_the_tuned_ones_about_half_of_the_time():
    count = sum(swapped("pair", f"query {i}") for i in range(1000))
    assert 440 < count < 560
    assert [swapped("pair", q) for q in QUERIES] != [swapped("another pair", q) for q in QUERIES]


def test_the_sides_hold_what_the_runs_show_and_no_grade(collection):
    for item in blind_sides(QUERIES[:20], collection, RUNS, "pair"):
        shown = [[hit.doc_id for hit in side] for side in (item.left, item.right)]
        if swapped("pair", item.query_id):
            shown.reverse()
        number = QUERIES.index(item.query_id)
        assert shown == [["a", "b", "c"], ["b", "a", "c"] if number % 3 else ["a", "b", "c"]]
        assert {hit.relevance for hit in (*item.left, *item.right)} == {0}


def test_judgments_count_for_the_system_behind_the_side():
    sides = {q: "left" if swapped("pair", q) else "right" for q in QUERIES[:8]}
    assert tally(sides, "pair", QUERIES[:8]).better == 8
    turned = {q: {"left": "right", "right": "left"}[side] for q, side in sides.items()}
    found = tally(turned | {"q8": "same", "q9": "whatever"}, "pair", QUERIES)
    assert (found.judged, found.better, found.worse) == (9, 0, 8)


def test_a_judgment_of_a_query_that_was_not_drawn_does_not_count():
    assert tally({"q1": "left", "q2": "left"}, "pair", ["q1"]).judged == 1


def test_nothing_in_the_widget_says_which_side_is_which(collection, store):
    items = blind_sides(QUERIES[:6], collection, RUNS, "pair")
    browser = BlindBrowser(items, blind_judgments(store, "pair"))
    picker, view, bar = browser.widget().children
    labels = [button.description for button in bar.children[:-1]]
    assert labels == ["left is better", "no difference", "right is better"]
    for text in (view.value, *(label for label, _ in picker.options)):
        assert "✓" not in text
        assert "tuned" not in text.replace("title of tuned", "")
        assert "0." not in text
    assert EVIL not in view.value
    assert list(browser.twin()) == ["text", "left shows", "right shows"]


def test_a_click_is_kept_apart_from_judgments_of_who_knew_the_sides_and_makes_the_step_stale(collection, store):
    items = blind_sides(QUERIES[:3], collection, RUNS, "pair")
    _, _, bar = BlindBrowser(items, blind_judgments(store, "pair")).widget().children
    bar.children[0].click()
    assert blind_judgments(store, "pair").values == {"q0": "left"}
    assert blind_judgments(store, "another pair").values == {}
    assert "reviews/blind.json" in store.inputs(get_step("16"))
    assert not (store.folder / "reviews/judgments.json").exists()


def test_another_choice_is_refused(store):
    with pytest.raises(EmbedlabError, match="left, same, right"):
        blind_judgments(store, "pair").save("q1", "better")
