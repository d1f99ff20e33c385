"""A model as one graph that ONNX Runtime or OpenVINO runs, without torch and without embedlab.

The graph reads what the tokenizer makes of texts and gives vectors of unit length. Where queries take a route of their
own, it has an output for queries and one for documents.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from embedlab.errors import EmbedlabError, ModelError, ParameterError, nearest, shown
from embedlab.files import read_json, replace_folder
from embedlab.models.cache import Vectors
from embedlab.models.encoder import BATCH, Encoder, Kind
from embedlab.models.files.folder import ROUTER
from embedlab.models.loading import naming, quiet
from embedlab.models.openvino import converted

TOLD, README, TOKENIZER = "export.json", "README.md", "tokenizer.json"
"""Files of an export beside the graph: what it is, how it is loaded, what reads the texts."""

LEAST_COSINE = 0.999
"""Of the original's vector of a text and the export's: below it the export is not the same model."""

READ = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""What a graph may read, and what the library ``tokenizers`` calls it."""

KINDS: tuple[Kind, Kind] = ("query", "document")

ONE_FILE = 1 << 30
"""Bytes of weights up to which they stand in the ONNX file itself; it may have two gigabytes."""


@dataclass(frozen=True)
class Runtime:
    """What runs an export.

    Attributes:
        title: its name for people.
        graph: the file's name.
        packages: what writes and runs it.
        needs: packages that are enough to run it.
        load: the line of Python that loads it under the name ``model``.
        call: what answers the vectors, from ``inputs`` and the name of an ``output``.
    """

    title: str
    graph: str
    packages: tuple[str, ...]
    needs: str
    load: str
    call: str


RUNTIMES = {
    "onnx": Runtime(
        "ONNX Runtime",
        "model.onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        "onnxruntime",
        'model = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"))',
        "model.run([output], inputs)[0]",
    ),
    "openvino": Runtime(
        "OpenVINO",
        "model.xml",
        ("openvino",),
        "openvino",
        'model = openvino.compile_model(str(FOLDER / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})',
        "model(inputs)[output]",
    ),
}


@dataclass(frozen=True)
class Cosines:
    """How near an export's vectors are to the original's: the cosine of the two vectors of a text, over some texts."""

    texts: int
    lowest: float
    mean: float


@dataclass(frozen=True)
class Export:
    """An exported model.

    Attributes:
        to: what runs it, one of :data:`RUNTIMES`.
        model: name of the original.
        identity: digest of the original's embedding identity in float32.
        dimensions: numbers of a vector.
        prompts: what stands before a text, by kind.
        inputs: what the graph reads.
        outputs: the graph's output by kind.
        cosines: to the original, by kind.
        versions: of the packages that wrote it.
    """

    to: str
    model: str
    identity: str
    dimensions: int
    prompts: dict[str, str]
    inputs: list[str]
    outputs: dict[str, str]
    cosines: dict[str, Cosines]
    versions: dict[str, str]

    @property
    def title(self) -> str:
        """What runs it, for people."""
        return RUNTIMES[self.to].title

    @property
    def is_faithful(self) -> bool:
        """Whether its vectors are the original's, as nearly as :data:`LEAST_COSINE` asks; NaN is none."""
        return all(found.lowest >= LEAST_COSINE for found in self.cosines.values())

    @classmethod
    def read(cls, folder: Path) -> Export | None:
        """Return what an exported folder says of itself; None where there is nothing, or an empty folder.

        Raises:
            ModelError: if something else stands there, or the file is damaged.
        """
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return None
        if not (folder / TOLD).is_file():
            raise ModelError(f"{shown(folder)}: it is there and no exported model ({TOLD} is missing); name another")
        told = read_json(folder / TOLD, dict, ModelError, "delete the folder and export again")
        if set(told) != set(cls.__dataclass_fields__):
            raise ModelError(f"{folder / TOLD}: it is not what an export writes; delete the folder and export again")
        return cls(**told | {"cosines": {kind: Cosines(**found) for kind, found in told["cosines"].items()}})


def export_model(encoder: Encoder, to: str, folder: Path, texts: Mapping[Kind, list[str]]) -> Export:
    """Write a model as a graph with its tokenizer, and measure how near its vectors are to the original's.

    The folder is replaced as a whole: after an error, what stood there stands there still.

    Args:
        encoder: the model, in float32.
        to: ``onnx`` or ``openvino``.
        folder: where to; what an export holds says :class:`Export` and the README.md in it.
        texts: one or more queries and documents that both encode.

    Raises:
        ParameterError: if ``to`` is neither.
        ModelError: if a package is missing (the extra that brings it is named), or this kind of model cannot be
            exported.
        EmbedlabError: if the folder cannot be written.
    """
    runtime = _runtime(to)
    features = _features(encoder)
    names = list(features)
    outputs: dict[str, str] = {kind: kind if encoder.routed else "vector" for kind in KINDS}
    prompts: dict[str, str] = {kind: encoder.prompt(kind) for kind in KINDS}
    graph = _graph(encoder.model, names)
    with _writing(folder) as made:
        with _naming(encoder, to):
            _WRITERS[to](graph, tuple(features.values()), names, sorted(set(outputs.values())), made / runtime.graph)
            save_tokenizer(encoder.model, made / TOKENIZER)
            answers = Exported(made, to, prompts, names, outputs)
            cosines: dict[str, Cosines] = {kind: _cosines(encoder, answers, texts[kind], kind) for kind in KINDS}
        versions = {package: version(package) for package in ("torch", *runtime.packages)}
        found = Export(
            to, encoder.name, encoder.identity.digest, encoder.identity.dimensions, prompts, names, outputs, cosines,
            versions,
        )  # fmt: skip
        (made / TOLD).write_text(json.dumps(asdict(found), indent=1, ensure_ascii=False), encoding="utf-8")
        (made / README).write_text(_readme(found, encoder.identity.max_length), encoding="utf-8")
    return found


