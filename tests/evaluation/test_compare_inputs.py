"""What ``compare`` takes: files, dicts and frames of any tool; and every faulty one, named with its line or key."""

import contextlib
import math

import numpy as np
import pandas as pd
import pytest
from conftest import frame_of_run
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import embedlab
from embedlab.data import run_text
from embedlab.errors import DataError, EmbedlabError, ParameterError

QRELS = {"q1": {"a": 1}, "q2": {"b": 2}}
RUN = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"a": 2.0, "b": 1.0}}


def test_compare_takes_dicts_frames_and_files(tmp_path):
    path = tmp_path / "base.run"
    path.write_text(run_text(frame_of_run(RUN), "base"))
    better = {"q1": {"a": 2.0}, "q2": {"b": 2.0}}
    found = embedlab.compare(QRELS, path, better)
    assert found == embedlab.compare(QRELS, RUN, frame_of_run(better))
    assert found.candidate == 1.0
    assert found.baseline == pytest.approx((1 + 1 / np.log2(3)) / 2)


def test_a_run_with_a_score_that_is_not_finite_is_an_error():
    broken = {"q1": {"a": float("nan")}, "q2": {"b": 1.0}}
    with pytest.raises(DataError, match="query q1: score nan is not finite"):
        embedlab.compare(QRELS, RUN, broken)


def test_a_run_with_a_document_twice_is_an_error():
    twice = pd.concat([frame_of_run(RUN), frame_of_run({"q1": {"a": 0.5}})])
    with pytest.raises(DataError, match="query q1 has document a twice"):
        embedlab.compare(QRELS, twice, RUN)


def test_a_faulty_line_of_a_run_file_is_named(tmp_path):
    path = tmp_path / "x.run"
    path.write_text("q1 Q0 a 1 2.0 t\nq1 Q0 b 2 high t\n")
    with pytest.raises(DataError, match=r"x\.run:2: expected 'query Q0 document rank score tag'"):
        embedlab.compare(QRELS, path, RUN)


def test_runs_and_judgments_without_a_common_query_are_an_error():
    with pytest.raises(DataError, match="candidate: none of its 1 queries is among the 2 judged ones"):
        embedlab.compare(QRELS, RUN, {"x9": {"a": 1.0}})


def test_a_query_without_a_group_is_an_error():
    with pytest.raises(DataError, match="1 of 2 judged queries have no group, the first: 'q2'"):
        embedlab.compare(QRELS, RUN, RUN, groups={"q1": "g"})


def test_missing_surplus_and_shared_are_warned_of():
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"b": 1}}
    found = embedlab.compare(qrels, {"q1": {"a": 1.0}, "q9": {"a": 1.0}}, {q: {"a": 1.0} for q in qrels})
    assert found.warnings == (
        "baseline: 2 judged queries are missing and score 0",
        "baseline: 1 queries without judgments are left out",
        "2 queries share relevant documents; give groups for an honest interval",
    )


def test_judged_queries_without_a_relevant_document_score_zero_and_are_counted():
    found = embedlab.compare(QRELS | {"q3": {"a": 0}}, RUN, {q: {"a": 1.0} for q in ("q1", "q2", "q3")})
    assert found.n_queries == 3
    assert "1 judged queries have no relevant document and score 0" in found.warnings


def test_groups_given_leave_no_warning_of_shared_documents():
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}}
    assert embedlab.compare(qrels, RUN, RUN, groups={"q1": "g", "q2": "g"}).warnings == ()


@pytest.mark.parametrize(
    "names", [("qid", "docno", "label"), ("q_id", "doc_id", "rel"), ("query-id", "corpus-id", "score")]
)
def test_frames_of_other_tools_and_numeric_ids_are_understood(names):
    qrels = pd.DataFrame([(1, 10, 1), (2, 20, 2)], columns=names)
    run = pd.DataFrame([(1, 10, 0.5, "text"), (2, 10, 0.5, "text")], columns=[*names[:2], "score", "query"])
    found = embedlab.compare(qrels, run, {"1": {"10": 1.0}, "2": {"20": 1.0}})
    assert (found.baseline, found.candidate) == (0.5, 1.0)


def test_a_metric_that_does_not_exist_is_an_error():
    with pytest.raises(ParameterError, match="unknown measure 'nDCG@0'"):
        embedlab.compare(QRELS, RUN, RUN, metric="nDCG@0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 Q0 a 1 nan t\n", r"x:1: score nan is not a finite number"),
        ("q1 Q0 a 1 1 t\nq1 Q0 b 2 inf t\n", r"x:2: score inf is not a finite number"),
        ("q1 Q0 a 1 2 t\n\nq1 Q0 a 2 1 t\n", r"x:3: query q1 has document a twice, first on line 1"),
        ("q1 a 1\n", r"x:1: expected 'query Q0 document rank score tag', found 'q1 a 1'"),
        ("", r"baseline: none of its 0 queries is among the 2 judged ones"),
    ],
)
def test_a_faulty_run_file_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(DataError, match=message):
        embedlab.compare(QRELS, tmp_path / "x", RUN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q1 0 a 1\nq2 0 b many\n", r"x:2: expected query, document and a whole-number grade, found 'q2 0 b many'"),
        ("q1 0 a 1.5\n", r"x:1: expected query, document and a whole-number grade"),
        ("q1 0 a inf\n", r"x:1: expected query, document and a whole-number grade"),
        ("q1 0 a 1\nq1 0 a 2\n", r"x: query q1 has document a twice, with different grades"),
        ("query-id\tcorpus-id\tscore\n", r"x: no judgments in it"),
    ],
)
def test_a_faulty_file_of_judgments_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(DataError, match=message):
        embedlab.compare(tmp_path / "x", RUN, RUN)


