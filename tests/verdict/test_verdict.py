"""The verdict, its checklist and the mistakes: every rule is broken on purpose and seen to turn."""

import copy

import pytest

from embedlab.chain import get_step
from embedlab.chain.seal import record
from embedlab.cli import EXIT_OF
from embedlab.files import sha256_file
from embedlab.verdict import compute, sentence
from embedlab.verdict.words import SUCCESS

WEIGHTS = "a" * 64

GOOD = {
    ("01", "contract.json"): {
        "objective": "find the technique",
        "generalize_to": "new queries and new documents",
        "transductive": True,
        "min_gain": 0.02,
        "primary_metric": "nDCG@10",
        "slice_tolerance": 0.05,
        "index_budget_mb": 10.0,
        "migration_budget": 10.0,
        "monthly_budget": 30.0,
        "test_openings": 1,
        "hash": "c0ffee",
    },
    ("01", "settings.json"): {"documents": 839},
    ("15", "prices.json"): {
        "production_documents": 1_000_000,
        "monthly_queries": 100_000,
        "monthly_labels": 10,
        "old_index_days": 30,
        "machine_price": 0.5,
        "storage_price": 0.25,
        "label_price": 0.5,
    },
    ("03", "choice.json"): {"model": "base", "identity": {"dimensions": 384}},
    ("02", "summary.json"): {"conclusion": "", "figures": {"passages_gain": 0.01}},
    ("04", "eval_set.json"): {},
    ("05", "baseline.json"): {"metric": "nDCG@10", "test": {"base": 0.4}},
    ("13", "leakage.json"): {"total": 0},
    ("14", "training.json"): {
        "hard_negatives": 4,
        "loss": "mnr_hard",
        "weights": WEIGHTS,
        "kept": "tuned",
        "validation": {"n_queries": 90},
    },
    ("15", "evaluation.json"): {
        "comparison": {
            "verdict": "SHIP",
            "metric": "nDCG@10",
            "n_queries": 200,
            "n_groups": 40,
            "baseline": 0.4,
            "candidate": 0.5,
            "delta": 0.1,
            "ci95": [0.06, 0.14],
            "p_value": 0.0001,
            "queries_needed": 50,
        },
        "versus_hybrid": {"delta": 0.05, "ci95": [0.01, 0.09]},
        "unseen_only": {"baseline": 0.5, "tuned": 0.6, "delta": 0.1, "ci95": [0.05, 0.15]},
        "retention": {
            "set": "hpo",
            "metric": "nDCG@10",
            "queries": 300,
            "delta": 0.01,
            "ci95": [-0.01, 0.03],
            "tolerance": 0.05,
        },
        "slices": [
            {
                "slice": "negation",
                "guardrail": True,
                "delta": 0.0,
                "low": -0.04,
                "high": 0.06,
                "queries": 30,
                "state": "held",
            }
        ],
        "concentration": {
            "improved": 0.6,
            "hurt": 0.1,
            "without_best_slice": {"name": "matrix=mobile", "delta": 0.08, "ci": [0.04, 0.12]},
            "without_best_group": {"name": "group g1", "delta": 0.09, "ci": [0.05, 0.13]},
            "narrow": [],
        },
        "dev_gain": 0.1,
    },
    ("16", "changes.json"): {"gained": 20, "lost": 5, "judged": 6, "judged_better": 5, "judged_worse": 1},
    ("17", "reembedding.json"): {"identity": {"weights": WEIGHTS}, "index_mb": 1.2, "mb_per_million": 1536.0},
    ("18", "pipeline.json"): {"delta": 0.08, "ci95": [0.04, 0.12], "passed": True},
    ("19", "shadow.json"): {"passed": True},
    ("20", "reindex.json"): {"passed": True, "rollback_kept": True, "documents": 839},
    ("21", "rollout.json"): {"passed": True, "rollback_drill": True},
    ("22", "drift.json"): {"passed": True, "reason": "thresholds stated", "retrain": False},
}

DECIDED = {"03": {"speed": {"base": [50.0, 0.005]}}, "17": {"documents per second": 100.0}}
"""What the steps wrote down of measured speeds: documents a second, and seconds a query."""


def decide_and_open(store, openings):
    """Write the measured decisions, and an opening of the test for each set of weights."""
    for step, decided in DECIDED.items():
        store.write(f"artifacts/{get_step(step).name}/decisions.json", {"key": "key", **decided})
    for number, weights in enumerate(openings):
        record(store, get_step("15"), f"key{number}", "score", "opening", [weights])


