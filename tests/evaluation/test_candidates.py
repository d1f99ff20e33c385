"""Candidates of a bake-off: how they are named, what they are, and what of them is known."""

from importlib.util import find_spec

import pytest
from embedding_service import Service
from faulty.models import write_tiny
from toy_encoder import DOCUMENTS

from embedlab.evaluation import Source, Suitability, load_candidates, spelled
from embedlab.models import WORDLLAMA

TEXTS = DOCUMENTS.tolist()
FP32 = Source("float32")


def test_todays_model_comes_first_and_each_variant_after_what_computes_it():
    names = ["today@int8", "other@openvino@128@binary", "today"]
    assert spelled(names, "base") == ["base", "base@int8", "other@openvino", "other@openvino@128@binary"]


def test_the_same_candidate_is_tried_once():
    assert spelled(["base", "today", "base@int8", "today@int8"], "base") == ["base", "base@int8"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny(folder)
    (folder / "README.md").write_text("---\nlanguage: de\nlicense: mit\n---\n")
    return str(folder)


@pytest.fixture(scope="module")
def found(tiny):
    names = spelled(["today@int8", "today@4@binary", WORDLLAMA, "no/such-model", "no/such-model@int8"], tiny)
    return load_candidates(names, TEXTS, FP32)


@pytest.mark.model
def test_what_can_be_had_is_loaded_and_of_the_rest_it_is_said_why_not(found, tiny):
    candidates, refused = found
    assert list(candidates) == [tiny, f"{tiny}@int8", f"{tiny}@4@binary", WORDLLAMA]
    assert "neither a folder nor to be had" in refused["no/such-model"]
    assert refused["no/such-model@int8"] == "its model no/such-model cannot be had"


@pytest.mark.model
def test_variants_are_computed_by_their_model_and_cannot_be_trained(found, tiny):
    model, variant = found[0][tiny], found[0][f"{tiny}@4@binary"]
    assert (model.is_variant, model.why_not_base, model.why_not_tuned) == (False, "", "")
    assert variant.is_variant
    assert variant.model is model.encoder
    assert "a form in which vectors are stored" in variant.why_not_base == variant.why_not_tuned
    assert variant.encoder.identity.dimensions == 4
    facts = variant.facts()
    assert (facts["dimensions"], facts["bytes_per_document"]) == (4, 1)
    assert facts["parameters"] == model.facts()["parameters"] == model.encoder.parameters()


@pytest.mark.model
def test_a_table_of_word_vectors_may_go_on_and_is_not_tuned(found):
    words = found[0][WORDLLAMA]
    assert words.why_not_base == ""
    assert words.why_not_tuned == "a table of word vectors is not tuned here"
    facts = words.facts()
    assert (facts["max_tokens"], facts["truncated"]) == ("no limit", 0.0)


@pytest.mark.model
def test_what_the_gates_ask_comes_from_card_and_measurement(found, tiny):
    facts = found[0][tiny].facts() | {"truncated": 0.5}
    known = found[0][tiny].suitability(facts, query_ms=3.0, index_mb=1.0, million_queries=0.1)
    assert (known.languages, known.licence, known.runtime, known.modality) == (("de",), "mit", "torch", "text")
    assert (known.truncated, known.query_ms, known.index_mb, known.million_queries) == (0.5, 3.0, 1.0, 0.1)
    assert known.memory_mb == pytest.approx(4 * found[0][tiny].encoder.parameters() / 1e6)


@pytest.mark.model
def test_the_share_cut_off_is_counted_in_the_models_own_tokens(found, tiny):
    limit = found[0][tiny].model.identity.max_length
    candidates, _ = load_candidates([tiny, f"{tiny}@int8"], ["short", "word " * 2 * limit], FP32)
    for candidate in candidates.values():
        facts = candidate.facts()
        assert (facts["max_tokens"], facts["truncated"]) == (str(limit), 0.5)


@pytest.mark.skipif(find_spec("openvino") is not None, reason="openvino is installed")
@pytest.mark.model
def test_without_openvino_its_row_says_so(tiny):
    candidates, refused = load_candidates(spelled(["today@openvino"], tiny), TEXTS, FP32)
    assert list(candidates) == [tiny]
    assert "openvino is not installed" in refused[f"{tiny}@openvino"]


def test_of_a_served_model_only_its_vectors_are_known(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    service = Service()
    try:
        name = f"served:{service.url}#toy"
        candidates, refused = load_candidates([name, f"{name}@int8", f"{name}@openvino"], TEXTS, FP32)
    finally:
        service.close()
    assert list(candidates) == [name, f"{name}@int8"]
    assert "is a service: OpenVINO runs models whose weights are here" in refused[f"{name}@openvino"]
    one = candidates[name]
    facts = one.facts()
    assert (one.runtime, facts["max_tokens"], facts["truncated"]) == ("service", "not known", None)
    assert one.suitability(facts, 1.0, 1.0, None) == Suitability((), "", "service", 1.0, 1.0)
    assert "nobody here can train" in one.why_not_base == one.why_not_tuned
