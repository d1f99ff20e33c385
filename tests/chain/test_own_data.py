"""A stranger's folder through all 22 steps: no metadata, no dates, no families, few queries."""

import pytest
from conftest import CRANFIELD, PROJECT, needs_cranfield, toy_rows, write_beir
from own_chain import BRIEF, run_all

pytestmark = [pytest.mark.chain, pytest.mark.model]

TOO_LITTLE = {"09": "this collection has none to offer", "19": "without dates", "22": "no dates"}
"""What a step with too little to work with says, in its conclusion."""


def test_a_small_plain_collection_goes_through_all_steps_and_says_what_it_lacks(tmp_path):
    corpus, queries, judgments = toy_rows(80)
    folder = write_beir(tmp_path / "data", corpus, queries, {"test": judgments})
    run = run_all(tmp_path, folder, "plain", BRIEF)
    assert run.verdict["stage"] == "final"
    for number, words in TOO_LITTLE.items():
        assert words in run.conclusions[number].lower(), (number, run.conclusions[number])


@needs_cranfield
@pytest.mark.full
def test_cranfield_ends_in_an_honest_verdict_about_new_queries_over_known_documents(tmp_path):
    path = CRANFIELD.relative_to(PROJECT.parent)
    run = run_all(tmp_path, f"../{path}", "cranfield", {})
    verdict = run.verdict
    assert verdict["claim"] == "new queries over known documents"
    assert verdict["claim"] in run.page
    # Some queries ask for documents that no training row had, too few of them to judge what is gained there.
    assert verdict["unseen_only"]["state"] == "unsettled"
    if verdict["verdict"] == "SHIP":
        assert verdict["ci95"][0] >= verdict["min_gain"]
    for number in ("19", "22"):  # it has no dates; metadata and judged negatives it has
        assert TOO_LITTLE[number] in run.conclusions[number].lower(), (number, run.conclusions[number])