@pytest.fixture
def make(store):
    """Write a run whose artifacts are the good ones with changes: {(step, name): {key: value} or None}."""

    def write(changes=None, openings=(WEIGHTS,)):
        artifacts = copy.deepcopy(GOOD)
        for place, change in (changes or {}).items():
            if change is None:
                del artifacts[place]
            else:
                artifacts[place].update(change)
        outputs = {}
        path = "artifacts/01_define_problem/qrels_test.parquet"
        outputs.setdefault("01", {})[path] = store.write(path, b"judgments")
        if ("04", "eval_set.json") in artifacts:
            artifacts["04", "eval_set.json"] = {"seal": sha256_file(store.folder / path)}
        for (step, name), value in artifacts.items():
            path = f"artifacts/{get_step(step).name}/{name}"
            outputs.setdefault(step, {})[path] = store.write(path, value)
        for step, found in outputs.items():
            store.finish(get_step(step), "key", 1.0, found)
        decide_and_open(store, openings)
        return compute(store)

    return write


def item(verdict, key, name):
    value = "passed" if key == "checklist" else "present"
    return next(i[value] for i in verdict[key] if i["id"] == name)


def test_a_good_run_ships_with_a_green_list_and_no_mistake(make):
    verdict = make()
    assert verdict["verdict"] == "SHIP"
    assert verdict["stage"] == "final"
    assert {i["passed"] for i in verdict["checklist"]} == {True}
    assert {i["present"] for i in verdict["mistakes"]} == {False}
    assert "+0.100" in sentence(verdict)


RED = [
    ("objective_clear", {("01", "contract.json"): {"objective": " "}}),
    ("baseline_recorded", {("05", "baseline.json"): None}),
    ("train_test_separate", {("13", "leakage.json"): {"total": 3}}),
    ("hard_negatives_included", {("14", "training.json"): {"hard_negatives": 0}}),
    ("review_fewer_failures", {("16", "changes.json"): {"judged_better": 1, "judged_worse": 5}}),
    ("pipeline_tested", {("18", "pipeline.json"): {"passed": False}}),
    ("reindexing_planned", {("20", "reindex.json"): {"passed": False}}),
    ("rollback_available", {("21", "rollout.json"): {"rollback_drill": False}}),
    ("monitoring_ready", {("22", "drift.json"): {"passed": False}}),
]


@pytest.mark.parametrize(("name", "changes"), RED, ids=[name for name, _ in RED])
def test_a_checklist_item_turns_red_when_what_it_stands_on_goes(make, name, changes):
    assert item(make(changes), "checklist", name) is False


def test_an_interval_that_reaches_zero_turns_the_held_out_item_red(make):
    comparison = GOOD["15", "evaluation.json"]["comparison"] | {"ci95": [-0.01, 0.2], "verdict": "INCONCLUSIVE"}
    verdict = make({("15", "evaluation.json"): {"comparison": comparison}})
    assert item(verdict, "checklist", "heldout_improves") is False
    assert verdict["verdict"] == "INCONCLUSIVE"


def test_what_cannot_be_told_is_neither_green_nor_blocking(make):
    verdict = make({("16", "changes.json"): {"judged": 0}, ("22", "drift.json"): {"passed": None}})
    assert item(verdict, "checklist", "review_fewer_failures") is None
    assert item(verdict, "checklist", "monitoring_ready") is None
    assert verdict["verdict"] == "SHIP"


UNMEASURED = GOOD["15", "evaluation.json"]["comparison"] | {"n_queries": 0}
MADE = [
    ("training_without_baseline", {("05", "baseline.json"): None}, "no baseline", "05_"),
    ("same_examples_for_training_and_evaluation", {("13", "leakage.json"): {"total": 1}}, "1 leaks", "13_"),
    ("no_hard_negatives", {("14", "training.json"): {"hard_negatives": 0}}, "up to 0 mined", "14_"),
    (
        "fine_tuning_to_fix_chunking",
        {("02", "summary.json"): {"figures": {"passages_gain": 0.2}}},
        "passages +0.200 against tuning +0.100",
        "02_",
    ),
    ("ignoring_hybrid_search_and_filters", {("02", "summary.json"): None}, "step 02 has not run", "15_"),
    (
        "mixing_old_and_new_embeddings",
        {("17", "reembedding.json"): {"identity": {"weights": "b" * 64}}},
        "index stamped bbbbbbbbbbbb, tuned model aaaaaaaaaaaa",
        "17_",
    ),
    ("reindexing_without_rollback", {("20", "reindex.json"): {"rollback_kept": False}}, "NOT kept", "20_"),
    (
        "shipping_on_training_loss_alone",
        {("15", "evaluation.json"): {"comparison": UNMEASURED}},
        "0 held-out queries",
        "15_",
    ),
    (
        "shipping_on_training_loss_alone",
        {("14", "training.json"): {"validation": None}},
        "0 validation queries",
        "15_",
    ),
]


