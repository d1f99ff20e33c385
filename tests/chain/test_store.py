"""The run folder: whole files or none, checked by hash, one writer."""

import errno
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from conftest import frame_of_run, open_step, run_python, step_files
from makers import metrics

from embedlab.chain import Store, get_step
from embedlab.chain.artifacts.confirm_need import ATTRIBUTION
from embedlab.chain.artifacts.establish_baseline import PER_QUERY
from embedlab.chain.artifacts.select_metrics import Metrics
from embedlab.errors import EmbedlabError, IntegrityError, MissingInputError, ParameterError
from embedlab.models.cache import VectorCache


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.name.endswith((".tmp", ".old"))]


def test_what_is_written_is_read_back(started):
    rows = {"query_id": ["q1", "q2"], "cause": ["lost to truncation", "fixed by a simpler rung"]}
    frame = pd.DataFrame({**rows, "fixed_by": [[], ["hybrid"]], "evidence": ["d7: passage 2", "hybrid shows it"]})
    lab = open_step("02")
    lab.write(ATTRIBUTION, frame)
    lab.finish("done")
    found = started.read("02", "attribution.parquet")
    assert found["fixed_by"].map(list).tolist() == [[], ["hybrid"]]
    pd.testing.assert_frame_equal(found.drop(columns="fixed_by"), frame.drop(columns="fixed_by"))
    assert started.read("02", "summary.json")["conclusion"] == "done"


def test_what_a_row_lists_and_a_step_did_not_write_is_named(started):
    lab = open_step("02")
    lab.write(ATTRIBUTION, pd.DataFrame({"query_id": [], "cause": [], "fixed_by": [], "evidence": []}))
    lab.finish("done")
    assert started.unwritten(get_step("02")) == ["ladder.parquet", "per_query.parquet", "recommendation.json"]


def test_the_runs_of_a_part_are_read_back_by_system(started):
    runs = {"base": frame_of_run({"q1": {"d1": 2.0, "d2": 1.0}}), "BM25": frame_of_run({"q1": {"d2": 3.0}})}
    stems = {"base": "base", "BM25": "bm25"}
    lab = open_step("05")
    lab.write_runs(stems, "dev", runs)
    lab.finish("done")
    assert (started.folder / step_files("05") / "bm25_dev.run").exists()
    found = open_step("06").read_runs("05", stems, "dev")
    assert list(found) == list(stems)
    for system, run in runs.items():
        pd.testing.assert_frame_equal(found[system], run, check_dtype=False)


def test_the_manifest_lists_each_output_with_its_hash(started):
    entry = started.manifest()["steps"]["01"]
    assert set(entry) == {"key", "made_of", "status", "seconds", "finished_at", "outputs"}
    assert entry["status"] == "done"
    paths = [o["path"] for o in entry["outputs"]]
    assert f"{step_files('01')}/corpus.parquet" in paths
    assert all(len(o["sha256"]) == 64 for o in entry["outputs"])


def test_an_error_in_the_middle_of_writing_leaves_the_old_file_and_nothing_else(store, monkeypatch):
    store.write("a/b.json", {"old": True})

    def broken(self, *_args, **_more):
        Path.write_bytes(self, b'{"new": tr')
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "write_text", broken)
    with pytest.raises(EmbedlabError, match=r"cannot write .*b\.json: Input/output error; nothing was changed"):
        store.write("a/b.json", {"new": True})
    monkeypatch.undo()
    assert json.loads((store.folder / "a/b.json").read_text()) == {"old": True}
    assert leftovers(store.folder) == []


def test_a_full_disk_is_told_and_changes_nothing(store, monkeypatch):
    store.write("a.json", 1)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EmbedlabError, match=r"a\.json: No space left on device; nothing was changed"):
        store.write("a.json", 2)
    assert (store.folder / "a.json").read_text() == "1"
    assert leftovers(store.folder) == []


