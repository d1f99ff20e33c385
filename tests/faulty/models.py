"""``load_model``: folders that hold a broken, odd or hostile model, and names that name none."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

import embedlab
from faulty import Outcome, Row, called

FACE = "`load_model`"

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "otter", "swims")
WIDTH, PLACES = 8, 32

CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": PLACES,
    "vocab_size": len(WORDS),
    "type_vocab_size": 2,
}
PARTS = ("Transformer", "Pooling", "Normalize")
MODULES = [{"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{part}"}
           for n, (part, path) in enumerate(zip(PARTS, ("", "1_Pooling", "2_Normalize"), strict=True))]  # fmt: skip
TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {word: n for n, word in enumerate(WORDS)}, "unk_token": "[UNK]"},
}
FILES: dict[str, Any] = {
    "config.json": CONFIG,
    "modules.json": MODULES,
    "tokenizer.json": TOKENIZER,
    "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": PLACES,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
    },
    "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
    "config_sentence_transformers.json": {"prompts": {"query": "otter "}},
    "1_Pooling/config.json": {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True},
}
WEIGHTS = "model.safetensors"
BLOCK = "encoder.layer.0"


def tensors() -> dict[str, np.ndarray]:
    """Return the weights of a BERT of one layer, drawn at random."""
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm": (WIDTH,),
        **{f"{BLOCK}.attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")},
        f"{BLOCK}.attention.output.dense": (WIDTH, WIDTH),
        f"{BLOCK}.attention.output.LayerNorm": (WIDTH,),
        f"{BLOCK}.intermediate.dense": (16, WIDTH),
        f"{BLOCK}.output.dense": (WIDTH, 16),
        f"{BLOCK}.output.LayerNorm": (WIDTH,),
    }
    drawn = np.random.default_rng(0)
    found = {}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            found[name] = drawn.normal(size=shape).astype(np.float32)
            continue
        found[f"{name}.weight"] = drawn.normal(size=shape).astype(np.float32)
        found[f"{name}.bias"] = np.zeros(shape[0], dtype=np.float32)
    return found


def write_tiny(folder: Path) -> None:
    """Write a whole model of a few hundred weights."""
    for name, value in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value))
    save_file(tensors(), str(folder / WEIGHTS), metadata={"format": "pt"})


# --- what a row does to the folder ----------------------------------------------------------------

Change = Callable[[Path], None]


def text(name: str, content: str | bytes) -> Change:
    """Write something else into a file."""

    def change(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def with_(name: str, **values: Any) -> Change:
    """Change entries of a JSON file; one that is to be None is written so."""

    def change(folder: Path) -> None:
        known = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps(known | values))

    return change


def without(*names: str) -> Change:
    """Take files away."""

    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def folder_at(name: str) -> Change:
    """Put a folder where a file should be."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def link_at(name: str, target: str) -> Change:
    """Put a link where a file should be."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return change


def pipe_at(name: str) -> Change:
    """Put a pipe that nobody writes to where a file should be."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def cut(name: str, share: float) -> Change:
    """Keep the beginning of a file alone."""

    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return change


def weights(act: Callable[[dict[str, np.ndarray]], object]) -> Change:
    """Change the weights."""

    def change(folder: Path) -> None:
        found = load_file(str(folder / WEIGHTS))
        act(found)
        save_file(found, str(folder / WEIGHTS), metadata={"format": "pt"})

    return change


def module(number: int, **values: Any) -> Change:
    """Change one module of modules.json."""
    rows = [dict(row) for row in MODULES]
    rows[number] |= values
    return text("modules.json", json.dumps(rows))


def vocabulary(words: dict[str, int]) -> Change:
    """Write a tokenizer of other words."""
    return text("tokenizer.json", json.dumps(TOKENIZER | {"model": TOKENIZER["model"] | {"vocab": words}}))


def all_of(*changes: Change) -> Change:
    """Make several changes."""

    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


# --- code that must not be executed ---------------------------------------------------------------

MARKER = "executed"


