"""A model behind an OpenAI-compatible ``/v1/embeddings``: its vectors without its weights.

Such a service may change its model any day and say nothing. So its identity is made of its answers: a few fixed texts,
the probes, are asked first, and what they get decides which space this is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from embedlab.errors import IdentityError, ModelError, ParameterError, shown
from embedlab.files import loads, read_json, replace_file, sha256_json
from embedlab.models.cache import VectorCache, Vectors
from embedlab.models.chat import AGAIN, LONGEST_PAUSE, OVERHEAD, EndpointError
from embedlab.models.encoder import Kind, encoding_bar, normalize, through_cache
from embedlab.models.identity import EmbeddingIdentity

if TYPE_CHECKING:
    import httpx

SERVED = "served:"
"""How a candidate's name begins that is an address and a model there: ``served:http://127.0.0.1:8000/v1#name``."""

PROBES = (
    "The otter swims across the river at dusk.",
    "How do I reset a forgotten password?",
    "error 0x80070005: access is denied",
    "Der Vertrag endet am 31. Dezember.",
    "Adversaries may dump credentials from memory.",
    "42",
)
"""Texts whose vectors are the identity of a service; never changed, for every kept identity rests on them."""

SAME = 0.999
"""Cosine of a probe, then and now, above which the service is the same: batches change a vector's last digits."""

