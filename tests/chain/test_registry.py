"""The registry of openings: a chain of lines outside the run folders, and what a line says."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pandas as pd
import pytest
from conftest import PROJECT, open_step, registry_of, run_python
from makers import comparison, contract, opening

from embedlab.chain import register
from embedlab.chain.artifacts.evaluate import Opening
from embedlab.chain.paths import REGISTRY, registry_path
from embedlab.chain.registry import append, read
from embedlab.chain.runner import _environment
from embedlab.data import Collection
from embedlab.errors import EmbedlabError, IntegrityError


@pytest.fixture
def file(tmp_path):
    """A registry that does not exist yet."""
    return tmp_path / "openings" / REGISTRY


def add(file, weights, run="attack", seed=0, agreed=None, **changes):
    """Register an opening of these weights; returns its line."""
    return append(file, run, seed, agreed or contract(), opening(weights=weights, **changes))


# --- the file -----------------------------------------------------------------------------------


def test_the_registry_is_a_file_of_the_project_that_git_ignores_or_the_one_that_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("EMBEDLAB_REGISTRY")
    assert registry_path() == PROJECT / REGISTRY
    assert REGISTRY in (PROJECT / ".gitignore").read_text().splitlines()
    monkeypatch.setenv("EMBEDLAB_REGISTRY", str(tmp_path / "mine"))
    assert registry_path() == tmp_path / "mine"


def test_kernels_find_the_registry_that_a_relative_path_names(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMBEDLAB_REGISTRY", "mine.jsonl")
    with _environment("token", tmp_path):
        assert os.environ["EMBEDLAB_REGISTRY"] == str(tmp_path / "mine.jsonl")
    assert os.environ["EMBEDLAB_REGISTRY"] == "mine.jsonl"


def test_a_line_says_what_was_scored_by_whom_under_what_and_with_what_result(file):
    line = add(file, "w1", seed=3)
    (written,) = map(json.loads, file.read_text().splitlines())
    assert (written["run"], written["seed"], written["contract"]) == ("attack", 3, contract().hash)
    assert written["terms"] == asdict(contract())
    assert written["differences"] == {"tuned - base": {"delta": 0.1, "ci95": [0.06, 0.14], "ci": [0.06, 0.14]}}
    assert (written["groups"], written["settings"]) == (opening().groups, opening().settings)
    assert (written["hash"], written["when"]) == (line.hash, line.when)
    assert read(file) == [line]


def test_each_line_carries_the_hash_of_the_one_before(file):
    first, second = add(file, "w1"), add(file, "w2")
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    assert [line["before"] for line in lines] == ["0" * 64, first.hash]
    assert [entry.number for entry in read(file)] == [first.number, second.number] == [1, 2]


def test_the_same_opening_again_adds_nothing(file):
    first = add(file, "w1")
    add(file, "w2")
    before = file.read_bytes()
    assert add(file, "w1") == first
    assert file.read_bytes() == before


@pytest.mark.parametrize("change", [{"run": "copy"}, {"seed": 1}, {"agreed": contract(min_gain=0.01)}])
def test_another_run_seed_or_contract_is_written_down(file, change):
    add(file, "w1")
    add(file, "w1", **change)
    assert len(read(file)) == 2


def test_lines_that_are_written_at_once_all_follow_one_another(file):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: add(file, f"w{n}"), range(16)))
    assert {entry.opening.weights for entry in read(file)} == {f"w{n}" for n in range(16)}


def rewrite(file, change):
    """Change the list of lines of a registry of three."""
    for weights in ("w1", "w2", "w3"):
        add(file, weights)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(change(lines)))


FAULTS = {
    "edited": (lambda rows: [rows[0], rows[1].replace('"w2"', '"w9"'), rows[2]], r"line 2: it was edited"),
    "the last one edited": (lambda rows: [*rows[:2], rows[2].replace('"w3"', '"w9"')], r"line 3: it was edited"),
    "reordered": (lambda rows: [rows[0], rows[2], rows[1]], r"line 2: it does not follow the line before it"),
    "one removed": (lambda rows: rows[::2], r"line 2: it does not follow"),
    "the first one removed": (lambda rows: rows[1:], r"line 1: it does not follow"),
    "one twice": (lambda rows: [rows[0], rows[0], *rows[1:]], r"line 2: it does not follow"),
    "cut off": (lambda rows: [*rows[:2], rows[2][:50]], r"line 3: it is cut off"),
    "no JSON": (lambda rows: [rows[0], "{\n", *rows[1:]], r"line 2: it is not readable"),
    "a blank line": (lambda rows: [rows[0], "\n", *rows[1:]], r"line 2: it is not readable"),
    "another file": (lambda rows: ['{"a": 1}\n'], r"line 1: it is no line of a registry"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_registry_is_refused_by_its_line(file, fault):
    change, message = FAULTS[fault]
    rewrite(file, change)
    before = file.read_bytes()
    with pytest.raises(IntegrityError, match=message):
        read(file)
    with pytest.raises(IntegrityError, match=message):
        add(file, "w4")
    assert file.read_bytes() == before, "nothing is added to a broken chain"


def test_a_registry_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbedlabError, match=r"cannot write to the registry .*the opening is not registered"):
        add(tmp_path / "file" / REGISTRY, "w1")


def test_a_step_registers_under_its_run_and_contract(started):
    lab = open_step("15")
    line = register(lab, opening())
    assert (line.run, line.contract, line.seed) == ("trial", lab.contract.hash, 0)
    assert read(registry_of(started.folder.parent)) == [line]


def test_reading_the_registry_loads_no_pandas(file):
    add(file, "w1")
    code = "import sys; from pathlib import Path; from embedlab.chain.registry import read; read(Path(sys.argv[1]))"
    done = run_python(f"{code}; print(sorted({{'torch', 'pandas', 'numpy', 'faiss'}} & set(sys.modules)))", str(file))
    assert done.stdout.strip() == "[]"


# --- what is opened: the texts of the test's groups ---------------------------------------------


def collection(texts, grades=None, groups=None):
    """Return a test part with one document and these query texts."""
    ids = [f"q{n}" for n in range(len(texts))]
    queries = pd.DataFrame({"query_id": ids, "text": texts, "part": "test", "group": groups or ids})
    qrels = pd.DataFrame({"query_id": ids, "doc_id": "d1", "relevance": grades or [1] * len(ids)})
    corpus = pd.DataFrame({"doc_id": ["d1"], "title": [""], "text": ["one"]})
    return Collection(corpus, queries, qrels)


def opened(test):
    return Opening.of(test, "w1", "pipeline", {"hybrid": {"weight": 0.5}}, {"tuned - base": comparison()})


def test_texts_are_matched_folded_and_in_any_order_and_under_any_id():
    first, second = collection(["Reset  my password?", "An invoice"]), collection(["an INVOICE", "reset my password"])
    assert opened(first).groups == opened(second).groups
    assert opened(first).judgments == opened(second).judgments


def test_a_group_holds_the_texts_of_its_queries():
    grouped = opened(collection(["a", "b", "c"], groups=["g1", "g1", "g2"]))
    apart = opened(collection(["a", "b", "c"]))
    assert sorted(len(group.split()) for group in grouped.groups) == [1, 2]
    assert sorted(" ".join(grouped.groups).split()) == sorted(apart.groups)


def test_texts_of_punctuation_alone_are_told_apart():
    assert opened(collection(["?"])).groups != opened(collection(["!"])).groups


def test_other_judgments_are_others():
    assert opened(collection(["a"])).judgments != opened(collection(["a"], grades=[2])).judgments


def test_no_text_of_a_query_stands_in_the_registry(file):
    append(file, "attack", 0, contract(), opened(collection(["my secret question"])))
    assert "secret" not in file.read_text()


def test_settings_are_hashed_by_system():
    one, two = opened(collection(["a"])), opened(collection(["a"]))
    assert one.settings == two.settings
    changed = Opening.of(collection(["a"]), "w1", "pipeline", {"hybrid": {"weight": 0.6}}, {})
    assert changed.settings != one.settings
