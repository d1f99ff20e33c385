"""What CONTRIBUTING shows is executed: files made, patches applied and scripts run in a copy of the project."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import PROJECT, run_python

from embedlab.chain import load_params
from embedlab.evaluation.metrics import OWN

TEXT = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind that, and its text."""

    language: str
    said: str
    text: str


def examples() -> dict[str, list[Block]]:
    """Return the blocks of each worked example by its heading."""
    part = TEXT.split("\n## Five things to add\n")[1].split("\n## ")[0]
    sections = re.split(r"^### (.*)$", part, flags=re.M)[1:]
    return {
        title: [Block(m[1], m[2].strip(), m[3]) for m in FENCE.finditer(body)]
        for title, body in zip(sections[::2], sections[1::2], strict=True)
    }


EXAMPLES = examples()


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of what a run needs of the project."""
    for name in ("embedlab", "notebooks", "params"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "outputs").mkdir()
    return tmp_path


def change(project: Path, title: str, block: Block) -> None:
    """Make the file that a block shows, or apply its patch."""
    if block.said.startswith("file="):
        (project / block.said.removeprefix("file=")).write_text(block.text, encoding="utf-8")
    elif block.language == "diff":
        done = subprocess.run(["git", "apply", "-"], input=block.text, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, f"{title}: mend its patch: {done.stderr}"


def follow(project: Path, title: str) -> int:
    """Do what an example shows, block by block; return how many of them were run."""
    ran = 0
    for block in EXAMPLES[title]:
        change(project, title, block)
        if block.said == "run":
            code = block.text if block.language == "python" else commands(block.text)
            place = f"import os, sys; os.chdir({str(project)!r}); sys.path.insert(0, {str(project)!r})\n"
            env = {"EMBEDLAB_OUTPUTS": str(project / "outputs"), "PYTHONPATH": str(project)}
            run_python(place + code, **env)
            ran += 1
    return ran


def commands(text: str) -> str:
    """Return a program that runs the command lines of a block in the copy."""
    lines = [line.split()[1:] for line in text.splitlines()]
    assert all(line.startswith(".venv/bin/embedlab ") for line in text.splitlines())
    return "from embedlab.cli import main\n" + "".join(
        f"sys.argv = ['embedlab', *{words!r}]\nmain()\n" for words in lines
    )


@pytest.mark.parametrize("title", ["A measure", "A source of collections", "A source of training rows"])
def test_an_example_of_the_library_works_as_it_stands(project, title):
    assert follow(project, title) == 1
    assert sys.modules["embedlab"].__file__.startswith(str(PROJECT)), "nothing of the copy was loaded here"


@pytest.mark.chain
@pytest.mark.parametrize("title", ["A step", "A check of the verdict"])
def test_an_example_of_the_workbench_works_as_it_stands(project, smoke, title):
    smoke.copy(project / "outputs")
    assert follow(project, title) >= 1
    if title == "A step":
        assert (project / "outputs/smoke/artifacts/23_count_words/words.json").is_file()


def test_mypy_finds_nothing_in_the_examples(project):
    for title, blocks in EXAMPLES.items():
        for block in blocks:
            change(project, title, block)
    shutil.copy(PROJECT / "pyproject.toml", project)
    # What mypy knows of the project and of what it imports makes seconds of many; without it, the test takes longer.
    if (PROJECT / ".mypy_cache").is_dir():
        shutil.copytree(PROJECT / ".mypy_cache", project / ".mypy_cache")
    program = Path(sys.executable).parent / "mypy"
    done = subprocess.run([program], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_that_is_shown_is_legal(monkeypatch):
    monkeypatch.setitem(OWN, "Best", OWN["Judged"])  # the measure that the page adds
    shown = re.findall(r"--set '?([\w.]+=[^'`\n]+)", TEXT)
    assert "01.primary_metric=Best@10" in shown
    load_params(PROJECT / "params" / "smoke.yaml", shown)


def test_every_python_that_is_shown_is_that_of_the_environment():
    for page in [PROJECT / "CONTRIBUTING.md", *(PROJECT / "tools").iterdir()]:
        if page.suffix in {".md", ".py"}:
            assert re.findall(r"(?<!\.venv/bin/)python tools/\S+", page.read_text(encoding="utf-8")) == [], page.name


def test_every_example_is_tested():
    assert sorted(EXAMPLES) == sorted(
        ["A measure", "A source of collections", "A source of training rows", "A step", "A check of the verdict"]
    )


def test_the_map_names_every_room():
    rooms = {path.parent.name for path in (PROJECT / "embedlab").glob("*/__init__.pyi")}
    tree = TEXT.split("## The map")[1].split("```")[1]
    assert rooms
    assert [room for room in sorted(rooms) if f"  {room}/" not in tree] == []
