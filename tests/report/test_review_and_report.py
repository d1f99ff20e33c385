"""The side-by-side review and the report: what they show, and that corpus text stays text."""

import re
import warnings
from dataclasses import asdict
from html import unescape

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from conftest import literal_tail, open_step, run_python
from makers import write_file

from embedlab.chain import Store
from embedlab.chain.artifacts import test_pipeline
from embedlab.chain.artifacts.base import Summary
from embedlab.data import Collection
from embedlab.errors import EmbedlabError, MissingInputError
from embedlab.evaluation import AtShare, strata
from embedlab.report import Browser, Judgments, build, choose, plots, rank_changes, side_by_side, table, to_html
from embedlab.report.content import caveats, figure, verdict_sentence
from embedlab.report.notebooks import sanitize
from embedlab.verdict import retention_sentence, sentence

EVIL = '<script>alert(1)</script><img src="https://evil.example/x.png" onerror="alert(2)">'
GAINED = {
    "baseline": 0.4, "candidate": 0.5, "delta": 0.1, "ci95": [0.05, 0.15], "ci": [0.04, 0.16], "confidence": 0.983,
    "min_gain": 0.02, "n_queries": 1200, "n_groups": 60,
}  # fmt: skip
VERDICT = {
    "recommend": {"choice": "tuned", "sentence": "Roll out pipeline (tuned)."}, "production": "base",
    "proposed": "pipeline (tuned)", "simpler": "base", "versus_production": GAINED, "versus_simpler": GAINED,
    "verdict": "SHIP", "stage": "final", "primary_metric": "nDCG@10", "contract": "abc", "baseline": 0.4, "tuned": 0.5,
    "delta": 0.1, "ci95": [0.05, 0.15], "p_value": 0.001, "min_gain": 0.02, "n_queries": 1200, "n_groups": 60,
    "queries_needed": None, "retention_delta": None, "unseen_only": None, "blocked_by": [],
    "slices": [{"slice": "negation", "queries": 40, "delta": 0.01, "low": -0.02, "high": 0.04, "guardrail": True}],
    "checklist": [{"id": "objective_clear", "passed": False, "evidence": EVIL, "red_when": f"it is {EVIL}"}],
    "mistakes": [{"id": "no_hard_negatives", "present": None, "evidence": "step 14 has not run"}],
}  # fmt: skip


def _collection():
    corpus = pd.DataFrame(
        {"doc_id": list("abcd"), "title": ["A", EVIL, "C", "D"], "text": ["one", "two", EVIL, "four"]}
    )
    queries = pd.DataFrame(
        {"query_id": ["q1", "q2", "q3"], "text": [EVIL, "second", "third"], "part": "test", "group": "g"}
    )
    qrels = pd.DataFrame({"query_id": ["q1", "q2", "q3"], "doc_id": ["b", "a", "d"], "relevance": [2, 1, 1]})
    return Collection(corpus, queries, qrels)


def _run(lists):
    rows = [(q, d, float(-n)) for q, docs in lists.items() for n, d in enumerate(docs)]
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])


BEFORE, AFTER = _run({"q1": "acbd", "q2": "abcd", "q3": "abcd"}), _run({"q1": "bacd", "q2": "bcda", "q3": "dabc"})


def _items():
    scores = pd.DataFrame({"today": [0.2, 0.9, 0.5], "proposed": [0.9, 0.2, 0.5]}, index=["q1", "q2", "q3"])
    chosen = choose(scores.rename_axis("query_id"), pd.Series([1.0, 1.0, 0.5], index=scores.index), 5)
    slices = pd.DataFrame({"negation": [True, False, False]}, index=scores.index)
    return side_by_side(chosen, _collection(), (BEFORE, AFTER), slices)


def test_relevant_documents_that_enter_and_leave_the_top_are_counted():
    moved = rank_changes(_collection().qrels, BEFORE, AFTER, 2).set_index("query_id")
    assert moved["change"].to_dict() == {"q1": "gained", "q2": "lost", "q3": "gained"}
    assert moved.loc["q1", ["before", "after"]].tolist() == [3, 1]


