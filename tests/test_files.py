"""Files and folders are replaced as a whole, or stay as they were."""

import contextlib
import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from embedlab import files
from embedlab.errors import DataError
from embedlab.files import content_hash, replace_file, replace_folder


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("content", ["grün", "grün".encode(), lambda path: path.write_bytes("grün".encode())])
def test_text_bytes_and_what_a_function_writes_are_stored_and_hashed(tmp_path, content):
    digest = replace_file(tmp_path / "new" / "a.txt", content)
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "grün"
    assert digest == hashlib.sha256("grün".encode()).hexdigest()
    assert names(tmp_path / "new") == ["a.txt"]


def test_an_error_half_way_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    replace_file(tmp_path / "a.txt", "old")

    def torn(path):
        path.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "a.txt", torn)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_returns(tmp_path, monkeypatch):
    seen = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor):
        seen.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def noted_replace(self, target):
        seen.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    replace_file(tmp_path / "a.txt", "new")
    assert seen == ["file", "rename", "folder"]


def test_a_disk_that_syncs_no_folders_still_gets_the_file(tmp_path, monkeypatch):
    fsync = os.fsync

    def files_only(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    replace_file(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"


def test_threads_that_write_one_file_do_not_meet(tmp_path):
    texts = [str(i) * 10_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: replace_file(tmp_path / "a.txt", text), texts * 5))
    assert (tmp_path / "a.txt").read_text() in texts
    assert names(tmp_path) == ["a.txt"]


def write_folder(target: Path, text: str, error: Exception | None = None) -> None:
    with replace_folder(target) as folder:
        (folder / "weights").write_text(text)
        if error is not None:
            raise error


def test_a_folder_takes_the_place_of_the_old_one_only_when_it_is_whole(tmp_path):
    write_folder(tmp_path / "model", "one")
    with pytest.raises(RuntimeError):
        write_folder(tmp_path / "model", "tw", RuntimeError())
    assert (tmp_path / "model" / "weights").read_text() == "one"
    write_folder(tmp_path / "model", "two")
    assert (tmp_path / "model" / "weights").read_text() == "two"
    assert names(tmp_path) == ["model"]


def test_a_lock_is_held_around_the_swap_alone(tmp_path):
    seen = []

    @contextlib.contextmanager
    def lock():
        seen.append(("taken", (tmp_path / "model").exists()))
        yield
        seen.append(("given back", (tmp_path / "model").exists()))

    with replace_folder(tmp_path / "model", swapping=lock()) as folder:
        (folder / "weights").write_text("one")
        seen.append("written")
    assert seen == ["written", ("taken", False), ("given back", True)]


def test_a_file_that_goes_away_while_its_folder_is_hashed_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setattr(files, "sha256_file", lambda path: path.with_name("gone").read_bytes())
    with pytest.raises(DataError, match=r"gone.*give a folder that holds the data alone"):
        content_hash(tmp_path)


def test_a_name_that_is_no_utf_8_is_named(tmp_path):
    (tmp_path / os.fsdecode(b"\xff")).write_text("a")
    with pytest.raises(DataError, match="cannot be read as a whole"):
        content_hash(tmp_path)
