"""What a model's folder must hold, checked before anything in it is loaded, and without torch.

Nothing of a folder is ever executed: weights come from safetensors, which hold numbers alone, and modules from the
installed sentence-transformers by a list of names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedlab.errors import ModelError, shown
from embedlab.files import POINTER, read_json, why_no_file

MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "StaticEmbedding", "LayerNorm", "Dropout", "Router")
"""Modules of sentence-transformers that a model may be made of."""

ROUTER = "Router"

ROUTED = ("Dense", "Normalize", "LayerNorm")
"""Those that may stand behind a model's pooling on a route of its own for queries and one for documents."""

ROUTES = ("query", "document")

WEIGHTED = ("Transformer", "Dense", "StaticEmbedding", "LayerNorm", "SparseAutoEncoder")
"""Those that have weights."""

DENSE, CROSS, SPARSE = "SentenceTransformer", "CrossEncoder", "SparseEncoder"
"""What sentence-transformers writes into a folder to say what the modules in it make together."""

MODULES_OF = {
    DENSE: MODULES,
    CROSS: ("Transformer", "Pooling", "Dense", "Dropout", "LayerNorm", "LogitScore"),
    SPARSE: ("Transformer", "Pooling", "Dense", "Normalize", "SpladePooling", "SparseAutoEncoder"),
}

FORMER = {"MLMTransformer": "Transformer"}
"""Names that a module had, and has in older folders."""

CALLED = {
    DENSE: "an embedding model, for load_model",
    CROSS: "a cross-encoder, for load_cross_encoder",
    SPARSE: "a sparse encoder, for load_sparse_encoder",
}

WIDTHS = ("word_embed_proj_dim", "hidden_size", "d_model", "dim", "n_embd")
"""What different kinds of transformers call the length of a token's vector in ``config.json``."""

LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "num_decoder_layers")

MODES = (
    *("pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_tokens"),
    *("pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"),
)
"""How older folders say which vectors are pooled; one after the other where they are several."""

SETTINGS = (
    *("config.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
    *("tokenizer_config.json", "special_tokens_map.json"),
)
"""JSON files of a model that hold an object, where they are there."""

OPTIONS = (
    *("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs"),
    *("tokenizer_name_or_path", "backend"),
)
"""Entries of ``sentence_bert_config.json`` by which a model would say how it is loaded."""

CODED = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""JSON files in which a model may name classes of its own."""

LONGEST = 1_000_000
"""More tokens no text is cut at, and no vector has more numbers."""

MEND = "take the model again from where it is from"

_TYPE = re.compile(r"sentence_transformers(?:\.[A-Za-z_]+)*\.([A-Za-z]+)")


@dataclass(frozen=True)
class Module:
    """One module of a model: its class's name, its folder, and what its ``config.json`` says."""

    kind: str
    folder: Path
    config: Mapping[str, Any]


def check_folder(folder: Path, kind: str = DENSE) -> None:
    """Raise a ModelError where a folder holds no model, something that is no file, damaged files, or custom code.

    Args:
        folder: of the model.
        kind: what it must be, one of :data:`MODULES_OF`; a folder without ``modules.json`` may become any of them.
    """
    _check_is_model(folder)
    if not why_no_file(folder / "modules.json") and kind_of(folder) != kind:
        found = CALLED.get(kind_of(folder), shown(kind_of(folder)))
        raise ModelError(f"{folder}: it holds {found}; expected {CALLED[kind]}: load it as what it is, or name another")
    for path in sorted(folder.rglob("*")):
        if not path.is_file() and not path.is_dir():
            raise ModelError(f"{path}: neither a file nor a folder (a link that leads nowhere?); {MEND}")
    for name in SETTINGS:
        json_of(folder / name)
    _check_options(folder)
    _check_code(folder)
    for module in modules_of(folder):
        _check_module(module)


def _check_module(module: Module) -> None:
    if module.kind in WEIGHTED:
        check_weights(module.folder)
    if module.kind == "Transformer":
        check_layers(module)
    if module.kind == ROUTER:
        _check_routes(module.folder)


def _check_routes(folder: Path) -> None:
    """Raise a ModelError where a router leads elsewhere than to a few known modules for queries and for documents."""
    file = folder / "router_config.json"
    told = read_json(file, dict, ModelError, MEND)
    kinds, routes = told.get("types"), told.get("structure")
    if not isinstance(kinds, dict) or not isinstance(routes, dict) or set(routes) != set(ROUTES):
        raise ModelError(f"{file}: expected 'types' and a 'structure' of the routes {' and '.join(ROUTES)}; {MEND}")
    for name, kind in kinds.items():
        where = f"{file}: module {shown(name)!r}"
        place = _inside(folder, name, where)
        if _class(str(kind), ROUTED, where) in WEIGHTED:
            check_weights(place)


def _check_is_model(folder: Path) -> None:
    if why_no_file(folder / "modules.json") and why_no_file(folder / "config.json"):
        raise ModelError(
            f"{folder}: no model in it: neither modules.json nor config.json is a file there; expected a folder that "
            "sentence-transformers or transformers saved"
        )
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder}: it holds an adapter, not a whole model (adapter_config.json); merge it into its base, save "
            "that and name its folder"
        )