def test_improved_regressed_and_odd_queries_are_chosen():
    assert {i.query_id: i.kind for i in _items()} == {"q1": "improved", "q2": "regressed", "q3": "odd"}


def test_both_sides_are_shown_and_relevant_documents_marked():
    item = _items()[0]
    assert [h.doc_id for h in item.hits[0]] == list("acbd")
    assert [h.doc_id for h in item.hits[1]] == list("bacd")
    assert item.hits[1][0].relevance == 2


def test_corpus_text_is_escaped_in_every_view(store):
    items = _items()
    browser = Browser(items, Judgments(store, "pair"), "nDCG@10")
    views = [to_html(items, "nDCG@10", EVIL, {}), browser._repr_mimebundle_()["text/html"]]
    views.append(browser.widget().children[1].value)
    for view in views:
        assert "<script" not in view
        assert "<img" not in view
        assert "&lt;script&gt;" in view


def test_the_plain_text_of_the_browser_never_changes(store):
    views = [Browser(_items(), Judgments(store, "pair"), "nDCG@10")._repr_mimebundle_() for _ in range(2)]
    assert views[0]["text/plain"] == views[1]["text/plain"]
    assert "0x" not in views[0]["text/plain"]
    assert views[0]["text/html"] == views[1]["text/html"]


def test_a_click_saves_a_judgment_outside_the_outputs_of_the_step(store):
    browser = Browser(_items(), Judgments(store, "pair"), "nDCG@10")
    _, _, bar = browser.widget().children
    bar.children[0].click()
    again = Judgments(store, "pair")
    assert again.values == {"q1": "better"}
    assert again.counts() == {"judged": 1, "judged_better": 1, "judged_worse": 0}
    assert (store.folder / "reviews" / "judgments.json").is_file()
    assert Judgments(store, "another pair").counts()["judged"] == 0


def test_an_unknown_judgment_is_refused(store):
    with pytest.raises(EmbedlabError, match="better, same, worse"):
        Judgments(store, "pair").save("q1", "nice")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not readable as JSON"),
        ('{"pair": ', "not readable as JSON"),
        ("[]", "expected an object"),
        ('{"pair": ["better"]}', "pair: expected a choice by item"),
        ('{"pair": {"q1": 7}}', "pair: expected a choice by item"),
        ('{"pair": {"q1": "nice"}}', "q1: expected one of better, same, worse, found 'nice'"),
    ],
)
def test_a_damaged_file_of_judgments_is_named_and_stays(store, text, told):
    file = store.folder / "reviews" / "judgments.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(EmbedlabError, match=rf"judgments\.json: {told}.*; put a copy of it back, or delete it"):
        Judgments(store, "pair")
    assert file.read_text() == text


def test_nothing_to_review_is_an_empty_table(store):
    assert table([]).empty
    assert "No query is of this kind" in to_html([], "nDCG@10", "", {})


def _partial_run(store: Store) -> None:
    """A run of which only step 16 is done, with a hostile conclusion and a hostile notebook."""
    write_file(store, "16", "summary.json", asdict(Summary(EVIL, {"gained": 1234, "share": 0.5})))
    store.write("verdict.json", VERDICT)
    cell = nbformat.v4.new_code_cell(
        "1 + 1",
        outputs=[
            nbformat.v4.new_output(
                "display_data",
                data={
                    "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
                    "text/plain": "browser",
                    "text/html": f"<style>@import url(https://evil.example)</style><table><tr><td>twin</td></tr></table>{EVIL}",
                },
            ),
            nbformat.v4.new_output("display_data", data={"application/javascript": "alert(3)"}),
        ],
    )
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(f"# Title\n\n{EVIL} [x](javascript:alert)"), cell]
    )
    (store.folder / "notebooks").mkdir()
    nbformat.write(notebook, store.folder / "notebooks" / "16_qualitative_review.ipynb")