@pytest.mark.parametrize(("name", "changes", "evidence", "artifact"), MADE, ids=[f"{m[0]}-{m[2]}" for m in MADE])
def test_each_common_mistake_is_caught_by_name_with_its_evidence(make, name, changes, evidence, artifact):
    (found,) = [m for m in make(changes)["mistakes"] if m["id"] == name]
    assert found["present"] is True
    assert evidence in found["evidence"]
    assert found["artifact"].startswith(f"artifacts/{artifact}")


def test_only_the_planted_mistake_and_what_follows_from_it_is_present(make):
    verdict = make({("20", "reindex.json"): {"rollback_kept": False}})
    assert [m["id"] for m in verdict["mistakes"] if m["present"]] == ["reindexing_without_rollback"]


STANDS_ON = {
    "objective_clear": ("01", "contract.json"),
    "baseline_recorded": ("05", "baseline.json"),
    "train_test_separate": ("13", "leakage.json"),
    "hard_negatives_included": ("14", "training.json"),
    "heldout_improves": ("15", "evaluation.json"),
    "review_fewer_failures": ("16", "changes.json"),
    "pipeline_tested": ("18", "pipeline.json"),
    "reindexing_planned": ("20", "reindex.json"),
    "rollback_available": ("21", "rollout.json"),
    "monitoring_ready": ("22", "drift.json"),
}


@pytest.mark.parametrize("name", STANDS_ON)
def test_a_checklist_item_without_its_artifact_is_never_green(make, store, name):
    from embedlab.verdict.checklist import checklist
    from embedlab.verdict.facts import Facts

    make()
    step, file = STANDS_ON[name]
    path = f"artifacts/{get_step(step).name}/{file}"
    store.update(step, outputs=[o for o in store.entry(step)["outputs"] if o["path"] != path])
    (found,) = [i for i in checklist(Facts(store)) if i["id"] == name]
    assert found["passed"] is not True
    assert found["artifact"] == path


def test_a_checklist_without_any_step_has_no_green_item(store):
    from embedlab.verdict.checklist import checklist
    from embedlab.verdict.facts import Facts
    from embedlab.verdict.mistakes import mistakes

    items, made = checklist(Facts(store)), mistakes(Facts(store))
    assert (len(items), len(made)) == (10, 8)
    assert [i["id"] for i in items if i["passed"] is True] == []
    assert [m["id"] for m in made if m["present"] is False] == []


LOST = {"slice": "negation", "guardrail": True, "delta": -0.2, "low": -0.3, "high": -0.1, "queries": 30}
FALSE_GAIN = {"baseline": 0.5, "tuned": 0.5, "delta": 0.0, "ci95": [-0.01, 0.01]}
FORGOTTEN = GOOD["15", "evaluation.json"]["retention"] | {"delta": -0.2, "ci95": [-0.25, -0.15]}
BLOCKS = [
    ("retention: on 300 queries of hpo", {("15", "evaluation.json"): {"retention": FORGOTTEN}}),
    ("guardrail slice negation", {("15", "evaluation.json"): {"slices": [LOST | {"state": "lost"}]}}),
    ("unseen documents", {("15", "evaluation.json"): {"unseen_only": FALSE_GAIN}}),
    ("seal: step 04 has not sealed", {("04", "eval_set.json"): None}),
    ("migration cost: 1.77, 1.00 allowed", {("01", "contract.json"): {"migration_budget": 1.0}}),
    ("monthly cost: 5.45, 5.00 allowed", {("01", "contract.json"): {"monthly_budget": 5.0}}),
    ("index size", {("17", "reembedding.json"): {"index_mb": 11.0}}),
    ("end-to-end", {("18", "pipeline.json"): {"passed": False, "reason": "no gain end-to-end"}}),
    ("shadow", {("19", "shadow.json"): {"passed": False, "reason": "shadow differs"}}),
    ("re-indexing", {("20", "reindex.json"): {"passed": False, "reason": "count differs"}}),
    ("rollout", {("21", "rollout.json"): {"passed": False, "reason": "errors at 25 %"}}),
]


@pytest.mark.parametrize(("what", "changes"), BLOCKS, ids=[what for what, _ in BLOCKS])
def test_what_blocks_is_named_and_never_ships(make, what, changes):
    verdict = make(changes)
    assert verdict["verdict"] == "DO_NOT_SHIP"
    assert any(what in reason for reason in verdict["blocked_by"])
    assert what in sentence(verdict)


