"""The evaluation set: slices, the gain a test can show, and how far it stands for a query log."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from embedlab.data import Collection
from embedlab.errors import DataError, ParameterError
from embedlab.evaluation import (
    design_effect,
    detectable_gain,
    distinguishability,
    gain_curve,
    log_weights,
    mix,
    paired_spread,
    queries_needed,
    query_slices,
    read_log,
    weighted_mean,
)
from embedlab.evaluation.slices import text_slices

LONG = "word " * 200


def collection() -> Collection:
    corpus = pd.DataFrame(
        [("d1", "otter", "an animal of rivers", "animal"), ("d2", "volcano", LONG, "place"), ("d3", "x", "y", "place")],
        columns=["doc_id", "title", "text", "kind"],
    )
    queries = [
        ("q1", "animal of rivers", "mobile"),
        ("q2", "not the mountain that spits fire", "desktop"),
        ("q3", "CVE-2021 exploit", "mobile"),
        ("q4", LONG, "desktop"),
    ]
    frame = pd.DataFrame(queries, columns=["query_id", "text", "device"]).assign(part="dev", group="g")
    qrels = [("q1", "d1", 1), ("q2", "d2", 2), ("q2", "d1", 1), ("q3", "d3", 1), ("q3", "d1", 1), ("q4", "d2", 1)]
    return Collection(corpus, frame, pd.DataFrame(qrels, columns=["query_id", "doc_id", "relevance"]))


# --- slices ------------------------------------------------------------------------------------

MEMBERS = {
    "short query": {"q1", "q2", "q3"},
    "long query": {"q4"},
    "other words": {"q2", "q3"},
    "negation": {"q2"},
    "abbreviation or code": {"q3"},
    "long document": {"q4"},
    "several relevant": {"q2", "q3"},
    "device=mobile": {"q1", "q3"},
    "device=desktop": {"q2", "q4"},
    "document kind=animal": {"q1", "q3"},
    "document kind=place": {"q2", "q3", "q4"},
}


def test_slices_are_computed_for_any_collection():
    found = query_slices(collection())
    assert {name: set(found.index[found[name]]) for name in found} == MEMBERS


def test_a_document_value_counts_by_the_best_graded_documents():
    assert "q2" not in set(query_slices(collection()).query("`document kind=animal`").index)


def test_a_field_with_many_values_makes_no_slices_of_its_own():
    many = collection()
    rows = [{"query_id": f"n{i}", "text": "a b", "device": f"v{i}", "part": "dev", "group": "g"} for i in range(9)]
    many.queries = pd.DataFrame(rows)
    names = list(query_slices(many))
    assert "short query" in names
    assert not [name for name in names if name.startswith("device=")]


def test_the_user_names_slices_by_expression_or_field():
    found = query_slices(collection(), ["weapons: (?i)exploit|cve", "device=mobile", "device = mobile"])
    assert set(found.index[found["weapons"]]) == {"q3"}
    assert list(found).count("device=mobile") == 1
    assert set(found.index[found["device = mobile"]]) == {"q1", "q3"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("broken: (", r"'broken: \(': not a regular expression"),
        ("colour=red", r"'colour=red': expected .*field=value.*\(device\)"),
        ("nothing", "'nothing': expected 'name: regular expression'"),
    ],
)
def test_a_slice_that_cannot_be_read_is_named(entry, message):
    with pytest.raises(ParameterError, match=message):
        query_slices(collection(), [entry])


@given(st.text(st.sampled_from("aA1_é.-/= "), max_size=12))
@settings(max_examples=400, deadline=None)
def test_codes_are_those_of_the_plain_pattern_which_takes_ages_for_long_words(text):
    plain = r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{2,}\b|\b[A-Z]{2,}\b|\w+[._/\\-]\w*\d\w*|--?\w+="
    found = text_slices(pd.Series([text]))["abbreviation or code"]
    assert found[0] == bool(re.search(plain, text))


def test_numbers_with_gaps_make_slices_of_the_values_that_are_there():
    one = collection()
    one.queries["year"] = [2019.0, None, 2020.0, None]
    found = query_slices(one)
    assert {name for name in found if name.startswith("year=")} == {"year=2019.0", "year=2020.0"}


# --- the gain that a test can show ---------------------------------------------------------------


def test_the_detectable_gain_ships_four_times_in_five():
    rng, sd, n, least = np.random.default_rng(0), 0.3, 200, 0.02
    gain = detectable_gain(sd, n, least)
    means = rng.normal(gain, sd / math.sqrt(n), 20_000)
    assert np.mean(means - 1.959964 * sd / math.sqrt(n) >= least) == pytest.approx(0.8, abs=0.01)


def test_the_detectable_gain_follows_the_contracts_confidence():
    t = scipy_stats.t.ppf(0.95, 99) + scipy_stats.t.ppf(0.8, 99)
    assert detectable_gain(0.3, 100, 0.02, confidence=0.9) == pytest.approx(0.02 + t * 0.03)
    few = scipy_stats.t.ppf(0.95, 9) + scipy_stats.t.ppf(0.8, 9)
    assert detectable_gain(0.3, 100, 0.02, confidence=0.9, units=10) == pytest.approx(0.02 + few * 0.03)
    assert detectable_gain(0.3, 100, 0.02) > detectable_gain(0.3, 100, 0.02, confidence=0.9)


def test_at_the_queries_needed_the_expected_gain_is_just_detectable():
    needed = queries_needed(0.4, gain=0.05, min_gain=0.02)
    assert detectable_gain(0.4, needed, 0.02) <= 0.05 < detectable_gain(0.4, needed - 1, 0.02)


@pytest.mark.parametrize("gain", [0.01, 0.02])
def test_no_number_of_queries_shows_an_expected_gain_that_is_not_above_the_minimum(gain):
    assert queries_needed(0.4, gain, min_gain=0.02) is None


def test_the_spread_is_that_of_the_pairs_at_hand_with_their_design_effect():
    ids, rng = [f"q{i}" for i in range(60)], np.random.default_rng(1)
    shared = np.repeat(rng.normal(0, 0.3, 12), 5)
    scores = {
        "base": pd.Series(0.5, index=ids),
        "grouped": pd.Series(0.5 + shared, index=ids),
        "alone": pd.Series(0.5 + rng.normal(0, 0.1, 60), index=ids),
    }
    groups = {q: f"g{i // 5}" for i, q in enumerate(ids)}
    table = paired_spread(scores, groups).set_index("pair")
    row = table.loc["grouped - base"]
    assert len(table) == 3
    assert row["sd"] == pytest.approx(np.std(shared, ddof=1))
    assert row["design effect"] == pytest.approx(design_effect(shared, [groups[q] for q in ids]))
    assert 4 < row["design effect"] < 6
    fine = {q: f"g{i // 2}" for i, q in enumerate(ids)}
    both = paired_spread(scores, {"fine": fine, "coarse": groups}).set_index("pair")
    assert both.loc["grouped - base", "unit error"] == row["unit error"], (
        "of several groupings the largest error counts"
    )
    assert row["unit error"] == pytest.approx(row["sd"] * math.sqrt(row["design effect"]))
    assert table["unit error"].is_monotonic_decreasing
    shuffled = {**scores, "grouped": scores["grouped"].sample(frac=1, random_state=0)}
    found = paired_spread(shuffled, groups).set_index("pair")
    assert found.loc["grouped - base", "design effect"] == pytest.approx(row["design effect"])


def test_the_curve_falls_with_the_number_of_queries():
    curve = gain_curve(0.3, [50, 200, 800], 0.02, 0.95)["detectable gain"]
    assert curve.tolist() == pytest.approx([detectable_gain(0.3, n, 0.02) for n in (50, 200, 800)])
    assert curve.is_monotonic_decreasing
    grouped = gain_curve(0.3, [50, 200, 800], 0.02, 0.95, queries_a_group=5)["detectable gain"]
    assert (grouped > curve).all()


# --- the query log -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.txt", "first query\n\nsecond query\n"),
        ("log.csv", 'time,query\n1,first query\n2,"second query"\n3,\n'),
        ("log.tsv", "text\tuser\nfirst query\tu\nsecond query\tv\n"),
        ("log.jsonl", '{"query": "first query"}\n{"query": "second query", "n": 2}\n'),
    ],
)
def test_a_log_is_read_from_text_csv_tsv_and_jsonl(tmp_path, name, text):
    for byte_order_mark in ("", "\ufeff"):
        (tmp_path / name).write_text(byte_order_mark + text, encoding="utf-8")
        assert read_log(tmp_path / name).tolist() == ["first query", "second query"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"a,b\n1,2\n", "expected a column 'query' or 'text', found a, b"),
        ("log.jsonl", b'{"query": "x"}\n{"nothing": 1}\n', "found nothing"),
        ("log.jsonl", b"plain\n", r"log\.jsonl:1: expected a JSON object with 'query', found 'plain'"),
        ("log.txt", b"\xff\xfe", "cannot be read"),
        ("log.txt", b"\n\n", "no query in it"),
    ],
)
def test_a_log_that_cannot_be_used_is_named_with_its_fault(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_log(tmp_path / name)
    with pytest.raises(DataError, match=r"none\.txt: cannot be read"):
        read_log(tmp_path / "none.txt")


WORDS = ["river", "mountain", "otter", "badger", "forest", "glacier", "canyon", "harbour", "salmon", "falcon"]


def sentences(n: int, seed: int, words: list[str]) -> pd.Series:
    rng = np.random.default_rng(seed)
    return pd.Series([f"{' '.join(rng.choice(words, 5))} {seed}{i}" for i in range(n)])


def test_two_samples_of_one_source_cannot_be_told_apart_and_two_sources_can():
    ours, same = sentences(80, 3, WORDS), sentences(80, 3, WORDS)
    other = sentences(80, 4, ["invoice", "payment", "refund", "ticket", "login", "password"])
    assert distinguishability(ours, other) > 0.95
    assert distinguishability(ours, same) < 0.6, "repeats of a text stay in one fold"


def test_too_few_queries_cannot_tell():
    assert distinguishability(sentences(19, 1, WORDS), sentences(80, 2, WORDS)) is None


def test_weights_bring_the_mix_of_the_slices_to_the_logs():
    short, long, code = "one two", "word " * 25, "see ERR42 in log"
    ours = pd.Series([short] * 6 + [long] * 2, index=[f"q{i}" for i in range(8)])
    log = pd.Series([short] * 50 + [long] * 40 + [code] * 10)
    weights, uncovered = log_weights(ours, log)
    assert uncovered == pytest.approx(0.1)
    assert weights.mean() == pytest.approx(1)
    assert weights["q7"] / weights["q0"] == pytest.approx((0.4 / 0.25) / (0.5 / 0.75))
    scores = pd.Series([1.0] * 6 + [0.0] * 2, index=ours.index)
    mean, worth = weighted_mean(scores, weights)
    assert mean == pytest.approx(5 / 9), "of what the log holds and we cover, five in nine are short"
    assert worth < 8


def test_the_logs_own_mix_leaves_every_weight_at_one():
    ours = pd.Series(["one two", "word " * 25], index=["q1", "q2"])
    weights, uncovered = log_weights(ours, ours)
    assert weights.tolist() == [1.0, 1.0]
    assert uncovered == 0


def test_the_mix_says_shares_length_and_words_that_documents_have():
    found = mix(pd.Series(["otter river", "not ERR42 anywhere at all in these logs"]), {"otter", "river"})
    assert found["short query"] == 0.5
    assert found["negation"] == found["abbreviation or code"] == 0.5
    assert found["words a query"] == 5
    assert found["share of words that documents have"] == 0.5
