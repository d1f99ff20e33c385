"""Parts by date: nothing that trains was asked after dev begins; every unusable date is named."""

import pandas as pd
import pytest
from conftest import toy_rows, write_beir
from hypothesis import given, settings
from hypothesis import strategies as st

import embedlab
from embedlab.chain.contract import LATER, claimed
from embedlab.data import date_table, parts_by_date
from embedlab.data.dates import ORDER
from embedlab.data.load import collection_of
from embedlab.data.raw import Raw
from embedlab.errors import DataError, ParameterError

DATES = {"dev_from": "2021-01-01", "test_from": "2022-01-01"}
WORDS = tuple("amber basil cedar dune ember fjord grove heath".split())  # noqa: SIM905


def dated(tmp_path, change=lambda row, i: None, splits=("all",)):
    """Write the toy collection with a query every month or so from 2019 on."""
    corpus, queries, judgments = toy_rows()
    for i, row in enumerate(queries):
        row["created"] = f"{2019 + i // 10}-{1 + i % 10:02d}-15T08:00:00Z"
        change(row, i)
    qrels = {name: judgments[k :: len(splits)] for k, name in enumerate(splits)}
    return write_beir(tmp_path / "dated", corpus, queries, qrels)


def test_later_queries_are_held_out_and_claimed(tmp_path):
    found = embedlab.load_collection("beir", path=dated(tmp_path), **DATES)
    days = date_table(found.queries, found.queries.set_index("query_id")["part"])
    assert days["queries"].to_dict() == {"dev": 10, "test": 10, "train": 20}
    assert days.loc["train", "last day"] < "2021-01-01" <= days.loc["dev", "first day"]
    assert days.loc["dev", "last day"] < "2022-01-01" <= days.loc["test", "first day"]
    assert (found.unit, claimed("", found.unit, found.parted_by), found.parted_by) == ("query", LATER, "date")


def test_dates_go_before_the_collections_own_parts(tmp_path):
    folder = dated(tmp_path, splits=("train", "dev", "test"))
    assert embedlab.load_collection("beir", path=folder).parted_by == "collection"
    assert embedlab.load_collection("beir", path=folder, **DATES).parted_by == "date"


def test_a_near_duplicate_across_the_dates_stays_on_its_later_side_and_is_listed(tmp_path):
    def near_duplicate(row, i):
        if i in (3, 25, 35):  # 2019, 2021 and 2022
            row["text"] = f"who has spotted the old grey otter {('near', 'at', 'by')[i % 3]} that river"

    found = embedlab.load_collection("beir", path=dated(tmp_path, near_duplicate), **DATES)
    listed = found.findings[found.findings["kind"] == "near-duplicate across dates"].set_index("id")
    assert sorted(listed.index) == ["q25", "q3"]
    assert listed.loc["q3", "detail"].startswith("left out of train (2019-04-15): a near-duplicate, q35,")
    assert found.queries.set_index("query_id").loc["q35", "part"] == "test"
    assert not {"q3", "q25"} & {*found.queries["query_id"], *found.qrels["query_id"]}


def test_a_query_without_a_date_is_left_out_and_listed(tmp_path):
    folder = dated(tmp_path, lambda row, i: row.pop("created") if i == 5 else None)
    found = embedlab.load_collection("beir", path=folder, **DATES)
    assert found.findings.loc[found.findings["kind"] == "query without a date", "id"].tolist() == ["q5"]
    assert "q5" not in set(found.queries["query_id"])


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        ({"dev_from": "2021-01-01"}, "test_from must be a date such as 2023-06-30, found ''"),
        ({"dev_from": "2021-13-01", "test_from": "2022-01-01"}, "dev_from must be a date .* found '2021-13-01'"),
        ({"dev_from": "soon", "test_from": "2022-01-01"}, "found 'soon'"),
        ({"dev_from": "2022-01-01", "test_from": "2022-01-01"}, "dev_from must lie before test_from, found 2022"),
    ],
)
def test_a_wrong_date_is_told(toy, dates, words):
    with pytest.raises(ParameterError, match=words):
        embedlab.load_collection("beir", path=toy, **dates)


def test_queries_without_dates_are_told(tmp_path, toy):
    with pytest.raises(DataError, match="none of the 40 queries has one"):
        embedlab.load_collection("beir", path=toy, **DATES)
    with pytest.raises(DataError, match="none of the 40 queries has one"):
        embedlab.load_collection("beir", path=dated(tmp_path, lambda row, i: row.update(created="")), **DATES)