class Exported:
    """An exported model, loaded as its README.md says.

    Args:
        folder: of the export.
        to: what runs it.
        prompts: what stands before a text, by kind.
        inputs: what the graph reads.
        outputs: the graph's output by kind.
    """

    def __init__(
        self, folder: Path, to: str, prompts: Mapping[str, str], inputs: list[str], outputs: Mapping[str, str]
    ) -> None:
        from tokenizers import Tokenizer

        self.prompts, self.inputs, self.outputs = prompts, inputs, outputs
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._answer = _LOADERS[to](folder / RUNTIMES[to].graph)

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one unit vector a text, float32 ``[len(texts), dimensions]``."""
        found = []
        for start in range(0, len(texts), BATCH):
            read = self._tokenizer.encode_batch([self.prompts[kind] + text for text in texts[start : start + BATCH]])
            inputs = {name: np.array([getattr(one, READ[name]) for one in read]) for name in self.inputs}
            found.append(self._answer(inputs, self.outputs[kind]))
        return np.concatenate(found)


def _runtime(to: str) -> Runtime:
    """Return what runs an export; an error where there is none of that name, or it is not installed."""
    if to not in RUNTIMES:
        raise ParameterError(f"a model is exported to a runtime, found {to!r}{nearest(to, list(RUNTIMES))}")
    missing = [package for package in RUNTIMES[to].packages if find_spec(package) is None]
    if missing:
        raise ModelError(f"{', '.join(missing)} is not installed: pip install -e '.[{to}]'")
    return RUNTIMES[to]


def _features(encoder: Encoder) -> dict[str, Any]:
    """Return the tensors that the model reads of two texts of unlike length.

    Raises:
        ModelError: if it is no transformer, or reads what a tokenizer alone does not make.
    """
    import torch

    if encoder.model.transformers_model is None:
        raise ModelError(f"{encoder.name}: it is a table of word vectors, which needs no graph; use it as it is")
    told = encoder.model.preprocess(["a text", "another, longer text"])
    features = {name: value for name, value in told.items() if isinstance(value, torch.Tensor)}
    unknown = sorted(features.keys() - READ.keys())
    if unknown:
        raise ModelError(f"{encoder.name}: it reads {', '.join(unknown)}; only {', '.join(READ)} can be exported")
    return features


@contextmanager
def _writing(folder: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of this one in the end; one that cannot be written is a clear error."""
    try:
        with replace_folder(folder) as made:
            yield made
    except OSError as error:
        raise EmbedlabError(f"cannot write {folder}: {error.strerror or error}; nothing was changed") from error


@contextmanager
def _naming(encoder: Encoder, to: str) -> Iterator[None]:
    """Turn what a converter says into a ModelError, and keep it from printing what it tells its own makers."""
    others = " or ".join(name for name in RUNTIMES if name != to)
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with naming(encoder.files.folder, f"not exported; try {others}"), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


# --- the graph ------------------------------------------------------------------------------------


def _graph(model: Any, names: list[str]) -> Any:
    """Return a model as a torch module: from tensors in the order of ``names`` to a unit vector a text and route.

    With a router it gives documents' and queries' vectors, in that order; else one vector for both.
    """
    import torch

    modules = list(model)
    kinds = [type(module).__name__ for module in modules]
    place = kinds.index(ROUTER) if ROUTER in kinds else len(modules)
    ways = [modules[place + 1 :]]
    if place < len(modules):
        ways = [[*modules[place].sub_modules[kind], *modules[place + 1 :]] for kind in sorted(KINDS)]

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = torch.nn.ModuleList(modules[:place])
            self.ways = torch.nn.ModuleList(torch.nn.ModuleList(way) for way in ways)

        def forward(self, *inputs: Any) -> Any:
            features: dict[str, Any] = dict(zip(names, inputs, strict=True)) | {"modality": "text"}
            for module in self.shared:
                features = module(features)
            found = []
            for way in self.ways:
                turned = dict(features)
                for module in way:
                    turned = module(turned)
                found.append(torch.nn.functional.normalize(turned["sentence_embedding"], dim=1))
            return tuple(found)

    return Graph().eval()


