"""The verdict, its checklist and the mistakes: every rule is broken on purpose and seen to turn."""

import copy

import pytest

from embedlab.evidence import compute, sentence
from embedlab.keys import sha256_file
from embedlab.seal import record
from embedlab.steps import get_step

WEIGHTS = "a" * 64

GOOD = {
    ("01", "contract.json"): {
        "objective": "find the technique",
        "generalize_to": "new queries and new documents",
        "min_gain": 0.02,
        "slice_tolerance": 0.05,
        "index_budget_mb": 10.0,
        "test_openings": 1,
        "hash": "c0ffee",
    },
    ("02", "summary.json"): {"conclusion": "", "figures": {"passages_gain": 0.01}},
    ("05", "baseline.json"): {"metric": "nDCG@10", "test": {"base": 0.4}},
    ("13", "leakage.json"): {"total": 0},
    ("14", "training.json"): {"hard_negatives": 4, "loss": "mnr_hard", "weights": WEIGHTS},
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
        "slices": [{"slice": "negation", "guardrail": True, "delta": 0.0, "low": -0.06, "high": 0.06, "queries": 30}],
        "dev_gain": 0.1,
    },
    ("16", "changes.json"): {"gained": 20, "lost": 5, "judged": 6, "judged_better": 5, "judged_worse": 1},
    ("17", "reembedding.json"): {"identity": {"weights": WEIGHTS}, "index_mb": 1.2},
    ("18", "pipeline.json"): {"delta": 0.08, "ci95": [0.04, 0.12], "passed": True},
    ("19", "shadow.json"): {"passed": True},
    ("20", "reindex.json"): {"passed": True, "rollback_kept": True, "documents": 839},
    ("21", "rollout.json"): {"passed": True, "rollback_drill": True},
    ("22", "drift.json"): {"passed": True, "reason": "thresholds stated", "retrain": False},
}


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
        seal = {"seal": sha256_file(store.folder / path)}
        for (step, name), value in {**artifacts, ("04", "eval_set.json"): seal}.items():
            path = f"artifacts/{get_step(step).name}/{name}"
            outputs.setdefault(step, {})[path] = store.write(path, value)
        for step, found in outputs.items():
            store.finish(get_step(step), "key", 1.0, found)
        for number, weights in enumerate(openings):
            record(store, get_step("15"), f"key{number}", "score", "opening", [weights])
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


MADE = [
    ("training_without_baseline", {("05", "baseline.json"): None}),
    ("same_examples_for_training_and_evaluation", {("13", "leakage.json"): {"total": 1}}),
    ("no_hard_negatives", {("14", "training.json"): {"hard_negatives": 0}}),
    ("fine_tuning_to_fix_chunking", {("02", "summary.json"): {"figures": {"passages_gain": 0.2}}}),
    ("ignoring_hybrid_search_and_filters", {("02", "summary.json"): None}),
    ("mixing_old_and_new_embeddings", {("17", "reembedding.json"): {"identity": {"weights": "b" * 64}}}),
    ("reindexing_without_rollback", {("20", "reindex.json"): {"rollback_kept": False}}),
    (
        "shipping_on_training_loss_alone",
        {("15", "evaluation.json"): {"comparison": GOOD["15", "evaluation.json"]["comparison"] | {"n_queries": 0}}},
    ),
]


@pytest.mark.parametrize(("name", "changes"), MADE, ids=[name for name, _ in MADE])
def test_each_common_mistake_is_caught_by_name(make, name, changes):
    assert item(make(changes), "mistakes", name) is True


SLICE = [{"slice": "negation", "guardrail": True, "delta": -0.2, "low": -0.3, "high": -0.1, "queries": 30}]
FALSE_GAIN = {"baseline": 0.5, "tuned": 0.5, "delta": 0.0, "ci95": [-0.01, 0.01]}
FORGOTTEN = GOOD["15", "evaluation.json"]["retention"] | {"delta": -0.2, "ci95": [-0.25, -0.15]}
BLOCKS = [
    ("retention: on 300 queries of hpo", {("15", "evaluation.json"): {"retention": FORGOTTEN}}),
    ("guardrail slice negation", {("15", "evaluation.json"): {"slices": SLICE}}),
    ("unseen documents", {("15", "evaluation.json"): {"unseen_only": FALSE_GAIN}}),
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
