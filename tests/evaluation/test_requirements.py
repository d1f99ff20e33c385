"""Gates of the base model: what a candidate fails, by what reason, and what cannot be told."""

import pytest

from embedlab.evaluation import Requirements, Suitability, failed_gates, open_gates

KNOWN = Suitability(("en",), "apache-2.0", "torch", 10.0, 100.0, 0.1, 90.0, 1.5)

FAILING = {
    "its card names en, not de": Requirements(languages=["en", "de"]),
    "its licence is apache-2.0, allowed: mit, bsd": Requirements(licences=["mit", "bsd"]),
    "it runs on torch, allowed: service": Requirements(runtimes=["service"]),
    "a query takes 10.0 ms (p95), allowed: 9.0 ms (p95)": Requirements(query_ms=9.0),
    "its index takes 100.0 MB, allowed: 99.0 MB": Requirements(index_mb=99.0),
    "of the documents it cuts off 10.0%, allowed: 5.0%": Requirements(truncated=0.05),
    "its weights take 90 MB, allowed: 80 MB": Requirements(memory_mb=80.0),
    "a million queries cost 1.50, allowed: 1.00": Requirements(million_queries=1.0),
    "it encodes text, not image": Requirements(modality="image"),
}
KEPT = Requirements(["EN"], ["MIT", "Apache-2.0"], ["torch", "openvino"], 10.0, 100.0, 0.1, 90.0, 1.5)


@pytest.mark.parametrize("reason", FAILING)
def test_each_gate_fails_by_itself_with_its_reason(reason):
    assert failed_gates(KNOWN, FAILING[reason]) == [reason]


def test_a_candidate_that_keeps_to_the_limits_passes():
    assert failed_gates(KNOWN, KEPT) == open_gates(KNOWN, KEPT) == []


def test_where_nothing_is_asked_everything_passes():
    assert failed_gates(KNOWN, Requirements()) == open_gates(Suitability(), Requirements()) == []


def test_what_cannot_be_told_is_not_failed_and_is_named():
    unknown = Suitability()
    assert failed_gates(unknown, KEPT) == []
    assert open_gates(unknown, KEPT) == [
        *("languages", "licence"),
        *("query_ms", "index_mb", "truncated", "memory_mb", "million_queries"),
    ]


def test_a_licence_that_the_card_does_not_state_is_none_of_those_allowed():
    said = failed_gates(Suitability(licence="not stated"), Requirements(licences=["mit"]))
    assert said == ["its licence is not stated, allowed: mit"]


@pytest.mark.parametrize("languages", [("multilingual",), ("en-US", "de"), ("De", "EN")])
def test_a_language_is_named_by_its_regions_and_by_models_for_many(languages):
    assert failed_gates(Suitability(languages), Requirements(languages=["en", "de"])) == []


def test_all_that_fails_is_said():
    assert len(failed_gates(KNOWN, Requirements(query_ms=1.0, memory_mb=1.0))) == 2


def test_a_cards_words_are_shown_on_one_line():
    said = failed_gates(Suitability(licence="mit\u202e\nbsd"), Requirements(licences=["mit"]))
    assert said == ["its licence is mit\\u202e\\nbsd, allowed: mit"]
