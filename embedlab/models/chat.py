"""A client of any OpenAI-compatible chat service: parallel, retried, cached on disk, within a budget."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from embedlab.errors import EmbedlabError, ParameterError
from embedlab.files import replace_file, sha256_json
from embedlab.models.cache import PastCache

if TYPE_CHECKING:
    import httpx


AGAIN = {408, 409, 425, 429, 500, 502, 503, 504}
"""Status codes after which the same request may succeed."""

LONGEST_PAUSE = 60.0

OVERHEAD = 64
"""Tokens that a service may add around a prompt."""


_BULLET = re.compile(r"^\s*(?:[-*•]|\d+\s*[.):])\s+")


class EndpointError(EmbedlabError):
    """The service cannot be used, or refuses the request."""


class _FaultError(Exception):
    """A failed attempt: whether another one may follow, and after how many seconds at least."""

    def __init__(self, text: str, again: bool = True, wait: float = 0.0) -> None:
        super().__init__(text)
        self.again = again
        self.wait = wait


@dataclass(frozen=True)
class Reply:
    """An answer; ``complete`` is False where the service cut it at the token limit."""

    text: str
    tokens: int
    complete: bool = True

    def lines(self) -> list[str]:
        """Return the lines of the answer, bullets, numbers and quotes taken off; a cut last line is dropped."""
        lines = self.text.splitlines() if self.complete else self.text.splitlines()[:-1]
        return [_BULLET.sub("", line).strip().strip("\"'“”").strip() for line in lines]


class Completes(Protocol):
    """Any language model that answers prompts: a service, or one on this machine."""

    def complete(self, prompts: Sequence[str]) -> list[Reply | None]:
        """Return the reply to each prompt, None where it failed."""
        ...


@dataclass
class Endpoint(PastCache):
    """One model of one service.

    A reply is kept under the hash of model, prompt and settings, so a stopped run costs nothing
    twice; what lies in the cache counts towards the budget, because it was paid for.

    Attributes:
        base_url: such as ``https://api.openai.com/v1`` or ``http://127.0.0.1:8000/v1``.
        model: the service's name of the model.
        cache: folder of the replies.
        budget: at most so many tokens, prompts and replies together; 0 or more.
        key_variable: environment variable with the key; unset for services without one.
        workers: requests at a time.
        tries: attempts for each request.
        timeout: seconds for one attempt.
        pause: seconds before the second attempt; doubled for each further one.
        spent: tokens of all replies so far, and the most that unreadable ones can have cost.
        requests: attempts so far, those that failed too.
        failures: what went wrong, one text a request that was given up.
    """

    base_url: str
    model: str
    cache: Path
    budget: int
    key_variable: str = "OPENAI_API_KEY"
    workers: int = 8
    tries: int = 5
    timeout: float = 60.0
    pause: float = 1.0
    max_tokens: int = 256
    temperature: float = 0.7
    spent: int = 0
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    _reserved: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname or not self.model:
            raise ParameterError(
                f"expected an address such as http://127.0.0.1:8000/v1 and the name of a model, found "
                f"{self.base_url!r} and {self.model!r}"
            )
        if self._key() and address.scheme == "http" and address.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ParameterError(
                f"{self.base_url}: the key in {self.key_variable} is sent over https or to this machine"
            )

    def _key(self) -> str:
        return os.environ.get(self.key_variable, "")

    def complete(self, prompts: Sequence[str]) -> list[Reply | None]:
        """Return the reply to each prompt, None where it failed or the budget does not reach.

        Prompts go out in order, as many at a time as workers and the rest of the budget allow at their
        worst, so that the same replies always end at the same prompt.

        Raises:
            EndpointError: if the service refuses (a wrong key, an unknown model).
        """
        import httpx

        found: list[Reply | None] = []
        self._reserved = 0
        headers = {"Authorization": f"Bearer {self._key()}"} if self._key() else {}
        with httpx.Client(headers=headers, timeout=self.timeout) as client, ThreadPoolExecutor(self.workers) as pool:
            while wave := self._affordable(prompts[len(found) :]):
                found += pool.map(lambda prompt: self._reply(client, prompt), wave)
        return found + [None] * (len(prompts) - len(found))

    def _affordable(self, prompts: Sequence[str]) -> list[str]:
        """Return the next prompts that the budget surely reaches for, and reserve their worst cost."""
        wave: list[str] = []
        left = self.budget - self.spent
        for prompt in prompts[: self.workers]:
            left -= self._worst(prompt)
            if left < 0:
                break
            self._reserved += self._worst(prompt)
            wave.append(prompt)
        return wave

    def _worst(self, prompt: str) -> int:
        """Return the most tokens that a request can cost: no tokenizer makes more tokens than bytes."""
        return len(prompt.encode()) + OVERHEAD + self.max_tokens

    def _body(self, prompt: str) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def _reply(self, client: httpx.Client, prompt: str) -> Reply | None:
        """Return the reply from the cache or the service, and settle what was reserved for it."""
        body = self._body(prompt)
        file = self.cache / f"{sha256_json(body)[:32]}.json"
        reply = None if self._past_cache else kept_reply(file)
        if reply is None:
            reply = self._request(client, body, self._worst(prompt))
            if reply is not None and not self._past_cache:
                keep_reply(file, reply)
        with self._lock:
            if reply is not None:
                self.spent += reply.tokens
            self._reserved -= self._worst(prompt)
        return reply

    def _charge(self, tokens: int) -> bool:
        """Count what a failed attempt may have cost; return whether the budget reaches for another one."""
        with self._lock:
            self.spent += tokens
            return self.spent + self._reserved <= self.budget

    def _request(self, client: httpx.Client, body: dict[str, Any], worst: int) -> Reply | None:
        """Return the reply, or None after the last attempt; what went wrong there is noted."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        attempts = Retrying(
            stop=stop_after_attempt(self.tries),
            wait=self._wait,
            retry=retry_if_exception(lambda error: isinstance(error, _FaultError) and error.again),
            reraise=True,
        )
        try:
            return attempts(self._attempt, client, body, worst)
        except _FaultError as fault:
            with self._lock:
                self.failures.append(str(fault))
            return None

    def _wait(self, state: Any) -> float:
        """Return the seconds before the next attempt: twice the last ones, or more if the service asks for it."""
        doubled = self.pause * 2 ** (state.attempt_number - 1)
        return min(max(doubled, state.outcome.exception().wait), LONGEST_PAUSE)

    def _attempt(self, client: httpx.Client, body: dict[str, Any], worst: int) -> Reply:
        """Return the reply to one request; a :class:`_FaultError` if the same request may succeed later."""
        import httpx

        with self._lock:
            self.requests += 1
        try:
            response = client.post(f"{self.base_url.rstrip('/')}/chat/completions", json=body)
            if response.status_code == 200:
                return _parsed(response, worst)
        except httpx.ConnectError as error:
            raise _FaultError(f"no connection: {error}") from error
        except (httpx.HTTPError, ValueError) as error:  # it may have been answered, and charged
            raise _FaultError(f"{type(error).__name__}: {error}", again=self._charge(worst)) from error
        fault = f"status {response.status_code}"
        if response.status_code in AGAIN:
            raise _FaultError(fault, wait=_retry_after(response))
        raise EndpointError(
            f"{self.base_url}: {fault}: {response.text[:200]!r}; is {self.model!r} the name of a "
            f"model there, and the key in {self.key_variable} right?"
        )


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.replace(".", "", 1).isdecimal() else 0.0


def _parsed(response: httpx.Response, worst: int) -> Reply:
    """Return what a chat completion says; a ValueError where it is none."""
    try:
        data = response.json()
        choice = data["choices"][0]
        text = choice["message"]["content"]
        complete = choice.get("finish_reason") != "length"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise ValueError(f"no chat completion: {response.text[:80]!r}") from None
    if not isinstance(text, str):
        raise ValueError(f"no text in the reply: {response.text[:80]!r}")
    usage = data.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    if not isinstance(tokens, int):
        tokens = worst  # a service that does not say is charged the most it can have cost
    return Reply(text, tokens, complete)


def kept_reply(file: Path) -> Reply | None:
    """Return a kept reply; a damaged file counts as none."""
    try:
        return Reply(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def keep_reply(file: Path, reply: Reply) -> None:
    """Keep a reply, so that it need not be asked for again."""
    replace_file(file, json.dumps(vars(reply), ensure_ascii=False))
