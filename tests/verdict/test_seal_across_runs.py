"""The seal holds across runs: what was opened elsewhere counts, and what is not on the record is no verdict."""

import json
import shutil

import pytest
from conftest import embedlab_here, register_opening, registry_of
from makers import WEIGHTS, contract, evaluation, groups_of, opening, settings, training

from embedlab.chain import Store, get_step
from embedlab.chain.registry import read
from embedlab.chain.seal import record
from embedlab.errors import IntegrityError
from embedlab.report.content import caveats
from embedlab.verdict import compute, read_verdict, sentence
from embedlab.verdict.checklist import train_test_separate
from embedlab.verdict.facts import Facts

THREE = contract(test_openings=3)
OTHER = "d" * 64


def check(folder, code):
    """Return what ``embedlab check`` prints of a run that ends with this exit code."""
    done = embedlab_here(folder.parent, "check", str(folder))
    assert done.returncode == code, done.stdout + done.stderr
    return (done.stdout + done.stderr).replace("\n", " ")


def rewrite(folder, change):
    """Register a second opening of another run, then change the list of the registry's lines."""
    register_opening(Store(folder), opening(weights=OTHER), run="another")
    file = registry_of(folder.parent)
    file.write_text("".join(change(file.read_text().splitlines(keepends=True))))


def rescored(weights, **changes):
    """Return what a run hands on that scored other weights."""
    found = (evaluation(model=weights), training(weights=weights), opening(weights=weights, **changes))
    return (*found, contract(test_openings=3))


# --- the registry is tampered with --------------------------------------------------------------


def test_a_registry_that_was_deleted_is_no_verdict(finish):
    folder = finish()
    registry_of(folder.parent).unlink()
    said = check(folder, 3)
    assert f"(weights {WEIGHTS[:12]} as pipeline) is not registered in" in said
    assert "EMBEDLAB_REGISTRY" in said


def test_a_registry_that_was_deleted_and_begun_anew_is_no_verdict(finish):
    folder = finish(THREE)
    file = registry_of(folder.parent)
    file.unlink()
    register_opening(Store(folder), opening(weights=OTHER), run="another")
    register_opening(Store(folder), opening())
    assert "is not the registry that" in check(folder, 3)


def test_a_registry_that_was_edited_is_no_verdict_and_its_line_is_named(finish):
    folder = finish()
    rewrite(folder, lambda rows: [rows[0].replace('"seed": 0', '"seed": 1'), *rows[1:]])
    assert "is broken in line 1: it was edited" in check(folder, 3)


def test_a_registry_that_was_reordered_is_no_verdict_and_its_line_is_named(finish):
    folder = finish()
    rewrite(folder, lambda rows: rows[::-1])
    assert "is broken in line 1: it does not follow the line before it" in check(folder, 3)


def test_an_untouched_registry_is_a_verdict_whatever_others_register_later(finish):
    folder = finish()
    rewrite(folder, lambda rows: rows)
    assert read_verdict(folder)["registry"]["opening"] == 1
    assert "opening 1 of 1 of this test" in check(folder, 0)


# --- the run is made to look like another -------------------------------------------------------


@pytest.mark.parametrize("move", [shutil.copytree, shutil.move], ids=["copied", "renamed"])
def test_a_run_folder_that_was_copied_or_renamed_is_no_verdict_and_the_run_is_named(finish, move):
    folder = finish()
    mine = folder.with_name("mine")
    move(folder, mine)
    said = check(mine, 3)
    assert "is registered by run trial with seed 0 (line 1): this folder is a copy of that run" in said
    assert "--set run=mine --only 15 --force" in said


def test_a_copy_that_is_registered_under_its_own_name_stays_the_opening_that_it_was(finish):
    folder = finish(THREE)
    mine = folder.with_name("mine")
    shutil.copytree(folder, mine)
    register_opening(Store(mine), opening())
    (mine / "verdict.json").write_text(json.dumps(compute(Store(mine))))
    assert read_verdict(mine)["registry"]["opening"] == 1
    assert "opening 1 of 3 of this test" in check(mine, 0)


def test_a_copy_that_scores_other_weights_is_the_next_opening(finish):
    finish(THREE)
    mine = finish(*rescored(OTHER), run="mine")
    assert "opening 2 of 3 of this test" in check(mine, 0)


def test_a_changed_seed_is_no_verdict_and_scored_again_the_next_opening_of_what_it_shares(finish):
    folder = finish(THREE)
    params = folder / "params.yaml"
    params.write_text(params.read_text() + "seed: 1\n")
    assert "parameter seed changed" in check(folder, 3)
    params.write_text(params.read_text().replace("seed: 1\n", ""))
    drawn = {"groups": groups_of(range(8, 18)), "judgments": "7" * 64}  # shares two groups of ten
    finish(*rescored(OTHER, **drawn), settings(seed=1), seed=1, run="seed1")
    folder = finish(*rescored("e" * 64), contract(test_openings=2), run="third")
    said = check(folder, 1)
    assert "seal: this is opening 3 of this test, 2 allowed; before it came run trial with seed 0 (line 1); " in said
    assert "run seed1 with seed 1 (line 2); a fresh test of this size takes 10 new groups" in said