def test_the_report_of_a_partial_run_shows_what_there_is_and_loads_nothing(store):
    _partial_run(store)
    front = build(store, (VERDICT, ""))
    pages = {p.name: p.read_text(encoding="utf-8") for p in front.parent.rglob("*.html")}
    assert set(pages) == {"index.html", "16.html"}
    assert pages["index.html"].count("not run") >= 21
    assert "1,234" in pages["index.html"]
    assert "twin" in pages["16.html"]
    for text in pages.values():
        assert not re.search(r"<(script|link|iframe)|<[^>]*(onerror|javascript:|https?:)|alert\(3\)", text)
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
        assert "@import" not in text
        assert "default-src 'none'" in unescape(text)


def test_the_page_says_of_each_item_what_would_make_it_red(store):
    _partial_run(store)
    text = unescape(build(store, (VERDICT, "")).read_text(encoding="utf-8"))
    assert text.count("Red when") == 1  # of the mistake, an old verdict does not say it
    assert f"Red when it is {EVIL}." in text


def test_the_report_divides_each_gain_by_what_documents_were_in_training(store):
    ids = [f"q{i}" for i in range(90)]
    new = pd.Series([i % 3 == 0 for i in range(90)], index=ids)
    base = pd.Series(0.4, index=ids)
    divided = strata(base, base + 0.1 + 0.05 * new, new, {"document": {q: q for q in ids}}, 0.25)
    empty = strata(base, base, new & False, {"document": {q: q for q in ids}}, 0.25)
    _partial_run(store)
    kept = {"versus_production": asdict(divided), "versus_simpler": asdict(empty)}
    text = build(store, (VERDICT | {"strata": kept}, "")).read_text(encoding="utf-8")
    assert "Versus production, by what documents were in training" in text
    for said in ("documents that were a positive of training", "with 25% about new documents, which decides", "+0.150"):
        assert said in text
    assert text.count("documents that were none") == 1, "a stratum without a query has no row"


def test_the_gain_over_the_share_is_drawn_with_its_interval_and_the_share_that_decides():
    line = [AtShare(0.0, 0.1, 0.05, 0.15), AtShare(1.0, 0.02, -0.1, 0.14)]
    plots.gain_over_share(line, 0.25, "title", "gain in nDCG@10", reference=0.02)
    axes = plt.gcf().axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[0.0, 0.1], [100.0, 0.02]]
    assert axes.lines[1].get_xdata()[0] == 25
    assert axes.lines[2].get_ydata()[0] == 0.02
    assert axes.texts[0].get_text() == "25% decide"
    low, high = axes.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (-0.1, 0.15)
    plt.close()


STACK = "hybrid (scores) + glossary + late interaction + filter on platforms in the query + spelling"


def test_a_label_as_long_as_a_stack_of_remedies_leaves_room_for_the_figure():
    names = [f"the probe with {STACK} - {STACK}", "today"]
    plots.differences(pd.DataFrame({"delta": 0.1, "low": 0.0, "high": 0.2}, index=names), "title", "gain")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns where the labels take all
        plt.gcf().canvas.draw()
    assert plt.gcf().axes[0].get_position().width > 0.4
    plt.close()


def test_labels_on_a_front_do_not_cover_one_another():
    names = [f"option number {i} of many" for i in range(14)]
    table = pd.DataFrame({"ms": 10.0, "gain": [0.1 + 0.0001 * i for i in range(14)]}, index=names)
    on_front = pd.Series([i >= 9 for i in range(14)], index=names)
    plots.front(table, "ms", "gain", on_front, "title", "milliseconds", "gain")
    labels = plt.gcf().axes[0].texts
    assert sorted(label.get_text() for label in labels) == sorted(names[9:]), "of many only the front is labelled"
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    plt.close()