def test_a_query_whose_date_is_none_is_named(tmp_path):
    folder = dated(tmp_path, lambda row, i: row.update(created="last week") if i == 7 else None)
    with pytest.raises(DataError, match="query q7: 'created' must be a date such as 2023-06-30, found 'last week'"):
        embedlab.load_collection("beir", path=folder, **DATES)


def test_dates_that_leave_a_part_empty_are_told_with_what_there_is(tmp_path):
    with pytest.raises(DataError, match=r"leave test without a query .* dated 2019-01-15 to 2022-10-15"):
        embedlab.load_collection("beir", path=dated(tmp_path), dev_from="2021-01-01", test_from="2024-01-01")


def raw_of(created, sources=None, cap=None) -> Raw:
    """Return queries, all about one of three documents, dated and named after their number."""
    ids = [f"q{i}" for i in range(len(created))]
    corpus = pd.DataFrame({"doc_id": ["d0", "d1", "d2"], "title": ["amber", "basil", "cedar"], "text": ""})
    queries = pd.DataFrame({"query_id": ids, "text": [f"{WORDS[i % 8]} {i * 104729}" for i in range(len(ids))]})
    queries["created"] = created
    if sources is not None:
        queries["source"] = sources
    judged = [(q, f"d{i % 3}", 2) for i, q in enumerate(ids)] + [("q1", "d0", 2), ("q2", "d0", 1)]
    return Raw(corpus, queries, pd.DataFrame(judged, columns=["query_id", "doc_id", "relevance"]), cap=cap)


LATE = ["2022-05-01T08:00", "2022-05-01T09:00", "2022-05-01", "2022-06-01", "2022-06-01", "2022-06-01"]
EVER = [*LATE, "2019-01-01", "2021-05-01"]


def test_by_date_came_together_what_was_asked_on_a_day_of_a_source_and_what_asks_for_a_document():
    test = collection_of(raw_of(EVER, [*"aabaab", "a", "a"]), **DATES).part("test")
    assert sorted(test.groupings()) == ["day and source", "document"]
    days = test.groupings()["day and source"]
    assert days["q0"] == days["q1"] != days["q2"], "one day, another source"
    assert days["q3"] == days["q4"] != days["q0"], "one source, another day"
    # q1 has two best documents and stands with those of the one that more queries have; q2 has d0 at a lower grade.
    assert test.groupings()["document"] == {"q0": "d0", "q1": "d0", "q2": "d2", "q3": "d0", "q4": "d1", "q5": "d2"}
    assert test.groups() == test.groupings()["document"], "three documents are fewer than four days and sources"


def test_by_date_without_sources_came_together_what_was_asked_on_a_day():
    test = collection_of(raw_of(EVER), **DATES).part("test")
    assert set(test.groupings()["day"].values()) == {"2022-05-01", "2022-06-01"}
    assert test.groups() == test.groupings()["day"]


def test_a_query_that_no_document_answers_comes_with_no_other():
    raw = raw_of(EVER)
    raw.qrels.loc[raw.qrels["query_id"] == "q5", "relevance"] = 0
    assert collection_of(raw, **DATES).part("test").groupings()["document"]["q5"] == "query q5"


def test_parts_that_are_not_by_date_have_one_grouping(toy):
    found = embedlab.load_collection("beir", path=toy)
    assert found.groupings() == {"group": found.groups()}


def test_parts_by_date_keep_the_mix_in_which_queries_come_uncapped():
    assert len(collection_of(raw_of(EVER, cap=1), **DATES).part("test").queries) == len(LATE)


texts = st.lists(st.sampled_from(WORDS), min_size=6, max_size=7).map(" ".join)
days = st.integers(2019, 2023).map(lambda year: f"{year}-06-01")


@given(st.lists(st.tuples(texts, days), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_whatever_is_asked_no_near_duplicate_stands_on_an_earlier_side(asked):
    ends = [("amber one two three four five", "2019-01-01"), ("dune one six two seven eight", "2021-03-01"),
            ("fjord nine ten one eleven twelve", "2023-01-01")]  # fmt: skip
    rows = [(f"q{i:02d}", text, day) for i, (text, day) in enumerate([*asked, *ends])]
    queries = pd.DataFrame(rows, columns=["query_id", "text", "created"])
    kept, findings = parts_by_date(queries, "2021-01-01", "2022-01-01")
    assert kept.groupby("group")["part"].nunique().max() == 1
    for part, created in zip(kept["part"], kept["created"], strict=True):
        assert part == ("test" if created >= "2022" else "dev" if created >= "2021" else "train")
    assert len(kept) + len(findings) == len(queries)
    assert set(kept["part"]) == set(ORDER)
