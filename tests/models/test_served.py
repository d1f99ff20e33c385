"""A served model: its vectors, its identity by its answers, and what it does when the service fails or changes."""

import numpy as np
import pytest
from embedding_service import Service
from toy_encoder import DIMENSIONS, DOCUMENTS, ToyEncoder

from embedlab.errors import EmbedlabError, IdentityError, ModelError, ParameterError
from embedlab.models import EndpointError, Served, served
from embedlab.models.served import PROBES

TEXTS = DOCUMENTS.tolist()


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = Service()
    yield running
    running.close()


def client(service, model="toy", **more):
    return Served(service.url, model, **{"pause": 0.01, **more})


def test_its_vectors_are_the_services_own_at_unit_length_and_in_order(service):
    assert client(service).encode(TEXTS) == pytest.approx(ToyEncoder().encode(TEXTS), abs=1e-6)


def test_each_text_is_asked_for_once_and_in_batches(service, tmp_path):
    one = client(service, cache=tmp_path)
    one.encode([*TEXTS, *TEXTS])
    asked = [text for batch in service.seen for text in batch]
    assert sorted(asked) == sorted([*PROBES, *TEXTS])
    assert len(service.seen) == 1 + 4
    client(service, cache=tmp_path).encode(TEXTS)
    assert len(service.seen) == 1 + 4 + 1, "the next client asks the probes alone"


def test_a_name_says_address_and_model(service):
    found = served(f"served:{service.url}#toy", None, 1000, "OPENAI_API_KEY")
    assert (found.base_url, found.model, found.identity.dimensions) == (service.url, "toy", DIMENSIONS)
    assert found.name == found.identity.name == f"served:{service.url}#toy"


def test_two_services_with_one_model_are_one_space_and_two_models_are_two(service):
    first, again = client(service), client(service)
    first.identity.require(again.identity, "the index")
    service.encoder = ToyEncoder(seed=1)
    with pytest.raises(IdentityError, match="differing: weights"):
        first.identity.require(client(service).identity, "the index")


def test_a_service_that_changed_since_it_was_first_asked_is_refused(service, tmp_path):
    client(service, cache=tmp_path)
    service.encoder = ToyEncoder(seed=1)
    with pytest.raises(IdentityError, match=r"otherwise than when it was first asked: a cosine of .* delete .*served-"):
        client(service, cache=tmp_path)


def test_a_service_that_changes_meanwhile_is_noticed_when_it_is_asked_again(service):
    found = client(service)
    found.require_unchanged()
    service.encoder = ToyEncoder(seed=1)
    with pytest.raises(IdentityError, match="its model was changed"):
        found.require_unchanged()


def test_last_digits_that_differ_are_the_same_service(service, tmp_path):
    first = client(service, cache=tmp_path)
    service.noise = 1e-3
    assert client(service, cache=tmp_path).identity == first.identity


@pytest.mark.parametrize("fault", [429, 503, "<html>a proxy's page</html>"])
def test_what_may_pass_is_tried_again(service, fault):
    service.faults = [fault]
    assert client(service).encode(TEXTS[:1]).shape == (1, DIMENSIONS)


def test_after_the_last_attempt_it_is_given_up(service):
    service.faults = [503] * 3
    with pytest.raises(EndpointError, match="given up after 2 attempts: status 503"):
        client(service, tries=2)


def test_an_unknown_model_is_refused_at_once(service):
    with pytest.raises(EndpointError, match=r"status 404.*is 'other' the name of an embedding model there"):
        client(service, "other")
    assert len(service.keys) == 1


def test_no_service_is_an_error_that_names_it(service):
    service.close()
    with pytest.raises(EmbedlabError, match=f"{service.url}: given up after 1 attempts: Connect"):
        client(service, tries=1)


@pytest.mark.parametrize(
    "answer",
    ['{"data": []}', '{"data": [{"index": 0, "embedding": [1, null]}]}', '{"error": "no"}', "[1]", '{"data": [3]}'],
)
def test_an_answer_without_vectors_is_an_error(service, answer):
    service.faults = [answer]
    with pytest.raises(ModelError, match=f"served:{service.url}#toy: "):
        client(service)


def test_the_budget_is_kept(service):
    found = client(service, budget=1000)
    assert found.spent == 4 * len(PROBES)
    with pytest.raises(EndpointError, match=r"24 tokens are spent, a batch may take .* more, and the budget is 1,000"):
        found.encode(TEXTS)
    assert len(service.seen) == 1, "nothing was sent that might not be paid for"


def test_a_key_goes_to_this_machine_or_over_https(service, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    client(service, key_variable="MY_KEY")
    assert service.keys == ["Bearer secret"]
    with pytest.raises(ParameterError, match="the key in MY_KEY is sent over https or to this machine"):
        Served("http://models.example/v1", "toy", key_variable="MY_KEY")


@pytest.mark.parametrize("name", ["served:127.0.0.1:8000#toy", "served:http://127.0.0.1:1/v1", "served:#toy"])
def test_a_name_without_address_or_model_is_refused(name):
    with pytest.raises(ParameterError, match=r"such as served:http://127.0.0.1:8000/v1#name"):
        served(name, None, 1000, "OPENAI_API_KEY")


def test_no_text_is_no_vector(service):
    assert client(service).encode([]).shape == (0, DIMENSIONS)
    assert np.isfinite(client(service).probes).all()
