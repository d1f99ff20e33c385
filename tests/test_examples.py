"""The scripts over the library's faces: short, and true on a small collection."""

import ast
import re

import pytest
from conftest import PROJECT, command

from embedlab.models import MINILM, WORDLLAMA

EXAMPLES = sorted((PROJECT / "examples").glob("*.py"))
ROOMS = {"data", "models", "retrieval", "evaluation", "trainset", "training", "rollout"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_is_short_and_uses_the_librarys_faces_alone(path):
    text = path.read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 25
    imported = [n.module for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)]
    ours = [name for name in imported if name and name.startswith("embedlab")]
    assert ours
    assert {name.removeprefix("embedlab.") for name in ours} <= ROOMS


@pytest.mark.model
def test_a_beir_folder_is_tuned_and_compared_without_any_run(toy, tmp_path):
    done = command(tmp_path, "python", "examples/tune.py", str(toy), str(tmp_path / "tuned"), "2")
    assert done.returncode == 0, done.stderr
    assert re.search(r"nDCG@10: \d\.\d+ -> \d\.\d+, [+-]0\.\d+ \[[+-]\d\.\d+, [+-]\d\.\d+\]", done.stdout)
    assert (tmp_path / "tuned" / "model.safetensors").is_file()
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.model
def test_an_index_is_moved_to_another_model_and_back_while_it_is_in_use(toy, tmp_path):
    done = command(tmp_path, "python", "examples/reindex.py", str(toy), str(tmp_path / "moved"), WORDLLAMA, MINILM)
    assert done.returncode == 0, done.stderr
    assert "NOT HELD" not in done.stdout
    assert re.findall(r"^(\w+) \[Hit\(doc_id='(\w+)'", done.stdout, re.MULTILINE) == [("new", "note"), ("old", "note")]