class Bomb:
    """What writes the marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.marker, "by a pickle")


def pickled(*names: str) -> Change:
    """Put pickles there that write the marker when they are read."""

    def change(folder: Path) -> None:
        for name in names:
            (folder / name).write_bytes(pickle.dumps(Bomb(folder.parent / MARKER)))

    return change


def code(name: str) -> Change:
    """Put a module there that writes the marker when it is imported, with a class of every name that is asked for."""

    def change(folder: Path) -> None:
        lines = ["from pathlib import Path", f"Path({str(folder.parent / MARKER)!r}).write_text('by an import')"]
        lines += [f"class {kind}: pass" for kind in ("Evil", "EvilModel", "EvilConfig", "EvilTokenizer")]
        (folder / name).write_text("\n".join(lines))

    return change


AUTO = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}


def broken(name: str, what: str, says: str, given: Any, loads: bool = False) -> Row:
    """Return a row that ends in an error."""
    return Row(name, what, "error", says, given, model=loads)


ROWS = (
    Row("the folder", "a whole model", "accepted", "", text("notes.txt", "mine"), model=True),
    Row("the folder", "no modules.json: a bare transformer", "accepted", "", without("modules.json"), model=True),
    Row("the folder", "a saved optimizer and other pickles beside whole weights", "accepted", "",
        pickled("pytorch_model.bin", "optimizer.pt", "training_args.bin", "notes.pkl"), model=True),
    Row("README.md", "not UTF-8", "accepted", "", text("README.md", b"license: \xff\xfe\n"), model=True),
    Row("tokenizer_config.json", "a limit of 10³⁰ tokens, which means none", "accepted", "",
        with_("tokenizer_config.json", model_max_length=10**30), model=True),
    # --- names
    broken("name", "blank", "a model is named by a packaged model's hub id, a local folder or any hub id", "  "),
    broken("name", "a number", "a model is named by", 7),
    broken("name", "a NUL in it", "neither a folder nor to be had", "a\0b"),
    broken("name", "half a surrogate pair", "'model\\\\ud800' is neither a folder nor to be had", "model\ud800"),
    broken("name", "a terminal's control characters", "'\\\\x1b[2Jx' is neither", "\x1b[2Jx"),
    broken("name", "100,000 characters", "(100,000 characters)", "x" * 100_000),
    broken("name", "a file", "it is a file; name the folder", __file__),
    broken("name", "the root of the disk", "no model in it", "/"),
    # --- weights
    broken(WEIGHTS, "missing, with a pickle in its place", "embedlab loads weights from safetensors only, never from",
           all_of(without(WEIGHTS), pickled("pytorch_model.bin"))),
    broken(WEIGHTS, "empty", "it is empty; take the model again", text(WEIGHTS, "")),
    broken(WEIGHTS, "cut off in its header", "no whole file of safetensors", cut(WEIGHTS, 0.01)),
    broken(WEIGHTS, "cut off by a download that stopped", "no whole file of safetensors", cut(WEIGHTS, 0.7)),
    broken(WEIGHTS, "a git-lfs pointer", "it is a pointer of git-lfs, not the weights: run",
           text(WEIGHTS, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n")),
    broken(WEIGHTS, "a pickle under its name", "no whole file of safetensors", pickled(WEIGHTS)),
    broken(WEIGHTS, "a web page of an error", "no whole file of safetensors",
           text(WEIGHTS, "<!doctype html><title>404</title>" * 100)),
    broken(WEIGHTS, "without a tensor", "no weights in it", weights(lambda found: found.clear())),
    broken(WEIGHTS, "a header of 2⁶³ bytes", "no whole file of safetensors", text(WEIGHTS, b"\xff" * 7 + b"\x7f{}")),
    broken(WEIGHTS, "a folder", "a folder stands where a file should be", folder_at(WEIGHTS)),
    broken(WEIGHTS, "a link that leads nowhere", "neither a file nor a folder", link_at(WEIGHTS, "gone")),
    broken(WEIGHTS, "a link to itself", "neither a file nor a folder", link_at(WEIGHTS, WEIGHTS)),
    broken(WEIGHTS, "a pipe", "neither a file nor a folder", pipe_at(WEIGHTS)),
    broken(WEIGHTS, "a link to an endless device", "neither a file nor a folder", link_at(WEIGHTS, "/dev/zero")),
    broken(WEIGHTS, "a tensor is missing", "1 of the model's weights stand in no file and would be drawn at random",
           weights(lambda found: found.pop(f"{BLOCK}.output.dense.weight")), loads=True),
    broken(WEIGHTS, "all tensors under other names", "21 of the model's weights stand in no file",
           weights(lambda found: [found.update({f"x.{n}": found.pop(n)}) for n in list(found)]), loads=True),
    broken(WEIGHTS, "a NaN", "hold NaN or infinity",
           weights(lambda found: found[f"{BLOCK}.output.dense.weight"].fill(np.nan)), loads=True),
    broken(WEIGHTS, "an infinity", "hold NaN or infinity",
           weights(lambda found: found["embeddings.word_embeddings.weight"].fill(np.inf)), loads=True),
    broken(WEIGHTS, "finite numbers so large that vectors are none", "hold NaN or infinity",
           weights(lambda found: [value.fill(3e37) for value in found.values()]), loads=True),
    # --- what config.json says
    broken("config.json", "missing", "config.json: the length of the vectors must be a whole number",
           all_of(without("config.json", "1_Pooling/config.json"))),
    broken("config.json", "empty", "config.json: not readable as JSON", text("config.json", "")),
    broken("config.json", "cut off", "config.json: not readable as JSON", cut("config.json", 0.5)),
    broken("config.json", "a list", "expected an object {…}, found a list […]", text("config.json", "[]")),
    broken("config.json", "a number", "expected an object {…}, found a number", text("config.json", "7")),
    broken("config.json", "not UTF-8", "config.json: cannot be read", text("config.json", b'{"a": "\xff"}')),
    broken("config.json", "100,000 brackets", "config.json: not readable as JSON", text("config.json", "[" * 100_000)),
    broken("config.json", "a number of 5,000 digits", "config.json: not readable as JSON",
           text("config.json", '{"hidden_size": ' + "9" * 5000 + "}")),
    broken("config.json", "a git-lfs pointer", "pointer of git-lfs",
           text("config.json", "version https://git-lfs.github.com/spec/v1\n")),
    broken("config.json", "a folder", "a folder stands where a file should be", folder_at("config.json")),
    broken("config.json", "a pipe", "neither a file nor a folder", pipe_at("config.json")),
    broken("config.json", "an unknown kind of model", "cannot be used: ValueError",
           with_("config.json", model_type="futuristic"), loads=True),
    broken("config.json", "no kind of model", "cannot be used", text("config.json", "{}"), loads=True),
    broken("config.json", "vectors of another length than the pooling's", "config.json of the module before it they have 16",
           with_("config.json", hidden_size=16)),
    broken("config.json", "vectors of another length than the weights'", "cannot be used",
           all_of(with_("config.json", hidden_size=16), with_("1_Pooling/config.json", word_embedding_dimension=16)),
           loads=True),
    broken("config.json", "heads that do not divide the length", "cannot be used",
           with_("config.json", num_attention_heads=3), loads=True),
    broken("config.json", "10⁶ numbers a vector", "config.json describes",
           all_of(with_("config.json", hidden_size=10**6), with_("1_Pooling/config.json", word_embedding_dimension=10**6)),
           loads=True),
    broken("config.json", "10⁹ numbers between two layers", "config.json describes",
           with_("config.json", intermediate_size=10**9), loads=True),
    broken("config.json", "10¹² tokens", "config.json describes", with_("config.json", vocab_size=10**12), loads=True),
    broken("config.json", "10¹⁰ positions", "config.json describes",
           with_("config.json", max_position_embeddings=10**10), loads=True),
    broken("config.json", "a million layers", "num_hidden_layers is 1,000,000, but the weights are 21 tensors",
           with_("config.json", num_hidden_layers=10**6)),
    broken("config.json", "more layers than weights", "would be drawn at random",
           with_("config.json", num_hidden_layers=2), loads=True),
    broken("config.json", "a negative length", "it pools vectors of 8 numbers, but", with_("config.json", hidden_size=-8)),
    broken("config.json", "a length in words", "cannot be used", with_("config.json", hidden_size="eight"), loads=True),
    broken("config.json", "positions in words", "max_position_embeddings must be a number",
           all_of(with_("config.json", max_position_embeddings="many"), without("sentence_bert_config.json"))),
    broken("config.json", "an adapter beside it", "it holds an adapter, not a whole model",
           text("adapter_config.json", '{"peft_type": "LORA"}')),
    # --- modules
    broken("modules.json", "cut off", "modules.json: not readable as JSON", cut("modules.json", 0.5)),
    broken("modules.json", "an object", "expected a list […], found an object {…}", text("modules.json", "{}")),
    broken("modules.json", "an empty list", "no module in it", text("modules.json", "[]")),
    broken("modules.json", "a module that is a text", "module 0: expected 'path' and 'type'",
           text("modules.json", '["Transformer"]')),
    broken("modules.json", "a path out of the folder", "leads out of the model's folder", module(1, path="../other")),
    broken("modules.json", "an absolute path", "leads out of the model's folder", module(0, path="/etc")),
    broken("modules.json", "a module that there is not", "is not among the classes",
           module(1, type="sentence_transformers.models.Futuristic")),
    broken("modules.json", "a module of sentence-transformers at a wrong place", "cannot be used",
           module(1, type="sentence_transformers.nowhere.Pooling"), loads=True),
    broken("modules.json", "a dense layer without weights", "no .safetensors file",
           module(2, type="sentence_transformers.models.Dense", path="2_Dense")),
    broken("1_Pooling/config.json", "cut off", "config.json: not readable as JSON", cut("1_Pooling/config.json", 0.5)),
    broken("1_Pooling/config.json", "another length than the tokens' vectors", "it pools vectors of 384 numbers, but by the",
           with_("1_Pooling/config.json", word_embedding_dimension=384)),
    broken("1_Pooling/config.json", "a length of 0", "must be a whole number from 1",
           with_("1_Pooling/config.json", word_embedding_dimension=0)),
    broken("1_Pooling/config.json", "an unknown way of pooling", "cannot be used",
           text("1_Pooling/config.json", '{"embedding_dimension": 8, "pooling_mode": "best"}'), loads=True),
    # --- the tokenizer
    broken("tokenizer.json", "missing", "cannot be used", without("tokenizer.json"), loads=True),
    broken("tokenizer.json", "cut off", "cannot be used", cut("tokenizer.json", 0.5), loads=True),
    broken("tokenizer.json", "empty", "cannot be used", text("tokenizer.json", ""), loads=True),
    broken("tokenizer.json", "a list", "cannot be used", text("tokenizer.json", "[]"), loads=True),
    broken("tokenizer.json", "more words than the weights have vectors", "its tokenizer knows token 99, but its weights have vectors of 6 tokens only",
           vocabulary({word: n for n, word in enumerate(WORDS)} | {"heron": 99}), loads=True),
    broken("tokenizer.json", "without a word", "cannot be used", vocabulary({}), loads=True),
    broken("tokenizer_config.json", "cut off", "not readable as JSON", cut("tokenizer_config.json", 0.5)),
    broken("tokenizer_config.json", "a limit in words", "model_max_length must be a number",
           with_("tokenizer_config.json", model_max_length="long")),
    # --- limits and prompts
    broken("sentence_bert_config.json", "a limit of 0 tokens", "max_seq_length must be a whole number from 1",
           with_("sentence_bert_config.json", max_seq_length=0)),
    broken("sentence_bert_config.json", "a limit of -1", "max_seq_length must be a whole number",
           with_("sentence_bert_config.json", max_seq_length=-1)),
    broken("sentence_bert_config.json", "a limit of 16.5", "max_seq_length must be a whole number",
           with_("sentence_bert_config.json", max_seq_length=16.5)),
    broken("sentence_bert_config.json", "a limit of 10¹² tokens", "max_seq_length must be a whole number from 1 to",
           with_("sentence_bert_config.json", max_seq_length=10**12)),
    broken("sentence_bert_config.json", "a limit above the positions", "texts are cut at 33 tokens",
           with_("sentence_bert_config.json", max_seq_length=33), loads=True),
    broken("sentence_bert_config.json", "a list", "expected an object {…}", text("sentence_bert_config.json", "[]")),
    broken("sentence_bert_config.json", "a tokenizer from elsewhere", "it sets how it is to be loaded (tokenizer_name",
           with_("sentence_bert_config.json", tokenizer_name_or_path="/tmp")),
    broken("sentence_bert_config.json", "asks for its own code", "it sets how it is to be loaded (model_args)",
           with_("sentence_bert_config.json", model_args={"trust_remote_code": True})),
    broken("config_sentence_transformers.json", "prompts in a list", "expected prompts by name",
           with_("config_sentence_transformers.json", prompts=["query: "])),
    broken("config_sentence_transformers.json", "a prompt that is a number", "the prompt 'query' is no text",
           with_("config_sentence_transformers.json", prompts={"query": 7})),
    broken("config_sentence_transformers.json", "a default prompt that there is not", "cannot be used",
           with_("config_sentence_transformers.json", default_prompt_name="nobody"), loads=True),
    # --- code
    broken("modules.json", "a class of a file in the folder", "code that comes with a model is not executed",
           all_of(module(1, type="evil.Evil"), code("evil.py"))),
    broken("modules.json", "a function of Python's own", "'os.system' is not among the classes",
           module(1, type="os.system")),
    broken("modules.json", "a class that hides behind the package's name", "is not among the classes",
           all_of(module(1, type="sentence_transformers_evil.Pooling"), code("sentence_transformers_evil.py"))),
    broken("config.json", "an auto_map for an unknown kind of model", "it names code of its own (auto_map: {'AutoConfig'",
           all_of(with_("config.json", model_type="evil", auto_map=AUTO), code("evil.py"))),
    broken("config.json", "an auto_map for a known kind of model", "it names code of its own (auto_map: {'AutoConfig'",
           all_of(with_("config.json", auto_map=AUTO), code("evil.py"))),
    broken("config.json", "an unknown kind of model whose code lies beside it", "cannot be used",
           all_of(with_("config.json", model_type="evil"), code("evil.py"), code("modeling_evil.py")), loads=True),
    broken("tokenizer_config.json", "an auto_map to its own class", "it names code of its own (auto_map: {'AutoTok",
           all_of(with_("tokenizer_config.json", auto_map={"AutoTokenizer": [None, "evil.EvilTokenizer"]},
                        tokenizer_class="EvilTokenizer"), code("evil.py"))),
    Row("tokenizer_config.json", "an unknown class without an auto_map, which is left alone", "accepted", "",
        all_of(with_("tokenizer_config.json", tokenizer_class="EvilTokenizer"), code("evil.py")), model=True),
    broken("config.json", "attention by a kernel from the hub", "is code from the hub, which is not executed",
           with_("config.json", attn_implementation="evil/kernel")),
    broken("2_Dense/pytorch_model.bin", "a pickle as a dense layer's weights", "from safetensors only",
           all_of(module(2, type="sentence_transformers.models.Dense", path="2_Dense"),
                  text("2_Dense/config.json", '{"in_features": 8, "out_features": 8}'),
                  pickled("2_Dense/pytorch_model.bin"))),
)  # fmt: skip


def prepare(row: Row, folder: Path) -> Callable[[], Outcome]:
    """Write a tiny model, broken as the row has it; return its loading and first encoding."""
    name = row.given
    if callable(row.given):
        name = str(folder / "model")
        write_tiny(folder / "model")
        row.given(folder / "model")

    def ask() -> Outcome:
        found = called(lambda: embedlab.load_model(name, "float32").encode(["otter swims", "heron"], "query"))
        assert not (folder / MARKER).exists(), (folder / MARKER).read_text()
        return found

    return ask