def test_counts_are_drawn_over_whole_numbers():
    counts = pd.Series({"one": 3.0, "other": 0.0})
    for draw in (
        lambda: plots.bars(dict(counts), "title", "queries"),
        lambda: plots.two_sided(counts, counts, "title", "queries", ("fixed", "broken")),
    ):
        draw()
        plt.gcf().canvas.draw()
        assert all(float(tick).is_integer() for tick in plt.gcf().axes[0].get_xticks())
        plt.close()


def test_a_route_numbers_the_ways_taken_and_draws_them_above_the_others():
    places = {"a": (0, 0), "b": (1, 0), "c": (2, 0), "d": (1, 1)}
    plots.route(places, {"a": ["b", "d"], "b": ["a", "c"]}, ["a", "b", "a", "b", "c"], "title")
    texts = plt.gcf().axes[0].texts
    arrows = [text for text in texts if getattr(text, "arrow_patch", None) is not None]
    assert (arrows[0].xyann, arrows[0].xy) == (places["a"], places["d"])
    numbered = {text.get_text(): text.get_position() for text in texts if text.get_text()[:1].isdigit()}
    assert numbered == {"1, 3": (0.5, 0.0), "2": (0.5, 0.0), "4": (1.5, 0.0)}
    assert {text.get_text() for text in texts} >= set(places)
    plt.close()


def _options():
    """Return four options, one of them of an engine with a hostile name, one that could not be measured."""
    rows = [("today", 0.0, 0.0, 1.5), (EVIL, 0.12, 0.02, 0.0672), ("signs", 0.0, 0.02, 4.03e-5)]
    costs = {"query_ms": 12.0, "added_ms": 0.0, "once": 0.0, "monthly": 3.0}
    says = {
        "step": "02",
        "tuned": False,
        "reembed": "nothing",
        "undo": "switch it off",
        "status": "measured",
        "front": True,
    }
    measured = []
    for name, delta, width, gigabytes in rows:
        gain = {"delta": delta, "ci_low": delta - width, "ci_high": delta + width, "surely": delta > 0.05}
        measured.append({"option": name, "index_gb": gigabytes, **gain, **costs, **says})
    skipped = {"option": "a reranker", "step": "02", "status": "not measured: none is named"}
    found = pd.DataFrame([*measured, skipped], columns=list(test_pipeline.OPTIONS.columns))
    flags, texts = ["tuned", "surely", "front"], ["reembed", "undo"]
    return found.assign(**{name: found[name].eq(True) for name in flags}).fillna(dict.fromkeys(texts, ""))


def test_every_option_stands_in_the_report_with_its_interval_and_what_was_not_measured(finish):
    folder = finish()
    lab = open_step("18")
    lab.write(test_pipeline.OPTIONS, _options())
    lab.finish("written by a test")
    text = build(Store(folder), ({}, "")).read_text(encoding="utf-8")
    assert "Every way to make it better" in text
    assert "Best for the money is &lt;script&gt;" in text
    assert "<script>" not in text
    assert "+0.120" in text
    assert 'aria-label="+0.100 to +0.140"' in text
    assert "1.5 GB" in text
    assert "67.2 MB" in text, "a small index is no 6.72e-02 GB"
    assert "40.3 kB" in text, "nor 0.0 MB"
    assert "To undo it, where what is embedded anew is nothing: switch it off." in text
    assert "Not measured: a reranker (none is named)." in unescape(text)


def test_the_report_does_not_show_a_verdict_that_is_not_checked(store):
    _partial_run(store)
    text = unescape(build(store).read_text(encoding="utf-8"))
    assert "No verdict." in text
    assert "step 01 is not run" in text
    assert "Roll out pipeline (tuned)" not in text


def test_the_report_of_a_stale_run_says_which_steps_are_to_be_run_again(finish):
    store = Store(finish())
    assert "Roll out pipeline (tuned)" in build(store).read_text(encoding="utf-8")
    lab = open_step("13")
    lab.finish("written anew, without its artifacts")
    text = unescape(build(store).read_text(encoding="utf-8"))
    assert "Roll out pipeline (tuned)" not in text
    assert "step 14 is stale" in text
    assert re.search(r"Out of date.*to be run again: steps 14, 15", text)


