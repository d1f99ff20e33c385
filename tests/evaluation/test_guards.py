"""What stands beside the primary measure: guardrail slices, unseen documents, concentration."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, command
from makers import evaluation

import embedlab
from embedlab.data import Collection
from embedlab.evaluation import (
    BROKEN,
    HELD,
    UNSETTLED,
    AmongUnseen,
    Comparison,
    about_new,
    among_unseen,
    compare_scores,
    concentration,
    holm,
    per_query,
    slice_table,
    strata,
)
from embedlab.evaluation.statistics.intervals import gain
from embedlab.retrieval import Dense

IDS = [f"q{i:03d}" for i in range(200)]
GROUPS = {q: f"g{i // 4}" for i, q in enumerate(IDS)}
BASE = pd.Series(0.5, index=IDS)
TOLERANCE = 0.05


def noise(seed: int, spread: float = 0.1) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).normal(0, spread, len(IDS)), index=IDS)


def slices(**shares: int) -> pd.DataFrame:
    """Return one slice a name with so many queries, each from another place on."""
    return pd.DataFrame(
        {name: [7 * n <= i < 7 * n + size for i in range(len(IDS))] for n, (name, size) in enumerate(shares.items())},
        index=IDS,
    )


def table(members, after, guardrails=("one",), smallest=20) -> pd.DataFrame:
    return slice_table(members, BASE, after, GROUPS, guardrails, TOLERANCE, smallest).set_index("slice")


# --- guardrail slices ----------------------------------------------------------------------------


def test_a_guardrail_with_a_loss_beyond_its_tolerance_is_lost():
    members = slices(one=80)
    after = BASE + noise(1) - 0.2 * members["one"]
    row = table(members, after).loc["one"]
    assert row["state"] == "lost"
    assert row["p_holm"] < 0.001
    assert row["high"] < -0.05


def test_a_guardrail_that_keeps_its_score_is_held():
    assert table(slices(one=120), BASE + noise(2)).loc["one", "state"] == "held"


def test_a_loss_within_the_tolerance_is_not_lost():
    members = slices(one=150)
    assert table(members, BASE + noise(3) - 0.03 * members["one"]).loc["one", "state"] == "held"


def test_a_guardrail_that_is_too_small_says_so_whatever_it_lost():
    members = slices(one=5)
    row = table(members, BASE - 0.4 * members["one"]).loc["one"]
    assert (row["state"], row["queries"]) == ("too small to tell", 5)
    assert np.isnan(row["p"])


def test_a_guardrail_that_no_test_query_is_in_is_listed_as_too_small():
    assert table(slices(one=50), BASE, ["matrix=ics"]).loc["matrix=ics", ["queries", "state"]].tolist() == [
        0,
        "too small to tell",
    ]


def test_a_wide_loss_is_unsure():
    members = slices(one=24)
    assert table(members, BASE + noise(4, 0.5) - 0.05 * members["one"]).loc["one", "state"] == "too small to tell"


def test_several_guardrails_are_corrected_together():
    names = {f"s{i}": 60 for i in range(8)}
    found = table(slices(**names), BASE + noise(5) - 0.07, list(names))
    adjusted = holm(found["p"].to_dict())
    assert found["p_holm"].to_dict() == pytest.approx(adjusted)
    assert (found["p_holm"] > found["p"]).any()


def test_other_slices_are_shown_and_not_judged_and_small_ones_left_out():
    found = table(slices(one=40, two=40, three=5), BASE + noise(6) - 0.3)
    assert list(found.index) == ["one", "two"]
    assert not found.loc["two", "guardrail"]
    assert pd.isna(found.loc["two", "state"])


def loss_p(difference, labels, tolerance) -> float:
    """Return the p-value of "the loss is at most the tolerance", as slices are judged by."""
    return gain(difference, labels).p_value(-tolerance, "less")


def test_the_loss_test_is_no_sharper_than_a_t_test_where_every_query_is_its_own_group():
    from scipy import stats as scipy_stats

    difference = noise(7).to_numpy() - 0.06
    expected = scipy_stats.ttest_1samp(difference, -0.05, alternative="less").pvalue
    assert expected <= loss_p(difference, IDS, 0.05) <= expected + 0.01


def test_the_loss_test_keeps_its_level_where_queries_come_in_groups():
    rng, groups = np.random.default_rng(8), [str(i // 10) for i in range(200)]
    hits = [
        loss_p(np.repeat(rng.normal(-0.05, 0.1, 20), 10) + rng.normal(0, 0.02, 200), groups, 0.05) < 0.05
        for _ in range(300)
    ]
    assert np.mean(hits) <= 0.085


@pytest.mark.parametrize(("queries", "lost"), [(40, False), (400, True)])
def test_equal_losses_beyond_the_tolerance_are_sure_only_of_many_queries(queries, lost):
    labels = [str(i) for i in range(queries)]
    assert (loss_p(np.full(queries, -0.06), labels, 0.05) < 0.05) == lost
    assert loss_p(np.full(queries, -0.04), labels, 0.05) == 1.0
    assert loss_p(np.full(queries, -0.06), ["one"] * queries, 0.05) == 1.0, "one group alone says nothing"


# --- concentration -------------------------------------------------------------------------------


def test_a_gain_from_one_slice_is_narrow_and_names_it():
    members = slices(one=40, two=90)
    found = concentration(noise(1, 0.05) + 0.4 * members["one"], GROUPS, members, 0.02)
    assert found.without_best_slice.name == "one"
    assert found.without_best_slice.delta == pytest.approx(0.0, abs=0.02)
    assert found.narrow == ("one",)


def test_a_gain_from_one_group_is_narrow_and_names_it():
    groups = {q: "big" if i < 40 else f"g{i}" for i, q in enumerate(IDS)}
    gain = noise(2, 0.02) + np.where(np.arange(200) < 40, 0.15, 0.021) + 0.004
    whole = concentration(gain, groups | {q: q for q in IDS}, slices(two=90).iloc[:, :0], 0.025)
    found = concentration(gain, groups, slices(two=90).iloc[:, :0], -0.1)
    assert whole.narrow == ()
    assert found.without_best_group.name == "group big"
    assert found.without_best_group.delta == pytest.approx(0.025, abs=0.005)
    assert found.without_best_slice is None


def test_a_gain_from_everywhere_is_not_narrow():
    found = concentration(noise(3, 0.05) + 0.1, GROUPS, slices(one=40, two=90), 0.02)
    assert found.narrow == ()
    assert found.without_best_slice.ci[0] >= 0.02


def test_a_gain_that_was_not_sure_before_is_not_called_narrow():
    members = slices(one=40)
    assert concentration(noise(4, 0.3) + 0.05 * members["one"], GROUPS, members, 0.05).narrow == ()


def test_a_slice_with_most_of_the_queries_is_never_left_out():
    members = slices(most=150, few=30)
    assert concentration(noise(5) + 0.3 * members["most"], GROUPS, members, 0.02).without_best_slice.name == "few"


def test_shares_improved_and_hurt_count_queries():
    difference = pd.Series([0.1] * 100 + [0.0] * 60 + [-0.1] * 40, index=IDS)
    found = concentration(difference, GROUPS, slices(one=40), 0.0)
    assert (found.improved, found.hurt) == (0.5, 0.2)


# --- among unseen documents ----------------------------------------------------------------------

WIDTH = 24


class Noisy:
    """An encoder whose query q7 lies near its document d7, by ``signal``."""

    name = "noisy"

    def __init__(self, signal: float) -> None:
        self.signal = signal

    def encode(self, texts, kind="document"):
        rows = []
        for text in texts:
            own = np.random.default_rng(int(text[1:])).normal(size=WIDTH)
            other = np.random.default_rng(int(text[1:]) + (10**6 if kind == "query" else 2 * 10**6)).normal(size=WIDTH)
            rows.append(self.signal * own + other if kind == "query" else own)
        vectors = np.array(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Raised:
    """Another encoder with ``by`` added to the score of some documents, whatever is asked."""

    name = "raised"

    def __init__(self, base, texts, by: float) -> None:
        self.base, self.texts, self.by = base, set(texts), by

    def encode(self, texts, kind="document"):
        vectors = self.base.encode(texts, kind)
        extra = np.ones(len(texts)) if kind == "query" else [self.by * (text in self.texts) for text in texts]
        return np.column_stack([vectors, np.asarray(extra, dtype=np.float32)])


@dataclass(frozen=True)
class Closed:
    """A closed collection: the opened test, and what its documents were in training."""

    test: Collection
    positives: set[str]
    negatives: set[str]

    def texts(self, of: set[str]) -> pd.Series:
        documents = self.test.document_texts()
        return documents[documents.index.isin(list(of))]

    def trap(self, which: str) -> set[str]:
        """Return the documents that a trap raises."""
        unseen = set(self.test.corpus["doc_id"]) - self.positives
        raised = {
            "positives pushed down": unseen,
            "negatives raised": self.negatives,
            "never used raised": unseen - self.negatives,
        }
        return raised[which]

    def check(self, base, tuned) -> AmongUnseen:
        return among_unseen(base, tuned, self.test, self.positives, self.negatives, "nDCG@10", self.test.groups())


TRAPS = ["positives pushed down", "negatives raised", "never used raised"]

NEGATIVES_OF = {
    "queries about both classes": {f"d{i}" for i in [*range(60), *range(120, 160)]},
    "queries about what was never used": {f"d{i}" for i in range(120, 160)},
    "queries about negatives": {f"d{i}" for i in range(160)},
    "no negatives": set(),
    "all negatives": {f"d{i}" for i in range(200)},
}
"""What may be a negative of training: of 200 documents that were no positive, the first 120 are asked for."""


def closed(which: str = "queries about both classes") -> Closed:
    """Return 400 documents, 200 of them positives of training, and 120 queries about 120 of the others."""
    ids = [f"d{i}" for i in range(400)]
    corpus = pd.DataFrame({"doc_id": ids, "title": ids, "text": ""})
    asked = [f"q{i}" for i in range(120)]
    queries = pd.DataFrame({"query_id": asked, "text": asked, "part": "test", "group": asked})
    qrels = pd.DataFrame({"query_id": asked, "doc_id": ids[:120], "relevance": 1})
    return Closed(Collection(corpus, queries, qrels), set(ids[200:]), NEGATIVES_OF[which])


def over_all(base, candidate, test) -> Comparison:
    runs = [Dense(model, test.document_texts()).search(test.query_texts()) for model in (base, candidate)]
    scores = [per_query(test.qrels, run)["nDCG@10"] for run in runs]
    return compare_scores(*scores, min_gain=0.02, groups=test.groups())


def assert_never_ships(unseen: AmongUnseen, make) -> None:
    """Assert that a check is not held with a gain, and that it keeps what else is a clear SHIP from shipping."""
    assert unseen.state != HELD
    verdict = make(evaluation(unseen_only=unseen))
    assert verdict["verdict"] != "SHIP"
    assert any("unseen documents" in why for why in verdict["blocked_by"] + verdict["unsettled"])


@pytest.mark.parametrize("present", NEGATIVES_OF)
@pytest.mark.parametrize("which", TRAPS)
def test_a_model_that_only_raises_a_class_of_documents_gains_nothing_and_never_ships(which, present, make):
    found, base = closed(present), Noisy(0.7)
    raised = found.trap(which)
    unseen = found.check(base, Raised(base, found.texts(raised), 0.1))
    assert unseen.delta == 0.0
    assert unseen.apart == pytest.approx(0.1 if raised else 0.0, abs=1e-6)
    if raised:
        assert_never_ships(unseen, make)


@pytest.mark.parametrize(
    ("which", "present"),
    [
        ("positives pushed down", "queries about both classes"),
        ("never used raised", "queries about what was never used"),
        ("negatives raised", "queries about negatives"),
    ],
)
def test_these_traps_are_a_clear_ship_over_all_documents(which, present, make):
    found, base = closed(present), Noisy(0.7)
    trapped = Raised(base, found.texts(found.trap(which)), 0.1)
    compared, unseen = over_all(base, trapped, found.test), found.check(base, trapped)
    assert compared.verdict == "SHIP"
    assert make(evaluation(comparison=compared, unseen_only=unseen))["verdict"] == "INCONCLUSIVE"
    assert make(evaluation(comparison=compared))["verdict"] == "SHIP"


def test_a_class_raised_among_the_others_would_gain_if_they_were_searched_together():
    found, base = closed("queries about what was never used"), Noisy(0.7)
    trapped = Raised(base, found.texts(found.trap("never used raised")), 0.1)
    together = replace(found, negatives=set()).check(base, trapped)
    assert together.state == HELD
    assert together.ci95[0] > 0.005


def later_queries() -> Closed:
    """Return the collection as parts by date have it: of 120 queries 80 ask for documents that were positives."""
    found = closed("queries about what was never used")
    return replace(found, positives={f"d{i}" for i in [*range(80), *range(200, 400)]})


@pytest.mark.parametrize("which", ["positives", *TRAPS])
def test_by_date_too_a_model_that_only_raises_a_class_never_ships(which, make):
    found, base = later_queries(), Noisy(0.7)
    trapped = Raised(base, found.texts(found.positives if which == "positives" else found.trap(which)), 0.1)
    unseen = found.check(base, trapped)
    assert (unseen.queries, unseen.delta) == (40, 0.0)
    assert unseen.apart == pytest.approx(0.1, abs=1e-6)
    assert_never_ships(unseen, make)


def test_raised_positives_gain_on_known_documents_and_lose_on_new_ones_which_the_strata_show():
    found, base = later_queries(), Noisy(0.7)
    trapped = Raised(base, found.texts(found.positives), 0.1)
    runs = [Dense(model, found.test.document_texts()).search(found.test.query_texts()) for model in (base, trapped)]
    scores = [per_query(found.test.qrels, run)["nDCG@10"] for run in runs]
    divided = strata(*scores, about_new(found.test, found.positives), found.test.groupings())
    assert divided.known.ci95[0] > 0
    assert divided.new.ci95[1] < 0


def test_an_honest_gain_is_held_in_every_class(make):
    found, base, better = closed(), Noisy(0.7), Noisy(1.2)
    unseen = found.check(base, better)
    assert (unseen.state, unseen.settled_by) == (HELD, "")
    assert unseen.ci95[0] > 0.02
    assert unseen.apart < 0.05
    assert [part.delta is not None and part.delta > 0.02 for part in unseen.classes] == [False, True, True]
    assert make(evaluation(unseen_only=unseen))["verdict"] == "SHIP"


def test_a_gain_by_raising_a_class_does_not_hide_what_is_lost_inside_the_classes(make):
    found, base, worse = closed(), Noisy(1.2), Noisy(0.7)
    trapped = Raised(worse, found.texts(found.trap("positives pushed down")), 0.5)
    unseen = found.check(base, trapped)
    assert unseen.state == BROKEN
    assert unseen.ci95[1] < 0
    assert make(evaluation(unseen_only=unseen))["verdict"] == "DO_NOT_SHIP"


def test_the_same_model_is_held_for_nothing_changes():
    unseen = closed().check(Noisy(0.7), Noisy(0.7))
    assert (unseen.state, unseen.delta, unseen.apart) == (HELD, 0.0, 0.0)


def test_a_few_queries_that_gain_while_none_loses_are_too_few_to_hold_the_check():
    unseen = closed().check(Noisy(0.7), Noisy(0.701))
    assert unseen.delta > 0
    assert unseen.ci95[0] < 0, "of 120 queries that nearly all tie, others may lose"
    assert unseen.state == UNSETTLED


def test_what_rounding_changes_beside_a_raised_class_is_no_gain():
    found = closed()
    trapped = Raised(Noisy(0.7003), found.texts(found.negatives), 0.1)
    groups = found.test.groups()
    unseen = among_unseen(Noisy(0.7), trapped, found.test, found.positives, found.negatives, "AP", groups)
    assert 0 < unseen.delta < 1e-4
    assert unseen.state == UNSETTLED


def test_a_change_that_may_be_a_loss_is_unsettled_and_says_how_many_queries_would_settle_it():
    unseen = closed().check(Noisy(0.7), Noisy(0.695))
    low, high = unseen.ci95
    assert low < 0 <= high
    assert unseen.state == UNSETTLED
    assert "such queries" in unseen.settled_by


def test_each_class_says_its_documents_its_queries_and_how_far_they_moved():
    found, base = closed(), Noisy(0.7)
    unseen = found.check(base, Raised(base, found.texts(found.negatives), 0.1))
    assert [(part.name, part.documents, part.queries) for part in unseen.classes] == [
        ("positives", 200, 0),
        ("negatives", 100, 60),
        ("never used", 100, 60),
    ]
    assert [part.moved for part in unseen.classes] == pytest.approx([0.0, 0.1, 0.0], abs=1e-6)
    assert (unseen.queries, unseen.groups) == (120, 120)


def test_a_document_that_was_positive_and_negative_is_a_positive():
    found = closed()
    both = replace(found, negatives=found.negatives | found.positives).check(Noisy(0.7), Noisy(1.2))
    assert both == found.check(Noisy(0.7), Noisy(1.2))


@pytest.mark.parametrize(("copied", "sizes"), [("d0", [200, 101, 99]), ("d399", [201, 100, 99])])
def test_a_document_is_of_the_class_of_what_has_the_same_text(copied, sizes):
    found = closed()
    corpus = found.test.corpus.copy()
    corpus.loc[corpus["doc_id"] == "d199", "title"] = copied
    unseen = replace(found, test=replace(found.test, corpus=corpus)).check(Noisy(0.7), Noisy(0.7))
    assert [part.documents for part in unseen.classes] == sizes


def test_a_query_with_relevant_documents_in_both_classes_is_one_difference_their_mean():
    found = closed()
    further = pd.DataFrame({"query_id": [f"q{i}" for i in range(60)], "doc_id": [f"d{i}" for i in range(60, 120)]})
    qrels = pd.concat([found.test.qrels, further.assign(relevance=1)], ignore_index=True)
    within = replace(found, test=replace(found.test, qrels=qrels))
    unseen = within.check(Noisy(0.7), Noisy(1.2))
    _, negatives, never_used = unseen.classes
    assert (negatives.queries, never_used.queries, unseen.queries) == (60, 120, 120)
    own = closed().check(Noisy(0.7), Noisy(1.2)).classes[2]  # q60 to q119, which are asked there alone
    both = (negatives.delta + (120 * never_used.delta - 60 * own.delta) / 60) / 2
    assert unseen.delta == pytest.approx((both + own.delta) / 2)


@pytest.mark.parametrize(("queries", "judged"), [(29, False), (30, True)])
def test_a_class_with_fewer_than_30_queries_is_left_out_and_named(queries, judged):
    found = replace(closed(), negatives={f"d{i}" for i in range(queries)})
    unseen = found.check(Noisy(0.7), Noisy(1.2))
    assert (unseen.classes[1].delta is not None) == judged
    assert unseen.queries == 120 - (0 if judged else queries)
    assert ("left out: negatives (29 queries, 30 are needed)" in unseen.reason) != judged


def test_where_no_class_is_large_enough_the_check_is_unsettled_and_says_so(make):
    found = closed()
    few = replace(found, positives=found.positives | {f"d{i}" for i in [*range(31), *range(60, 92)]})
    unseen = few.check(Noisy(0.7), Noisy(1.2))
    numbers = (unseen.baseline, unseen.tuned, unseen.delta, unseen.ci95)
    assert (unseen.state, unseen.queries, numbers) == (UNSETTLED, 0, (None, None, None, None))
    assert "negatives (29 queries, 30 are needed), never used (28 queries" in unseen.reason
    assert unseen.settled_by
    verdict = make(evaluation(unseen_only=unseen))
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert verdict["unseen_only"]["ci95"] is None


def test_where_every_document_was_a_positive_no_class_can_be_raised_and_the_check_is_held():
    found = closed()
    unseen = replace(found, positives=set(found.test.corpus["doc_id"])).check(Noisy(0.7), Noisy(1.2))
    assert (unseen.state, unseen.reason) == (
        HELD,
        "every document was a positive of training, so that there is no class to raise against another",
    )


def test_queries_of_few_groups_do_not_hold_the_check():
    found = closed()
    queries = found.test.queries.assign(group=[f"g{i % 9}" for i in range(120)])
    few = replace(found, test=replace(found.test, queries=queries))
    unseen = few.check(Noisy(0.7), Noisy(1.2))
    assert (unseen.state, unseen.settled_by) == (UNSETTLED, "queries of 10 groups")
    assert unseen.ci95[0] > 0
    assert few.check(Noisy(0.7), Noisy(0.7)).state == HELD, "the same model loses nothing, whoever asks"


@pytest.fixture(scope="module")
def base_model(tmp_path_factory):
    """The packaged base model with vectors kept for this module."""
    return embedlab.load_model("sentence-transformers/all-MiniLM-L6-v2", "float32", tmp_path_factory.mktemp("vectors"))


def of_attack(attack: Collection, transductive: bool) -> Closed:
    """Return the demo's test with half of what may be mined among the documents that were no positive as negatives."""
    test, trained = attack.part("test"), attack.part("train")
    positives = set(trained.qrels.loc[trained.qrels["relevance"] >= 1, "doc_id"])
    minable = set(test.corpus["doc_id"]) - positives
    if not transductive:
        minable -= set(attack.qrels["doc_id"])
    drawn = np.random.default_rng(0).permutation(sorted(minable))
    texts = test.document_texts()
    negatives = texts.isin(texts[drawn[: len(drawn) // 2]])  # one document has a twin of the same text
    return Closed(test, positives, set(texts.index[negatives]))


@pytest.mark.full
@pytest.mark.model
@pytest.mark.parametrize("transductive", [True, False])
@pytest.mark.parametrize("which", TRAPS)
def test_no_class_of_attack_can_be_raised_to_ship(which, transductive, attack, base_model, make):
    """About a minute: the base's vectors of 839 documents and the test queries."""
    found = of_attack(attack, transductive)
    trapped = Raised(base_model, found.texts(found.trap(which)), 0.1)
    unseen = found.check(base_model, trapped)
    assert unseen.delta == pytest.approx(0, abs=1e-4)
    assert unseen.apart == pytest.approx(0.1, abs=1e-5)
    # Within a class nothing is gained or lost, but where adding .1 turns two nearly equal scores round.
    assert unseen.state == "unsettled"
    assert_never_ships(unseen, make)
    if which == "positives pushed down":
        compared = over_all(base_model, trapped, found.test)
        assert 0.05 < compared.delta < 0.15, "its size depends on the split"
        assert compared.verdict == "SHIP"


@pytest.mark.full
@pytest.mark.chain
@pytest.mark.model
def test_a_ruined_run_ends_in_do_not_ship_with_exit_code_1(tmp_path):
    """About three minutes: the smoke chain to step 15, trained with a learning rate that destroys the model."""
    words = ["run", str(PROJECT / "params/smoke.yaml"), "--set", "run=ruined", "--set", "14.learning_rate=0.5"]
    done = command(tmp_path, "embedlab", *words, "--to", "15")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = command(tmp_path, "embedlab", "check", str(tmp_path / "ruined"))
    assert checked.returncode == 1, checked.stdout
    assert "step 14 kept the base model" in checked.stdout
    assert "The process worked" in checked.stdout