def test_one_document_more_is_no_verdict_and_scored_again_the_next_opening(finish, toy):
    folder = finish(THREE, source="beir", path=str(toy))
    with (toy / "corpus.jsonl").open("a") as corpus:
        corpus.write('{"_id": "new", "title": "", "text": "one more"}\n')
    assert "what path holds changed" in check(folder, 3)
    again = finish(*rescored(OTHER), source="beir", path=str(toy), run="again")
    assert "opening 2 of 3 of this test" in check(again, 0)


# --- the contract is loosened -------------------------------------------------------------------


def test_a_contract_that_was_loosened_afterwards_is_inconclusive_and_named_term_by_term(finish):
    finish(THREE)
    looser = contract(test_openings=3, min_gain=0.01, waived=["retention: one domain"])
    folder = finish(looser, run="later")
    said = check(folder, 2)
    assert "contract: loosened since the first opening of this test (run trial, line 1 of the registry): " in said
    assert "min_gain was 0.02 and is 0.01; waived was [] and is ['retention: one domain']" in said
    assert read_verdict(folder)["registry"]["loosened"] == [
        {"term": "min_gain", "then": 0.02, "now": 0.01},
        {"term": "waived", "then": [], "now": ["retention: one domain"]},
    ]


def test_a_looser_contract_in_the_same_run_on_the_same_weights_is_noticed_too(make):
    assert make()["verdict"] == "SHIP"
    verdict = make(contract(min_gain=0.01))
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert "min_gain was 0.02 and is 0.01; agree to what was agreed then; or a fresh test" in verdict["unsettled"][0]


def test_a_stricter_contract_ships(make):
    make()
    assert make(contract(min_gain=0.03))["verdict"] == "SHIP"


def test_a_loosened_contract_is_waived_by_nobody_and_turns_no_other_verdict(make, store):
    make()
    register_opening(store, opening(), min_gain=0.01)
    blocked = make(contract(min_gain=0.01), training(kept="base"))
    assert (blocked["verdict"], len(blocked["unsettled"])) == ("DO_NOT_SHIP", 1)


# --- what is counted ----------------------------------------------------------------------------


def test_the_last_opening_allowed_ships_and_one_more_blocks(make):
    assert make(THREE, openings=("b" * 64, "c" * 64, WEIGHTS))["verdict"] == "SHIP"


def test_one_opening_too_many_says_how_many_new_groups_a_fresh_test_takes(make):
    verdict = make(contract(test_openings=2), openings=("b" * 64, "c" * 64, WEIGHTS))
    (reason,) = verdict["blocked_by"]
    assert reason.startswith("seal: this is opening 3 of this test, 2 allowed; before it came run trial")
    assert reason.endswith("a fresh test of this size takes 10 new groups, which no opening has seen")
    assert "opening 3 of this test, 2 allowed" in sentence(verdict)


def test_weights_that_the_runs_own_ledger_knows_and_nobody_registered_count(make, store):
    make(THREE)
    for number in "bcd":
        record(store, get_step("15"), f"key {number}", "score", "opening", [number * 64])
    verdict = compute(store)
    assert verdict["registry"]["opening"] == 4
    assert "before it came 3 in this run that the registry does not know" in verdict["blocked_by"][0]


def test_the_verdict_says_where_it_stands_in_the_registry(make, store):
    verdict = make(THREE, openings=("b" * 64, WEIGHTS))
    line = read(registry_of(store.folder.parent))[1]
    assert verdict["registry"] == {
        "opening": 2,
        "allowed": 3,
        "groups": 10,
        "seen": 10,
        "earlier": [1],
        "line": 2,
        "hash": line.hash,
        "loosened": [],
    }
    assert "Opening 2 of 3 of this test." in caveats(verdict)


def test_a_verdict_edited_to_be_an_earlier_opening_is_not_believed(finish):
    folder = finish()
    path = folder / "verdict.json"
    verdict = json.loads(path.read_text())
    verdict["registry"]["opening"] = 0
    path.write_text(json.dumps(verdict))
    check(folder, 3)


def test_a_proposal_that_was_not_the_one_registered_is_no_verdict(finish):
    assert "as dense) is not what step 15 wrote for the registry" in refused(finish, contract(proposed="dense"))


def test_weights_that_were_not_the_ones_registered_are_no_verdict(finish):
    assert "is not what step 15 wrote for the registry" in refused(finish, evaluation(model=OTHER))


def refused(finish, changed):
    """Return why a run whose artifacts do not belong together has no verdict."""
    with pytest.raises(IntegrityError) as error:
        finish(changed)
    return str(error.value)


def test_before_step_15_nothing_is_opened(make, store):
    make()
    passed, evidence = train_test_separate(Facts(store, "14"))
    assert passed is True
    assert evidence.endswith("the seal is whole (not opened yet)")


def test_a_verdict_as_of_an_earlier_step_says_the_same_of_the_registry(make, store):
    verdict = make()
    assert compute(store, "15")["registry"] == verdict["registry"]