def test_a_real_limit_of_the_operating_system_is_told_and_changes_nothing(store):
    store.write("big.txt", "small")
    code = """
import resource, signal, sys
from pathlib import Path
from embedlab.errors import EmbedlabError
from embedlab.chain.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Store(Path(sys.argv[1])).write("big.txt", "x" * 100_000)
except EmbedlabError as error:
    print(repr(str(error)))
"""
    assert "File too large; nothing was changed" in run_python(code, str(store.folder)).stdout
    assert (store.folder / "big.txt").read_text() == "small"
    assert leftovers(store.folder) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbedlabError, match=r"cannot write to .*run: Not a directory"):
        Store(tmp_path / "file" / "run").write("a.json", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(store):
    store.write("a.json", 1)
    store.folder.chmod(0o500)
    try:
        with pytest.raises(EmbedlabError, match="Permission denied"):
            store.write("b.json", 1)
    finally:
        store.folder.chmod(0o700)


def write_folder(store, text, error=None):
    hashes = {}
    with store.folder_for("models/tuned", hashes) as folder:
        (folder / "weights").write_text(text)
        if error is not None:
            raise error
    return hashes


def test_a_folder_takes_the_place_of_the_old_one_only_when_it_is_whole(store):
    assert list(write_folder(store, "one")) == ["models/tuned/weights"]
    with pytest.raises(RuntimeError):
        write_folder(store, "tw", RuntimeError())
    assert (store.folder / "models/tuned/weights").read_text() == "one"
    write_folder(store, "two")
    assert (store.folder / "models/tuned/weights").read_text() == "two"
    assert leftovers(store.folder) == []


def test_a_full_disk_while_a_folder_is_written_is_told(store):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(EmbedlabError, match=r"models/tuned: No space left on device; nothing was changed"):
        write_folder(store, "one", full)
    assert not (store.folder / "models/tuned").exists()
    assert leftovers(store.folder) == []


def test_a_full_disk_in_the_vector_cache_is_told(tmp_path, monkeypatch):
    import numpy as np

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    cache = VectorCache(tmp_path, "f" * 64)
    with pytest.raises(EmbedlabError, match="No space left on device"):
        cache.add([cache.key("a text", "")], np.ones((1, 4), dtype=np.float32))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_one_changed_byte_is_noticed(started):
    path = started.folder / step_files("01") / "corpus.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"corpus\.parquet is not what step 01 wrote: found .* --only 01 --force"):
        started.read("01", "corpus.parquet")


def test_a_deleted_artifact_is_noticed(started):
    (started.folder / step_files("01") / "corpus.parquet").unlink()
    with pytest.raises(IntegrityError, match="found no file"):
        open_step("02").collection("dev")


def test_an_input_that_does_not_exist_yet_names_the_step_and_the_command(started):
    lab = open_step("06")
    with pytest.raises(
        MissingInputError, match=r"per_query\.parquet does not exist yet \(step 05 is not run\)"
    ) as told:
        lab.read(PER_QUERY)
    assert "embedlab run" in str(told.value)
    assert "--set run=trial --to 05" in str(told.value)


def test_an_input_of_a_failed_step_does_not_count(started):
    started.update("01", status="failed")
    with pytest.raises(MissingInputError, match="step 01 is failed"):
        started.read("01", "corpus.parquet")


def test_a_step_opened_in_a_run_that_does_not_exist_says_how_to_start_it(outputs):
    with pytest.raises(MissingInputError, match=r"there is no run 'trial' .*start it with step 01: embedlab run"):
        open_step("05")
    assert list(outputs.iterdir()) == []


def test_a_step_reads_only_what_the_table_says(started):
    told = r"06_select_metrics does not read step 04 \(it reads: 01, 05\); .*`reads` of its row"
    with pytest.raises(MissingInputError, match=told):
        open_step("06").read("04", "guard.parquet")


def test_a_step_writes_only_what_the_table_says(started):
    with pytest.raises(ParameterError, match=r"step 06_select_metrics writes values\.parquet"):
        open_step("06").write("other.json", {})
    with pytest.raises(ParameterError, match=r"step 05_establish_baseline writes base_dev\.run.*; not 'metrics\.json'"):
        open_step("05").write(metrics())


def test_a_number_that_json_cannot_hold_is_refused_and_the_old_file_stays(started):
    lab = open_step("06")
    lab.write(metrics(several_relevant=0.3))
    with pytest.raises(ValueError, match="Out of range float"):
        lab.write(metrics(several_relevant=float("nan")))
    lab.finish("done")
    assert started.artifact(Metrics).several_relevant == 0.3
    assert leftovers(started.folder) == []


@pytest.mark.parametrize("run", ["", "..", ".hidden", "a/b", "/tmp/x", "a\\b"])
def test_a_run_is_a_plain_folder_name(run, outputs):
    with pytest.raises(ParameterError, match="run must be a plain name"):
        open_step("01", run=run)


def test_a_file_that_a_step_no_longer_writes_is_removed(started):
    step = get_step("06")
    lab = open_step("06")
    lab.write(metrics())
    lab.finish("first")
    lab = open_step("06")
    lab.finish("second")
    assert not (started.folder / "artifacts" / step.name / "metrics.json").exists()
    assert (started.folder / "artifacts" / step.name / "summary.json").exists()


def test_a_damaged_manifest_is_told(started):
    (started.folder / "manifest.json").write_text('{"steps": ')
    with pytest.raises(IntegrityError, match=r"manifest\.json: not readable"):
        open_step("02")


def test_times_stand_beside_the_artifacts_outside_every_hash(started):
    lab = open_step("06")
    with lab.timed("work"):
        pass
    lab.finish("done")
    assert lab.timings("06")["work"] >= 0
    assert not [o for o in started.entry("06")["outputs"] if "timings" in o["path"]]


def test_a_decision_that_rests_on_a_time_is_kept_while_the_step_is_unchanged(started):
    assert open_step("06").decide("batch", 32) == 32
    assert open_step("06").decide("batch", 64) == 32
    changed = open_step("06")
    changed.key = "another"
    assert changed.decide("batch", 64) == 64


def test_a_notebook_takes_the_values_of_its_run_for_parameters_at_their_default(outputs, capsys):
    open_step("01", seed=7, shown=5)
    assert open_step("01").params["seed"] == 7
    assert "From params.yaml: seed = 7, shown = 5" in capsys.readouterr().out
    assert open_step("01", seed=9).params["seed"] == 9