def _write_onnx(graph: Any, tensors: tuple[Any, ...], names: list[str], outputs: list[str], file: Path) -> None:
    import torch

    sizes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    weights = sum(weight.numel() * weight.element_size() for weight in graph.parameters())
    with torch.no_grad():
        torch.onnx.export(
            graph,
            tensors,
            str(file),
            input_names=names,
            output_names=outputs,
            dynamic_shapes=((sizes,) * len(names),),
            dynamo=True,
            external_data=weights > ONE_FILE,
            verbose=False,
        )


def _write_openvino(graph: Any, tensors: tuple[Any, ...], names: list[str], outputs: list[str], file: Path) -> None:
    import openvino

    found = converted(graph, tensors)
    for ports, called in ((found.inputs, names), (found.outputs, outputs)):
        for port, name in zip(ports, called, strict=True):
            port.get_tensor().set_names({name})
    openvino.save_model(found, str(file), compress_to_fp16=False)


_WRITERS = {"onnx": _write_onnx, "openvino": _write_openvino}


def save_tokenizer(model: Any, file: Path) -> None:
    """Write a model's tokenizer so that it cuts and pads as the model does, without being told again."""
    from tokenizers import Tokenizer

    known = model.tokenizer
    tokenizer = Tokenizer.from_str(known.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    if model.max_seq_length:
        tokenizer.enable_truncation(model.max_seq_length, direction=known.truncation_side)
    tokenizer.enable_padding(
        direction=known.padding_side,
        pad_id=known.pad_token_id,
        pad_type_id=known.pad_token_type_id,
        pad_token=known.pad_token,
    )
    tokenizer.save(str(file))


# --- what comes out -------------------------------------------------------------------------------

Answer = Callable[[dict[str, Any], str], Any]
"""From the inputs by name and an output's name to vectors."""


def _load_onnx(file: Path) -> Answer:
    import onnxruntime

    model = onnxruntime.InferenceSession(str(file))
    return lambda inputs, output: model.run([output], inputs)[0]


def _load_openvino(file: Path) -> Answer:
    import openvino

    model = openvino.compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    # The runtime writes its next answer into the same memory.
    return lambda inputs, output: model(inputs)[output].copy()


_LOADERS: dict[str, Callable[[Path], Answer]] = {"onnx": _load_onnx, "openvino": _load_openvino}


def _cosines(encoder: Encoder, exported: Exported, texts: list[str], kind: Kind) -> Cosines:
    found = (encoder.encode_uncached(texts, kind) * exported.encode(texts, kind)).sum(axis=1)
    return Cosines(len(texts), float(found.min()), float(found.mean()))


_PAGE = """# {model}, for {title}

An embedding model as one graph, `{graph}`, and its tokenizer. It needs neither torch nor embedlab:

```sh
pip install {needs} tokenizers numpy
```

```python
from pathlib import Path

import numpy as np
import {needs}
from tokenizers import Tokenizer

FOLDER = Path(".")  # this folder
PROMPTS = {prompts}
OUTPUTS = {outputs}

tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))  # it cuts at {length} tokens, and pads
{load}


def encode(texts, kind):
    \"\"\"Return a unit vector a text, [texts, {dimensions}]; kind is "query" or "document".\"\"\"
    read = tokenizer.encode_batch([PROMPTS[kind] + text for text in texts])
    inputs = {{
{inputs}
    }}
    output = OUTPUTS[kind]
    return {call}


queries = encode(["what somebody asks"], "query")
documents = encode(["what is searched", "and another text"], "document")
scores = queries @ documents.T
```

{routes}
Give it some dozens of texts at a time, best of like length: short texts are padded to the longest.

## How near it is to the original

The cosine of a text's two vectors, the original's in float32 and this one's:

| | texts | lowest | mean |
|---|---|---|---|
{rows}

Below {least} it is not the same model. The original is `{model}`, embedding identity `{identity}`.
Written with {versions}.
"""


def _readme(found: Export, length: int) -> str:
    """Return how an export is loaded, and how near it is to the original."""
    runtime = RUNTIMES[found.to]
    routes = "Queries and documents take the same way through it."
    if len(set(found.outputs.values())) > 1:
        routes = "Queries take a route of their own: the same text has one vector as a query, another as a document."
    rows = [f"| {kind} | {one.texts} | {one.lowest:.6f} | {one.mean:.6f} |" for kind, one in found.cosines.items()]
    inputs = [f'        "{name}": np.array([one.{READ[name]} for one in read]),' for name in found.inputs]
    return _PAGE.format(
        model=found.model,
        title=runtime.title,
        graph=runtime.graph,
        needs=runtime.needs,
        prompts=found.prompts,
        outputs=found.outputs,
        length=length,
        load=runtime.load,
        dimensions=found.dimensions,
        inputs="\n".join(inputs),
        call=runtime.call,
        routes=routes,
        rows="\n".join(rows),
        least=LEAST_COSINE,
        identity=found.identity,
        versions=", ".join(f"{package} {number}" for package, number in found.versions.items()),
    )
