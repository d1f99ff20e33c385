"""Versions, environments, Makefile and params files agree with one another."""

import re
import subprocess
import tomllib

import pytest
from conftest import PROJECT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

from embedlab.chain import load_params

CONDA_NAMES = {"pytorch": "torch"}
SECTIONS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def requirements() -> dict[str, Requirement]:
    lines = SECTIONS["dependencies"] + SECTIONS["optional-dependencies"]["dev"]
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def pins() -> dict[str, Version]:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_environment_yml_lists_what_pyproject_lists():
    environment = YAML(typ="safe").load(PROJECT / "environment.yml")
    conda = [d for d in environment["dependencies"] if isinstance(d, str) and not re.match(r"(python|pip)\b", d)]
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert pip[-1] == "-e .[dev]"
    found = {}
    for line in conda + pip[:-1]:
        requirement = Requirement(line)
        name = CONDA_NAMES.get(requirement.name, requirement.name)
        found[canonicalize_name(name)] = str(requirement.specifier)
    assert found == {name: str(r.specifier) for name, r in requirements().items()}


def test_environment_yml_wants_the_same_python():
    environment = YAML(typ="safe").load(PROJECT / "environment.yml")
    assert f"python{SECTIONS['requires-python']}" in environment["dependencies"]


def test_constraints_pin_every_dependency_within_its_range():
    pinned, wanted = pins(), requirements()
    assert wanted
    for name, requirement in wanted.items():
        assert name in pinned, f"{name} is not in constraints.txt"
        assert requirement.specifier.contains(pinned[name]), f"{name} {pinned[name]} is outside {requirement}"


def test_constraints_pin_torch_without_choosing_its_build():
    assert str(pins()["torch"]) == "2.13.0"
    assert "+" not in (PROJECT / "constraints.txt").read_text()


def test_make_help_names_every_target():
    makefile = (PROJECT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    shown = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert "demo" in targets
    assert [t for t in targets if t != "help" and f"make {t} " not in shown] == []


def test_make_says_which_python_it_needs(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((PROJECT / name).read_text())
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1"\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run(["make", f"PYTHON={old}", "lint"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.1" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize("path", sorted((PROJECT / "params").glob("*.yaml")), ids=lambda p: p.name)
def test_every_key_of_a_params_file_exists_in_a_parameters_cell(path):
    assert load_params(path).shared["run"]