BATCH = 32
"""Texts a request."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _FaultError(Exception):
    """A failed attempt after which the same request may succeed, and the seconds that the service asks to wait."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class Served:
    """One embedding model of one service.

    Args:
        base_url: such as ``https://api.openai.com/v1`` or ``http://127.0.0.1:8000/v1``.
        model: the service's name of the model.
        cache: folder for vectors and for the probes' answers; None keeps them in memory only.
        budget: at most so many tokens may be sent, those of the probes too.
        key_variable: environment variable with the key; unset for services without one.
        tries: attempts for each request.
        timeout: seconds for one attempt.
        pause: seconds before the second attempt; doubled for each further one.

    Attributes:
        spent: tokens sent so far; of a service that does not say, the most that they can have been.

    Raises:
        ParameterError: if the address is none, or a key would be sent in the open to another machine.
        EndpointError: if the service cannot be reached or refuses.
        IdentityError: if it answers otherwise than when it was first asked with this cache.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        cache: Path | None = None,
        budget: int = 1_000_000,
        key_variable: str = "OPENAI_API_KEY",
        tries: int = 5,
        timeout: float = 60.0,
        pause: float = 1.0,
    ) -> None:
        self.base_url, self.model = base_url.rstrip("/"), model
        self.budget, self.key_variable, self.tries, self.timeout, self.pause = (
            budget,
            key_variable,
            tries,
            timeout,
            pause,
        )
        self.spent = self._width = 0
        self.name = f"{SERVED}{self.base_url}#{model}"
        self._check_address()
        self.probes = self._known_probes(cache)
        self._width = self.probes.shape[1]
        self.identity = _identity(self.name, self.probes)
        self._cache = VectorCache(cache, self.identity.digest)

    def _check_address(self) -> None:
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname or not self.model:
            raise ParameterError(
                f"{shown(self.name)}: expected {SERVED}, an address and the name of a model, such as "
                f"{SERVED}http://127.0.0.1:8000/v1#name"
            )
        if self._key() and address.scheme == "http" and address.hostname not in LOOPBACK:
            raise ParameterError(
                f"{self.base_url}: the key in {self.key_variable} is sent over https or to this machine"
            )

    def _key(self) -> str:
        return os.environ.get(self.key_variable, "")

    # --- identity -------------------------------------------------------------------------

    def _known_probes(self, cache: Path | None) -> Vectors:
        """Return the probes' vectors, those of the first time where they are kept; a changed service is refused."""
        answers = self.encode_uncached(list(PROBES))
        if cache is None:
            return answers
        file = cache / f"served-{sha256_json([self.base_url, self.model])[:16]}.json"
        if not file.exists():
            replace_file(file, json.dumps(answers.tolist()))
            return answers
        first = _read_probes(file)
        self._require_same(first, answers, f"; to begin anew with the new model, delete {file}")
        return first

    def _require_same(self, first: Vectors, answers: Vectors, mend: str) -> None:
        if first.shape != answers.shape:
            found = f"{answers.shape[1]} dimensions, {first.shape[1]} when it was first asked"
        else:
            lowest = float((first * answers).sum(axis=1).min())
            if lowest >= SAME:
                return
            found = f"a cosine of {lowest:.3f} to its first answers, expected {SAME} or more"
        raise IdentityError(
            f"{self.name}: the service answers otherwise than when it was first asked: {found}; its model was changed, "
            f"and vectors of both must not be mixed{mend}"
        )

    def require_unchanged(self) -> None:
        """Ask the probes again; raise an IdentityError where the service has another model by now."""
        self._require_same(self.probes, self.encode_uncached(list(PROBES)), "")

    # --- encoding -------------------------------------------------------------------------

    @property
    def routed(self) -> bool:
        """Whether queries take a route of their own: a service is asked the same way for both."""
        return False

    def prompt(self, kind: Kind) -> str:
        """Return what stands before every text: nothing, for what a service puts there is its own."""
        return ""

    def encode(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return one unit vector a text, float32 ``[len(texts), dimensions]``; each text is asked for once.

        Raises:
            EndpointError: if the service refuses, fails again and again, or the budget does not reach.
            ModelError: if its answer holds no vectors of this space.
        """
        return through_cache(self, self._cache, texts, kind)

    def encode_uncached(self, texts: list[str], kind: Kind = "document") -> Vectors:
        """Return what :meth:`encode` does, the service asked anew."""
        import httpx

        headers = {"Authorization": f"Bearer {self._key()}"} if self._key() else {}
        found = []
        with httpx.Client(headers=headers, timeout=self.timeout) as client, encoding_bar(kind, len(texts)) as bar:
            for start in range(0, len(texts), BATCH):
                batch = texts[start : start + BATCH]
                found.append(self._vectors(self._request(client, batch), len(batch)))
                bar.advance(len(batch))
        if not found:
            return np.empty((0, self._width), dtype=np.float32)
        return normalize(np.concatenate(found))

    def _request(self, client: httpx.Client, texts: list[str]) -> Any:
        """Return the JSON that answers a batch, after as many attempts as it may take."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

        attempts = Retrying(
            stop=stop_after_attempt(self.tries),
            wait=self._wait,
            retry=retry_if_exception_type(_FaultError),
            reraise=True,
        )
        try:
            return attempts(self._attempt, client, texts)
        except _FaultError as fault:
            raise EndpointError(f"{self.base_url}: given up after {self.tries} attempts: {fault}") from None

    def _wait(self, state: Any) -> float:
        doubled = self.pause * 2 ** (state.attempt_number - 1)
        return min(max(doubled, state.outcome.exception().wait), LONGEST_PAUSE)

    def _attempt(self, client: httpx.Client, texts: list[str]) -> Any:
        import httpx

        worst = sum(len(text.encode()) + OVERHEAD for text in texts)  # no tokenizer makes more tokens than bytes
        if self.spent + worst > self.budget:
            raise EndpointError(
                f"{self.base_url}: {self.spent:,} tokens are spent, a batch may take {worst:,} more, and the budget is "
                f"{self.budget:,}: raise it, or leave this candidate out"
            )
        body = {"model": self.model, "input": texts, "encoding_format": "float"}
        try:
            response = client.post(f"{self.base_url}/embeddings", json=body)
        except httpx.HTTPError as error:
            raise _FaultError(f"{type(error).__name__}: {shown(error)}") from error
        if response.status_code == 200:
            return self._counted(response, worst)
        fault = f"status {response.status_code}"
        if response.status_code in AGAIN:
            asked = response.headers.get("retry-after", "")
            raise _FaultError(fault, float(asked) if asked.replace(".", "", 1).isdecimal() else 0.0)
        raise EndpointError(
            f"{self.base_url}: {fault}: {shown(response.text, 200)!r}; is {self.model!r} the name of an embedding "
            f"model there, and the key in {self.key_variable} right?"
        )

    def _counted(self, response: httpx.Response, worst: int) -> Any:
        """Return what a response says, its tokens counted."""
        try:
            data = loads(response.content)
        except (ValueError, RecursionError):
            self.spent += worst
            raise _FaultError(f"no JSON: {shown(response.text, 80)!r}") from None
        usage = data.get("usage") if isinstance(data, dict) else None
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
        self.spent += tokens if isinstance(tokens, int) and tokens >= 0 else worst
        return data

    def _vectors(self, data: Any, count: int) -> Vectors:
        """Return the vectors of one answer in the order of its texts."""
        try:
            rows = sorted(data["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
        except (KeyError, TypeError, ValueError):
            raise ModelError(f"{self.name}: no embeddings in its answer: {shown(data)}") from None
        expected = (count, self._width or vectors.shape[-1])  # the first answer says how many numbers there are
        if vectors.shape != expected or not vectors.size or not np.isfinite(vectors).all():
            raise ModelError(
                f"{self.name}: expected vectors of shape {expected}, all finite numbers, found {vectors.shape}"
            )
        return vectors


def served(name: str, cache: Path | None, budget: int, key_variable: str) -> Served:
    """Return the served model that a candidate's name stands for; raises as :class:`Served` does."""
    base_url, _, model = name.removeprefix(SERVED).partition("#")
    return Served(base_url, model, cache, budget, key_variable)


def _read_probes(file: Path) -> Vectors:
    mend = "delete it: the service is then asked anew"
    try:
        return np.array(read_json(file, list, ModelError, mend), dtype=np.float32).reshape(len(PROBES), -1)
    except (ValueError, TypeError):
        raise ModelError(f"{file}: no vectors of {len(PROBES)} texts; {mend}") from None


def _identity(name: str, probes: Vectors) -> EmbeddingIdentity:
    """Return the identity of a service: of its weights and settings its answers are all that is known."""
    answers = sha256_json(np.round(probes, 3).tolist())
    return EmbeddingIdentity(name, answers, "answers to fixed texts", probes.shape[1], 0, "", "", "as served")
