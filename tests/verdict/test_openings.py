"""Which opening of its test one is, and what of the contract was loosened since the first."""

from dataclasses import asdict, fields, replace

import pytest
from conftest import toy_rows, write_beir
from makers import contract, groups_of, opening

from embedlab.chain import Contract
from embedlab.chain.artifacts.evaluate import Opening
from embedlab.chain.paths import REGISTRY
from embedlab.chain.registry import append, read
from embedlab.data import load_collection
from embedlab.verdict.openings import LOOSER, loosened, standing


@pytest.fixture
def file(tmp_path):
    """A registry that does not exist yet."""
    return tmp_path / REGISTRY


def add(file, weights, run="attack", seed=0, agreed=None, **changes):
    """Register an opening of these weights; returns its line."""
    return append(file, run, seed, agreed or contract(), opening(weights=weights, **changes))


def of(file, line):
    """Return where a line stands in the whole registry."""
    return standing(read(file), line)


# --- which opening of its test ------------------------------------------------------------------


def test_openings_of_one_test_are_counted_up_to_the_own_line(file):
    lines = [add(file, weights) for weights in ("w1", "w2", "w3")]
    assert [of(file, line).opening for line in lines] == [1, 2, 3]
    assert [[entry.number for entry in of(file, line).earlier] for line in lines] == [[], [1], [1, 2]]
    assert of(file, lines[0]).seen == 0
    assert of(file, lines[1]).seen == 10


def test_the_same_weights_as_another_system_are_another_opening(file):
    add(file, "w1")
    assert of(file, add(file, "w1", proposed="dense")).opening == 2


def test_the_same_weights_on_new_judgments_are_another_opening(file):
    add(file, "w1")
    assert of(file, add(file, "w1", judgments="7" * 64)).opening == 2


@pytest.mark.parametrize("change", [{"run": "copy"}, {"agreed": contract(objective="other words")}])
def test_a_copy_and_another_contract_stay_the_opening_that_they_were(file, change):
    add(file, "w1")
    add(file, "w2")
    assert of(file, add(file, "w1", **change)).opening == 1


def test_another_run_or_seed_starts_nothing_anew(file):
    add(file, "w1")
    assert of(file, add(file, "w2", run="another", seed=7)).opening == 2


@pytest.mark.parametrize(("shared", "number"), [(0, 1), (5, 1), (6, 2), (24, 2), (100, 2)])
def test_where_a_part_of_the_groups_was_opened_more_than_one_in_twenty_counts(file, shared, number):
    add(file, "w1", groups=groups_of(range(100)))
    line = add(file, "w2", groups=groups_of(range(100 - shared, 200 - shared)))
    found = of(file, line)
    assert (found.opening, found.seen, found.groups) == (number, shared, 100)
    assert found.fresh_groups == 95


def test_many_openings_that_share_a_little_each_count_together(file):
    for n in range(5):
        add(file, f"w{n}", judgments=str(n) * 64, groups=groups_of(range(4 * n, 4 * n + 4)))
    line = add(file, "w9", judgments="9" * 64, groups=groups_of(range(100)))
    assert (of(file, line).seen, of(file, line).opening) == (20, 6)


def test_one_text_is_enough_to_know_a_group_again(file):
    add(file, "w1", groups=["a b", "c"])
    assert of(file, add(file, "w2", groups=["b d", "e"])).seen == 1


def test_a_small_test_shares_nothing_with_a_fresh_one(file):
    add(file, "w1")
    assert of(file, add(file, "w2", groups=groups_of(range(9, 19)))).opening == 2


def test_another_collection_is_another_test(file):
    add(file, "w1")
    assert of(file, add(file, "w2", groups=groups_of(range(50, 60)))).opening == 1


def test_openings_that_no_line_knows_count_too(file):
    line = add(file, "w1")
    assert standing(read(file), line, unregistered=2).opening == 3


def draw(folder, seed):
    """Return the opening of the test that a seed draws from a folder."""
    return Opening.of(load_collection("beir", path=folder, seed=seed).part("test"), "w1", "pipeline", {}, {})


def test_one_more_document_is_the_same_test(tmp_path, file):
    corpus, queries, judgments = toy_rows()
    more = [*corpus, {"_id": "new", "title": "A new page", "text": "It is about something else altogether."}]
    before = draw(write_beir(tmp_path / "before", corpus, queries, {"test": judgments}), 0)
    after = draw(write_beir(tmp_path / "after", more, queries, {"test": judgments}), 0)
    append(file, "attack", 0, contract(), before)
    line = append(file, "another", 0, contract(), replace(after, weights="w2"))
    assert of(file, line).opening == 2


def test_another_seed_of_one_collection_is_the_same_test(toy, file):
    append(file, "attack", 0, contract(), draw(toy, 0))
    found = of(file, append(file, "attack", 1, contract(), replace(draw(toy, 1), weights="w2")))
    assert 0 < found.seen < found.groups, "the two draws share a part"
    assert found.opening == 2