@pytest.mark.parametrize(
    ("qrels", "run", "message"),
    [
        ({"q1": {"a": 0.5}}, RUN, "qrels: query q1, document a: grade 0.5 is not a whole number"),
        (QRELS, {"q1": {"a": None}}, "baseline: query q1: score None is not finite"),
        (QRELS, {"q1": ["a", "b"]}, "baseline: expected a file, a dict of dicts or a DataFrame, found dict"),
        (QRELS, pd.DataFrame({"qid": ["q1"]}), r"baseline: columns \['doc_id', 'score'\] are missing"),
    ],
)
def test_a_faulty_object_is_named_with_its_key(qrels, run, message):
    with pytest.raises(DataError, match=message):
        embedlab.compare(qrels, run, RUN)


def test_an_equal_judgment_twice_counts_once(tmp_path):
    path = tmp_path / "q.tsv"
    path.write_text("\ufeffquery-id\tcorpus-id\tscore\nq1\ta\t1\nq1\ta\t1\nq2\tb\t2\n")
    assert embedlab.compare(path, RUN, RUN) == embedlab.compare(QRELS, RUN, RUN)


ODD = ["", " ", "\0", "\u2028", "\x85", "\u3000", "\ufeff", "x" * 300, "é", "[red]", "nan", "1e400", "1e300", "1_0"]
FIELDS = st.sampled_from([*ODD, "q1", "q2", "a", "b", "Q0", "0", "1", "2.5", "-1", "11", "query-id", "score"])
PAIRS = st.lists(
    st.tuples(st.sampled_from(["q1", "q2", "q3"]), st.sampled_from(["a", "b", "c"])), min_size=1, unique=True
)


def files(line: str, values: st.SearchStrategy[object]) -> st.SearchStrategy[bytes]:
    """Draw a file: half of them have whole lines for some pairs, the others any fields or any bytes among them."""
    whole = PAIRS.flatmap(
        lambda pairs: st.tuples(*(values.map(lambda v, p=pair: line.format(*p, v)) for pair in pairs))
    )
    fields = st.tuples(st.lists(FIELDS, max_size=7), st.sampled_from([" ", "\t"])).map(lambda odd: odd[1].join(odd[0]))
    odd = st.lists(st.one_of(fields.map(str.encode), st.binary(max_size=30)), max_size=2)
    extra = st.one_of(st.just([]), odd)
    ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
    return st.tuples(whole, extra, ends).map(lambda d: d[2].join([*(text.encode() for text in d[0]), *d[1]]))


RUN_FILE = files("{} Q0 {} 1 {!r} t", st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers()))
QRELS_FILE = files("{} 0 {} {}", st.integers(-10, 10))
GROUPS_FILE = st.one_of(st.just(b"query-id\tgroup\nq1\tg\nq2\tg\nq3\th\n"), files("{}\t{}{}", st.just("")))
METRIC = st.sampled_from(["nDCG@10", "AP", "RR@2", "Bpref", "Judged@1", "P(rel=10)@1", "infAP", "SetF", "IPrec@0.1"])


@example(b"q1 Q0 a 1 1 t\n", b"q1 0 a 1000000000\n", None, "nDCG@10")
@example(b"q1 Q0 a 1 1 t\nq2 Q0 a 1 1 t\n", b"q1 0 a -10\nq2 0 b 2\n", None, "nDCG@10")
@example(b"q1 Q0 a\0b 1 1 t\nq1 Q0 a\0c 1 1 t\n", b"q1 0 a 1\n", None, "nDCG@10")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RUN_FILE, QRELS_FILE, st.one_of(st.none(), GROUPS_FILE), METRIC)
def test_whatever_bytes_are_in_the_files_there_is_a_comparison_or_a_named_error(tmp_path, run, qrels, groups, metric):
    for name, content in {"run": run, "qrels": qrels, "groups": groups}.items():
        (tmp_path / name).write_bytes(content or b"")
    given_groups = None if groups is None else tmp_path / "groups"
    with contextlib.suppress(EmbedlabError):
        found = embedlab.compare(tmp_path / "qrels", tmp_path / "run", tmp_path / "run", metric, groups=given_groups)
        assert found.delta == 0
        assert math.isfinite(found.baseline)
