"""The client of an OpenAI-compatible service, against a small server of its own; about three seconds."""

import re
import time

import pytest
from chat_service import USAGE

from embedlab.errors import ParameterError
from embedlab.models import Endpoint, EndpointError
from embedlab.trainset.sources.synthetic import prompts, write


def client(server, tmp_path, **values):
    options = {"budget": 100_000, "pause": 0.01, "timeout": 5.0, **values}
    return Endpoint(server.url, "toy", tmp_path / "replies", **options)


PROMPTS = [f"prompt about topic{i} please" for i in range(12)]


def test_prompts_are_answered_in_order_and_in_parallel(serve, tmp_path):
    server = serve()
    replies = client(server, tmp_path, workers=4).complete(PROMPTS)
    assert [re.search(r"topic\d+", r.text)[0] for r in replies] == [f"topic{i}" for i in range(12)]
    assert 2 <= server.most_at_once <= 4


@pytest.mark.parametrize("fault", [429, 500, 503, "slow", "garbage", "other json", "half"])
def test_a_fault_that_passes_is_tried_again(serve, tmp_path, fault):
    server = serve(fault, fault)
    # Beside busy programs even a sound reply may take a while: only what is slow on purpose shall time out.
    service = client(server, tmp_path, **({"timeout": 0.3} if fault == "slow" else {}))
    (reply,) = service.complete(PROMPTS[:1])
    assert reply.text.startswith("1. the first query")
    assert service.failures == []
    assert service.requests == 3 or (fault == "slow" and service.requests > 3)


def test_what_never_passes_is_given_up_and_said(serve, tmp_path):
    server = serve(*[429] * 3)
    service = client(server, tmp_path, tries=3, workers=1)
    assert [r is None for r in service.complete(PROMPTS[:2])] == [True, False]
    assert service.failures == ["status 429"]


@pytest.fixture
def pauses(monkeypatch):
    """The pauses of a second or more, which nobody waits for here."""
    found, sleep = [], time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: found.append(seconds) if seconds >= 1 else sleep(seconds))
    return found


def test_each_pause_is_twice_the_last_up_to_a_minute(serve, tmp_path, pauses):
    server = serve(*[503] * 4)
    service = client(server, tmp_path, pause=10.0)
    assert service.complete(PROMPTS[:1])[0].text.startswith("1. the first query")
    assert pauses == [10, 20, 40, 60]


def test_a_service_that_asks_for_a_longer_pause_gets_it(serve, tmp_path, pauses):
    server = serve(429, 429)
    server.retry_after = "7.5"
    client(server, tmp_path, pause=4.0).complete(PROMPTS[:1])
    assert pauses == [7.5, 8]


def test_nothing_is_awaited_after_the_last_attempt_or_a_refusal(serve, tmp_path, pauses):
    assert client(serve(503), tmp_path, pause=10.0, tries=1).complete(PROMPTS[:1]) == [None]
    with pytest.raises(EndpointError):
        client(serve(401), tmp_path, pause=10.0).complete(PROMPTS[:1])
    assert pauses == []


def test_a_refusal_stops_at_once_and_does_not_show_the_key(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    server = serve(401)
    with pytest.raises(EndpointError, match="status 401") as caught:
        client(server, tmp_path, workers=1).complete(PROMPTS[:1])
    assert server.keys == ["Bearer sk-very-secret"]
    assert "OPENAI_API_KEY right" in str(caught.value)
    assert "sk-very" not in str(caught.value)


def test_no_service_is_told(tmp_path, serve):
    server = serve()
    server.shutdown()
    server.server_close()
    service = client(server, tmp_path, tries=2)
    assert service.complete(PROMPTS[:1]) == [None]
    assert "no connection" in service.failures[0]


def test_a_stopped_run_pays_nothing_twice(serve, tmp_path):
    server = serve()
    first = client(server, tmp_path).complete(PROMPTS[:5])
    again = client(server, tmp_path)
    assert again.complete(PROMPTS)[:5] == first
    assert len(server.seen) == len(PROMPTS)
    assert (again.requests, again.spent) == (7, 12 * USAGE)
    kept = [p.read_text() for p in (tmp_path / "replies").iterdir()]
    assert len(kept) == len(PROMPTS)
    assert not any("Bearer" in text for text in kept)


def test_what_is_timed_is_asked_again_and_not_kept(serve, tmp_path):
    server = serve()
    service = client(server, tmp_path)
    service.complete(PROMPTS[:1])
    with service.past_cache():
        service.complete(PROMPTS[:2])
    assert len(server.seen) == 3
    assert len(list((tmp_path / "replies").iterdir())) == 1
    service.complete(PROMPTS[:1])
    assert len(server.seen) == 3


def test_one_prompt_asked_twice_at_once_is_kept_once(serve, tmp_path):
    replies = client(serve(), tmp_path, workers=8).complete(PROMPTS[:1] * 8)
    assert all(reply is not None for reply in replies)
    assert len(list((tmp_path / "replies").iterdir())) == 1


def test_a_damaged_reply_in_the_cache_is_asked_for_again(serve, tmp_path):
    server = serve()
    client(server, tmp_path).complete(PROMPTS[:1])
    (kept,) = (tmp_path / "replies").iterdir()
    kept.write_text('{"text": "hal')
    assert client(server, tmp_path).complete(PROMPTS[:1])[0].text.startswith("1. the first")
    assert len(server.seen) == 2


@pytest.mark.parametrize("budget", [0, 600, 1500])
def test_the_budget_is_never_exceeded_and_ends_at_the_same_prompt(serve, tmp_path, budget):
    server = serve()
    values = {"budget": budget, "max_tokens": 100}
    replies = client(server, tmp_path, **values).complete(PROMPTS * 4)
    assert len(server.seen) * USAGE <= budget
    assert (budget == 0) == (not server.seen)
    again = client(server, tmp_path, **values)
    assert [r is None for r in again.complete(PROMPTS * 4)] == [r is None for r in replies]


def test_unreadable_answers_count_towards_the_budget(serve, tmp_path):
    server = serve(*["garbage"] * 50)
    service = client(server, tmp_path, budget=2000, tries=50, max_tokens=100)
    assert service.complete(PROMPTS[:4]) == [None] * 4
    assert service.spent <= 2000 + 50
    assert len(server.seen) < 20


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host/v1"])
def test_an_address_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(ParameterError, match="expected an address"):
        Endpoint(url, "toy", tmp_path, 100)


def test_a_key_is_not_sent_in_the_clear(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with pytest.raises(ParameterError, match="over https"):
        Endpoint("http://example.org/v1", "toy", tmp_path, 100)


def test_written_queries_name_their_model_and_half_an_answer_loses_its_last_line(serve, tmp_path):
    server = serve("cut")
    asked = prompts({"d1": "how to log in", "d2": "how to pay"}, 2)
    harvest = write(client(server, tmp_path, workers=1), asked, 2)
    assert [len([e for e in harvest.examples if e.positives == [d]]) for d in ("d1", "d2")] == [1, 2]
    assert all(e.where.startswith("toy, ") and e.kind == "synthetic" for e in harvest.examples)
    assert harvest.notes == ["100 of 100,000 tokens spent"]


def test_documents_without_a_reply_are_counted(serve, tmp_path):
    server = serve(*[503] * 9)
    asked = prompts({"d1": "how to log in", "d2": "how to pay"}, 2)
    harvest = write(client(server, tmp_path, tries=2, workers=1), asked, 2)
    assert "2 of 2 documents have no reply; the last failure: status 503" in harvest.notes[1]
