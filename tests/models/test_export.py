"""An exported model gives the original's vectors, to whoever loads it as its README says, and replaces nothing else."""

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from exported_model import as_its_readme_says
from faulty.models import write_tiny

from embedlab.errors import EmbedlabError, ModelError, ParameterError
from embedlab.models import WORDLLAMA, Export, Exported, export_model, load_model
from embedlab.models import export as module
from embedlab.models.export import LEAST_COSINE, RUNTIMES, Cosines
from embedlab.training.adapter import QueryAdapter, add_route

pytestmark = pytest.mark.model

TEXTS = ["otter swims", "car engine starts with a key", "a", "river road " * 60]

HERE = [
    pytest.param(to, marks=pytest.mark.skipif(not all(map(find_spec, runtime.packages)), reason=f"no {to} here"))
    for to, runtime in RUNTIMES.items()
]
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")


def write_prompts(folder: Path) -> None:
    file = folder / "config_sentence_transformers.json"
    told = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(told | {"prompts": {"query": "eats a fish: ", "document": ""}}))


def write_routed(folder: Path) -> None:
    """Save a tiny model whose queries are turned by a matrix."""
    write_tiny(folder.with_name("plain"))
    model = load_model(str(folder.with_name("plain")), "float32").model
    size = model.get_embedding_dimension()
    turn = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    add_route(model, QueryAdapter(turn, "its base"))
    model.save(str(folder), create_model_card=False)
    write_prompts(folder)


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    """A tiny model whose queries take a route of their own, behind a prompt of their own."""
    folder = tmp_path_factory.mktemp("models") / "routed"
    write_routed(folder)
    return load_model(str(folder), "float32")


@pytest.fixture(scope="module", params=HERE)
def exported(request, routed, tmp_path_factory):
    """The routed model, exported: what runs it, and its folder."""
    folder = tmp_path_factory.mktemp(request.param) / "out"
    export_model(routed, request.param, folder, {"query": TEXTS, "document": TEXTS})
    return request.param, folder


def test_loaded_as_its_readme_says_it_gives_the_originals_vectors_without_torch(exported, routed):
    _, folder = exported
    found, imported = as_its_readme_says(folder, {"query": TEXTS, "document": TEXTS})
    for kind, vectors in found.items():
        assert np.abs(vectors - routed.encode(TEXTS, kind)).max() < 1e-4
    assert not {"embedlab", "torch", "transformers"} & imported


def test_queries_keep_their_route_and_their_prompt(exported, routed):
    to, folder = exported
    told = Export.read(folder)
    again = Exported(folder, to, told.prompts, told.inputs, told.outputs)
    assert (again.encode(TEXTS, "query") * again.encode(TEXTS, "document")).sum(axis=1).max() < 0.9
    assert told.prompts == {"query": "eats a fish: ", "document": ""}
    assert np.allclose(again.encode(TEXTS[:1], "query"), again.encode(TEXTS, "query")[:1], atol=1e-4)


def test_it_says_how_near_it_is_for_queries_and_documents_apart(exported, routed):
    _, folder = exported
    told = Export.read(folder)
    assert told.is_faithful
    assert told.identity == routed.identity.digest
    for found in told.cosines.values():
        assert LEAST_COSINE < found.lowest <= found.mean
        assert found.texts == len(TEXTS)
    assert sorted(told.cosines) == ["document", "query"]


@pytest.mark.parametrize("to", HERE)
def test_a_model_without_routes_has_one_vector_for_both(tmp_path, to):
    write_tiny(tmp_path / "plain")
    model = load_model(str(tmp_path / "plain"), "float32")
    found = export_model(model, to, tmp_path / "out", {"query": TEXTS, "document": TEXTS})
    assert found.outputs == {"query": "vector", "document": "vector"}
    assert found.is_faithful


@pytest.mark.parametrize("lowest", [LEAST_COSINE - 1e-6, float("nan")])
def test_vectors_that_are_others_are_not_called_the_same_model(lowest):
    found = Export(*("onnx", "tuned", "its digest", 8), {}, [], {}, {"query": Cosines(9, lowest, 1.0)}, {})
    assert not found.is_faithful
    assert replace(found, cosines={"query": Cosines(9, LEAST_COSINE, 1.0)}).is_faithful


@needs_openvino
def test_another_models_graph_is_noticed(routed, tmp_path, monkeypatch):
    """The cosine is measured on what was written: a graph of other weights does not pass."""
    write_tiny(tmp_path / "other")
    other = load_model(str(tmp_path / "other"), "float32").model
    for weights in other.parameters():
        weights.data += weights.data.std()
    write = module._write_openvino
    plain = load_model(str(tmp_path / "other"), "float32")
    graph = module._graph(other, list(module._features(plain)))
    monkeypatch.setitem(module._WRITERS, "openvino", lambda _, *rest: write(graph, *rest))
    found = export_model(plain, "openvino", tmp_path / "out", {"query": TEXTS, "document": TEXTS})
    assert not found.is_faithful


def test_after_an_error_what_stood_there_stands_there_still(exported, routed, tmp_path, monkeypatch):
    to, folder = exported
    shutil.copytree(folder, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def break_off(*_):
        raise RuntimeError("the power went")

    # The graph itself was written in the fixture; here it is enough that something of it is there.
    monkeypatch.setitem(module._WRITERS, to, lambda *told: told[-1].write_text("half a graph"))
    monkeypatch.setattr(module, "save_tokenizer", break_off)
    with pytest.raises(ModelError, match=r"RuntimeError: the power went; not exported; try (onnx|openvino)"):
        export_model(routed, to, tmp_path / "out", {"query": TEXTS, "document": TEXTS})
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_where_nothing_can_be_written_it_says_so(exported, routed, tmp_path):
    to = exported[0]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmbedlabError, match=r"cannot write .*file/out"):
        export_model(routed, to, tmp_path / "file" / "out", {"query": TEXTS, "document": TEXTS})


def test_what_is_no_export_is_not_taken_for_one(tmp_path):
    assert Export.read(tmp_path / "nothing") is None
    assert Export.read(tmp_path) is None
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(ModelError, match=r"it is there and no exported model \(export.json is missing\)"):
        Export.read(tmp_path)
    (tmp_path / "export.json").write_text('{"to": "onnx"}')
    with pytest.raises(ModelError, match="it is not what an export writes"):
        Export.read(tmp_path)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(routed, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"onnx, onnxscript, onnxruntime is not .*: pip install -e '\.\[onnx\]'"):
        export_model(routed, "onnx", tmp_path / "out", {})
    with pytest.raises(ModelError, match=r"openvino is not installed: pip install -e '\.\[openvino\]'"):
        export_model(routed, "openvino", tmp_path / "out", {})


def test_an_unknown_runtime_is_refused(routed, tmp_path):
    with pytest.raises(ParameterError, match="found 'onx'; did you mean 'onnx'"):
        export_model(routed, "onx", tmp_path / "out", {})


@needs_openvino
def test_a_table_of_word_vectors_is_refused(tmp_path):
    with pytest.raises(ModelError, match="a table of word vectors, which needs no graph"):
        export_model(load_model(WORDLLAMA, "float32"), "openvino", tmp_path / "out", {})