def test_a_gain_that_is_unsure_on_unseen_documents_is_inconclusive(make):
    unsure = {"baseline": 0.5, "tuned": 0.55, "delta": 0.05, "ci95": [-0.02, 0.12]}
    assert make({("15", "evaluation.json"): {"unseen_only": unsure}})["verdict"] == "INCONCLUSIVE"


def with_retention(make, **changes):
    return make({("15", "evaluation.json"): {"retention": GOOD["15", "evaluation.json"]["retention"] | changes}})


def test_the_verdict_carries_the_change_on_the_retention_set(make):
    assert make()["retention_delta"] == 0.01
    assert "retention" not in sentence(make())


def test_a_retention_interval_that_is_merely_too_wide_is_said_and_does_not_block(make):
    verdict = with_retention(make, delta=-0.02, ci95=[-0.09, 0.05])
    assert (verdict["verdict"], verdict["blocked_by"]) == ("SHIP", [])
    assert "hpo, another domain, nDCG@10 changes by -0.020 [-0.090, +0.050], not surely within" in sentence(verdict)


@pytest.mark.parametrize(("tolerance", "found"), [(0.05, "SHIP"), (0.049, "DO_NOT_SHIP")])
def test_a_loss_blocks_from_where_its_whole_interval_lies_beyond_the_tolerance(make, tolerance, found):
    assert with_retention(make, ci95=[-0.1, -0.05], tolerance=tolerance)["verdict"] == found


def test_no_retention_set_is_no_number_and_no_block(make):
    verdict = make({("15", "evaluation.json"): {"retention": None}})
    assert (verdict["verdict"], verdict["retention_delta"], verdict["retention"]) == ("SHIP", None, None)


def test_one_opening_too_many_blocks(make):
    verdict = make(openings=(WEIGHTS, "d" * 64))
    assert verdict["verdict"] == "DO_NOT_SHIP"
    assert item(verdict, "checklist", "train_test_separate") is False


def test_changed_test_judgments_block(make, store):
    make()
    (store.folder / "artifacts/01_define_problem/qrels_test.parquet").write_bytes(b"others")
    verdict = compute(store)
    assert verdict["verdict"] == "DO_NOT_SHIP"
    assert "seal" in verdict["blocked_by"][0]


def test_openings_by_a_step_without_a_right_to_it_block_and_turn_the_item_red(make, store):
    make()
    record(store, get_step("11"), "key", "forged", "opening", [])
    verdict = compute(store)
    assert verdict["blocked_by"] == ["seal: opened by step 11, which has no right to it"]
    assert item(verdict, "checklist", "train_test_separate") is False


@pytest.mark.parametrize(
    ("ci95", "min_gain", "expected"),
    [
        ([0.0, 0.0199], 0.02, "DO_NOT_SHIP"),
        ([0.0, 0.02], 0.02, "SHIP"),
        ([-0.01, 0.0], 0.0, "DO_NOT_SHIP"),
        ([-0.01, 0.001], 0.0, "INCONCLUSIVE"),
        ([-0.02, 0.1], -0.02, "SHIP"),
        ([-0.03, 0.1], -0.02, "INCONCLUSIVE"),
        ([-0.1, -0.03], -0.02, "DO_NOT_SHIP"),
    ],
)
def test_the_unseen_only_check_blocks_by_its_upper_end_and_doubts_by_its_lower(make, ci95, min_gain, expected):
    unseen = {"baseline": 0.5, "tuned": 0.5, "delta": sum(ci95) / 2, "ci95": ci95}
    changes = {("15", "evaluation.json"): {"unseen_only": unseen}, ("01", "contract.json"): {"min_gain": min_gain}}
    assert make(changes)["verdict"] == expected


def test_where_documents_are_known_there_is_no_unseen_only_check(make):
    verdict = make({("15", "evaluation.json"): {"unseen_only": None}})
    assert (verdict["verdict"], verdict["unseen_only"]) == ("SHIP", None)


def test_a_guardrail_that_is_too_small_to_tell_says_so_and_does_not_block(make):
    small = {"slice": "negation", "guardrail": True, "delta": None, "low": None, "high": None, "queries": 3}
    verdict = make({("15", "evaluation.json"): {"slices": [small | {"state": "too small to tell"}]}})
    assert verdict["verdict"] == "SHIP"
    assert "Too small to tell whether it got worse: negation." in sentence(verdict)


