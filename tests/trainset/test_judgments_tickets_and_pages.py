"""Judgments, support tickets, documentation and curated examples, each read from real files in its format."""

import json

import pytest
from given_files import file, found_by_query, given, source_rows

from embedlab.errors import DataError, ParameterError
from embedlab.report import Judgments
from embedlab.report.judging import FILE
from embedlab.trainset import (
    REVIEWS,
    reviewed,
    with_reviews,
)
from embedlab.trainset.sources import curated, documentation, tickets


@pytest.mark.parametrize("form", ["{} 0 {} {}\n", "{}\t{}\t{}\n"], ids=["TREC", "BEIR"])
def test_graded_judgments_give_positives_known_answers_and_negatives(tmp_path, form):
    rows = [
        ("q1", "d1", 2),
        ("q1", "d2", 1),
        ("q1", "d3", 0),
        ("q2", "d3", 1),
        ("q3", "d1", 0),
        ("q1", "d9", 1),
        ("qx", "d1", 1),
    ]
    qrels = file(tmp_path, "more.qrels", "".join(form.format(*row) for row in rows) + "broken\n")
    queries = file(tmp_path, "queries.csv", "query_id,query\nq1,first\nq2,second\nq3,third\n")
    own = given(judgments=qrels, judgment_queries=str(queries))
    first = own.examples[0]
    assert (first.query, first.positives, first.known) == ("first", ["d1"], ["d1", "d2"])
    assert first.negatives == [{"id": "d3", "miner": "judged", "score": 0.0}]
    assert [(f.kind, f.where.rpartition(":")[2]) for f in own.findings] == [
        ("unknown document", "6"), ("unknown query", "7"), ("malformed", "8"), ("no positive", "5")
    ]  # fmt: skip


@pytest.mark.parametrize("grade", ["1.5", "0.9", "inf", "-inf", "nan"])
def test_a_grade_that_is_no_whole_number_is_a_finding_and_its_row_is_left_out(tmp_path, grade):
    qrels = file(tmp_path, "more.qrels", f"q1 0 d1 2.0\nq1 0 d2 {grade}\n")
    queries = file(tmp_path, "queries.csv", "query_id,query\nq1,first\n")
    own = given(judgments=qrels, judgment_queries=str(queries))
    assert [(e.positives, e.known, e.negatives) for e in own.examples] == [(["d1"], ["d1"], [])]
    (finding,) = own.findings
    assert (finding.kind, finding.where) == ("malformed", f"{qrels}:2")
    assert finding.detail == f"expected query, 0, document and a whole-number grade, found 'q1 0 d2 {grade}'"


def test_judgments_without_their_queries_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="judgment_queries"):
        given(judgments=file(tmp_path, "more.qrels", "q1 0 d1 1\n"))


MAIL = """Hello,

I cannot log in since Monday, see ticket #48213.
> did you try the reset link?

Kind regards
Ann Miller
+49 30 12345
"""


def test_a_ticket_is_its_subject_and_body_without_quotes_signature_and_numbers():
    asked = tickets.question("RE: [Ticket #48213] Fwd: Login broken", MAIL)
    assert asked == "Login broken Hello, I cannot log in since Monday, see ."


@pytest.mark.parametrize(
    "mark",
    ["On Mon, 5 Jan 2026 at 10:00, Support wrote:", "-----Original Message-----", "-- ", "From: Support <a@b.c>"],
)
def test_everything_below_a_quoted_mail_leaves(mark):
    assert tickets.question("Printer", f"It is stuck.\n{mark}\nold text") == "Printer It is stuck."


def test_a_ticket_may_link_several_articles(tmp_path):
    rows = [{"subject": "Login", "body": "broken", "documents": ["d1", "d2"]}]
    own = given(tickets=file(tmp_path, "t.jsonl", "".join(json.dumps(r) + "\n" for r in rows)))
    assert found_by_query(own) == {"Login broken": ["d1", "d2"]}


def test_a_folder_of_documentation_gives_titles_and_headings(tmp_path):
    pages = tmp_path / "docs"
    file(
        pages,
        "guide/install.md",
        "---\ntitle: x\n---\n# Setting *it* up\nIntro.\n\n## With `pip`\nRun it.\n\n## Empty\n",
    )
    file(pages, "install.html", "<nav>Menu</nav><h1>Start</h1><p>a<h2>On Linux</h2><script>x()</script>Use <b>apt</b>.")
    file(pages, "reset.md", "# Reset a password!\nClick.\n")
    file(pages, "stray.md", "# Nobody knows\nThis.\n")
    own = given(documentation_folder=pages)
    assert found_by_query(own) == {
        "Setting it up": ["guide/install.md"],
        "Setting it up: With pip": ["guide/install.md"],
        "Start: On Linux": ["install#on-linux"],
        "Reset a password!": ["d1"],
    }
    assert {f.id for f in own.findings} == {"stray.md", "install.html"}
    texts = {s.heading: s.text for s in documentation.sections(pages / "install.html", "install.html")}
    assert texts == {"Start": "a", "On Linux": "Use apt ."}


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        given(documentation_folder=tmp_path / "none")


def test_curated_examples_may_have_negatives(tmp_path):
    text = "query,positive_ids,negative_ids\nlog in,d1|d2,d3\npay,d2,\n"
    own = given(curated_examples=file(tmp_path, "c.csv", text))
    assert [(e.positives, [n["id"] for n in e.negatives]) for e in own.examples] == [
        (["d1", "d2"], ["d3"]),
        (["d2"], []),
    ]
    without = file(tmp_path, "d.csv", "query,positive_ids\nlog in,d1\n")
    assert found_by_query(given(curated_examples=without)) == {"log in": ["d1"]}


def test_what_a_review_saved_counts_for_training_queries_alone(store):
    assert REVIEWS == FILE
    judgments = Judgments(store, "pair")
    for query_id, choice in (("q1", "worse"), ("q2", "better"), ("held", "worse")):
        judgments.save(query_id, choice)
    weights = reviewed(store.folder / REVIEWS)
    assert weights == {"q1": curated.WORSE, "q2": 1.0, "held": curated.WORSE}
    rows, elsewhere = with_reviews(source_rows("q1", "q2", "q3"), weights, "trial")
    assert rows["weight"].tolist() == [curated.WORSE, 1.0, 1.0]
    assert rows["provenance"].str.contains("reviewed in trial").tolist() == [True, True, False]
    assert elsewhere["query_id"].tolist() == ["held"]


def test_a_review_file_of_another_form_is_told(tmp_path):
    with pytest.raises(DataError, match="judge queries in notebook 16 first"):
        reviewed(tmp_path / "none.json")
    with pytest.raises(DataError, match="as notebook 16 saves them"):
        reviewed(file(tmp_path, "x.json", "[1]"))