# --- a contract that asks less than at the first opening ----------------------------------------

AGREED = contract(
    guardrail_slices=["negation"],
    slices=["errors: error"],
    waived=["retention: one domain"],
    languages=["en"],
    licences=["mit", "apache-2.0"],
    runtimes=["torch"],
    most_truncated=0.5,
    memory_budget_mb=100.0,
    million_queries_budget=10.0,
)
OTHER_TERMS = {
    "objective": (None, "find anything"),
    "unit_retrieved": ("passage", None),
    "claim": ("new queries over known documents", None),
    "share_of_new_documents": (0.5, None),
    "shown": (5, None),
    "primary_metric": ("RR@10", None),
    "production": ("bm25", None),
    "proposed": (None, "dense"),
    "min_gain": (0.01, 0.03),
    "tuning_gain": (0.01, 0.03),
    "expected_gain": (None, 0.2),
    "confidence": (0.9, 0.99),
    "guardrail_slices": ([], ["negation", "errors"]),
    "slices": (["errors: .*"], ["errors: error", "more: more"]),
    "slice_tolerance": (0.06, 0.04),
    "smallest_slice": (10, None),
    "retention_tolerance": (0.06, 0.04),
    "retention_path": ("elsewhere", None),
    "retention_documents": (100, None),
    "retention_queries": (100, None),
    "latency_budget_ms": (101.0, 99.0),
    "index_budget_mb": (2001.0, 1999.0),
    "migration_budget": (11.0, 9.0),
    "monthly_budget": (31.0, 29.0),
    "languages": ([], ["en", "de"]),
    "licences": (["mit", "apache-2.0", "gpl-3.0"], ["mit"]),
    "runtimes": (["torch", "service"], None),
    "most_truncated": (0.6, 0.4),
    "memory_budget_mb": (0.0, 50.0),
    "million_queries_budget": (11.0, 9.0),
    "test_openings": (2, None),
    "transductive": (None, False),
    "waived": (["retention: one domain", "monitoring: no dates"], []),
}
"""By term a value that is looser than what was agreed, and one that is not; None where there is none of the kind."""


def test_every_term_of_the_contract_has_a_rule():
    assert list(LOOSER) == [field.name for field in fields(Contract)] == list(OTHER_TERMS)


@pytest.mark.parametrize("term", OTHER_TERMS)
def test_a_term_that_became_looser_is_named_with_both_values_and_a_stricter_one_is_not(term):
    looser, stricter = OTHER_TERMS[term]
    then = asdict(AGREED)
    if looser is not None:
        (found,) = loosened(then, then | {term: looser})
        assert (found.term, found.then, found.now) == (term, then[term], looser)
        assert str(found) == f"{term} was {then[term]!r} and is {looser!r}"
    if stricter is not None:
        assert loosened(then, then | {term: stricter}) == ()


@pytest.mark.parametrize("term", ["licences", "runtimes", "memory_budget_mb", "million_queries_budget"])
def test_what_is_not_asked_any_more_is_looser_and_what_was_not_asked_before_is_not(term):
    nothing = {"licences": [], "runtimes": []}.get(term, 0.0)
    then = asdict(AGREED)
    assert [found.term for found in loosened(then, then | {term: nothing})] == [term]
    assert loosened(then | {term: nothing}, then) == ()


def test_training_on_held_out_texts_that_was_not_allowed_before_is_looser():
    (found,) = loosened(asdict(contract(transductive=False)), asdict(contract()))
    assert found.term == "transductive"


def test_another_reason_for_the_same_waiver_is_not_looser():
    then = asdict(AGREED)
    assert loosened(then, then | {"waived": ["retention: nobody asks"]}) == ()


def test_a_term_without_a_rule_is_looser_where_it_changed_and_one_that_was_not_known_is_left_out():
    assert [found.term for found in loosened({"new": 1}, {"new": 2, "newer": 1})] == ["new"]


def test_the_contract_is_compared_with_that_of_the_first_opening_of_this_test(file):
    add(file, "w1", agreed=contract(min_gain=0.03), groups=groups_of(range(50, 60)))  # another test
    add(file, "w1")
    add(file, "w2", agreed=contract(min_gain=0.01))
    found = of(file, add(file, "w3", agreed=contract(min_gain=0.015)))
    assert (found.first.number, [str(term) for term in found.loosened]) == (2, ["min_gain was 0.02 and is 0.015"])


def test_the_same_weights_under_a_looser_contract_are_noticed(file):
    add(file, "w1")
    found = of(file, add(file, "w1", agreed=contract(min_gain=0.01)))
    assert (found.opening, [term.term for term in found.loosened]) == (1, ["min_gain"])