def test_a_narrow_gain_is_said_in_the_sentence(make):
    narrow = GOOD["15", "evaluation.json"]["concentration"] | {"narrow": ["matrix=mobile"]}
    text = sentence(make({("15", "evaluation.json"): {"concentration": narrow}}))
    assert "The gain is narrow: without matrix=mobile it may be below the minimum." in text
    assert "narrow" not in sentence(make())


def test_the_sentence_is_made_from_the_numbers(make):
    assert sentence(make()) == (
        "SHIP: on 200 sealed queries in 40 groups nDCG@10 goes from 0.400 to 0.500, +0.100 with 95 % interval "
        "[+0.060, +0.140]; at least +0.020 was asked for (new queries and new documents); against hybrid search with "
        "the base model +0.050 [+0.010, +0.090]; 60% of the queries get better and 10% worse; re-embedding 1,000,000 "
        "documents takes 2.8 hours; it costs 1.77 once, the old index kept 30 days, and 5.45 a month."
    )


def test_where_held_out_texts_may_not_train_the_unseen_check_is_said_to_carry_the_comparison(make):
    closed = {("01", "contract.json"): {"transductive": False}}
    unseen = {"baseline": 0.5, "tuned": 0.6, "delta": 0.1, "ci95": [0.04, 0.16]}
    text = sentence(make(closed | {("15", "evaluation.json"): {"unseen_only": unseen}}))
    assert "so the check among unseen documents carries the comparison: +0.100 there [+0.040, +0.160]." in text
    assert "was not made" in sentence(make(closed | {("15", "evaluation.json"): {"unseen_only": None}}))
    assert "carries the comparison" not in sentence(make())


def test_another_confidence_says_which_interval_decides(make):
    text = sentence(make({("15", "evaluation.json"): {"ci": [0.07, 0.13]}}))
    assert "by the contract's confidence [+0.070, +0.130] decides" in text


def test_the_price_counts_encoding_both_indexes_storage_serving_and_labels(make):
    costs = make()["price"]
    hours, gb = 1_000_000 / 100 / 3600, 1.536
    assert costs["hours"] == pytest.approx(hours)
    assert costs["both_indexes_gb"] == pytest.approx(2 * gb)
    assert costs["migration"] == pytest.approx(hours * 0.5 + gb * 0.25)
    assert costs["monthly"] == pytest.approx(gb * 0.25 + 100_000 * 0.005 / 3600 * 0.5 + 10 * 0.5)


def test_before_step_17_the_price_rests_on_what_step_03_measured(make, store):
    make()
    costs = compute(store, "15")["price"]
    assert costs["hours"] == pytest.approx(1_000_000 / 50 / 3600)
    assert costs["index_gb"] == pytest.approx(384 * 4 * 1e6 / 1e9)


def test_without_a_measured_speed_a_cost_is_unknown_and_breaks_no_budget(make, store):
    make({("01", "contract.json"): {"migration_budget": 0.0, "monthly_budget": 0.0}})
    for step in DECIDED:
        store.write(
            f"artifacts/{get_step(step).name}/decisions.json", {"key": "an older key", "speed": {"base": [1, 1]}}
        )
    verdict = compute(store)
    assert (verdict["price"]["migration"], verdict["price"]["monthly"]) == (None, None)
    assert verdict["verdict"] == "SHIP"


def test_this_collections_documents_are_priced_where_production_is_not_given(make):
    prices = GOOD["15", "prices.json"] | {"production_documents": 0}
    assert make({("15", "prices.json"): prices})["price"]["documents"] == 839


NO_GAIN = GOOD["15", "evaluation.json"]["comparison"] | {
    "verdict": "DO_NOT_SHIP",
    "candidate": 0.4,
    "delta": 0.0,
    "ci95": [0.0, 0.0],
    "queries_needed": None,
}


def test_a_run_that_kept_the_base_reads_as_a_success_of_the_process(make):
    changes = {("14", "training.json"): {"kept": "base"}, ("15", "evaluation.json"): {"comparison": NO_GAIN}}
    verdict = make(changes)
    text = sentence(verdict)
    assert (verdict["verdict"], EXIT_OF[verdict["verdict"]]) == ("DO_NOT_SHIP", 1)
    assert text.startswith("DO NOT SHIP: training brought no gain on validation, so step 14 kept the base model; ")
    assert text.endswith(f" {SUCCESS}")
    assert "re-embedding" not in text.removesuffix(SUCCESS)


def test_a_broken_seal_is_no_success_of_the_process(make, store):
    make()
    record(store, get_step("11"), "key", "forged", "opening", [])
    assert SUCCESS not in sentence(compute(store))
