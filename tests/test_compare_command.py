"""``embedlab compare`` on two runs of Cranfield: what it prints, and how it exits."""

import json
import sys

import pytest
from conftest import CRANFIELD, needs_cranfield

import embedlab
from embedlab.cli import EXIT_OF, main
from embedlab.data import run_text

pytestmark = needs_cranfield
QRELS = CRANFIELD / "qrels" / "test.tsv"


@pytest.fixture(scope="module")
def cranfield():
    raw = embedlab.data.read_raw("beir", path=CRANFIELD)
    return embedlab.data.Collection(raw.corpus, raw.queries, raw.qrels)


@pytest.fixture(scope="module")
def runs(cranfield, tmp_path_factory):
    """BM25 with stemmed words, with its parameters far off, and its results the other way round."""
    from embedlab.retrieval import BM25

    folder = tmp_path_factory.mktemp("runs")
    usual, off = (BM25(cranfield.document_texts(), *k).search(cranfield.query_texts()) for k in ((1.5, 0.75), (9, 0)))
    found = {"bm25": usual, "off": off, "reversed": usual.assign(score=-usual["score"])}
    for name, run in found.items():
        (folder / f"{name}.run").write_text(run_text(run, name))
    return folder


def compare(capsys, monkeypatch, *words) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["embedlab", "compare", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code, *capsys.readouterr()


@pytest.fixture
def command(capsys, monkeypatch):
    return lambda *words: compare(capsys, monkeypatch, *words)


@pytest.mark.parametrize(
    ("one", "two", "min_gain", "code", "verdict"),
    [
        ("reversed", "bm25", 0.01, 0, "SHIP"),
        ("bm25", "reversed", 0.01, 1, "DO_NOT_SHIP"),
        ("bm25", "bm25", 0.0, 2, "INCONCLUSIVE"),
        ("bm25", "bm25", -0.01, 2, "INCONCLUSIVE"),  # of 225 ties, other queries may still differ by .016
        ("bm25", "bm25", -0.02, 0, "SHIP"),
    ],
)
def test_the_exit_code_is_the_verdict(runs, command, one, two, min_gain, code, verdict):
    words = (f"{runs}/{one}.run", f"{runs}/{two}.run", "--qrels", QRELS, "--min-gain", min_gain)
    exit_code, printed, _ = command(*words)
    assert (exit_code, printed.split()[0]) == (code, verdict)


def test_json_is_what_the_function_returns(runs, command):
    one, two = runs / "bm25.run", runs / "off.run"
    code, printed, _ = command(one, two, "--qrels", QRELS, "--metric", "R@100", "--json")
    found = embedlab.compare(QRELS, one, two, "R@100")
    assert json.loads(printed) == json.loads(json.dumps(found.as_dict()))
    assert code == EXIT_OF[found.verdict]


def test_the_table_shows_both_intervals_and_which_decides(runs, command, tmp_path, cranfield):
    groups = {q: f"g{i // 6}" for i, q in enumerate(sorted(cranfield.qrels["query_id"].unique()))}
    path = tmp_path / "groups.tsv"
    path.write_text("query-id\tgroup\n" + "".join(f"{q}\t{g}\n" for q, g in groups.items()))
    _, printed, _ = command(runs / "bm25.run", runs / "off.run", "--qrels", QRELS, "--groups", path)
    found = embedlab.compare(QRELS, runs / "bm25.run", runs / "off.run", groups=groups)
    lines = printed.splitlines()
    assert lines[0] == f"{found.verdict}  off.run against bm25.run"
    assert lines[1] == found.in_words()
    told = {
        "over 225 queries": found.ci95_queries,
        "over 38 groups, worth 38 of equal size": found.ci95_groups,
        "the farther end on each side: decides": found.ci95,
    }
    for note, (low, high) in told.items():
        (line,) = (x for x in lines if note in x)
        assert f"{low:+.4f} to {high:+.4f}" in line
    assert max(map(len, lines[2:])) <= 100


def test_shared_documents_are_warned_of(runs, command):
    _, printed, _ = command(runs / "bm25.run", runs / "off.run", "--qrels", QRELS)
    assert "! 208 queries share relevant documents; give groups for an honest interval" in printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query-id,group\n", "groups.tsv:1: expected the header"),
        ("query-id\tgroup\n1\n", "groups.tsv:2: expected 'query-id<TAB>group', found '1'"),
        ("query-id\tgroup\n1\ta\n1\tb\n", "groups.tsv:3: query 1 is in group 'b' and in 'a'"),
        ("query-id\tgroup\n1\ta\n", "groups: 224 of 225 judged queries have no group, the first: '10'"),
    ],
)
def test_a_faulty_file_of_groups_is_bad_input(runs, command, tmp_path, text, message):
    path = tmp_path / "groups.tsv"
    path.write_text(text)
    code, _, told = command(runs / "bm25.run", runs / "off.run", "--qrels", QRELS, "--groups", path)
    assert code == 4
    assert message in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--metric", "quality"), "unknown measure 'quality'; valid: nDCG@10"),
        (("--min-gain", "nan"), "min_gain must be a number"),
        (("--qrels", "nowhere.tsv"), "nowhere.tsv: cannot be read"),
    ],
)
def test_bad_input_exits_with_4_and_says_why(runs, command, words, message):
    code, printed, told = command(runs / "bm25.run", runs / "off.run", "--qrels", QRELS, *words)
    assert (code, printed) == (4, "")
    assert message in told


@pytest.mark.full
@pytest.mark.model
def test_bm25_against_the_base_model(runs, command, cranfield):
    from embedlab.retrieval import Dense

    base = Dense(embedlab.load_model("sentence-transformers/all-MiniLM-L6-v2", "float32"), cranfield.document_texts())
    (runs / "base.run").write_text(run_text(base.search(cranfield.query_texts()), "base"))
    code, printed, _ = command(runs / "bm25.run", runs / "base.run", "--qrels", QRELS)
    assert code == 2
    assert "reaches to both sides of zero" in printed