def _check_options(folder: Path) -> None:
    """Raise a ModelError where a folder says how, or from where, it is to be loaded: kernels are code too."""
    for file in sorted({module.folder / "sentence_bert_config.json" for module in modules_of(folder)}):
        asked = sorted(name for name, value in json_of(file).items() if name in OPTIONS and value)
        if asked:
            raise ModelError(f"{file}: it sets how it is to be loaded ({', '.join(asked)}); take that out")
    for module in modules_of(folder):
        for name in ("attn_implementation", "_attn_implementation"):
            if "/" in str(module.config.get(name, "")):
                raise ModelError(
                    f"{module.folder / 'config.json'}: {name} {shown(module.config[name])!r} is code from the hub, "
                    "which is not executed; take that out"
                )


def _check_code(folder: Path) -> None:
    """Raise a ModelError where a folder names classes of its own.

    They are not executed. The library's class of the same name may compute something else, and would not say so.
    """
    places = sorted({module.folder for module in modules_of(folder)})
    for file in [place / name for place in places for name in CODED]:
        named = json_of(file).get("auto_map")
        if named:
            raise ModelError(
                f"{file}: it names code of its own (auto_map: {shown(named)}), and code that comes with a model is not "
                "executed: choose another model, or take auto_map out of a copy if the library's own class will do"
            )


def kind_of(folder: Path) -> str:
    """Return what the modules of a folder make together; a folder that does not say it holds an embedding model."""
    return str(json_of(folder / "config_sentence_transformers.json").get("model_type", DENSE))


def is_classifier(folder: Path) -> bool:
    """Return whether transformers saved a model with a head, as cross-encoders have one, into a folder itself."""
    named = json_of(folder / "config.json").get("architectures") or [""]
    return str(named[0]).endswith("ForSequenceClassification")


def json_of(path: Path) -> dict[str, Any]:
    """Return what a JSON file of a model says, nothing where it is missing; a ModelError where it is damaged."""
    if why_no_file(path) == "there is no such file":
        return {}
    return read_json(path, dict, ModelError, MEND)


# --- modules --------------------------------------------------------------------------------------


def modules_of(folder: Path) -> list[Module]:
    """Return the modules of a model in order; a folder without ``modules.json`` is a transformer, pooled by its mean.

    Raises:
        ModelError: if one is no module of sentence-transformers, so that code of the folder would be executed.
    """
    file = folder / "modules.json"
    if why_no_file(file) == "there is no such file":
        return [Module("Transformer", folder, json_of(folder / "config.json"))]
    rows = read_json(file, list, ModelError, MEND)
    if not rows:
        raise ModelError(f"{file}: no module in it; {MEND}")
    allowed = MODULES_OF.get(kind_of(folder), ())
    found = []
    for number, row in enumerate(rows):
        where = f"{file}: module {number}"
        if not isinstance(row, dict) or not isinstance(row.get("path"), str) or not isinstance(row.get("type"), str):
            raise ModelError(f"{where}: expected 'path' and 'type', both texts; {MEND}")
        place = _inside(folder, row["path"], where)
        found.append(Module(_class(row["type"], allowed, where), place, json_of(place / "config.json")))
    return found


def _class(name: str, allowed: Sequence[str], where: str) -> str:
    match = _TYPE.fullmatch(name)
    found = FORMER.get(match[1], match[1]) if match else ""
    if found not in allowed:
        raise ModelError(
            f"{where}: {shown(name)!r} is not among the classes of sentence-transformers that embedlab loads "
            f"({', '.join(allowed)}); code that comes with a model is not executed: choose another model"
        )
    return found


def _inside(folder: Path, path: str, where: str) -> Path:
    if Path(path).is_absolute() or ".." in Path(path).parts or "\0" in path:
        raise ModelError(f"{where}: its path {shown(path)!r} leads out of the model's folder; {MEND}")
    return folder / path


def width_of(folder: Path) -> int:
    """Return the numbers of a text's vector, as the model's files say.

    Raises:
        ModelError: if they do not say it, or say nonsense.
    """
    found: Any = None
    where = folder / "config.json"
    for module in modules_of(folder):
        config = module.config
        if module.kind == "Transformer":
            found = next((config[name] for name in WIDTHS if name in config), None)
        elif module.kind == "StaticEmbedding":
            found = next(iter(tensors_of(module.folder).values()))[-1]
        elif module.kind == "Pooling":
            where = module.folder / "config.json"
            found = _pooled(config, where, found)
        elif module.kind == "Dense":
            where = module.folder / "config.json"
            found = config.get("out_features")
    return _whole(found, where, "the length of the vectors")


