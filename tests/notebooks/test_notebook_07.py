"""Notebook 07's cells over the toy collection, with files of every kind; about four seconds."""

import json

import pandas as pd
import pytest
from notebook_cells import run_cells, write_guard
from toy_encoder import ToyEncoder

from embedlab import chain
from embedlab.errors import DataError
from embedlab.report.judging import FILE
from embedlab.trainset import JUDGED, read_rows


def run_07(**values):
    return run_cells("07", **({"probe_seeds": 0} | values))


@pytest.fixture
def parts(started):
    """The toy run's queries with their answers, by part."""
    queries = write_guard(started)
    return {part: rows.reset_index(drop=True) for part, rows in queries.groupby("part")}


def removed(store):
    return store.read("07", "removed.parquet")


def test_without_files_the_judged_queries_are_the_store(started, parts):
    run_07()
    rows = read_rows(started.path("07", "rows.parquet"))
    assert set(rows["query_id"]) == set(parts["train"]["query_id"])
    assert set(rows["source"]) == {JUDGED}


def test_a_test_query_copied_into_training_with_one_word_changed_is_excluded_and_listed(started, parts, tmp_path):
    test, train = parts["test"].iloc[0], parts["train"].iloc[0]
    words = test["text"].split()
    copied = " ".join(["whoever", *words[1:]])
    path = tmp_path / "pages.csv"
    asked = [(copied, train["known_ids"][0]), ("a question of its own", train["known_ids"][0])]
    pd.DataFrame(asked, columns=["query", "document"]).to_csv(path, index=False)
    run_07(documentation_queries=str(path))
    rows, gone = started.read("07", "rows.parquet"), removed(started)
    assert copied not in set(rows["text"])
    assert "a question of its own" in set(rows["text"])
    (listed,) = gone[gone["text"] == copied].to_dict("records")
    assert (listed["reason"], listed["other"]) == ("nearly a held-out query", test["query_id"])


def test_rows_about_held_out_documents_and_unknown_ones_are_excluded_and_listed(started, parts, tmp_path):
    held, known = parts["dev"].iloc[0]["known_ids"][0], parts["train"].iloc[0]["known_ids"][0]
    path = tmp_path / "curated.csv"
    asked = [("first of all", held), ("second of all", "nowhere"), ("third of all", known)]
    pd.DataFrame(asked, columns=["query", "positive_ids"]).to_csv(path, index=False)
    run_07(curated_examples=str(path))
    gone = removed(started).set_index("reason")
    assert gone.loc["held-out document", ["text", "other"]].tolist() == ["first of all", held]
    assert gone.loc["unknown document", "evidence"].startswith(f"{path}:3: unknown document 'nowhere'")
    assert gone.loc["unknown document", "other"] == "nowhere"
    assert "third of all" in set(started.read("07", "rows.parquet")["text"])


def test_a_file_that_cannot_be_used_stops_the_step(started, parts, tmp_path):
    (tmp_path / "x.csv").write_text("query;document\na;d1\n")
    with pytest.raises(DataError, match=r"x.csv:1: column 'query' is missing.*';'"):
        run_07(documentation_queries=str(tmp_path / "x.csv"))


def test_reviewed_test_queries_do_not_train(started, parts):
    held, trained = parts["test"].iloc[0]["query_id"], parts["train"].iloc[0]["query_id"]
    started.write(FILE, {"pair": {held: "worse", trained: "worse"}})
    run_07(reviewed_run="trial")
    rows = started.read("07", "rows.parquet").set_index("query_id")
    assert held not in rows.index
    assert rows["weight"].value_counts().to_dict() == {1.0: len(rows) - 1, 2.0: 1}
    assert removed(started)["query_id"].tolist() == [held]


def test_written_queries_stay_if_hybrid_search_finds_their_document_again(started, parts, monkeypatch, serve):
    monkeypatch.setattr(chain, "lab_model", lambda lab: ToyEncoder())
    server = serve()

    def answer(prompt):
        inner = prompt.split("\n")[-2]
        return f"- {' '.join(inner.split()[:9])}\n- completely unrelated cooking recipes" if "Report" in inner else ""

    server.answer = answer
    values = {"endpoint_url": server.url, "endpoint_model": "toy", "synthetic_documents": 8, "round_trip": 3}
    run_07(**values)
    rows, gone = started.read("07", "rows.parquet"), removed(started)
    written = rows[rows["source"] == "synthetic"]
    held = {d for part in ("dev", "test") for ids in parts[part]["known_ids"] for d in ids}
    assert len(written) == 8
    assert held
    assert not held & set(written["positive_ids"].explode())
    assert gone["reason"].tolist() == ["no round trip"]
    assert set(written["part"]) == {""}
    before = len(server.seen)
    run_07(**values)
    assert len(server.seen) == before == 8, "nothing is paid twice"
    pd.testing.assert_frame_equal(started.read("07", "rows.parquet"), rows)


def test_all_kinds_of_files_at_once(started, parts, tmp_path):
    ids = [ids[0] for ids in parts["train"]["known_ids"][:6]]
    (tmp_path / "search.jsonl").write_text(
        "".join(
            json.dumps({"query": q, "time": t, "session": "s", "document": d}) + "\n"
            for q, t, d in (("furry swimmer", 1, None), ("sleek river mammal", 9, ids[0]))
        )
    )
    shown = [("stripy digger", ids[1], 1, c) for c in (1, 1, 0)]
    pd.DataFrame(shown, columns=["q", "document", "rank", "clicked"]).to_parquet(tmp_path / "clicks.parquet")
    (tmp_path / "more.qrels").write_text(f"n1 0 {ids[2]} 1\n")
    (tmp_path / "more.csv").write_text("query_id,query\nn1,tall grey fishing bird\n")
    (tmp_path / "tickets.tsv").write_text(f"subject\tbody\tdocuments\nRE: Cat\tspotted on a rock\t{ids[3]}\n")
    pages = tmp_path / "docs"
    pages.mkdir()
    (pages / f"{ids[4]}.md").write_text("# Biting tree climber\nIt climbs.\n")
    (tmp_path / "curated.csv").write_text(f"query,positive_ids\nthe smallest hunter,{ids[5]}\n")
    names = {"search_log": "search.jsonl", "click_log": "clicks.parquet", "judgments": "more.qrels"}
    names |= {"judgment_queries": "more.csv", "tickets": "tickets.tsv", "curated_examples": "curated.csv"}
    paths = {name: str(tmp_path / file) for name, file in names.items()}
    run_07(**paths, documentation_folder=str(pages), columns=["click_log.query=q"])
    rows = started.read("07", "rows.parquet")
    new = rows[rows["source"] != JUDGED].set_index("source")["text"].to_dict()
    assert new == {
        "search log": "sleek river mammal", "reformulation": "furry swimmer", "click log": "stripy digger",
        "judgments file": "tall grey fishing bird", "support ticket": "Cat spotted on a rock",
        "heading": "Biting tree climber", "curated": "the smallest hunter",
    }  # fmt: skip
    assert rows["provenance"].str.len().min() > 0
    assert set(started.read("07", "coverage.parquet")["source"]) == {*new, JUDGED}