def test_every_link_of_the_report_leads_somewhere(store):
    _partial_run(store)
    front = build(store, (VERDICT, ""))
    targets = {
        page: re.findall(r'href="([^"#]+)"', page.read_text(encoding="utf-8")) for page in front.parent.rglob("*.html")
    }
    assert {page.name for page, found in targets.items() if found} == {"index.html", "16.html"}
    for page, found in targets.items():
        for target in found:
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_a_report_needs_a_run(store):
    with pytest.raises(MissingInputError):
        build(store)


def test_building_the_report_loads_no_torch(store):
    _partial_run(store)
    code = """
import sys
from pathlib import Path
from embedlab.chain import Store
from embedlab.report import build
build(Store(Path(sys.argv[1])))
print("torch" in sys.modules)
"""
    assert literal_tail(run_python(code, str(store.folder)).stdout) is False


def test_sanitizing_keeps_tables_and_inlined_images_only():
    html = '<table class="dataframe"><tbody><tr><td>1</td></tr></tbody></table><img src="data:image/png;base64,AA">'
    assert sanitize(html) == html
    assert "src" not in sanitize('<img src="data:image/svg+xml;base64,AA">')
    assert sanitize('<a href="https://evil.example">x</a>') == "<a>x</a>"


def test_the_verdict_is_one_sentence_with_its_interval():
    assert "+0.100" in verdict_sentence(VERDICT)
    assert "+0.100 [+0.050, +0.150] at 95 %, [+0.040, +0.160] at the 98.3 % that decides" in verdict_sentence(VERDICT)
    assert caveats(VERDICT) == ["The tuned model alone changes the base alone by +0.100 [+0.050, +0.150]."]
    skipped = VERDICT | {"claim": "later queries", "not_measured": {"cross-encoder": "not measured: none is named"}}
    said = "Not measured, so nothing is claimed about: cross-encoder."
    assert said in caveats(skipped)
    assert said in sentence(skipped)
    blocked = caveats(VERDICT | {"blocked_by": ["the shadow test: too slow"]})
    assert blocked[0] == "Blocked by the shadow test: too slow."


def test_the_front_page_says_what_the_command_line_says_beside_the_verdict():
    retention = {"set": "hpo", "queries": 300, "metric": "nDCG@10", "delta": -0.04, "ci95": [-0.07, -0.01]}
    retention["tolerance"] = 0.05
    verdict = VERDICT | {
        "verdict": "DO_NOT_SHIP", "claim": "new queries", "blocked_by": ["index size: 9 MB, 5 MB allowed"],
        "simpler": "hybrid (base)", "versus_simpler": GAINED | {"delta": -0.01, "ci95": [-0.03, 0.01]},
        "unsettled": [f"retention: {retention_sentence(retention)}; more queries"],
        "concentration": {"improved": 0.4, "hurt": 0.2, "narrow": ["group q7"]},
        "retention": retention,
    }  # fmt: skip
    said, found = sentence(verdict), caveats(verdict)
    for text in ("Blocked by index size: 9 MB", "without group q7", "on 300 queries of hpo", "The process worked"):
        assert text in said
        assert any(text.lower() in line.lower() for line in found), text
    assert "Over hybrid (base), the best without tuning, it gains -0.010" in verdict_sentence(verdict)
    assert sum("300 queries of hpo" in line for line in found) == 1
    assert caveats(verdict, ["16", "17"])[-1].endswith("steps 16, 17.")


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (0.12345, "0.123"), (1234, "1,234"), (2.0, "2"), ([0.1, 0.25], "[0.100, 0.250]"), ("base", "base")],
)
def test_key_figures_read_well(value, text):
    assert figure(value) == text
