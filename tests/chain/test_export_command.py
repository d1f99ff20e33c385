"""``embedlab export`` of a finished run: what it writes, says and refuses, and that the run stands as before."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import command, embedlab_here
from exported_model import as_its_readme_says

from embedlab.chain import Store
from embedlab.cli import EXIT_OF
from embedlab.commands.export import COMPARED, compared_texts
from embedlab.files import content_hash
from embedlab.models import load_model

pytestmark = [
    pytest.mark.chain,
    pytest.mark.model,
    pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed"),
]


@pytest.fixture(scope="module")
def exported(smoke, tmp_path_factory):
    """A copy of the finished smoke run with its model exported, and what the command printed."""
    run = smoke.copy(tmp_path_factory.mktemp("exported") / "outputs")
    before = content_hash(run.folder / "models/tuned")
    done = command(run.outputs, "embedlab", "export", str(run.folder), "--to", "openvino")
    assert done.returncode == 0, done.stdout + done.stderr
    assert content_hash(run.folder / "models/tuned") == before
    return run, done.stdout


def call(run, *words):
    done = embedlab_here(run.outputs, "export", str(run.folder), "--to", "openvino", *map(str, words))
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_its_readme_loads_the_tuned_model_without_embedlab(exported):
    run, _ = exported
    folder = run.folder / "models/tuned.openvino"
    texts = compared_texts(Store(run.folder))
    found, imported = as_its_readme_says(folder, texts)
    original = load_model(str(run.folder / "models/tuned"), "float32")
    for kind, vectors in found.items():
        assert (vectors * original.encode(texts[kind], kind)).sum(axis=1).min() > 0.999
    assert not {"embedlab", "torch"} & imported


def test_queries_and_documents_are_compared_apart_and_told(exported):
    run, said = exported
    told = json.loads((run.folder / "models/tuned.openvino/export.json").read_text())
    for kind in ("query", "document"):
        found = told["cosines"][kind]
        assert f"lowest {found['lowest']:.6f}, mean {found['mean']:.6f} over {found['texts']} texts" in said
        assert found["lowest"] > 0.999
        assert found["texts"] == COMPARED


def test_the_texts_are_of_every_length_and_no_query_is_of_the_test(exported):
    run, _ = exported
    texts = compared_texts(Store(run.folder))
    queries = Store(run.folder).read("01", "queries.parquet")
    assert set(texts["query"]) <= set(queries[queries["part"] != "test"]["text"])
    lengths = np.array([len(text) for text in texts["document"]])
    assert (np.diff(lengths) >= 0).all()
    assert lengths[0] < lengths[-1] / 3


def test_the_run_and_its_verdict_stand_as_before(exported):
    run, _ = exported
    assert command(run.outputs, "embedlab", "check", str(run.folder)).returncode == EXIT_OF[run.verdict()["verdict"]]


def test_a_second_call_says_that_it_is_there_and_changes_nothing(exported):
    run, _ = exported
    folder = run.folder / "models/tuned.openvino"
    written = (folder / "export.json").stat().st_mtime_ns
    code, said = call(run)
    assert code == 0
    assert "It is there already; --force writes it anew" in said
    assert (folder / "export.json").stat().st_mtime_ns == written


def test_one_of_another_model_is_written_anew_only_when_forced(exported):
    run, _ = exported
    file = run.folder / "models/tuned.openvino/export.json"
    right = file.read_text()
    file.write_text(json.dumps(json.loads(right) | {"identity": "of another model"}))
    code, said = call(run)
    assert code == 4
    assert "exported before, from of another model to openvino, not from this run's tuned model" in said
    code, said = call(run, "--force")
    assert code == 0
    assert json.loads(file.read_text())["identity"] == json.loads(right)["identity"]


def test_where_the_vectors_are_others_it_says_so_and_fails(exported, tmp_path):
    run, _ = exported
    folder = run.folder / "models/tuned.openvino"
    told = json.loads((folder / "export.json").read_text())
    told["cosines"]["query"]["lowest"] = 0.99
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "export.json").write_text(json.dumps(told))
    code, said = call(run, "--out", tmp_path / "there")
    assert code == 5
    assert "Not the same model: a cosine lies below 0.999" in said


@pytest.mark.parametrize("inside", ["models/tuned", "models/tuned/openvino"])
def test_it_is_never_written_into_the_models_own_folder(exported, inside):
    run, _ = exported
    code, said = call(run, "--force", "--out", run.folder / inside)
    assert code == 4
    assert "lies in the model's own folder" in said
    assert not (run.folder / "models/tuned/openvino").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(exported, tmp_path):
    run, _ = exported
    (tmp_path / "letters.txt").write_text("dear")
    code, said = call(run, "--force", "--out", tmp_path)
    assert code == 4
    assert "it is there and no exported model" in said
    assert (tmp_path / "letters.txt").read_text() == "dear"


def test_a_changed_model_is_not_exported(smoke, tmp_path):
    run = smoke.copy(tmp_path / "outputs")
    with (run.folder / "models/tuned/model.safetensors").open("ab") as stream:
        stream.write(b"\0")
    code, said = call(run)
    assert code == 3
    assert "is not what step 14 wrote" in said
    assert not (run.folder / "models/tuned.openvino").exists()


def test_before_training_it_says_which_step_to_run(tmp_path):
    folder = tmp_path / "outputs" / "new"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"steps": {}}')
    done = embedlab_here(folder.parent, "export", str(folder), "--to", "openvino")
    assert done.returncode == 4
    assert "--to 14" in done.stderr