def _pooled(config: Mapping[str, Any], where: Path, before: Any) -> int:
    """Return the length of a pooled vector: that of a token's, once for each way of pooling."""
    stated = config.get("embedding_dimension", config.get("word_embedding_dimension", before))
    length = _whole(stated, where, "the length of the vectors")
    if isinstance(before, int) and length != before:
        raise ModelError(
            f"{where}: it pools vectors of {length} numbers, but by the config.json of the module before it they have "
            f"{before}; {MEND}"
        )
    mode = config.get("pooling_mode")
    modes = len(mode) if isinstance(mode, list) else 1
    if mode is None:
        modes = sum(config.get(name) is True for name in MODES) or 1
    return length * modes


def _whole(value: Any, where: Path, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LONGEST:
        raise ModelError(f"{where}: {what} must be a whole number from 1 to {LONGEST:,}, found {shown(value)}; {MEND}")
    return value


def length_of(folder: Path) -> int:
    """Return the tokens at which texts are cut; raises as :func:`width_of` does."""
    # sentence-transformers 6 saves the limit with the tokenizer, and cuts at the lower of these two
    of_tokenizer = _limit(folder / "tokenizer_config.json", "model_max_length")
    of_positions = _limit(folder / "config.json", "max_position_embeddings")
    file = folder / "sentence_bert_config.json"
    stated = json_of(file).get("max_seq_length")
    if stated is not None:
        return _whole(stated, file, "max_seq_length")
    return min((known for known in (of_tokenizer, of_positions) if known), default=512)


def _limit(file: Path, name: str) -> int:
    """Return a limit in tokens, 0 where there is none; a huge one is how tokenizers say that they have none."""
    value = json_of(file).get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ModelError(f"{file}: {name} must be a number, found {shown(value)}; {MEND}")
    return int(value) if value and 0 < value <= LONGEST else 0


def prompts_of(folder: Path) -> tuple[str, str]:
    """Return what stands before a query and before a document; raises a ModelError where that is no text."""
    file = folder / "config_sentence_transformers.json"
    prompts = json_of(file).get("prompts") or {}
    if not isinstance(prompts, dict):
        raise ModelError(f"{file}: expected prompts by name, found {shown(prompts)}; {MEND}")
    for name, prompt in prompts.items():
        if not isinstance(prompt, str | None):
            raise ModelError(f"{file}: the prompt {shown(name)!r} is no text: {shown(prompt)}; {MEND}")
    return prompts.get("query") or "", prompts.get("document") or prompts.get("passage") or ""


# --- weights --------------------------------------------------------------------------------------


def check_weights(folder: Path) -> None:
    """Raise a ModelError unless a folder holds weights in files of safetensors that are whole."""
    files = [path for path in sorted(folder.glob("*.safetensors")) if not why_no_file(path)]
    if not files:
        odd = next(iter(sorted(folder.glob("*.safetensors"))), None)
        if odd is not None:
            raise ModelError(f"{odd}: {why_no_file(odd)}; {MEND}")
        raise ModelError(
            f"{folder}: no .safetensors file; embedlab loads weights from safetensors only, never from pickles such as "
            "pytorch_model.bin: save them again with save_pretrained(..., safe_serialization=True)"
        )
    for file in files:
        shapes_in(file)


def tensors_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in the files of a folder by its name."""
    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= shapes_in(file)
    return found


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a safetensors file; a ModelError where it is empty, cut off or none."""
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb") as stream:
            begin = stream.read(len(POINTER))
        if not begin:
            raise ModelError(f"{file}: it is empty; {MEND}")
        if begin == POINTER:
            raise ModelError(
                f"{file}: it is a pointer of git-lfs, not the weights: run 'git lfs pull' where it is from"
            )
        with safe_open(str(file), framework="numpy") as weights:
            shapes = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file}: no whole file of safetensors: {shown(error)}; {MEND}") from None
    if not shapes:
        raise ModelError(f"{file}: no weights in it; {MEND}")
    return shapes


def check_layers(module: Module) -> None:
    """Raise a ModelError where a transformer's ``config.json`` asks for more layers than its weights have tensors.

    They would be built before the weights are looked at, which takes hours for a slip of the pen.
    """
    file, shapes = module.folder / "config.json", tensors_of(module.folder)
    for name in LAYERS:
        layers = module.config.get(name)
        if isinstance(layers, int) and layers > len(shapes):
            raise ModelError(f"{file}: {name} is {layers:,}, but the weights are {len(shapes)} tensors; {MEND}")
